// The half of the adapter that makes, copies, repairs and puts away data directories.
#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/disk_space.h"
#include "os/file.h"
#include "postgres/adapter.h"
#include "postgres/bootstrap.h"
#include "postgres/clone.h"
#include "postgres/config_files.h"
#include "postgres/corruption.h"
#include "postgres/data_directory.h"
#include "postgres/gate.h"
#include "postgres/half_made.h"
#include "postgres/kept_aside.h"
#include "postgres/kept_damaged.h"
#include "postgres/rewind.h"
#include "postgres/voteless.h"
#include "postgres/wal_tail.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// What PostgreSQL's programs say is in the language of its configuration, and not always the cause;
// with less than a segment's room none of them gets far.
bool no_room(const Error& error, const std::string& data_dir) {
    constexpr std::uint64_t segment = 16ULL << 20;
    if (error.message.contains("No space left on device")) return true;
    const auto space = os::disk_space(data_dir);
    return space && space->free < segment;
}

}  // namespace

template <class T>
Task<Result<T>> Adapter::interruptible(Task<Result<T>> action) {
    const auto signal = std::make_shared<asio::cancellation_signal>();
    interruption_ = signal;
    auto token = asio::bind_cancellation_slot(signal->slot(), asio::as_tuple(asio::use_awaitable));
    auto [thrown, result] = co_await asio::co_spawn(loop_, std::move(action), std::move(token));
    if (interruption_ == signal) interruption_.reset();
    // The only thing thrown is asio's word for a cancelled wait.
    if (thrown) co_return fail(ErrorCode::cancelled, "it was given up");
    co_return std::move(result);
}

Task<Result<int>> Adapter::program_version() {
    const auto program = program_path(config_(), "postgres");
    if (program == version_program_) co_return version_of_program_;
    os::Command command;
    command.arguments = {program, "--version"};
    command.deadline = 10s;
    auto ended = co_await os::run(pool_, std::move(command));
    if (!ended) co_return within("asking PostgreSQL's version", ended.error());
    // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    const auto words = split(trim(ended->out), ' ');
    const auto major =
        words.size() > 2
            ? parse_decimal(words[2].substr(0, words[2].find_first_not_of("0123456789")))
            : std::nullopt;
    if (!ended->ok() || !major)
        co_return fail(ErrorCode::failed, fmt::format("{} --version does not tell a version: {}",
                                                      program, os::describe(*ended)));
    version_program_ = program;
    version_of_program_ = static_cast<int>(*major) * 10000;
    co_return version_of_program_;
}

// Before anything else replaces the data directory: old data that waits beside it must not be taken
// for what a complete copy left to be removed.
Task<Status> Adapter::copies_undone() {
    co_await undo_clone();
    if (clone_undone_) co_return Status{};
    co_return fail(ErrorCode::unavailable,
                   undo_problem_.empty() ? "an interrupted copy is being undone" : undo_problem_);
}

Task<Status> Adapter::bootstrap(std::optional<cluster::Restoration> restore) {
    const auto turn = co_await acting_.take();
    if (const auto allowed = may_run_servers(); !allowed) co_return allowed;
    if (server_.alive())
        co_return fail(ErrorCode::conflict, "PostgreSQL runs: there is a cluster already");
    if (const auto free = co_await server_.end_leftovers(); !free) co_return free;
    const auto undone = co_await copies_undone();
    if (!undone) co_return undone;
    const auto config = config_();
    data_replaced();
    const char* const what = restore ? "restoring in place" : "making a new cluster";
    auto made =
        co_await interruptible(postgres::bootstrap(pool_, config, restorer_, std::move(restore)));
    if (!made) co_return within(what, made.error());
    bootstrap_ = *std::move(made);
    set_making_cluster(true);
    co_await look_for_vote();
    // What a cluster that was here before waited for means nothing to the new one.
    remember_names(std::nullopt);
    co_return Status{};
}

Task<Status> Adapter::post_bootstrap() {
    const auto turn = co_await acting_.take();
    const auto config = config_();
    auto connection = co_await server_.patient_connection(5s);
    if (!connection) co_return within("after the bootstrap", connection.error());
    const int version = (*connection)->server_version();
    // An agent that goes on with what one before it restored has no such word, and needs none.
    const bool in_place = bootstrap_.in_place() || gated_;
    auto done = co_await interruptible(
        postgres::post_bootstrap(pool_, config, **connection, version, !in_place));
    if (!done) co_return within("after the bootstrap", done.error());
    version_ = version;
    in_recovery_ = false;
    const auto overrides = std::exchange(bootstrap_, {});
    // The server goes by it until it is stopped; the next one begins behind a gate of its own.
    if (overrides.in_place() && gated_) {
        auto opened = co_await pool_.run([path = gate_file_] { return open_gate(path); });
        if (!opened) co_return within("after the restore", opened.error());
    }
    if (overrides.trust_local_only) {
        auto closed = co_await pool_.run([&config] { return ConfigFiles(config).restore_hba(); });
        if (!closed) co_return within("after the bootstrap", closed.error());
    }
    if (overrides.hot_standby_off) {  // only a start brings it back
        auto stopped = co_await stop_for_work();
        if (!stopped) co_return within("after the bootstrap", stopped.error());
        cluster::StartPlan plan;
        plan.as_primary = true;
        plan.callback_role = cluster::Role::primary;
        plan.hold_clients = overrides.in_place();
        auto started = co_await start_now(plan);
        if (!started) co_return within("after the bootstrap", started.error());
    } else if (overrides.trust_local_only) {
        auto told = co_await reconfigure_now(true);
        if (!told) co_return told;
    }
    auto whole = co_await pool_.run([&config] { return clear_half_made(config.data_dir); });
    if (!whole) co_return within("after the bootstrap", whole.error());
    set_making_cluster(false);
    co_return Status{};
}

// The mark on the directory is for whoever comes after us.
void Adapter::set_making_cluster(bool making) {
    making_cluster_ = making;
    server_.set_making_cluster(making);
}

Task<Status> Adapter::clone(ClonePlan plan) {
    const auto turn = co_await acting_.take();
    if (const auto allowed = may_run_servers(); !allowed) co_return allowed;
    const bool running = co_await server_.find();
    if (running)
        co_return fail(ErrorCode::conflict, "PostgreSQL runs: stop it before its data is replaced");
    if (const auto free = co_await server_.end_leftovers(); !free) co_return free;
    const auto undone = co_await copies_undone();
    if (!undone) co_return undone;
    auto version = co_await program_version();
    if (!version) co_return std::unexpected(version.error());
    const auto config = config_();
    data_replaced();
    auto done = co_await interruptible(postgres::clone(pool_, config, plan, *version));
    if (!done) clone_undone_ = false;  // perhaps: whoever looks next sees to it
    co_await look_for_vote();
    co_return done;
}

Task<Status> Adapter::check_rebuild(cluster::DiskSettings disk) {
    const auto data_dir = config_().data_dir;
    co_return co_await pool_.run([&] { return check_room_for_two(data_dir, disk); });
}

Task<Result<cluster::Divergence>> Adapter::compare(const cluster::Upstream& source) {
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the caller's may be gone later
    const auto upstream = source;
    const auto config = config_();
    const auto seen = co_await server_.observe(cluster::Look::server);
    learn(seen);
    auto control = co_await pool_.run([&config] { return read_control_file(config); });
    if (!control) co_return std::unexpected(control.error());
    std::optional<LocalEnd> running;
    const auto& postgres = seen.postgres;
    if (seen.answered)
        running = LocalEnd{postgres.timeline,
                           postgres.in_recovery ? postgres.replay : postgres.wal,
                           postgres.in_recovery,
                           {}};
    const int version = seen.answered ? postgres.version : postgres.data_version * 10000;
    auto divergence =
        co_await postgres::compare(pool_, config, upstream, running, control->data, version);
    co_return divergence;
}

Task<Status> Adapter::rewind(const cluster::Upstream& source) {
    auto upstream = source;
    const auto turn = co_await acting_.take();
    auto done = co_await rewind_now(std::move(upstream));
    if (done || done.error().code == ErrorCode::cancelled) co_return done;
    const auto wants_room = co_await pool_.run([config = config_(), error = done.error()] {
        const auto mark = read_half_made(config.data_dir);
        return mark && !*mark && no_room(error, config.data_dir);
    });
    if (wants_room)
        co_return fail(ErrorCode::unavailable,
                       done.error().message + "; nothing was changed, and it is tried again");
    co_return done;
}

Task<Status> Adapter::rewind_now(cluster::Upstream source) {
    if (const auto allowed = may_run_servers(); !allowed) co_return allowed;
    const auto config = config_();
    auto stopped = co_await stop_for_work();
    if (!stopped) co_return stopped;
    if (const auto free = co_await server_.end_leftovers(); !free) co_return free;
    auto view = co_await usable_disk();
    if (!view) co_return std::unexpected(view.error());
    auto control = view->control;
    const auto clean = [](const ControlFile& file) {
        return file.data.state == cluster::ControlState::shut_down ||
               file.data.state == cluster::ControlState::shut_down_in_recovery;
    };
    if (!clean(*control)) {
        auto recovered = co_await crash_recover_now();
        if (!recovered) co_return within("before the rewind", recovered.error());
        view = co_await usable_disk();
        if (!view) co_return std::unexpected(view.error());
        control = view->control;
    }
    auto done = co_await interruptible(
        postgres::rewind(pool_, config, source, control->data, view->version * 10000));
    co_await look_for_vote();
    co_return done;
}

Task<Status> Adapter::crash_recover() {
    const auto turn = co_await acting_.take();
    co_return co_await crash_recover_now();
}

Task<Status> Adapter::crash_recover_now() {
    auto view = co_await usable_disk();
    if (!view) co_return std::unexpected(view.error());
    const auto config = config_();
    const auto labelled =
        co_await pool_.run([&config] { return os::exists(config.data_dir + "/backup_label"); });
    if (labelled && view->version >= 15)
        co_return fail(
            ErrorCode::invalid,
            "there is a backup_label: this is a copy whose recovery needs archived WAL, not "
            "a crashed server");
    // The WAL that is ready goes first. archive_status itself is left as it is: a segment whose
    // .ready file were taken away and that the archive does not have would be recycled and lost.
    // Where the next primary archives what it was streamed, it can wait for what compare() finds
    // out: not all of it need be of the cluster's past.
    if (!config.archiver_patience) {
        auto archived = co_await interruptible(archive_ready_wal(pool_, config, std::nullopt));
        if (!archived) log::warning("before the recovery: {}", archived.error().message);
    }
    auto removed = co_await pool_.run([&config] { return remove_signal_files(config.data_dir); });
    if (!removed) co_return removed;
    auto recovered = co_await interruptible(server_.single_user());
    // Whatever came of it, nothing may start this as a primary by itself.
    auto standby = co_await pool_.run([&config] { return write_standby_signal(config.data_dir); });
    if (!recovered) co_return recovered;
    co_return standby;
}

Task<void> Adapter::look_for_vote() {
    const auto data_dir = config_().data_dir;
    voteless_ = co_await pool_.run([&data_dir] { return is_voteless(data_dir); });
}

Task<Status> Adapter::restore_vote() {
    const auto turn = co_await acting_.take();
    const auto data_dir = config_().data_dir;
    auto cleared = co_await pool_.run([&data_dir] { return clear_voteless(data_dir); });
    if (!cleared) co_return within("giving the vote back", cleared.error());
    co_await look_for_vote();
    co_return Status{};
}

// How each way of putting this directory away begins; the turn is the caller's. Its path.
Task<Result<std::string>> Adapter::begin_putting_away() {
    const bool running = co_await server_.find();
    if (running)
        co_return fail(ErrorCode::conflict, "PostgreSQL runs: stop it before its data is put away");
    if (const auto free = co_await server_.end_leftovers(); !free)
        co_return std::unexpected(free.error());
    const auto undone = co_await copies_undone();
    if (!undone) co_return std::unexpected(undone.error());
    set_making_cluster(false);
    bootstrap_ = {};
    data_replaced();
    co_return config_().data_dir;
}

Task<Status> Adapter::set_aside() {
    const auto turn = co_await acting_.take();
    const auto data_dir = co_await begin_putting_away();
    if (!data_dir) co_return std::unexpected(data_dir.error());
    co_return co_await pool_.run([&data_dir]() -> Status {
        if (!has_content(*data_dir)) return clear_half_made(*data_dir);
        RLV_TRY([[maybe_unused]] const auto moved, move_aside(*data_dir, ".failed"));
        RLV_CHECK(clear_corruption(*data_dir));
        return clear_half_made(*data_dir);
    });
}

Task<Status> Adapter::keep_aside(std::string id) {
    const auto turn = co_await acting_.take();
    const auto data_dir = co_await begin_putting_away();
    if (!data_dir) co_return std::unexpected(data_dir.error());
    auto kept = co_await pool_.run([&] { return postgres::keep_aside(*data_dir, id); });
    co_await look_for_vote();
    co_return kept;
}

Task<Status> Adapter::put_back(std::string id) {
    const auto turn = co_await acting_.take();
    const auto data_dir = co_await begin_putting_away();
    if (!data_dir) co_return std::unexpected(data_dir.error());
    auto back = co_await pool_.run([&] { return put_back_kept(*data_dir, id); });
    co_await look_for_vote();
    co_return back;
}

Task<Status> Adapter::archive_rest() {
    const auto turn = co_await acting_.take();
    const auto config = config_();
    auto archived = co_await interruptible(archive_ready_wal(pool_, config, std::nullopt));
    if (!archived) co_return std::unexpected(archived.error());
    if (*archived > 0) log::info("{} WAL files that were left are archived", *archived);
    co_return Status{};
}

namespace {
// A crashed primary's disk may be why it crashed.
constexpr Duration disk_patience = std::chrono::seconds(1);
}  // namespace

Task<Result<cluster::WalTail>> Adapter::find_wal_end(cluster::Timeline timeline) {
    auto found =
        co_await pool_.run_within(disk_patience, [wal = config_().data_dir + "/pg_wal", timeline] {
            return postgres::find_wal_end(wal, timeline);
        });
    if (!found) co_return fail(ErrorCode::failed, "the disk does not answer");
    co_return *std::move(found);
}

Task<Result<std::string>> Adapter::read_wal_tail(cluster::Timeline timeline, cluster::Lsn at) {
    auto read = co_await pool_.run_within(disk_patience,
                                          [wal = config_().data_dir + "/pg_wal", timeline, at] {
                                              return postgres::read_wal_tail(wal, timeline, at);
                                          });
    if (!read) co_return fail(ErrorCode::failed, "the disk does not answer");
    co_return *std::move(read);
}

Task<Result<cluster::Lsn>> Adapter::write_wal_tail(cluster::Timeline timeline, cluster::Lsn at,
                                                   cluster::Lsn known, std::string pages) {
    const auto wal = config_().data_dir + "/pg_wal";
    co_return co_await pool_.run(
        [&] { return postgres::write_wal_tail(wal, timeline, at, known, pages); });
}

Task<Status> Adapter::make_standby_by_default() {
    const auto data_dir = config_().data_dir;
    co_return co_await pool_.run([&data_dir]() -> Status {
        if (!os::exists(data_dir + "/PG_VERSION"))
            return fail(ErrorCode::not_found, data_dir + " is no data directory");
        if (os::exists(data_dir + "/standby.signal")) return {};
        return write_standby_signal(data_dir);
    });
}

}  // namespace relevo::postgres
