#include "postgres/postgres_adapter.h"

#include <fmt/core.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "os/file.h"
#include "postgres/adapter.h"
#include "postgres/bootstrap.h"
#include "postgres/clone.h"
#include "postgres/data_directory.h"
#include "postgres/half_made.h"
#include "postgres/pgpass.h"
#include "postgres/rewind.h"
#include "postgres/slots.h"
#include "postgres/timeline_files.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {
// A short statement on a server that should be healthy.
constexpr Duration short_patience = 3s;
}  // namespace

std::unique_ptr<ports::Postgres> make_postgres(asio::io_context& loop, asio::thread_pool& pool,
                                               std::function<const ports::PostgresConfig&()> config,
                                               Restorer restorer) {
    return std::make_unique<Adapter>(loop, pool, std::move(config), std::move(restorer));
}

Adapter::Adapter(asio::io_context& loop, asio::thread_pool& pool, Server::Config config,
                 Restorer restorer)
    : loop_(loop),
      pool_(pool),
      config_(config),
      restorer_(std::move(restorer)),
      server_(loop, pool_, std::move(config)),
      callbacks_(loop.get_executor(), pool_) {}

void Adapter::on_exit(std::function<void(ports::ExitInfo)> handler) {
    server_.on_exit(std::move(handler));
}

// What an agent before us left in the middle, or a copy of ours that could not be undone. Until it
// is, and not to be waited for longer than a look may take.
Task<void> Adapter::undo_clone() {
    if (clone_undone_ || undoing_clone_) co_return;
    undoing_clone_ = true;
    const auto config = config_();
    auto undone = co_await pool_.run([&config] { return undo_interrupted_clone(config); });
    undoing_clone_ = false;
    clone_undone_ = undone.has_value();
    const auto before = std::exchange(undo_problem_, undone ? "" : undone.error().message);
    if (!undone) {
        if (undo_problem_ != before)
            log::error("an interrupted copy could not be undone, and is tried again: {}",
                       undo_problem_);
    } else if (*undone) {
        log::warning("a copy was interrupted: the data directory from before it is back");
    }
}

Task<cluster::LocalPostgres> Adapter::observe(cluster::Look look) {
    if (!clone_undone_) co_await undo_clone();
    if (!gate_looked_for_) co_await look_for_gate();
    auto seen = co_await server_.observe(look);
    learn(seen);
    auto& postgres = seen.postgres;
    if (seen.answered) co_await learn_pending(postgres);
    // What others set on (the configuration, ALTER SYSTEM) is theirs.
    postgres.refuses_writes = postgres.refuses_writes && refuses_writes_;
    if (voteless_) postgres.voteless = *voteless_;
    postgres.gated = gated_;
    if (!undo_problem_.empty() && postgres.problem.empty()) postgres.problem = undo_problem_;
    co_return postgres;
}

void Adapter::learn(const Observer::Seen& seen) {
    if (!seen.answered) return;
    const auto& postgres = seen.postgres;
    version_ = postgres.version;
    in_recovery_ = postgres.in_recovery;
    if (postgres.sync_names.empty()) forget_waiting();
    hba_file_ = seen.facts.hba_file;
    const auto config_path = ConfigFiles(config_()).config_path();
    adopted_config_file_ = seen.facts.config_file == config_path ? "" : seen.facts.config_file;
    if (role_) return;
    refuses_writes_ = postgres.refuses_writes && seen.facts.read_only_by == config_path &&
                      !configured_read_only();
    // A server that ran before us: what it is doing stays in force until we are told otherwise.
    role_ = postgres.in_recovery ? cluster::Role::replica : cluster::Role::primary;
    if (postgres.in_recovery && !postgres.upstream_host.empty())
        upstream_ = cluster::Upstream{"", postgres.upstream_host, postgres.upstream_port,
                                      postgres.slot_name};
    const auto& configured = config_().parameters.base;
    // An empty one would take the setting from a local file of the operator's.
    if (config_().agent_owns_names && !names_told_ &&
        !configured.contains("synchronous_standby_names") && !postgres.sync_names.empty())
        remember_names(postgres.sync_names);
}

Task<void> Adapter::learn_pending(cluster::LocalPostgres& postgres) {
    if (!postgres.pending_restart && raised_.empty()) {
        pending_.clear();
        pending_known_ = false;
    } else if (!pending_known_ && !server_.working()) {
        auto connection = co_await server_.work(500ms);
        if (connection) {
            auto pending = co_await pending_restart(**connection, effective_, raised_);
            pending_known_ = pending.has_value();
            if (pending) pending_ = *std::move(pending);
        }
    }
    postgres.pending_restart = postgres.pending_restart || !pending_.empty();
    postgres.pending_restart_reason = pending_;
}

void Adapter::wrote(const FilesWritten& files) {
    effective_ = files.effective;
    raised_ = files.raised;
    pending_known_ = false;
    for (const auto& warning : files.warnings) log::warning("{}", warning);
}

Task<Result<DiskView>> Adapter::usable_disk() {
    const auto config = config_();
    auto view = co_await pool_.run([&config, made = making_cluster_] {
        KnownControl fresh;
        return look_at_disk(config, &fresh, made);
    });
    switch (view.data_dir) {
        case cluster::DataDir::initialized: break;
        case cluster::DataDir::empty:
            co_return fail(ErrorCode::not_found,
                           config.data_dir + " is empty: there is nothing to start");
        case cluster::DataDir::half_made:
            co_return fail(
                ErrorCode::failed,
                fmt::format("{} is unfinished (a {} was interrupted): it has to be made anew",
                            config.data_dir, half_made_by(config.data_dir).value_or("copy")));
        case cluster::DataDir::unusable: co_return fail(ErrorCode::invalid, view.problem);
    }
    co_return view;
}

Task<Result<RecoverySettings>> Adapter::recovery_for(std::optional<cluster::Upstream> upstream,
                                                     int version) {
    const auto config = config_();
    std::string pgpass;
    if (upstream) {
        auto written = co_await pool_.run([&] { return write_pgpass(config, *upstream); });
        if (!written) co_return std::unexpected(written.error());
        pgpass = *std::move(written);
    }
    co_return recovery_settings(config, upstream, version, pgpass);
}

Task<void> Adapter::remove_placeholders() {
    const auto removed = co_await pool_.run(
        [directory = config_().data_dir] { return remove_idle_placeholders(directory); });
    if (!removed) log::warning("{}", removed.error().message);
}

Task<Status> Adapter::start_now(cluster::StartPlan plan) {
    if (const auto allowed = may_run_servers(); !allowed) co_return allowed;
    auto view = co_await usable_disk();
    if (!view) co_return std::unexpected(view.error());
    co_await remove_placeholders();
    if (bootstrap_.in_place()) {
        const auto kept = co_await pool_.run([directory = config_().data_dir, now = bootstrap_] {
            return keep_timelines_free(directory, now.begins.from, now.begins.to);
        });
        if (!kept) co_return kept;
    }
    const int version = view->version * 10000;
    auto writing = std::make_optional(co_await writing_.take());
    co_await names_for_start(plan);
    // A primary that comes back in place has no more room than before.
    if (!plan.as_primary) refuses_writes_ = false;
    FilesRequest request;
    request.refuse_writes = refuses_writes_;
    request.role = plan.callback_role;
    request.version = version;
    request.touch_signal_file = true;
    request.synchronous_standby_names = names_in_force();
    request.adopted_config_file = adopted_config_file_;
    request.bootstrap = bootstrap_;
    if (!plan.as_primary) {
        auto recovery = co_await recovery_for(plan.upstream, version);
        if (!recovery) co_return std::unexpected(recovery.error());
        request.recovery = *std::move(recovery);
        if (view->control) minimums_ = request.control_minimums = view->control->minimums;
    }
    const auto files = std::make_shared<const ConfigFiles>(config_());
    auto written = co_await pool_.run([&] { return files->write(request); });
    if (!written) co_return within("writing PostgreSQL's configuration", written.error());
    wrote(*written);
    role_ = plan.callback_role;
    upstream_ = plan.upstream;
    in_recovery_ = !plan.as_primary;
    nobody_written_ = !plan.as_primary && !plan.upstream;
    if (version_ / 10000 != view->version) version_ = version;
    co_await gate_for_start(plan.hold_clients,
                            written->hba_file.empty() ? files->hba_path() : written->hba_file);
    writing.reset();
    if (never_started_) data_since_ = os::wall_now();
    never_started_ = false;
    auto started = co_await server_.start(postmaster_arguments(*files, written->effective, version),
                                          plan.timeout);
    if (!started) co_return started;
    if (bootstrap_.trust_local_only) co_return Status{};  // not what is to be kept
    // Not waited for: the copies are for a later clone, and a client waits for this server now.
    asio::post(pool_.pool(), [files] {
        if (const auto kept = files->back_up(); !kept) log::warning("{}", kept.error().message);
    });
    co_return Status{};
}

Task<Status> Adapter::start(cluster::StartPlan plan) {
    const auto turn = co_await acting_.take();
    co_return co_await start_now(std::move(plan));
}

Task<Status> Adapter::stop(ports::StopPlan plan) {
    const auto turn = co_await acting_.take();
    co_return co_await server_.stop(std::move(plan));
}

Task<Status> Adapter::stop_for_work() {
    ports::StopPlan plan;
    plan.escalate_after = config_().pg_ctl_timeout;
    co_return co_await server_.stop(std::move(plan));
}

Task<Status> Adapter::restart(ports::StopPlan stop, cluster::StartPlan start) {
    const auto turn = co_await acting_.take();
    auto stopped = co_await server_.stop(std::move(stop));
    if (!stopped) co_return stopped;
    co_return co_await start_now(std::move(start));
}

Task<Status> Adapter::kill() {
    // Also what works in PostgreSQL's stead on the data directory: a copy, a rewind, a recovery.
    if (interruption_) interruption_->emit(asio::cancellation_type::all);
    co_return co_await server_.kill();
}

Task<Status> Adapter::promote(cluster::PromotePlan plan) {
    // Without a turn: nothing that may be going on with a running standby is worth waiting for.
    if (plan.to > 0) {
        auto kept = co_await pool_.run([directory = config_().data_dir, plan] {
            return keep_timelines_free(directory, plan.from, plan.to);
        });
        if (!kept) co_return kept;
    }
    if (plan.sync_names) {
        auto told = co_await tell_names_before_promotion(*plan.sync_names);
        if (!told) {
            co_await remove_placeholders();
            co_return told;
        }
    }
    if (plan.hold_clients) co_await gate_for_promotion();
    auto promoted = co_await server_.promote(plan.timeout);
    if (!promoted && promoted.error().code != ErrorCode::outcome_unknown)
        co_await remove_placeholders();
    if (!promoted) co_return promoted;
    role_ = cluster::Role::primary;
    upstream_.reset();
    in_recovery_ = false;
    const auto& config = config_();
    const bool by_role = config.parameters.primary || config.parameters.replica ||
                         config.pg_hba.primary || config.pg_hba.replica ||
                         config.pg_ident.primary || config.pg_ident.replica;
    if (by_role) {
        const auto turn = co_await acting_.take();
        const auto done = co_await reconfigure_now(false);
        if (!done) log::warning("after the promotion: {}", done.error().message);
    }
    co_return Status{};
}

Task<Status> Adapter::checkpoint() { co_return co_await server_.checkpoint(1h); }

Task<Status> Adapter::follow(std::optional<cluster::Upstream> upstream, cluster::Role role) {
    const auto turn = co_await acting_.take();
    if (!server_.alive())
        co_return fail(ErrorCode::failed, "PostgreSQL does not run: start it as a standby");
    auto change = RecoveryChange::restart;
    {
        auto connection = co_await server_.work(short_patience);
        constexpr int by_reload = 130000;
        if (!connection && upstream && version_ >= by_reload)
            co_return co_await follow_unopened(*std::move(upstream), role);
        if (!connection) co_return within("following another upstream", connection.error());
        version_ = (**connection).server_version();
        auto recovery = co_await recovery_for(upstream, version_);
        if (!recovery) co_return std::unexpected(recovery.error());
        auto rows =
            co_await (**connection)
                .query(
                    "SELECT name, setting FROM pg_settings WHERE name IN ('primary_conninfo', "
                    "'primary_slot_name') OR "
                    "category LIKE 'Write-Ahead Log / %Recover%' OR name LIKE 'recovery%' OR "
                    "name = 'promote_trigger_file'",
                    short_patience);
        if (!rows) co_return within("following another upstream", rows.error());
        std::map<std::string, std::string> actual;
        for (const auto& row : rows->rows) actual[row[0].value_or("")] = row[1].value_or("");
        change = compare_recovery(recovery->values, actual, version_);
    }
    // Nobody is followed durably: once a run of ours has written that.
    const bool known = upstream || nobody_written_;
    const bool same =
        known && change == RecoveryChange::nothing && upstream == upstream_ && role_ == role;
    role_ = role;
    upstream_ = upstream;
    nobody_written_ = same && !upstream;
    if (same && upstream) co_return Status{};
    if (same) co_return co_await stop_receiving();
    if (change == RecoveryChange::restart) {
        log::info("what this standby follows can only change by a restart");
        auto stopped = co_await stop_for_work();
        if (!stopped) co_return stopped;
        cluster::StartPlan plan{false, upstream, role, config_().pg_ctl_timeout, std::nullopt};
        co_return co_await start_now(std::move(plan));
    }
    {
        const auto writing = co_await writing_.take();
        auto request = co_await running_request(!upstream);
        if (!request) co_return std::unexpected(request.error());
        request->touch_signal_file = true;  // whoever starts it next: a standby
        auto written = co_await write_durably(*request);
        if (!written) co_return within("writing PostgreSQL's configuration", written.error());
        auto connection = co_await server_.work(short_patience);
        if (!connection) co_return within("following another upstream", connection.error());
        if (change != RecoveryChange::nothing || written->any()) {
            auto reloaded = co_await reload(**connection);
            if (!reloaded) co_return reloaded;
        }
    }
    if (upstream) co_return Status{};
    nobody_written_ = true;
    co_return co_await stop_receiving();
}

// A standby that is not consistent yet takes no connection, and what it lacks may be just this
// upstream. Its startup process reads the files again at SIGHUP.
Task<Status> Adapter::follow_unopened(cluster::Upstream upstream, cluster::Role role) {
    role_ = role;
    upstream_ = std::move(upstream);
    nobody_written_ = false;
    const auto writing = co_await writing_.take();
    auto request = co_await running_request(false);
    if (!request) co_return std::unexpected(request.error());
    request->touch_signal_file = true;
    auto written = co_await write_durably(*request);
    if (!written) co_return within("writing PostgreSQL's configuration", written.error());
    log::info("PostgreSQL takes no connections yet: it is told to follow {} by a signal",
              upstream_->member);
    co_return server_.reload_by_signal();
}

Task<Result<FilesRequest>> Adapter::running_request(bool hurry) {
    FilesRequest request;
    request.refuse_writes = refuses_writes_;
    request.role = role_.value_or(cluster::Role::replica);
    request.version = version_;
    request.server_running = true;
    request.synchronous_standby_names = names_in_force();
    request.adopted_config_file = adopted_config_file_;
    request.bootstrap = bootstrap_;
    if (in_recovery_) {
        auto recovery = co_await recovery_for(upstream_, version_);
        if (!recovery) co_return std::unexpected(recovery.error());
        request.recovery = *std::move(recovery);
        // They matter at a start, which reads them anew; asking is a program to run, and what a
        // failover waits for must not wait for that.
        if (hurry && minimums_) {
            request.control_minimums = *minimums_;
            co_return request;
        }
        const auto config = config_();
        auto control = co_await pool_.run([&config] { return read_control_file(config); });
        if (control) minimums_ = request.control_minimums = control->minimums;
    }
    co_return request;
}

Task<Status> Adapter::reconfigure_now(bool force_reload) {
    if (!server_.alive() || version_ == 0) co_return Status{};  // the next start writes everything
    const auto writing = co_await writing_.take();
    auto request = co_await running_request();
    if (!request) co_return std::unexpected(request.error());
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return within("changing PostgreSQL's configuration", connection.error());
    const ConfigFiles files(config_());
    auto done = co_await postgres::reconfigure(pool_, files, *std::move(request), **connection,
                                               force_reload);
    if (!done) co_return within("changing PostgreSQL's configuration", done.error());
    effective_ = done->files.effective;
    raised_ = done->files.raised;
    pending_ = done->pending;
    pending_known_ = true;
    if (done->reloaded)
        callbacks_.run(files.config(), "on_reload", role_.value_or(cluster::Role::replica));
    co_return Status{};
}

Task<Status> Adapter::reconfigure(bool force_reload) {
    const auto turn = co_await acting_.take();
    co_return co_await reconfigure_now(force_reload);
}

Task<Status> Adapter::sync_slots(cluster::SlotPlan plan) {
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return within("keeping the replication slots", connection.error());
    co_return co_await postgres::sync_slots(**connection, plan);
}

void Adapter::run_callback(const std::string& action, cluster::Role role) {
    callbacks_.run(config_(), action, role);
}

Task<void> Adapter::finish_callbacks(Duration within) { co_await callbacks_.finish(within); }

Task<Status> Adapter::run_hook(const std::string& which) {
    const auto config = config_();
    co_return co_await postgres::run_hook(pool_, config, which);
}

}  // namespace relevo::postgres
