// What quorum replication builds on, with real servers: names that every process has read, a
// standby that surely receives nothing any more, and the vote.
#include <csignal>
#include <fstream>

#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "postgres/connection.h"
#include "postgres/server_test.h"
#include "postgres/voteless.h"

namespace relevo::postgres {
namespace {

using namespace std::chrono_literals;
using cluster::Lsn;
using cluster::Role;

constexpr const char* names_of_b = "ANY 1 (b)";

class Sync : public WithServers {
protected:
    std::unique_ptr<Node> standby_of(const Node& source, const std::string& name) {
        auto made = node(name);
        const auto cloned =
            t.await(made->postgres->clone({source.as_upstream(), false, false, {}}));
        EXPECT_TRUE(cloned) << cloned.error().message;
        start_standby(*made, source.as_upstream());
        EXPECT_TRUE(t.until([&] { return made->look().replication_state == "streaming"; }, 10s));
        return made;
    }
    void start_standby(Node& standby, const std::optional<cluster::Upstream>& upstream) {
        const auto started =
            t.await(standby.postgres->start({false, upstream, Role::replica, patience, {}}));
        ASSERT_TRUE(started) << started.error().message;
    }
    Lsn set(Node& node, const std::optional<std::string>& names) {
        const auto begin = os::boottime_now();
        const auto marker = t.await(node.postgres->set_synchronous_standby_names(names));
        EXPECT_TRUE(marker) << marker.error().message;
        RecordProperty("set_ms", static_cast<int>(to_ms(os::boottime_now() - begin)));
        return marker.value_or(Lsn{});
    }
    pid_t process(Node& node, const std::string& where) {
        const auto pid = node.sql("SELECT pid FROM pg_stat_activity WHERE " + where);
        return static_cast<pid_t>(parse_decimal(pid).value_or(0));
    }
    std::string config_text(const Node& node) {
        return os::read_file(node.config.data_dir + "/postgresql.conf").value_or("");
    }
};

struct Stopped {  // a process that has to wait
    pid_t pid;
    explicit Stopped(pid_t which) : pid(which) { ::kill(pid, SIGSTOP); }
    ~Stopped() { ::kill(pid, SIGCONT); }
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;
};

TEST_F(Sync, names_are_told_to_all_and_what_is_sent_from_beyond_the_marker_was_sent_by_them) {
    auto a = made_node("a");
    a->look();
    auto b = standby_of(*a, "b");
    const Lsn marker = set(*a, names_of_b);
    EXPECT_TRUE(marker);
    EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), names_of_b);
    EXPECT_EQ(a->look().sync_names, names_of_b);
    EXPECT_TRUE(config_text(*a).contains("synchronous_standby_names = 'ANY 1 (b)'\n"));
    const auto reached = [&](Lsn position) {
        const auto seen = a->look();
        return seen.senders.size() == 1 && seen.senders[0].sent >= position &&
               seen.senders[0].flush >= position;
    };
    EXPECT_TRUE(t.until([&] { return reached(marker); }, 5s));
    EXPECT_EQ(a->look().senders[0].sync_state, "quorum");

    // The same again: nothing is written, and still there is something to wait for.
    const Lsn again = set(*a, names_of_b);
    EXPECT_GT(again, marker);
    {
        const Stopped sender(process(*a, "backend_type = 'walsender'"));
        const auto begin = os::boottime_now();
        const Lsn unsent = set(*a, "ANY 1 (b,c)");
        EXPECT_LT(os::boottime_now() - begin, 1s) << "the agent waits for no standby";
        EXPECT_FALSE(reached(unsent)) << "who has not read the new names has not sent this";
        EXPECT_TRUE(t.await(a->postgres->end_walsenders(unsent)));
    }
    EXPECT_EQ(a->sql("SHOW synchronous_commit"), "local");
    EXPECT_TRUE(t.until([&] { return reached(again); }, 10s)) << "another one has come";

    // Taken back: what is configured holds, here nothing.
    EXPECT_TRUE(set(*a, std::nullopt));
    EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "");
    EXPECT_FALSE(config_text(*a).contains("synchronous_standby_names"));
    a->config.parameters.base["synchronous_standby_names"] = "x";
    EXPECT_TRUE(set(*a, std::nullopt));
    EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "x");
    EXPECT_TRUE(set(*a, ""));
    EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "") << "nobody is somebody's word too";
}

TEST_F(Sync, names_are_not_set_before_commits_wait_for_them) {
    auto a = made_node("a");
    a->look();
    auto b = standby_of(*a, "b");
    {
        const Stopped checkpointer(process(*a, "backend_type = 'checkpointer'"));
        const auto marker = t.await(a->postgres->set_synchronous_standby_names(names_of_b));
        ASSERT_FALSE(marker);
        EXPECT_EQ(marker.error().code, ErrorCode::outcome_unknown) << marker.error().message;
    }
    EXPECT_TRUE(set(*a, names_of_b));
    ASSERT_TRUE(t.await(b->postgres->stop({})));
    EXPECT_TRUE(set(*a, "ANY 1 (c)")) << "nobody is there to wait for";
}

TEST_F(Sync, names_that_another_file_overrides_are_refused_with_what_to_do) {
    auto a = made_node("a");
    a->look();
    a->sql("ALTER SYSTEM SET synchronous_standby_names = 'z'");
    const auto marker = t.await(a->postgres->set_synchronous_standby_names(names_of_b));
    ASSERT_FALSE(marker);
    EXPECT_TRUE(marker.error().message.contains("ALTER SYSTEM RESET")) << marker.error().message;
    // A start can do without that file.
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    const auto started =
        t.await(a->postgres->start({true, std::nullopt, Role::primary, patience, "ANY 1 (b,c)"}));
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "ANY 1 (b,c)");
}

TEST_F(Sync, a_crashed_primary_goes_on_waiting_for_whom_it_waited_for) {
    auto a = made_node("a");
    a->look();
    set(*a, names_of_b);
    ASSERT_TRUE(t.await(a->postgres->kill()));
    {
        Node again(t, a->config);  // its agent died too
        again.look();
        again.start_primary();
        EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), names_of_b);
    }
    auto config = a->config;
    config.parameters.base["synchronous_standby_names"] = "mine";
    Node configured(t, config);
    configured.look();
    configured.start_primary();
    EXPECT_EQ(a->sql("SHOW synchronous_standby_names"), "mine");
}

TEST_F(Sync, a_promoted_standby_waits_from_its_first_commit) {
    auto a = made_node("a");
    a->look();
    auto b = standby_of(*a, "b");
    EXPECT_EQ(b->look().sync_names, "");
    const std::string names = "ANY 1 (a)";
    {
        const Stopped checkpointer(process(*b, "backend_type = 'checkpointer'"));
        for (int attempt = 0; attempt < 2; ++attempt) {
            const auto early = t.await(b->postgres->promote({1, 2, patience, names}));
            ASSERT_FALSE(early) << "its commits would not wait";
            EXPECT_EQ(early.error().code, ErrorCode::unavailable) << early.error().message;
        }
        EXPECT_TRUE(b->look().in_recovery);
    }
    const auto begin = os::boottime_now();
    const auto promoted = t.await(b->postgres->promote({1, 2, patience, names}));
    ASSERT_TRUE(promoted) << promoted.error().message;
    RecordProperty("promote_ms", static_cast<int>(to_ms(os::boottime_now() - begin)));
    EXPECT_EQ(b->look().sync_names, names);
    EXPECT_TRUE(config_text(*b).contains("synchronous_standby_names = 'ANY 1 (a)'\n"));
    EXPECT_TRUE(set(*b, names));
}

TEST_F(Sync, walsenders_of_a_base_backup_are_left_alone) {
    auto a = made_node("a");
    os::Command command;
    command.arguments = {
        a->config.bin_dir + "/pg_basebackup",
        "--pgdata=" + dir + "/copy",
        "--wal-method=none",
        "--checkpoint=fast",
        "--max-rate=1M",
        "--dbname=host=127.0.0.1 user=boss port=" + std::to_string(a->config.port)};
    command.environment["PGPASSWORD"] = a->config.superuser.password;
    const auto copying = os::start_detached({command, 077});
    ASSERT_TRUE(copying) << copying.error().message;
    const auto copies = [&] {
        return a->sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'backup'") == "1";
    };
    ASSERT_TRUE(t.until(copies, 10s));
    EXPECT_TRUE(t.await(a->postgres->end_walsenders(Lsn{~std::uint64_t{0}})));
    EXPECT_FALSE(t.until([&] { return !copies(); }, 300ms));
    ::kill(*copying, SIGKILL);
}

TEST_F(Sync, who_follows_nobody_receives_nothing_and_knows_its_end) {
    auto a = made_node("a");
    a->look();
    auto b = standby_of(*a, "b");
    auto seen = b->look();
    EXPECT_TRUE(seen.receiving);
    EXPECT_TRUE(seen.received_all);
    EXPECT_FALSE(a->look().receiving);

    auto begin = os::boottime_now();
    ASSERT_TRUE(t.await(b->postgres->follow(std::nullopt, Role::replica)));
    RecordProperty("follow_nobody_ms", static_cast<int>(to_ms(os::boottime_now() - begin)));
    seen = b->look();
    EXPECT_FALSE(seen.receiving);
    EXPECT_TRUE(seen.received_all);
    EXPECT_EQ(b->sql("SHOW primary_conninfo"), "");
    EXPECT_TRUE(config_text(*b).contains("primary_conninfo = ''\n"));

    // Replay that has not come to the end does not keep the receiver.
    ASSERT_TRUE(t.await(b->postgres->follow(a->as_upstream(), Role::replica)));
    ASSERT_TRUE(t.until([&] { return b->look().replication_state == "streaming"; }, 10s));
    b->sql("SELECT pg_wal_replay_pause()");
    a->sql("CREATE TABLE public.t AS SELECT generate_series(1, 1000) AS n");
    const Lsn end = a->look().wal;
    ASSERT_TRUE(t.until([&] { return b->look().position() >= end; }, 10s));
    ASSERT_LT(b->look().replay, end);
    begin = os::boottime_now();
    ASSERT_TRUE(t.await(b->postgres->follow(std::nullopt, Role::replica)));
    RecordProperty("follow_nobody_behind_ms", static_cast<int>(to_ms(os::boottime_now() - begin)));
    seen = b->look();
    EXPECT_FALSE(seen.receiving);
    EXPECT_TRUE(seen.received_all);
    EXPECT_GE(seen.position(), end);

    // After a restart replay has to come to the end first.
    b->config.recovery_conf["recovery_min_apply_delay"] = "1h";
    ASSERT_TRUE(t.await(b->postgres->stop({})));
    start_standby(*b, std::nullopt);
    EXPECT_FALSE(t.until([&] { return b->look().received_all; }, 300ms));
    EXPECT_LT(b->look().position(), end);
    b->config.recovery_conf.clear();
    ASSERT_TRUE(t.await(b->postgres->stop({})));
    start_standby(*b, std::nullopt);
    ASSERT_TRUE(t.until([&] { return b->look().received_all; }, 10s));
    EXPECT_FALSE(b->look().receiving);
    EXPECT_GE(b->look().position(), end);
}

TEST_F(Sync, an_upstream_set_by_hand_is_not_passed_over) {
    auto a = made_node("a");
    a->look();
    auto b = standby_of(*a, "b");
    b->sql("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1'");
    const auto followed = t.await(b->postgres->follow(std::nullopt, Role::replica));
    ASSERT_FALSE(followed);
    EXPECT_TRUE(followed.error().message.contains("ALTER SYSTEM RESET"))
        << followed.error().message;
}

TEST_F(Sync, a_copy_has_no_vote_until_it_is_given_back) {
    const auto a_dir = test_config(dir, "a").data_dir;
    ASSERT_TRUE(mark_voteless(a_dir));
    auto a = made_node("a");
    EXPECT_FALSE(a->look().voteless) << "a new cluster has acknowledged nothing yet";
    auto b = node("b");
    EXPECT_FALSE(b->look().voteless);
    // Seen by the copy itself: before anything else.
    b->config.create_replica_methods = {"first", "basebackup"};
    b->config.replica_methods["first"] = {
        .name = "first",
        .command = "/bin/sh -c 'ls " + dir + " > " + dir + "/seen; exit 1'",
        .keep_data = false,
        .no_params = true,
        .no_leader = false,
        .options = {}};
    const auto cloned = t.await(b->postgres->clone({a->as_upstream(), false, false, {}}));
    ASSERT_TRUE(cloned) << cloned.error().message;
    EXPECT_TRUE(os::read_file(dir + "/seen").value_or("").contains("b.voteless"));
    EXPECT_TRUE(b->look().voteless);
    {
        Node again(t, b->config);
        EXPECT_TRUE(again.look().voteless);
        ASSERT_TRUE(t.await(again.postgres->restore_vote()));
        EXPECT_FALSE(again.look().voteless);
    }
    ASSERT_TRUE(t.await(b->postgres->restore_vote()));
    EXPECT_FALSE(b->look().voteless);
    EXPECT_FALSE(t.await(b->postgres->clone({a->as_upstream(), false, false, {}})));
    EXPECT_FALSE(b->look().voteless) << "nothing was copied over it";
    ASSERT_TRUE(mark_voteless(b->config.data_dir));
    ASSERT_TRUE(t.await(b->postgres->set_aside()));
    EXPECT_TRUE(is_voteless(b->config.data_dir));
}

}  // namespace
}  // namespace relevo::postgres
