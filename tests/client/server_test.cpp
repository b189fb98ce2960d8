// librelevo against real servers, with a proxy between that breaks the connection at each step.
// Each test runs with both faces of the pool.
#include <signal.h>

#include <atomic>
#include <thread>

#include "proxy.h"
#include "servers.h"

namespace relevo::client {
namespace {

using namespace std::chrono_literals;
using testing::children_of;
using testing::ClientCluster;
using testing::ClientServers;
using testing::Fault;
using testing::kill_all_of;
using testing::postmaster_of;
using testing::Proxy;

INSTANTIATE_TEST_SUITE_P(Faces, ClientServers, testing::faces, testing::face_name);
INSTANTIATE_TEST_SUITE_P(Faces, ClientCluster, testing::faces, testing::face_name);

TEST_P(ClientServers, StatementsAndTransactionsInTheOrdinaryCase) {
    const auto p = pool(options({primary.port}));
    const auto rows = p->execute("SELECT $1::int + 1, NULL, 'x'", {"41"});
    ASSERT_TRUE(rows) << rows.error().message;
    EXPECT_EQ(rows->value(0, 0), "42");
    EXPECT_EQ(rows->value(0, 1), std::nullopt);
    EXPECT_EQ(rows->columns(), 3);
    const auto done = p->transaction(increment, {.want_lsn = true});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_GT(done->lsn, 0u);
    EXPECT_FALSE(done->resolved);
    EXPECT_EQ(count(), "1");
    const auto resolved = p->execute("UPDATE public.counter SET n = n + 1", {}, {.resolve = true});
    ASSERT_TRUE(resolved) << resolved.error().message;
    EXPECT_EQ(resolved->affected(), 1);
    EXPECT_EQ(count(), "2");
}

TEST_P(ClientServers, TheCallersMistakesComeBackAtOnce) {
    const auto p = pool(options({primary.port}));
    int runs = 0;
    const auto failed = p->transaction([&](BlockingTransaction& t) -> Expected<void> {
        ++runs;
        auto done = t.execute("SELECT 1/0");
        if (!done) return std::unexpected(done.error());
        return {};
    });
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().kind, Kind::rejected);
    EXPECT_EQ(failed.error().sqlstate, "22012");
    EXPECT_EQ(runs, 1);
    // An error that the function swallows does not turn into a commit.
    const auto swallowed = p->transaction([](BlockingTransaction& t) -> Expected<void> {
        static_cast<void>(increment(t));
        static_cast<void>(t.execute("SELECT 1/0"));
        return {};
    });
    EXPECT_FALSE(swallowed);
    EXPECT_THROW(static_cast<void>(p->transaction([](BlockingTransaction& t) -> Expected<void> {
                     static_cast<void>(increment(t));
                     throw std::runtime_error("the function's own");
                 })),
                 std::runtime_error);
    const auto given_up = p->transaction([](BlockingTransaction& t) -> Expected<void> {
        static_cast<void>(increment(t));
        return std::unexpected(Error{Kind::rejected, "", "not enough money", 0});
    });
    ASSERT_FALSE(given_up);
    EXPECT_EQ(given_up.error().message, "not enough money");
    EXPECT_EQ(count(), "0");
    EXPECT_TRUE(p->transaction(increment));
    EXPECT_EQ(count(), "1");
}

TEST_P(ClientServers, ATransactionThatExecutesNothingEndsWell) {
    const auto p = pool(options({primary.port}));
    const auto done = p->transaction([](BlockingTransaction&) -> Expected<void> { return {}; },
                                     {.want_lsn = true});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_GT(done->lsn, 0u);
}

// What a session has prepared for its transactions may be thrown away by a statement of the
// application's own.
TEST_P(ClientServers, ASessionThatWasDiscardedBeginsAllTheSame) {
    auto o = options({primary.port});
    o.size = 1;
    o.outcome_table = "public.outcome";
    const auto p = pool(o);
    ASSERT_FALSE(p->transaction(increment));  // there is no such table
    value(primary, outcome_table_sql("public.outcome"));
    for (const auto* between : {"SELECT 1", "DISCARD ALL", "DEALLOCATE relevo_mark_1"}) {
        ASSERT_TRUE(p->execute(between)) << between;
        const auto done = p->transaction(increment, {.isolation = Isolation::serializable});
        ASSERT_TRUE(done) << between << ": " << done.error().message;
        EXPECT_EQ(done->attempts, 1) << between;
    }
    EXPECT_EQ(count(), "3");
    EXPECT_EQ(value(primary, "SELECT number >= 3 FROM public.outcome"), "t");
}

TEST_P(ClientServers, AWrongPasswordIsSaidAtOnceAndNotRepeated) {
    auto o = options({primary.port});
    o.conninfo = "host=127.0.0.1 port=" + std::to_string(primary.port) +
                 " user=postgres dbname=postgres password=wrong";
    const auto began = std::chrono::steady_clock::now();
    const auto answer = pool(o)->execute("SELECT 1");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, Kind::rejected);
    EXPECT_EQ(answer.error().sqlstate, "28P01");
    EXPECT_EQ(answer.error().message.find("wrong"), std::string::npos);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
}

TEST_P(ClientServers, ACutAtEachStepBeforeCommitRunsTheTransactionAgainAndCountsOnce) {
    Proxy proxy(primary.port);
    const auto p = pool(options({proxy.port()}));
    int wanted = 0;
    for (const auto* step : {"BEGIN", "UPDATE", "SELECT 2", "COMMIT;"})
        for (const auto fault : {Fault::cut_before, Fault::half_open, Fault::cut_answer}) {
            if (std::string(step) == "COMMIT;" && fault == Fault::cut_answer) continue;
            proxy.next(fault, step);
            const auto done = p->transaction([](BlockingTransaction& t) -> Expected<void> {
                auto first = increment(t);
                if (!first) return first;
                auto second = t.execute("SELECT 2");
                if (!second) return std::unexpected(second.error());
                return {};
            });
            ASSERT_TRUE(done) << step << ": " << done.error().message;
            EXPECT_TRUE(proxy.happened()) << step;
            EXPECT_EQ(done->attempts, 2) << step;
            EXPECT_EQ(count(), std::to_string(++wanted)) << step;
        }
}

TEST_P(ClientServers, ALostAnswerToCommitIsResolvedAsCommittedAndNotRepeated) {
    Proxy proxy(primary.port);
    const auto p = pool(options({proxy.port()}));
    proxy.next(Fault::cut_answer, "COMMIT;");
    const auto done = p->transaction(increment, {.want_lsn = true});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(done->resolved);
    EXPECT_GT(done->lsn, 0u);
    EXPECT_EQ(done->attempts, 1);
    EXPECT_EQ(count(), "1");
    EXPECT_EQ(p->counts().resolved, 1u);
}

TEST_P(ClientServers, AStatementByItselfWhoseAnswerWasLostIsUnknownUnlessIdempotent) {
    Proxy proxy(primary.port);
    const auto p = pool(options({proxy.port()}));
    proxy.next(Fault::cut_answer, "UPDATE");
    const auto lost = p->execute("UPDATE public.counter SET n = n + 1");
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().kind, Kind::unknown);
    EXPECT_EQ(count(), "1");
    proxy.next(Fault::cut_answer, "UPDATE");
    const auto twice = p->execute("UPDATE public.counter SET n = 5", {}, {.idempotent = true});
    ASSERT_TRUE(twice) << twice.error().message;
    EXPECT_EQ(count(), "5");
    proxy.next(Fault::cut_answer, "COMMIT;");
    const auto resolved = p->execute("UPDATE public.counter SET n = n + 1", {}, {.resolve = true});
    ASSERT_TRUE(resolved) << resolved.error().message;
    EXPECT_EQ(count(), "6");
}

TEST_P(ClientServers, AnIdleConnectionThatTheServerEndedIsNotUsed) {
    const auto p = pool(options({primary.port}));
    ASSERT_TRUE(p->execute("SELECT 1"));
    value(primary,
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name "
          "= 'librelevo'");
    ASSERT_TRUE(becomes(primary,
                        "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                        "'librelevo'",
                        "0"));
    const auto again = p->execute("UPDATE public.counter SET n = n + 1");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(count(), "1");
}

TEST_P(ClientServers, DeadlocksAndSerializationFailuresAreRunAgain) {
    value(primary, "CREATE TABLE public.two (id int PRIMARY KEY, n int)");
    value(primary, "INSERT INTO public.two VALUES (1, 0), (2, 0)");
    const auto p = pool(options({primary.port}));
    std::atomic<int> attempts = 0;
    const auto worker = [&](int first, int second) {
        for (int i = 0; i < 5; ++i) {
            const auto done = p->transaction(
                [&](BlockingTransaction& t) -> Expected<void> {
                    for (const int id : {first, second}) {
                        auto row = t.execute("UPDATE public.two SET n = n + 1 WHERE id = $1",
                                             {std::to_string(id)});
                        if (!row) return std::unexpected(row.error());
                        std::this_thread::sleep_for(20ms);  // so that they meet in the middle
                    }
                    return {};
                },
                {.isolation = Isolation::serializable});
            ASSERT_TRUE(done) << done.error().message;
            attempts += done->attempts;
        }
    };
    std::thread other([&] { worker(2, 1); });
    worker(1, 2);
    other.join();
    EXPECT_GT(attempts, 10);
    EXPECT_EQ(value(primary, "SELECT string_agg(n::text, ',') FROM public.two"), "10,10");
}

// Both ids and what the crash loses, made to happen: the id of our lost transaction is given to a
// stranger whose commit must not be taken for ours.
TEST_P(ClientServers, AStrangersCommitUnderOurIdIsNotTakenForOurs) {
    Proxy proxy(primary.port);
    const auto p = pool(options({proxy.port()}));
    ASSERT_TRUE(p->transaction(increment));
    std::string ours, strangers;
    proxy.next(Fault::cut_before, "COMMIT;", [&] {
        proxy.refuse(true);
        kill_all_of(primary);
    });
    std::atomic<int> runs = 0;
    Expected<Receipt> done;
    std::thread client([&] {
        done = p->transaction([&](BlockingTransaction& t) -> Expected<void> {
            if (++runs == 1) {
                auto id = t.execute("SELECT pg_current_xact_id()");
                if (!id) return std::unexpected(id.error());
                ours = std::string(*id->value());
            }
            return increment(t);
        });
    });
    while (!proxy.happened()) std::this_thread::sleep_for(5ms);
    start(primary, std::nullopt);
    // In one session, each its own transaction, until the id is reached.
    for (int i = 0; i < 20 && strangers != ours; ++i)
        strangers = value(primary, "SELECT pg_current_xact_id()");
    EXPECT_EQ(strangers, ours) << "the id was not given out again: nothing is tested";
    EXPECT_EQ(value(primary, "SELECT pg_xact_status('" + ours + "')"), "committed");
    proxy.refuse(false);
    client.join();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->attempts, 2);
    EXPECT_EQ(count(), "2");
}

// With a table, the outcome is known whatever the crash kept.
TEST_P(ClientServers, AKilledServerAtCommitIsNeverUnknownWithTheOutcomeTable) {
    value(primary, outcome_table_sql("public.relevo_outcome"));
    Proxy proxy(primary.port);
    auto o = options({proxy.port()});
    o.outcome_table = "public.relevo_outcome";
    const auto p = pool(o);
    int wanted = 0;
    for (const auto fault : {Fault::cut_before, Fault::cut_answer, Fault::only_tell}) {
        std::thread restarter;
        proxy.next(fault, "COMMIT;", [&] {
            kill_all_of(primary);
            restarter = std::thread([&] { start(primary, std::nullopt); });
        });
        const auto done = p->transaction(increment);
        restarter.join();
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_EQ(done->resolved, fault == Fault::cut_answer);
        EXPECT_EQ(count(), std::to_string(++wanted));
    }
}

// One backend dies, and with it the memory of all: the server's start time stays the same.
TEST_P(ClientServers, ACrashOfOneBackendIsSeenAsACrash) {
    Proxy proxy(primary.port);
    const auto p = pool(options({proxy.port()}));
    ASSERT_TRUE(p->transaction(increment));
    const auto before = value(primary, "SELECT pg_postmaster_start_time()");
    const auto replayed = value(primary, "SELECT pg_last_wal_replay_lsn()");
    proxy.next(Fault::cut_before, "COMMIT;", [&] {
        for (const auto pid : children_of(postmaster_of(primary))) {
            std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
            std::string line{std::istreambuf_iterator<char>(file), {}};
            if (line.find("postgres postgres 127.0.0.1") != std::string::npos) ::kill(pid, SIGKILL);
        }
    });
    const auto done = p->transaction(increment);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->attempts, 2);
    EXPECT_EQ(count(), "2");
    EXPECT_EQ(value(primary, "SELECT pg_postmaster_start_time()"), before);
    EXPECT_NE(value(primary, "SELECT pg_last_wal_replay_lsn()"), replayed);
}

TEST_P(ClientServers, ACommitThatStoppedWaitingForItsStandbyIsUnknown) {
    const auto p = pool(options({primary.port}));
    ASSERT_TRUE(p->execute("SELECT 1"));
    ASSERT_NO_FATAL_FAILURE(let_commits_wait());
    std::atomic<bool> over = false;
    std::thread operators([&] {
        while (!over) {
            value(primary,
                  "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = "
                  "'SyncRep'");
            std::this_thread::sleep_for(20ms);
        }
    });
    const auto done = p->transaction(increment);
    over = true;
    operators.join();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, Kind::unknown);
    EXPECT_EQ(done.error().attempts, 1);
    EXPECT_EQ(count(), "1");
}

// The answer is lost while COMMIT waits for a standby that never confirms: it may not be called
// committed, and it may not be repeated.
TEST_P(ClientServers, ACommitThatNoStandbyConfirmsIsNotCalledCommitted) {
    Proxy proxy(primary.port);
    auto o = options({proxy.port()});
    o.deadline = 1s;
    o.resolve_for = 2s;
    const auto p = pool(o);
    ASSERT_TRUE(p->execute("SELECT 1"));
    ASSERT_NO_FATAL_FAILURE(let_commits_wait());
    const auto done = p->transaction(increment);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, Kind::unknown);
    EXPECT_EQ(done.error().attempts, 1);
}

TEST_P(ClientCluster, ReadsItsOwnWritesFromAReplica) {
    const auto p = pool(options({primary.port, standby.port}));
    value(standby, "SELECT pg_wal_replay_pause()");
    const auto written = p->transaction(increment, {.want_lsn = true});
    ASSERT_TRUE(written) << written.error().message;
    const Call old{.idempotent = true, .target = Target::replica};
    const auto stale = p->execute("SELECT n, pg_is_in_recovery() FROM public.counter", {}, old);
    ASSERT_TRUE(stale) << stale.error().message;
    EXPECT_EQ(stale->value(0, 0), "0");
    EXPECT_EQ(stale->value(0, 1), "t");
    const Call mine{.idempotent = true, .target = Target::replica, .at_least = written->lsn};
    const auto primarys = p->execute("SELECT n, pg_is_in_recovery() FROM public.counter", {}, mine);
    ASSERT_TRUE(primarys) << primarys.error().message;
    EXPECT_EQ(primarys->value(0, 0), "1");
    EXPECT_EQ(primarys->value(0, 1), "f");  // the replica did not come so far in time
    value(standby, "SELECT pg_wal_replay_resume()");
    auto patient = mine;
    patient.replica_patience = 20s;
    const auto fresh = p->execute("SELECT n, pg_is_in_recovery() FROM public.counter", {}, patient);
    ASSERT_TRUE(fresh) << fresh.error().message;
    EXPECT_EQ(fresh->value(0, 0), "1");
    EXPECT_EQ(fresh->value(0, 1), "t");
}

TEST_P(ClientCluster, ACommitThatReachedTheNewPrimaryIsCommittedOneThatDidNotIsRepeated) {
    Proxy proxy(primary.port);
    const auto p = pool(options({proxy.port(), standby.port}));
    ASSERT_TRUE(p->transaction(increment));
    ASSERT_TRUE(becomes(standby, "SELECT n FROM public.counter", "1"));
    // Lost: the standby does not get what is written from here.
    value(standby, "ALTER SYSTEM SET primary_conninfo = ''");
    value(standby, "SELECT pg_reload_conf()");
    ASSERT_TRUE(becomes(standby, "SELECT count(*) FROM pg_stat_wal_receiver", "0"));
    std::thread promoter;
    proxy.next(Fault::cut_answer, "COMMIT;", [&] {
        kill_all_of(primary);
        promoter = std::thread([&] { promote(standby); });
    });
    const auto done = p->transaction(increment);
    promoter.join();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->attempts, 2);
    EXPECT_EQ(value(standby, "SELECT n FROM public.counter"), "2");
}

TEST_P(ClientCluster, ACommitThatWasReplicatedBeforeTheCrashIsResolvedOnTheNewPrimary) {
    value(primary, outcome_table_sql("public.relevo_outcome"));
    Proxy proxy(primary.port);
    auto o = options({proxy.port(), standby.port});
    o.outcome_table = "public.relevo_outcome";
    const auto p = pool(o);
    ASSERT_TRUE(p->transaction(increment));
    std::thread promoter;
    proxy.next(Fault::cut_answer, "COMMIT;", [&] {
        EXPECT_TRUE(becomes(standby, "SELECT n FROM public.counter", "2"));
        kill_all_of(primary);
        promoter = std::thread([&] { promote(standby); });
    });
    const auto done = p->transaction(increment);
    promoter.join();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(done->resolved);
    EXPECT_EQ(done->attempts, 1);
    EXPECT_EQ(value(standby, "SELECT n FROM public.counter"), "2");
}

// A frozen host acknowledges what is sent and answers nothing.
TEST_P(ClientCluster, AFrozenPrimaryIsLeftWhenAnotherOneIsThere) {
    const auto p = pool(options({primary.port, standby.port}));
    ASSERT_TRUE(p->transaction(increment));
    ASSERT_TRUE(becomes(standby, "SELECT n FROM public.counter", "1"));
    const auto postmaster = postmaster_of(primary);
    const auto children = children_of(postmaster);
    ::kill(postmaster, SIGSTOP);
    for (const auto pid : children) ::kill(pid, SIGSTOP);
    promote(standby);
    const auto began = std::chrono::steady_clock::now();
    const auto done = p->transaction(increment);
    const auto took = std::chrono::steady_clock::now() - began;
    for (const auto pid : children) ::kill(pid, SIGCONT);
    ::kill(postmaster, SIGCONT);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_LT(took, 10s);
    EXPECT_EQ(value(standby, "SELECT n FROM public.counter"), "2");
}

}  // namespace
}  // namespace relevo::client
