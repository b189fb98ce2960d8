#include "pgbackrest/pgbackrest.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "os/file.h"
#include "os/process.h"
#include "pgbackrest/commands.h"
#include "pgbackrest/config_file.h"
#include "pgbackrest/failure.h"
#include "pgbackrest/info.h"
#include "pgbackrest/progress.h"
#include "pgbackrest/verified.h"

namespace relevo::pgbackrest {

namespace asio = boost::asio;

namespace {

constexpr std::size_t answer_max = 64UL << 20U;  // thousands of backups and their references

constexpr Duration push_deadline = std::chrono::minutes(5);
constexpr Duration why_deadline = std::chrono::seconds(70);  // io-timeout and a little

std::string pgpass_path(const Settings& settings) { return settings.directory + "/pgpass"; }

// Not written where nothing changed: this is called at every start and reload, and each write waits
// for the disk twice.
Status keep(const std::string& path, const std::string& content) {
    const auto before = os::read_file(path);
    if (before && *before == content) return {};
    return os::write_file(path, content, 0600);
}

// As large as the newest one there; all are, and pg_wal is never without one.
std::uint64_t segment_bytes(const std::string& wal) {
    const auto names = os::list_directory(wal);
    if (!names) return 0;
    for (const auto& name : *names) {
        if (name.size() != 24) continue;
        std::error_code error;
        const auto size = std::filesystem::file_size(wal + "/" + name, error);
        if (!error) return size;
    }
    return 0;
}

// The segment that the archiver is at: it takes them in the order of their names.
std::string oldest_ready(const std::string& wal) {
    constexpr std::string_view mark = ".ready";
    constexpr std::size_t digits = 24;
    std::string oldest;
    const auto names = os::list_directory(wal + "/archive_status");
    if (!names) return oldest;
    for (const auto& name : *names)
        if (name.size() == digits + mark.size() && name.ends_with(mark) &&
            (oldest.empty() || name < oldest))
            oldest = name;
    return oldest.substr(0, digits);
}

Status write_files(const Settings& settings) {
    for (const char* name : {"", "/lock", "/spool", "/log"})
        RLV_CHECK(os::make_directory(settings.directory + name, 0700));
    const auto ours = settings.directory + "/pgbackrest.conf";
    // Secrets do not stay where nobody uses them any more.
    RLV_CHECK(settings.renders() ? keep(ours, render(settings)) : os::remove_file(ours));
    const auto passwords = pgpass(settings);
    if (passwords.empty()) return os::remove_file(pgpass_path(settings));
    return keep(pgpass_path(settings), passwords);
}

std::unexpected<Error> without_section() {
    return fail(ErrorCode::invalid,
                "this member has no section `backup` in its configuration: add it, and reload");
}

using Signal = std::shared_ptr<asio::cancellation_signal>;

// By value: a child that ends takes itself off the list.
void end_all(std::set<Signal> signals) {
    for (const auto& signal : signals) signal->emit(asio::cancellation_type::all);
}

}  // namespace

struct PgBackRest::Impl {
    asio::io_context& loop;
    os::Blocking pool;
    PgBackRest::Source source;
    std::set<Signal> running;
    // Several where somebody asks what retention would remove while a backup is made: who ends the
    // job ends them all, and none hides another.
    std::set<Signal> jobs;
    std::map<std::string, Signal> restores;  // by where they go
    bool stopped = false;

    // Settings whose section is there, or the error that says that it is not.
    Result<Settings> settings() const {
        if (stopped) return fail(ErrorCode::cancelled, "the agent is stopping");
        if (!source.section().present) return without_section();
        return source.settings();
    }

    os::Command command(const Settings& settings, Arguments arguments) const {
        os::Command made;
        made.arguments = std::move(arguments);
        // Nobody's environment decides what is done to the repository but the file's.
        made.environment = {{"PGBACKREST_*", std::nullopt}, {"LC_ALL", "C"}};
        if (!settings.password.empty()) made.environment["PGPASSFILE"] = pgpass_path(settings);
        made.output_limit = answer_max;
        // A backup of an agent that died would go on beside the next one's.
        made.dies_with_us = true;
        return made;
    }

    // Can be ended from outside at any time, by `signal` too.
    Task<Result<os::Finished>> child(os::Command command, bool is_job,
                                     Signal signal = std::make_shared<Signal::element_type>()) {
        running.insert(signal);
        if (is_job) jobs.insert(signal);
        auto token =
            asio::bind_cancellation_slot(signal->slot(), asio::as_tuple(asio::use_awaitable));
        // Our signal stands in the way of the caller's.
        const auto state = co_await asio::this_coro::cancellation_state;
        auto callers = state.slot();
        if (callers.is_connected())
            callers.assign([signal](asio::cancellation_type type) { signal->emit(type); });
        auto work = os::run(pool, std::move(command));
        auto [thrown, result] = co_await asio::co_spawn(loop, std::move(work), std::move(token));
        if (callers.is_connected()) callers.clear();
        running.erase(signal);
        jobs.erase(signal);
        if (thrown) co_return fail(ErrorCode::cancelled, "pgBackRest was ended before its time");
        co_return std::move(result);
    }

    // What it said on standard output; everything but success is an error that explains itself.
    Task<Result<std::string>> ask(const Settings& settings, os::Command command, bool is_job,
                                  std::string doing,
                                  Signal signal = std::make_shared<Signal::element_type>()) {
        auto finished = co_await child(std::move(command), is_job, std::move(signal));
        if (!finished && finished.error().code == ErrorCode::not_found)
            co_return fail(ErrorCode::not_found,
                           fmt::format("{}: there is no program {}; install pgBackRest, or correct "
                                       "backup.program",
                                       doing, settings.config.program));
        if (!finished) co_return within(doing, finished.error());
        if (!finished->ok()) co_return std::unexpected(explain(*finished, settings, doing));
        co_return std::move(finished->out);
    }

    // What the operator says of a queue is for PostgreSQL's archiver: nothing is dropped here, and
    // what fails is heard at once.
    Task<Status> push(const Settings& settings, std::string name, Duration deadline) {
        auto words = arguments(settings, "archive-push");
        words.insert(words.end() - 1, {"--no-archive-async", "--reset-archive-push-queue-max"});
        words.push_back(settings.data_dir + "/pg_wal/" + name);
        auto made = command(settings, std::move(words));
        made.deadline = deadline;
        const auto said = co_await ask(settings, std::move(made), false, "archiving " + name);
        if (!said) co_return std::unexpected(said.error());
        co_return Status{};
    }

    Task<Status> plain(const char* what, Duration deadline, const char* doing) {
        const auto now = settings();
        if (!now) co_return std::unexpected(now.error());
        auto made = command(*now, with_patience(arguments(*now, what), *now, deadline));
        made.deadline = deadline;
        auto said = co_await ask(*now, std::move(made), false, doing);
        if (!said) co_return std::unexpected(said.error());
        co_return Status{};
    }
};

PgBackRest::PgBackRest(asio::io_context& loop, os::Blocking pool, Source source)
    : impl_(new Impl{.loop = loop,
                     .pool = pool,
                     .source = std::move(source),
                     .running = {},
                     .jobs = {},
                     .restores = {},
                     .stopped = false}) {}
PgBackRest::~PgBackRest() = default;

bool PgBackRest::configured() const { return impl_->source.section().present; }
ports::BackupConfig PgBackRest::config() const { return impl_->source.section(); }

Task<Status> PgBackRest::apply() {
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto written = co_await impl_->pool.run([&] { return write_files(*now); });
    if (!written) co_return within("backup: the configuration for pgBackRest", written.error());
    co_return written;
}

Task<Status> PgBackRest::let_fetch(std::optional<std::vector<cluster::HistoryLine>> left) {
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto done = co_await impl_->pool.run([&]() -> Status {
        if (!left) return os::remove_file(now->gate);
        RLV_CHECK(os::make_directory(now->directory, 0700));
        const auto bytes = segment_bytes(now->data_dir + "/pg_wal");
        return os::write_file(now->gate, refused_files(*left, bytes), 0600);
    });
    co_return done;
}

Task<Result<cluster::Repository>> PgBackRest::info(Duration deadline) {
    constexpr const char* doing = "asking the repository what it holds";
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto command = impl_->command(*now, with_patience(info_arguments(*now), *now, deadline));
    command.deadline = deadline;
    auto said = co_await impl_->ask(*now, std::move(command), false, doing);
    if (!said) co_return std::unexpected(said.error());
    auto repository = parse_info(*said, now->config.stanza);
    if (!repository) co_return within(doing, repository.error());
    // It succeeds also where it could not read anything, and says so inside of its answer.
    constexpr int other = 99;
    const std::string* why = repository->code == other ? &repository->message : nullptr;
    bool one_is_readable = false;
    for (const auto& each : repository->repositories) {
        if (each.code != other)
            one_is_readable = true;
        else
            why = &each.message;
    }
    if (why != nullptr && !one_is_readable) co_return std::unexpected(explain(*why, *now, doing));
    co_return repository;
}

Task<Status> PgBackRest::create_stanza(Duration deadline) {
    return impl_->plain("stanza-create", deadline, "making the stanza");
}

Task<Status> PgBackRest::check(Duration deadline) {
    auto done =
        co_await impl_->plain("check", deadline, "checking that WAL reaches the repository");
    const auto now = impl_->settings();
    if (done || !now || !done.error().message.contains("was not archived before")) co_return done;
    // Why is in PostgreSQL's log alone; whoever archives the segment that it is at himself hears
    // the same. What arrives twice is compared, and is one.
    const auto wal = now->data_dir + "/pg_wal";
    const auto oldest = co_await impl_->pool.run([&] { return oldest_ready(wal); });
    if (oldest.empty()) co_return done;
    auto pushed = co_await impl_->push(*now, oldest, why_deadline);
    if (!pushed) co_return pushed;
    co_return done;
}

Task<Result<ports::Backup::Archived>> PgBackRest::archived(cluster::ArchiveRange archive,
                                                           Duration deadline) {
    constexpr const char* doing = "listing the archive";
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto command =
        impl_->command(*now, with_patience(list_archive_arguments(*now, archive), *now, deadline));
    command.deadline = deadline;
    auto said = co_await impl_->ask(*now, std::move(command), false, doing);
    if (!said) co_return std::unexpected(said.error());
    auto out = parse_archive(*said);
    if (!out) co_return within(doing, out.error());
    const auto wal = now->data_dir + "/pg_wal";
    out->segment_bytes = co_await impl_->pool.run([&] { return segment_bytes(wal); });
    co_return out;
}

Task<Result<std::vector<cluster::HistoryLine>>> PgBackRest::history(cluster::ArchiveRange archive,
                                                                    cluster::Timeline timeline,
                                                                    Duration deadline) {
    const auto doing = fmt::format("reading the history of timeline {} in the archive", timeline);
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto command = impl_->command(
        *now, with_patience(history_arguments(*now, archive, timeline), *now, deadline));
    command.deadline = deadline;
    auto said = co_await impl_->ask(*now, std::move(command), false, doing);
    if (!said) co_return std::unexpected(said.error());
    auto lines = cluster::parse_history_file(*said);
    if (!lines) co_return within(doing, lines.error());
    co_return lines;
}

Task<Result<int>> PgBackRest::fill_archive(std::vector<cluster::HistoryLine> left) {
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    const auto wal = now->data_dir + "/pg_wal";
    const auto names = co_await impl_->pool.run([&] { return os::list_directory(wal); });
    if (!names) co_return within("archiving what the last primary left", names.error());
    const auto bytes = co_await impl_->pool.run([&] { return segment_bytes(wal); });
    const auto segments = earlier_segments(*names, left, bytes);
    for (const auto& name : segments) {
        const auto pushed = co_await impl_->push(*now, name, push_deadline);
        // Recycled meanwhile: PostgreSQL keeps wal_keep_size of it, and no more.
        const bool there =
            pushed || co_await impl_->pool.run([&] { return os::exists(wal + "/" + name); });
        if (!pushed && there) co_return std::unexpected(pushed.error());
    }
    co_return static_cast<int>(segments.size());
}

std::string PgBackRest::why_not_from_standby() const {
    if (!impl_->source.section().primary_host.empty()) return {};
    return "a standby's backup takes part of the files from the primary's host, and "
           "backup.primary_host does not say how pgBackRest gets there";
}

Task<Result<std::string>> PgBackRest::run(Plan plan) {
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    if (plan.primary)
        if (const auto why = why_not_from_standby(); !why.empty())
            co_return fail(ErrorCode::invalid, why);
    auto command = impl_->command(*now, backup_arguments(*now, plan.type, plan.primary));
    command.output_limit = 64UL << 10U;  // a line for each file: the reader has had them
    auto reader = std::make_shared<ProgressReader>();
    command.on_output = [reader, tell = std::move(plan.progress)](std::string_view piece) {
        if (reader->read(piece) && tell) tell(reader->progress());
    };
    auto said = co_await impl_->ask(*now, std::move(command), true, "making a backup");
    if (!said) co_return std::unexpected(said.error());
    if (reader->label().empty())
        co_return fail(ErrorCode::outcome_unknown,
                       "making a backup: pgBackRest succeeded and named no backup; look at "
                       "`relevoctl backup list`");
    co_return reader->label();
}

Task<Result<std::vector<std::string>>> PgBackRest::expire(bool dry_run) {
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto command = impl_->command(*now, expire_arguments(*now, dry_run));
    auto said = co_await impl_->ask(*now, std::move(command), true, "expiring backups");
    if (!said) co_return std::unexpected(said.error());
    co_return expired(*said);
}

Task<Result<std::string>> PgBackRest::verify() {
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto words = arguments(*now, "verify", "info");
    words.insert(words.end(), {"--output=text", "--verbose"});
    auto said =
        co_await impl_->ask(*now, impl_->command(*now, std::move(words)), true, "verifying");
    if (!said) co_return std::unexpected(said.error());
    const auto found = verified(redacted(*std::move(said), *now));
    if (!found.ok) co_return fail(ErrorCode::failed, describe(found));
    co_return describe(found);
}

Task<Status> PgBackRest::restore(RestorePlan plan) {
    const auto now = impl_->settings();
    if (!now) co_return std::unexpected(now.error());
    auto words = restore_arguments(*now, plan);
    if (!words) co_return std::unexpected(words.error());
    const auto doing = "restoring into " + plan.into;
    const auto signal = std::make_shared<asio::cancellation_signal>();
    if (!impl_->restores.emplace(plan.into, signal).second)
        co_return fail(ErrorCode::conflict, doing + ": somebody does that already");
    auto command = impl_->command(*now, *std::move(words));
    command.output_limit = 64UL << 10U;  // a line for each file: the reader has had them
    command.gentle = plan.gentle;
    auto reader = std::make_shared<ProgressReader>();
    command.on_output = [reader, tell = std::move(plan.progress)](std::string_view piece) {
        if (reader->read(piece) && tell) tell(reader->progress());
    };
    const auto said = co_await impl_->ask(*now, std::move(command), false, doing, signal);
    impl_->restores.erase(plan.into);
    if (!said) co_return std::unexpected(said.error());
    co_return Status{};
}

void PgBackRest::end_restore(const std::string& into) {
    const auto found = impl_->restores.find(into);
    if (found == impl_->restores.end()) return;
    const auto signal = found->second;  // the child takes it off the list
    signal->emit(asio::cancellation_type::all);
}

void PgBackRest::end_job() { end_all(impl_->jobs); }

void PgBackRest::stop() {
    impl_->stopped = true;
    end_all(impl_->running);
}

}  // namespace relevo::pgbackrest
