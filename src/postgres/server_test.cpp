#include "postgres/server_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "postgres/connection.h"
#include "postgres/control_data.h"
#include "postgres/process.h"
#include "postgres/timeline_files.h"

namespace relevo::postgres {
namespace {

using namespace std::chrono_literals;
using cluster::DataDir;
using cluster::Role;

bool icontains_text(const std::string& text, const char* part) { return icontains(text, part); }

TEST_F(WithServers, an_empty_directory_becomes_a_primary_that_says_what_it_is) {
    auto a = node("a");
    EXPECT_EQ(a->look().data_dir, DataDir::empty);
    EXPECT_EQ(a->look().server, cluster::Server::stopped);
    a->make();
    const auto seen = a->look();
    EXPECT_EQ(seen.problem, "");
    EXPECT_TRUE(seen.primary());
    EXPECT_EQ(seen.data_dir, DataDir::initialized);
    EXPECT_EQ(seen.timeline, 1U);
    EXPECT_GT(seen.system_id.size(), 15U);
    EXPECT_TRUE(seen.wal);
    EXPECT_GE(seen.version, 130000);
    EXPECT_EQ(seen.data_version, seen.version / 10000);
    EXPECT_TRUE(seen.checkpoint_after_promote);
    EXPECT_FALSE(seen.pending_restart);
    EXPECT_EQ(a->sql("SHOW cluster_name"), "test");
    EXPECT_EQ(a->sql("SHOW config_file"), a->config.data_dir + "/postgresql.conf");
    EXPECT_EQ(::getsid(a->postmaster()), a->postmaster());
    const auto log = os::read_file(a->config.data_dir + "/log/server.log");
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(log->find("FATAL"), std::string::npos)
        << "looking leaves nothing in the log: " << *log;
    EXPECT_EQ(log->find("reset by peer"), std::string::npos) << *log;
}

TEST_F(WithServers, a_running_server_is_adopted_and_its_death_noticed_at_once) {
    auto a = made_node("a");
    Node again(t, a->config);  // a second agent, as after a restart of the first
    EXPECT_TRUE(again.look().primary());
    std::optional<ports::ExitInfo> gone;
    again.postgres->on_exit([&](ports::ExitInfo info) { gone = info; });
    // A backend at work survives its postmaster's kill -9 for as long as its statement takes.
    auto busy = t.await(Connection::open(t.pool, local_options(a->config, "busy"), patience));
    ASSERT_TRUE(busy) << busy.error().message;
    const auto pid = a->postmaster();
    const auto killed = os::boottime_now();
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(t.until([&] { return gone.has_value(); }, 5s));
    EXPECT_EQ(gone->pid, pid);
    EXPECT_LT(gone->seen - killed, 200ms);
    const auto dead = again.look();
    EXPECT_EQ(dead.server, cluster::Server::stopped);
    ASSERT_TRUE(dead.control);
    EXPECT_EQ(dead.control->state, cluster::ControlState::in_production);

    // And back in place.
    const auto begin = os::boottime_now();
    again.start_primary();
    RecordProperty("crash_restart_ms", static_cast<int>(to_ms(os::boottime_now() - begin)));
    EXPECT_TRUE(again.look().primary());
    EXPECT_EQ(again.look().timeline, 1U);
}

TEST_F(WithServers, a_frozen_postmaster_is_hung_and_can_be_fenced) {
    auto a = made_node("a");
    a->look();
    ::kill(a->postmaster(), SIGSTOP);
    const auto begin = os::boottime_now();
    const auto seen = a->look();
    EXPECT_LT(os::boottime_now() - begin, 2500ms);
    EXPECT_EQ(seen.server, cluster::Server::hung);
    EXPECT_TRUE(icontains_text(seen.problem, "no new connection")) << seen.problem;
    ::kill(a->postmaster(), SIGCONT);
    EXPECT_EQ(a->look().server, cluster::Server::running);

    ::kill(a->postmaster(), SIGSTOP);
    const auto fence = os::boottime_now();
    const auto killed = t.await(a->postgres->kill());
    ASSERT_TRUE(killed) << killed.error().message;
    EXPECT_LT(os::boottime_now() - fence, 2s);
    EXPECT_TRUE(server_processes(a->config.data_dir, "postgres").empty());
    EXPECT_EQ(a->look().server, cluster::Server::stopped);
}

// A dead disk: whatever opens a file of it hangs, and so does each thread of the pool.
class DeadDisk {
public:
    DeadDisk(const std::string& directory, boost::asio::thread_pool& pool, int threads)
        : path_(directory + "/dead-disk") {
        EXPECT_EQ(::mkfifo(path_.c_str(), 0600), 0);
        for (int i = 0; i < threads; ++i)
            boost::asio::post(pool, [path = path_] { (void)os::read_file(path); });
    }
    // A writer ends each open() that hangs, and its going away each read().
    ~DeadDisk() {
        for (int i = 0; i < 200; ++i) {
            const int end = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
            if (end >= 0) ::close(end);
            std::this_thread::sleep_for(5ms);  // for those that open it one after the other
        }
    }
    DeadDisk(const DeadDisk&) = delete;
    DeadDisk& operator=(const DeadDisk&) = delete;

private:
    std::string path_;
};

TEST_F(WithServers, fencing_waits_for_no_disk) {
    auto a = made_node("a");
    auto busy = t.await(Connection::open(t.pool, local_options(a->config, "busy"), patience));
    ASSERT_TRUE(busy) << busy.error().message;
    a->look();
    const auto postmaster = a->postmaster();
    ::kill(postmaster, SIGSTOP);  // the harder way, which looks for the whole tree
    Duration took{};
    {
        const DeadDisk dead(dir, t.threads, 3);
        const auto began = os::boottime_now();
        const auto killed = t.await(a->postgres->kill());
        took = os::boottime_now() - began;
        EXPECT_TRUE(killed) << killed.error().message;
    }
    RecordProperty("milliseconds", std::to_string(to_ms(took)));
    EXPECT_LT(took, 5s);  // some 250 ms on an idle machine
    EXPECT_TRUE(server_processes(a->config.data_dir, "postgres").empty());
}

TEST_F(WithServers, orphans_of_a_dead_postmaster_are_fenced_and_do_not_hinder_the_next) {
    auto a = made_node("a");
    a->look();
    auto busy = t.await(Connection::open(t.pool, local_options(a->config, "busy"), patience));
    ASSERT_TRUE(busy);
    // Spins without looking at its postmaster.
    const auto late = t.await((*busy)->query("SET statement_timeout = 0", {}, patience));
    ASSERT_TRUE(late);
    const auto spin = t.await((*busy)->query(
        "DO $$ BEGIN PERFORM count(*) FROM generate_series(1, 100000000000); END $$", 100ms));
    EXPECT_EQ(spin.error().code, ErrorCode::outcome_unknown);
    ::kill(a->postmaster(), SIGKILL);
    ASSERT_TRUE(
        t.until([&] { return !server_processes(a->config.data_dir, "postgres").empty(); }, 1s));
    a->start_primary();
    EXPECT_TRUE(a->look().primary());
}

TEST_F(WithServers, a_stop_tells_of_the_shutdown_checkpoint_and_escalates) {
    auto a = made_node("a");
    std::optional<cluster::ControlData> told;
    ports::StopPlan plan;
    plan.checkpoint_first = true;
    plan.on_shut_down = [&](cluster::ControlData data) { told = data; };
    auto stopped = t.await(a->postgres->stop(plan));
    ASSERT_TRUE(stopped) << stopped.error().message;
    ASSERT_TRUE(told);
    EXPECT_EQ(told->state, cluster::ControlState::shut_down);
    EXPECT_TRUE(told->checkpoint);
    EXPECT_EQ(a->look().server, cluster::Server::stopped);
    EXPECT_EQ(a->look().control, told);
    EXPECT_TRUE(t.await(a->postgres->stop({}))) << "stopping what is stopped is fine";

    a->start_primary();
    a->look();
    // Smart waits for its clients, the heartbeat among them, and after a while fast does not.
    auto client = t.await(Connection::open(t.pool, local_options(a->config, "client"), patience));
    ASSERT_TRUE(client);
    ports::StopPlan smart;
    smart.mode = cluster::StopMode::smart;
    smart.escalate_after = 300ms;
    const auto begin = os::boottime_now();
    ASSERT_TRUE(t.await(a->postgres->stop(smart)));
    EXPECT_GE(os::boottime_now() - begin, 300ms);
    EXPECT_EQ(read_control_file(a->config)->data.state, cluster::ControlState::shut_down);
}

TEST_F(WithServers, an_archiver_that_hangs_does_not_hold_a_shutdown_up) {
    auto a = made_node("a");
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    a->config.parameters.base["archive_mode"] = "on";
    a->config.parameters.base["archive_command"] = "sleep 600";
    a->config.archiver_patience = std::chrono::seconds(1);
    a->start_primary();
    EXPECT_NE(a->sql("SELECT pg_switch_wal()"), "");
    ASSERT_TRUE(t.until(
        [&] {
            return a->sql(
                       "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'archiver'") ==
                   "1";
        },
        5s));
    const auto begin = os::boottime_now();
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    EXPECT_LT(os::boottime_now() - begin, 20s);
    EXPECT_EQ(read_control_file(a->config)->data.state, cluster::ControlState::shut_down);
    EXPECT_TRUE(
        os::exists(a->config.data_dir + "/pg_wal/archive_status/000000010000000000000001.ready"))
        << "it is still to be archived";
}

TEST_F(WithServers, a_crashed_server_is_recovered_in_single_user_mode_and_is_a_standby_then) {
    auto a = made_node("a");
    EXPECT_EQ(a->sql("CREATE TABLE public.t AS SELECT generate_series(1, 1000) AS n"), "");
    ASSERT_TRUE(t.await(a->postgres->kill()));
    EXPECT_EQ(read_control_file(a->config)->data.state, cluster::ControlState::in_production);
    const auto recovered = t.await(a->postgres->crash_recover());
    ASSERT_TRUE(recovered) << recovered.error().message;
    EXPECT_EQ(read_control_file(a->config)->data.state, cluster::ControlState::shut_down);
    const auto seen = a->look();
    EXPECT_TRUE(seen.standby_signal);
    EXPECT_TRUE(seen.in_recovery);
    a->start_primary();
    EXPECT_FALSE(a->look().standby_signal);
    EXPECT_EQ(a->sql("SELECT count(*) FROM public.t"), "1000");
}

TEST_F(WithServers, a_wrong_password_is_said_and_the_server_still_counts_as_running) {
    auto a = made_node("a");
    auto config = a->config;
    config.superuser.password = "wrong";
    Node other(t, config);
    const auto seen = other.look();
    EXPECT_EQ(seen.server, cluster::Server::running);
    EXPECT_FALSE(seen.in_recovery);
    EXPECT_TRUE(icontains_text(seen.problem, "password")) << seen.problem;
    EXPECT_FALSE(icontains_text(seen.problem, "wrong")) << "no secret in a message";
    Connection::Refused refused;
    const auto opened =
        t.await(Connection::open(t.pool, local_options(config, "test"), patience, &refused));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::denied);
    EXPECT_EQ(refused.sqlstate, "28P01");
}

// What amcheck takes for damage is not for whoever may name a database.
TEST_F(WithServers, a_name_does_not_choose_the_code_of_a_refusal) {
    auto a = made_node("a");
    for (const char* name : {"z:  XX001: z", "z\nFATAL:  XX001: z"}) {
        auto options = local_options(a->config, "test");
        options.database = name;
        Connection::Refused refused;
        EXPECT_FALSE(t.await(Connection::open(t.pool, std::move(options), patience, &refused)));
        EXPECT_EQ(refused.sqlstate, "3D000");
    }
}

TEST_F(WithServers, no_connection_left_is_still_a_running_server) {
    auto a = made_node("a");
    std::vector<std::unique_ptr<Connection>> all;
    for (int i = 0; i < 40; ++i) {
        auto opened =
            t.await(Connection::open(t.pool, local_options(a->config, "crowd"), patience));
        if (!opened) break;
        all.push_back(*std::move(opened));
    }
    ASSERT_LT(all.size(), 40U);
    Node other(t, a->config);
    EXPECT_EQ(other.look().server, cluster::Server::running);
}

TEST_F(WithServers, a_standby_streams_and_is_promoted_within_a_moment) {
    auto a = made_node("a");
    auto b = node("b");
    const auto cloned = t.await(b->postgres->clone({a->as_upstream(), false, false, {}}));
    ASSERT_TRUE(cloned) << cloned.error().message;
    const auto started =
        t.await(b->postgres->start({false, a->as_upstream(), Role::replica, patience}));
    ASSERT_TRUE(started) << started.error().message;
    const auto first = b->postmaster();
    ASSERT_TRUE(t.await(b->postgres->follow(a->as_upstream(), Role::replica)));
    EXPECT_EQ(b->postmaster(), first) << "no restart for what it does already";
    ASSERT_TRUE(t.until(
        [&] {
            const auto seen = b->look();
            return seen.replication_state == "streaming" && seen.replay;
        },
        patience));
    const auto standby = b->look();
    EXPECT_TRUE(standby.in_recovery);
    EXPECT_TRUE(standby.standby_signal);
    EXPECT_EQ(standby.upstream_port, a->config.port);
    EXPECT_EQ(standby.system_id, a->look().system_id);
    const auto primary = a->look();
    ASSERT_EQ(primary.senders.size(), 1U);
    EXPECT_EQ(primary.senders[0].application_name, "b");
    EXPECT_EQ(primary.senders[0].user, "repl");

    // Nothing to change, then another upstream without a restart.
    const auto pid = b->postmaster();
    ASSERT_TRUE(t.await(b->postgres->follow(a->as_upstream(), Role::replica)));
    auto elsewhere = a->as_upstream();
    elsewhere.port = free_port();
    const auto followed = t.await(b->postgres->follow(elsewhere, Role::replica));
    ASSERT_TRUE(followed) << followed.error().message;
    EXPECT_EQ(b->postmaster(), pid);
    EXPECT_TRUE(
        icontains_text(b->sql("SHOW primary_conninfo"), std::to_string(elsewhere.port).c_str()));

    // Placeholders of a promotion that came to nothing do not keep it from starting again.
    ASSERT_TRUE(t.await(b->postgres->follow(a->as_upstream(), Role::replica)));
    ASSERT_TRUE(keep_timelines_free(b->config.data_dir, 1, 4));
    const auto again =
        t.await(b->postgres->restart({}, {false, a->as_upstream(), Role::replica, patience}));
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_TRUE(t.until([&] { return b->look().replication_state == "streaming"; }, patience));

    // A timeline that has a history file here was begun by an earlier promotion that was cut short.
    const auto begun = b->config.data_dir + "/pg_wal/00000003.history";
    std::ofstream(begun) << "1\t0/5000000\tcut short\n";
    const auto refused = t.await(b->postgres->promote({1, 3, patience}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    EXPECT_FALSE(b->look().primary());
    std::filesystem::remove(begun);

    const auto begin = os::boottime_now();
    const auto promoted = t.await(b->postgres->promote({1, 4, patience}));
    ASSERT_TRUE(promoted) << promoted.error().message;
    RecordProperty("promote_ms", static_cast<int>(to_ms(os::boottime_now() - begin)));
    const auto seen = b->look();
    EXPECT_TRUE(seen.primary());
    EXPECT_EQ(seen.timeline, 4U);  // as it was told to, with 2 and 3 kept free for others
    ASSERT_EQ(seen.history.size(), 1U);
    EXPECT_EQ(seen.history[0].timeline, 1U);
    EXPECT_EQ(seen.history[0].reason, "no recovery target specified");
    ASSERT_TRUE(t.await(b->postgres->checkpoint()));
    EXPECT_TRUE(b->look().checkpoint_after_promote);
}

TEST_F(WithServers, parameters_change_by_reload_or_wait_for_a_restart) {
    auto a = made_node("a");
    a->look();
    auto named = t.await(a->postgres->set_synchronous_standby_names("ANY 1 (\"x\")"));
    ASSERT_TRUE(named) << named.error().message;
    EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "ANY 1 (\"x\")");
    {
        Node again(t, a->config);  // an agent that restarts must not take it away
        again.look();
        ASSERT_TRUE(t.await(again.postgres->reconfigure(true)));
        EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "ANY 1 (\"x\")");
        ASSERT_TRUE(t.await(again.postgres->set_synchronous_standby_names("")));
        EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "");
        // Its end would kill the server: it is the first one's.
        a->config.parameters.base["work_mem"] = "5MB";
        a->config.parameters.base["max_connections"] = "35";
        a->look();
        ASSERT_TRUE(t.await(a->postgres->set_synchronous_standby_names("")));
        const auto done = t.await(a->postgres->reconfigure(false));
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_EQ(a->sql("SHOW work_mem"), "5MB");
        const auto seen = a->look();
        EXPECT_TRUE(seen.pending_restart);
        ASSERT_TRUE(seen.pending_restart_reason.contains("max_connections"));
        EXPECT_EQ(seen.pending_restart_reason.at("max_connections").new_value, "35");
        const auto restarted =
            t.await(a->postgres->restart({}, {true, std::nullopt, Role::primary, patience}));
        ASSERT_TRUE(restarted) << restarted.error().message;
        EXPECT_FALSE(a->look().pending_restart);
        EXPECT_EQ(a->sql("SHOW max_connections"), "35");
    }
}

TEST_F(WithServers, what_is_no_data_directory_is_left_alone) {
    auto a = node("a");
    ASSERT_TRUE(os::make_directory(a->config.data_dir, 0700));
    ASSERT_TRUE(os::write_file(a->config.data_dir + "/PG_VERSION", "fifteen\n", 0600));
    auto seen = a->look();
    EXPECT_EQ(seen.data_dir, DataDir::unusable);
    EXPECT_FALSE(seen.problem.empty());
    EXPECT_FALSE(t.await(a->postgres->start({true, std::nullopt, Role::primary, 5s})));
    EXPECT_FALSE(t.await(a->postgres->bootstrap(std::nullopt)));
    EXPECT_EQ(os::read_file(a->config.data_dir + "/PG_VERSION"), "fifteen\n");
    ASSERT_TRUE(t.await(a->postgres->set_aside()));
    EXPECT_EQ(a->look().data_dir, DataDir::empty);
    EXPECT_TRUE(os::exists(a->config.data_dir + ".failed/PG_VERSION"));
}

TEST_F(WithServers, a_stale_or_broken_pid_file_does_not_hinder_a_start) {
    auto a = made_node("a");
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    const auto path = a->config.data_dir + "/postmaster.pid";
    // Names a living process that is none of PostgreSQL's.
    os::Command sleeper;
    sleeper.arguments = {"sleep", "100"};
    const auto other = os::start_detached({sleeper, 077});
    ASSERT_TRUE(other);
    ASSERT_TRUE(os::write_file(
        path, std::to_string(*other) + "\n" + a->config.data_dir + "\n1000\n5432\n\n\n", 0600));
    EXPECT_EQ(a->look().server, cluster::Server::stopped);
    a->start_primary();
    EXPECT_TRUE(a->look().primary());
    ::kill(*other, SIGKILL);
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    ASSERT_TRUE(os::write_file(path, "garbage", 0600));
    const auto seen = a->look();
    EXPECT_EQ(seen.server, cluster::Server::stopped);
    EXPECT_TRUE(icontains_text(seen.problem, "postmaster.pid")) << seen.problem;
}

// What it set aside is people's only data, and what comes in between would hide that.
TEST_F(WithServers, nothing_is_made_or_put_away_before_an_interrupted_copy_is_undone) {
    auto a = node("a");
    const auto& data = a->config.data_dir;
    ASSERT_TRUE(os::make_directory(data + ".before_clone", 0700));
    ASSERT_TRUE(os::write_file(data + ".before_clone/PG_VERSION", "15\n", 0600));
    // It cannot be read what is kept.
    ASSERT_TRUE(os::make_directory(data + ".rebuild", 0700));
    const auto refused = [](const Status& done) {
        return !done && done.error().code == ErrorCode::unavailable;
    };
    EXPECT_TRUE(refused(t.await(a->postgres->bootstrap(std::nullopt))));
    EXPECT_TRUE(refused(t.await(a->postgres->keep_aside("x"))));
    EXPECT_TRUE(refused(t.await(a->postgres->put_back("x"))));
    EXPECT_TRUE(refused(t.await(a->postgres->set_aside())));
    EXPECT_FALSE(os::exists(data));

    ASSERT_TRUE(os::remove_tree(data + ".rebuild"));
    const auto made = t.await(a->postgres->bootstrap(std::nullopt));
    ASSERT_FALSE(made) << "over the old data, which is back";
    EXPECT_EQ(made.error().code, ErrorCode::conflict);
    EXPECT_TRUE(os::exists(data + "/PG_VERSION"));
}

TEST_F(WithServers, a_start_that_cannot_succeed_says_so_soon) {
    auto a = made_node("a");
    auto b = made_node("b");
    ASSERT_TRUE(t.await(b->postgres->stop({})));
    b->config.port = a->config.port;
    const auto started = t.await(b->postgres->start({true, std::nullopt, Role::primary, patience}));
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, ErrorCode::failed);
}

}  // namespace
}  // namespace relevo::postgres
