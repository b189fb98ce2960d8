#include "agent/proofs.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "backup/repositories.h"
#include "base/log.h"
#include "base/text.h"
#include "config/validate.h"
#include "os/file.h"

namespace relevo::agent {
namespace asio = boost::asio;
using cluster::ProofRecord;

namespace {

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
constexpr Duration info_deadline = std::chrono::seconds(75);
// With several processes pgBackRest archives a segment before the one that precedes it, and no
// event tells that this one has come. One that is missing for so long is not on its way.
constexpr Duration overtaking = std::chrono::seconds(5);
// Of what a program says.
constexpr std::size_t words_max = 400;

std::int64_t ms_since(Instant then, Instant now) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now - then).count();
}

std::string seconds_text(std::optional<std::int64_t> ms) {
    return fmt::format("{:.1f} s", static_cast<double>(ms.value_or(0)) / 1000);
}

// The first lines, which name what is wrong.
std::string first_words(const os::Finished& finished) {
    auto text = std::string(trim(finished.out.empty() ? finished.err : finished.out));
    if (text.size() > words_max) text.resize(words_max);
    return text.empty() ? describe(finished) : text;
}

std::string success_text(const ProofRecord& record) {
    auto out = fmt::format("{} restores: to {}", record.backup, to_string(record.restored_to));
    if (const auto age = record.newest_age())
        out += fmt::format(", the newest transaction {} s old", age->count());
    return out + fmt::format("; restore {}, recovery {}, checks {}",
                             seconds_text(record.restore_ms), seconds_text(record.recovery_ms),
                             seconds_text(record.checks_ms));
}

// What an operator does about it.
const char* remedy(const std::string& step) {
    if (step == "repository" || step == "restore")
        return "look at `relevoctl backup check` and `relevoctl backup verify`, and make a full "
               "backup (relevoctl backup run)";
    if (step == "recovery")
        return "WAL is missing or damaged: look at `relevoctl backup check`, and make a full "
               "backup (relevoctl backup run)";
    if (step == "amcheck")
        return "look for the same damage on the primary (pg_amcheck): the backup has it from "
               "there, or from the standby it was made on";
    if (step == "check") return "the data restores; what the check asks for is not in it";
    return "then try again (relevoctl backup prove)";
}

}  // namespace

Proofs::Proofs(asio::io_context& io, ports::Clock& clock, ports::Backup& backup, os::Blocking pool,
               std::function<const ports::PostgresConfig&()> postgres, Duration ends_within)
    : io_(io),
      clock_(clock),
      backup_(backup),
      pool_(pool),
      postgres_(std::move(postgres)),
      tasks_(io),
      wholes_(io),
      ends_within_(ends_within),
      over_(io),
      deadline_(io),
      event_(io) {}

// ---- the whole of it

Task<Result<ProofRecord>> Proofs::prove(Ask ask) {
    if (at_work_) {
        ProofRecord record;
        record.id = ask.id;
        record.begun = clock_.wall();
        record.due = ask.due;
        record.member = postgres_().name;
        record.step = "room";
        record.result = fmt::format("room: the last proof here has not ended: {}", stuck());
        log::error("backup: a proof of restore failed at {}", record.result);
        co_return record;
    }
    at_work_ = true;
    result_.reset();
    given_up_at_.reset();
    wholes_.spawn(begin(std::move(ask)));
    while (!result_) {
        over_.expires_at(given_up_at_.value_or(asio::steady_timer::time_point::max()));
        const auto [woken] = co_await over_.async_wait(quietly);
        if (!woken && !result_) co_return left_to_itself();
    }
    co_return *std::move(result_);
}

Task<void> Proofs::begin(Ask ask) {
    result_ = co_await whole(ask);
    at_work_ = false;
    over_.cancel();
}

std::string Proofs::stuck() const {
    return fmt::format(
        "it is still being ended or its directory removed ({}); what `ps` shows in state D waits "
        "for a disk or a file server that does not answer",
        site_.directory);
}

Result<ProofRecord> Proofs::left_to_itself() {
    if (!timed_out_)
        return fail(ErrorCode::cancelled, "the proof was told to end and has not: " + stuck());
    auto record = record_;
    record.ok = false;
    record.result =
        fmt::format("{}: it took too long, was told to end and has not: {}", record.step, stuck());
    log::error("backup: a proof of restore failed at {}", record.result);
    return record;
}

Task<Result<ProofRecord>> Proofs::whole(const Ask& ask) {
    ending_ = timed_out_ = has_amcheck_ = false;
    reach_ = {};
    while (!clean_ && !ending_) {
        event_.expires_at(asio::steady_timer::time_point::max());
        co_await event_.async_wait(quietly);
    }
    server_ = {};
    const auto config = backup_.config().proof;
    const auto& postgres = postgres_();
    site_ = proof_site(config.directory, postgres.scope, postgres.name, postgres.data_dir);
    auto& record = record_;
    record = {};
    record.id = ask.id;
    record.begun = clock_.wall();
    record.due = ask.due;
    record.member = postgres.name;
    deadline_.expires_after(config.timeout);
    deadline_.async_wait([this](boost::system::error_code error) {
        if (error || !proving_) return;
        timed_out_ = true;
        end();
    });
    proving_ = true;
    auto done = co_await work(ask, record);
    proving_ = false;
    deadline_.cancel();
    const bool ended = ending_ && !timed_out_;
    co_await stop_server();
    const auto cleared = co_await pool_.run([site = site_] { return clear_proof(site); });
    if (!cleared)
        log::warning("backup: {} is left over: {}", site_.directory, cleared.error().message);
    if (!done && ended) co_return fail(ErrorCode::cancelled, "the proof was ended before its time");
    record.ok = done.has_value();
    if (done) {
        record.step.clear();
        record.result = success_text(record);
    } else {
        record.result =
            fmt::format("{}: {}", record.step,
                        timed_out_ ? fmt::format("it took longer than backup.proof.timeout ({} s)",
                                                 config.timeout.count())
                                   : done.error().message);
        log::error("backup: a proof of restore failed at {}; {}", record.result,
                   remedy(record.step));
    }
    co_return record;
}

Task<Status> Proofs::work(const Ask& ask, ProofRecord& record) {
    record.step = "repository";
    RLV_CO_CHECK(co_await restore(ask, record));
    record.step = "recovery";
    RLV_CO_CHECK(co_await recover(record));
    const auto began = clock_.now();
    RLV_CO_CHECK(co_await look(record));
    record.step = "amcheck";
    RLV_CO_CHECK(co_await check_indexes(record));
    record.step = "check";
    auto checked = co_await check_rows(record);
    record.checks_ms = ms_since(began, clock_.now());
    co_return checked;
}

Status Proofs::still_wanted() const {
    if (ending_) return fail(ErrorCode::cancelled, "it was ended");
    return {};
}

void Proofs::end() {
    if (at_work_ && !given_up_at_) {
        given_up_at_ = asio::steady_timer::clock_type::now() +
                       std::chrono::duration_cast<std::chrono::milliseconds>(ends_within_);
        over_.cancel();
    }
    end_all();
}

void Proofs::end_all() {
    ending_ = true;
    backup_.end_restore(site_.data());
    // By value: a child that ends takes itself off the list.
    const auto children = children_;
    for (const auto& signal : children) signal->emit(asio::cancellation_type::all);
    event_.cancel();
}

Task<void> Proofs::clean() {
    const auto& postgres = postgres_();
    const auto site = proof_site(backup_.config().proof.directory, postgres.scope, postgres.name,
                                 postgres.data_dir);
    const auto left = co_await pool_.run([site] { return clear_left_proof(site); });
    if (!left)
        log::warning("backup: what an interrupted proof of restore left is still there: {}",
                     left.error().message);
    else if (!left->empty())
        log::info("backup: what an interrupted proof of restore left in {} is removed", *left);
    clean_ = true;
    event_.cancel();
}

// ---- its steps

Task<Result<cluster::ArchiveReach>> Proofs::look_at_archive(const cluster::ArchiveRange& range,
                                                            const cluster::BackupRecord& backup,
                                                            cluster::Timeline line) {
    const auto archived = co_await backup_.archived(range, info_deadline);
    if (!archived) co_return std::unexpected(archived.error());
    std::vector<cluster::HistoryLine> history;
    if (line > 1) {
        RLV_CO_TRY(history, co_await backup_.history(range, line, info_deadline));
    }
    constexpr std::uint64_t usual = 16U << 20U;
    const auto bytes = archived->segment_bytes != 0 ? archived->segment_bytes : usual;
    auto reach = cluster::archive_reach(archived->segments, history, line, backup.wal_start, bytes);
    if (!reach) co_return within("the archive", reach.error());
    co_return *std::move(reach);
}

// How far the archive leads from that backup on. PostgreSQL takes a segment that is missing for the
// end of the archive, and says nothing of it.
Task<Status> Proofs::find_reach(const cluster::Repository& repository,
                                const cluster::BackupRecord& backup, cluster::Timeline line) {
    const auto* const range = backup::archive_of(repository, backup);
    if (range == nullptr)
        co_return fail(ErrorCode::not_found,
                       fmt::format("the repository has no WAL that goes with backup {}: archiving "
                                   "does not work",
                                   backup.label));
    RLV_CO_TRY(auto reach, co_await look_at_archive(*range, backup, line));
    if (reach.missing) {
        const auto missing = reach.missing;
        event_.expires_after(overtaking);
        co_await event_.async_wait(quietly);
        RLV_CO_CHECK(still_wanted());
        RLV_CO_TRY(reach, co_await look_at_archive(*range, backup, line));
        // Another one is on its way meanwhile.
        if (reach.missing != missing) reach.missing.reset();
    }
    if (reach.last.empty())
        co_return fail(ErrorCode::not_found,
                       fmt::format("WAL segment {}, which backup {} begins with, is not in the "
                                   "archive",
                                   reach.first, backup.label));
    if (reach.missing)
        co_return fail(ErrorCode::not_found,
                       fmt::format("WAL segment {} is missing in the archive, and what came after "
                                   "it is there: backup {} restores to {} and no further",
                                   *reach.missing, backup.label, to_string(reach.end)));
    reach_ = reach.end;
    co_return Status{};
}

Task<Status> Proofs::restore(const Ask& ask, ProofRecord& record) {
    const auto there = co_await backup_.info(info_deadline);
    if (!there) co_return std::unexpected(there.error());
    const auto* newest = there->newest();
    if (newest == nullptr)
        co_return fail(
            ErrorCode::not_found,
            backup::or_unread("there is no backup yet: make one (relevoctl backup run)", *there));
    record.backup = newest->label;
    record.bytes = newest->database_bytes;
    // A timeline that somebody else's restored server began, and archived by mistake, is not ours.
    const auto line = ask.timeline != 0 ? ask.timeline : newest->timeline();
    RLV_CO_CHECK(co_await find_reach(*there, *newest, line));
    RLV_CO_CHECK(still_wanted());

    record.step = "room";
    const auto made =
        co_await pool_.run([&, bytes = record.bytes] { return begin_proof(site_, bytes); });
    if (!made) co_return made;
    RLV_CO_CHECK(still_wanted());

    record.step = "restore";
    ports::Backup::RestorePlan plan;
    plan.into = site_.data();
    plan.backup = newest->label;
    plan.repository = newest->repository;
    plan.target.timeline = {.way = cluster::TargetTimeline::Way::numbered, .number = line};
    plan.tablespaces = site_.tablespaces();
    plan.gentle = true;
    plan.progress = ask.progress;
    const auto began = clock_.now();
    auto restored = co_await backup_.restore(std::move(plan));
    record.restore_ms = ms_since(began, clock_.now());
    co_return restored;
}

// All that it may read is written anew; what is in it of the cluster's counts for nothing.
Task<Status> Proofs::configure() {
    const auto told = co_await child(command({program("pg_controldata"), "-D", site_.data()}));
    if (!told) co_return std::unexpected(told.error());
    if (!told->ok()) co_return fail(ErrorCode::failed, "pg_controldata: " + first_words(*told));
    RLV_CO_TRY(server_.control, backup::parse_control_data(told->out));
    server_.data = site_.data();
    server_.socket_directory = site_.sockets();
    server_.hba_file = site_.file("pg_hba.conf");
    server_.ident_file = site_.file("pg_ident.conf");
    auto written = co_await pool_.run([&]() -> Status {
        RLV_TRY(const auto version, os::read_file(site_.data() + "/PG_VERSION"));
        RLV_TRY(server_.version, backup::parse_data_version(version));
        RLV_TRY(const auto before, os::read_file(site_.data() + "/postgresql.auto.conf"));
        RLV_TRY(const auto recovery, backup::proof_recovery(before));
        RLV_CHECK(os::write_file(site_.data() + "/postgresql.auto.conf", recovery, 0600));
        RLV_CHECK(os::write_file(server_.hba_file, backup::proof_hba, 0600));
        RLV_CHECK(os::write_file(server_.ident_file, "", 0600));
        return os::write_file(site_.file("postgresql.conf"), backup::proof_config(server_), 0600);
    });
    co_return written;
}

Task<Status> Proofs::recover(ProofRecord& record) {
    RLV_CO_CHECK(co_await configure());
    RLV_CO_CHECK(still_wanted());
    const auto began = clock_.now();
    serving_ = true;
    log_ = {};
    ended_.clear();
    tasks_.spawn(serve(command({program("postgres"), "-D", site_.data(), "-c",
                                "config_file=" + site_.file("postgresql.conf")})));
    while (!log_.ready() && serving_ && !ending_) {
        event_.expires_at(asio::steady_timer::time_point::max());
        co_await event_.async_wait(quietly);
    }
    record.recovery_ms = ms_since(began, clock_.now());
    RLV_CO_CHECK(still_wanted());
    if (!serving_)
        co_return fail(ErrorCode::failed,
                       "the restored server does not come up: " +
                           (log_.complaint().empty() ? ended_ : log_.complaint()));
    co_return Status{};
}

// Dies with us; its log is the event that tells how far it is.
Task<void> Proofs::serve(os::Command command) {
    // Immediate shutdown: its data goes, and SIGTERM would wait for those who ask it something. Not
    // killed, so that it gives its System V shared memory back.
    command.end_signal = SIGQUIT;
    command.on_output = [this](std::string_view piece) {
        log_.read(piece);
        if (log_.ready()) event_.cancel();
    };
    const auto finished = co_await child(std::move(command));
    ended_ = finished ? describe(*finished) : finished.error().message;
    serving_ = false;
    event_.cancel();
}

Task<void> Proofs::stop_server() {
    end_all();
    while (serving_) {
        event_.expires_at(asio::steady_timer::time_point::max());
        co_await event_.async_wait(quietly);
    }
    co_await tasks_.wait();
}

Task<Status> Proofs::look(ProofRecord& record) {
    const auto line = co_await sql("postgres", "-c", backup::recovered_query);
    if (!line) co_return std::unexpected(line.error());
    RLV_CO_TRY(const auto got, backup::parse_recovered(*line));
    record.restored_to = got.end;
    record.newest = got.newest;
    has_amcheck_ = got.has_amcheck;
    // Of its last segment recovery may have read only the beginning.
    if (got.end.value + server_.control.segment_bytes < reach_.value)
        co_return fail(ErrorCode::failed,
                       fmt::format("recovery ended at {}, and the archive has WAL up to {}",
                                   to_string(got.end), to_string(reach_)));
    co_return Status{};
}

Task<Status> Proofs::check_indexes(ProofRecord& record) {
    const auto amcheck = config::find_program(postgres_(), "pg_amcheck");
    if (!backup_.config().proof.amcheck)
        record.unchecked = "tables and indexes: backup.proof.amcheck is off";
    else if (amcheck.empty())
        record.unchecked = "tables and indexes: there is no program pg_amcheck (PostgreSQL 14)";
    else if (!has_amcheck_)
        record.unchecked = "tables and indexes: the extension amcheck is not installed here";
    if (!record.unchecked.empty()) co_return Status{};
    const auto done = co_await child(
        command({amcheck, "--host=" + site_.sockets(), fmt::format("--port={}", backup::proof_port),
                 "--username=" + postgres_().superuser.username, "--no-password", "--all",
                 "--install-missing"}));
    if (!done) co_return std::unexpected(done.error());
    if (done->ok()) co_return Status{};
    co_return fail(ErrorCode::failed, "pg_amcheck found: " + first_words(*done));
}

Task<Status> Proofs::check_rows(ProofRecord&) {
    const auto config = backup_.config().proof;
    if (config.check.empty() && config.check_file.empty()) co_return Status{};
    const bool file = config.check.empty();
    const auto said =
        co_await sql(config.database, file ? "-f" : "-c", file ? config.check_file : config.check);
    if (!said) co_return std::unexpected(said.error());
    co_return backup::judge_check(*said);
}

// ---- its programs

std::string Proofs::program(const char* name) const {
    auto found = config::find_program(postgres_(), name);
    return found.empty() ? std::string(name) : found;
}

os::Command Proofs::command(std::vector<std::string> arguments) const {
    os::Command out;
    out.arguments = std::move(arguments);
    // Nobody's environment leads it to another server.
    out.environment = {{"PG*", std::nullopt}, {"LC_ALL", "C"}};
    out.output_limit = 64UL << 10U;
    out.dies_with_us = true;
    // The member on this host goes first.
    out.gentle = true;
    return out;
}

Task<Result<os::Finished>> Proofs::child(os::Command command) {
    if (ending_) co_return fail(ErrorCode::cancelled, "it was ended");
    const auto signal = std::make_shared<asio::cancellation_signal>();
    children_.insert(signal);
    auto token = asio::bind_cancellation_slot(signal->slot(), asio::as_tuple(asio::use_awaitable));
    auto work = os::run(pool_, std::move(command));
    auto [thrown, result] = co_await asio::co_spawn(io_, std::move(work), std::move(token));
    children_.erase(signal);
    if (thrown) co_return fail(ErrorCode::cancelled, "it was ended before its time");
    co_return std::move(result);
}

Task<Result<std::string>> Proofs::sql(const std::string& database, const char* option,
                                      const std::string& what) {
    const auto done = co_await child(
        command({program("psql"), "-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-h",
                 site_.sockets(), "-p", std::to_string(backup::proof_port), "-U",
                 postgres_().superuser.username, "-d", database, option, what}));
    if (!done) co_return std::unexpected(done.error());
    if (!done->ok())
        co_return fail(ErrorCode::failed, std::string(trim(done->err)).substr(0, words_max));
    co_return done->out;
}

}  // namespace relevo::agent
