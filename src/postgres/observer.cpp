#include "postgres/observer.h"
#include "postgres/wal_file.h"

#include <fmt/core.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "base/text.h"
#include "os/doomed.h"
#include "os/file.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// Together about two seconds, the time that observe() has.
constexpr Duration disk_patience = 500ms;
constexpr Duration server_patience = 1500ms;

// A probe that runs beside the script.
struct Probing {
    std::optional<ProbeAnswer> answer;
    asio::steady_timer done;
    explicit Probing(const asio::any_io_executor& loop)
        : done(loop, asio::steady_timer::time_point::max()) {}
};

std::shared_ptr<Probing> start_probe(const asio::any_io_executor& loop, os::Blocking& pool,
                                     ConnectOptions where) {
    auto probing = std::make_shared<Probing>(loop);
    asio::co_spawn(loop, probe(pool, std::move(where), server_patience),
                   [probing](std::exception_ptr thrown, ProbeAnswer answer) {
                       if (thrown) answer = {ProbeAnswer::Kind::silent, "", "the probe failed"};
                       probing->answer = std::move(answer);
                       probing->done.cancel();
                   });
    return probing;
}

}  // namespace

ConnectOptions Observer::reach(const std::string& application) const {
    const auto& config = config_();
    auto options = local_options(config, application);
    if (!address_) return options;
    const auto& file = *address_;
    // A server that was started by somebody else may not be where our configuration will put it.
    if (file.port > 0) options.port = file.port;
    if (file.listen_address.empty() && !file.socket_directory.empty() && !file.status.empty()) {
        options.host = file.socket_directory;
        options.options.erase("hostaddr");
    }
    return options;
}

Task<DiskView> Observer::disk() {
    const auto config = std::make_shared<const ports::PostgresConfig>(config_());
    struct Looked {
        DiskView view;
        KnownControl control;
    };
    auto looked = co_await pool_.run_within(
        disk_patience, [config, known = control_, making = making_cluster_]() mutable {
            Looked result{look_at_disk(*config, &known, making), {}};
            result.control = std::move(known);
            return result;
        });
    if (looked) {
        control_ = std::move(looked->control);
        last_disk_ = std::make_shared<const DiskView>(looked->view);
        if (looked->view.postmaster) address_ = looked->view.pid_file;
        co_return std::move(looked->view);
    }
    DiskView stale;
    if (last_disk_) stale = *last_disk_;
    if (stale.postmaster && !stale.postmaster->alive()) stale.postmaster.reset();
    stale.problem = fmt::format("the disk of {} did not answer within {} ms", config->data_dir,
                                to_ms(disk_patience));
    co_return stale;
}

Task<Observer::Sql> Observer::ask(Duration patience) {
    Sql result;
    const auto until = std::chrono::steady_clock::now() + patience;
    // Twice: a connection that was lost since the last time is no news about the server.
    for (int attempt = 0; attempt < 2; ++attempt) {
        const bool fresh = !heartbeat_ || !heartbeat_->usable();
        if (fresh) {
            heartbeat_.reset();
            // What the old one used up is gone: a server that hangs is told from one that lives
            // within the patience of one look.
            const Duration remains = until - std::chrono::steady_clock::now();
            if (remains <= 0ns) break;
            auto opened = co_await Connection::open(pool_, reach("relevo heartbeat"), remains);
            if (!opened) {
                result.problem = opened.error().message;
                break;
            }
            heartbeat_ = *std::move(opened);
        }
        const auto left = until - std::chrono::steady_clock::now();
        if (left <= 0ns) break;
        // Ours while it is asked: forget_server() may come meanwhile.
        auto connection = std::move(heartbeat_);
        auto answer = co_await connection->script(observing_script(), left);
        if (answer) {
            heartbeat_ = std::move(connection);
            result.answered = true;
            result.rows = *std::move(answer);
            break;
        }
        result.problem = answer.error().message;
        if (connection->usable()) heartbeat_ = std::move(connection);
        if (fresh) break;
    }
    co_return result;
}

// The receiver is gone and with it its timeline: what it wrote last lies in a segment named after
// it. A standby opens a segment of a newer timeline only once it is on that timeline.
Task<void> Observer::read_timeline(cluster::LocalPostgres& postgres, std::uint64_t segment_size) {
    const auto position = postgres.position().value;
    if (segment_size == 0 || position == 0) co_return;
    const auto found = co_await pool_.run_within(
        200ms, [directory = config_().data_dir + "/pg_wal", position, segment_size] {
            return newest_timeline_at(directory, position - 1, segment_size);
        });
    if (found) postgres.timeline = std::max(postgres.timeline, *found);
}

Task<void> Observer::read_history(cluster::LocalPostgres& postgres) {
    if (postgres.timeline > 1 && postgres.timeline != history_timeline_) {
        const auto path =
            fmt::format("{}/pg_wal/{:08X}.history", config_().data_dir, postgres.timeline);
        auto text = co_await pool_.run_within(200ms, [path] { return os::read_file(path); });
        if (text && *text) {
            history_ = parse_history(**text);
            history_timeline_ = postgres.timeline;
        }
    }
    if (postgres.timeline > 1 && postgres.timeline == history_timeline_)
        postgres.history = history_;
}

namespace {

// The words of the contract for a server that lives: what the probe, the script and postmaster.pid
// say.
void judge_server(const ProbeAnswer& probe, bool answered, const std::string& sql_problem,
                  const std::optional<PidFile>& file, cluster::LocalPostgres& into) {
    using cluster::Server;
    const std::string status = file ? file->status : "";
    switch (probe.kind) {
        case ProbeAnswer::Kind::accepting:
            into.server = Server::running;
            if (!answered) into.problem = "PostgreSQL runs but cannot be asked: " + sql_problem;
            break;
        case ProbeAnswer::Kind::starting: into.server = Server::starting; break;
        case ProbeAnswer::Kind::refused:
            into.server = answered ? Server::running : Server::starting;
            if (status == "ready")
                into.problem =
                    "PostgreSQL is ready but does not listen where the configuration says: " +
                    probe.message;
            break;
        case ProbeAnswer::Kind::silent:
            into.server = Server::hung;
            into.problem = fmt::format("the postmaster lives but takes no new connection ({}){}",
                                       probe.message,
                                       answered ? "; a connection from before still answers" : "");
            break;
    }
    if (status == "stopping" && into.server != Server::hung) into.server = Server::stopping;
}

}  // namespace

Task<void> Observer::look_at_server(Seen& seen, const DiskView& disk) {
    auto& postgres = seen.postgres;
    const auto loop = co_await asio::this_coro::executor;
    const auto probing = start_probe(loop, pool_, reach("relevo probe"));
    auto sql = co_await ask(server_patience);
    while (!probing->answer) {
        boost::system::error_code ignored;
        co_await probing->done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    if (sql.answered) {
        const auto read = read_observation(sql.rows, postgres, seen.facts);
        sql.answered = read.has_value();
        if (!read) sql.problem = read.error().message;
    }
    seen.answered = sql.answered;
    judge_server(*probing->answer, sql.answered, sql.problem, disk.pid_file, postgres);
    const pid_t pid = disk.pid_file ? disk.pid_file->pid : 0;
    if (sql.answered) {
        last_in_recovery_ = postgres.in_recovery;
        last_answering_ = pid;
        last_version_ = postgres.version;
        if (postgres.primary())
            co_await read_history(postgres);
        else if (!seen.facts.timeline_received)
            co_await read_timeline(postgres, seen.facts.segment_size);
        co_return;
    }
    // Who cannot be asked is what it was; and a server of which nothing is known is what it will
    // come up as.
    postgres.in_recovery =
        pid != 0 && pid == last_answering_ ? last_in_recovery_ : disk.standby_signal;
    co_await read_identity(postgres);
}

// Of a server that is not asked: whose it is, and where it was.
Task<void> Observer::read_identity(cluster::LocalPostgres& postgres) {
    const auto config = std::make_shared<const ports::PostgresConfig>(config_());
    auto control = co_await pool_.run_within(300ms, [config, known = control_]() mutable {
        std::string problem;
        read_control(*config, known, problem);
        return known;
    });
    if (!control || !control->control) co_return;
    control_ = *std::move(control);
    postgres.control = control_.control->data;
    postgres.system_id = control_.control->data.system_id;
}

Task<Observer::Seen> Observer::observe(bool watched_alive, cluster::Look look) {
    Seen seen;
    const auto view = co_await disk();
    auto& postgres = seen.postgres;
    postgres.data_dir = view.data_dir;
    postgres.standby_signal = view.standby_signal;
    postgres.backup_label = view.backup_label;
    postgres.voteless = view.voteless;
    if (view.aside) {
        postgres.aside_for = view.aside->id;
        postgres.aside_done = view.aside->done();
    }
    postgres.unfinished_cluster = view.unfinished_cluster;
    postgres.in_recovery = view.standby_signal;
    postgres.data_version = view.version;
    postgres.problem = view.problem;
    // Killed, and ends when its disk answers: it serves nobody any more.
    if (view.postmaster && !os::doomed(view.postmaster->pid())) seen.postmaster = view.postmaster;
    seen.real_path = view.real_path;
    const bool lives = seen.postmaster || watched_alive;
    if (lives && look == cluster::Look::files) {
        postgres.server = cluster::Server::starting;
        co_await read_identity(postgres);
        co_return seen;
    }
    if (lives) {
        co_await look_at_server(seen, view);
        co_return seen;
    }
    heartbeat_.reset();
    postgres.server = cluster::Server::stopped;
    postgres.version = last_version_ / 10000 == view.version ? last_version_ : 0;
    if (view.control) {
        postgres.control = view.control->data;
        postgres.system_id = view.control->data.system_id;
        postgres.timeline = view.control->data.checkpoint_timeline;
    } else if (view.data_dir == cluster::DataDir::initialized) {
        postgres.data_dir = cluster::DataDir::unusable;
    }
    co_return seen;
}

}  // namespace relevo::postgres
