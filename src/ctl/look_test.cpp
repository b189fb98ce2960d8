// The commands that only look, from the words to the text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Look : public testing::Test, public World {
protected:
    Look() { three_members(); }
};

TEST_F(Look, listUsesTheConfiguredScope) {
    EXPECT_EQ(run({"list"}), 0);
    EXPECT_THAT(terminal.output, StartsWith("+ Cluster: orders (7400000000000000001) -"));
    EXPECT_THAT(terminal.output, HasSubstr("| db-a   | 10.1.0.11 | Leader  | running   |"));
    EXPECT_EQ(terminal.errors, "");
}

TEST_F(Look, listAsksAMemberThatIsBeingMadeHowFarItIs) {
    store().put("members/db-c",
                R"({"conn_url":"postgres://10.1.0.13:5432/postgres",)"
                R"("api_url":"http://db-c:8008/patroni","state":"creating replica",)"
                R"("role":"replica","version":"4.1.4"})");
    http.answer(
        "GET db-c /patroni", 503,
        R"({"state": "creating replica", "role": "replica", "copy": {"method": )"
        R"("pgbackrest", "done_bytes": 1000, "total_bytes": 2147483648, "percent": 43.21}})");
    EXPECT_EQ(run({"list"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("| 43% of 2.0 GB (pgbackrest) |"));
    EXPECT_THAT(http.sent, testing::ElementsAre("GET db-c /patroni"));
}

TEST_F(Look, listDoesWithoutTheWordOfAMemberThatDoesNotAnswer) {
    store().put("members/db-c",
                R"({"conn_url":"postgres://10.1.0.13:5432/postgres",)"
                R"("api_url":"http://db-c:8008/patroni","state":"creating replica",)"
                R"("role":"replica","version":"4.1.4"})");
    EXPECT_EQ(run({"list"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("creating replica"));
    EXPECT_THAT(terminal.output, testing::Not(HasSubstr("Copied")));
    EXPECT_EQ(terminal.errors, "");
}

TEST_F(Look, listWithoutAnyClusterWarnsAndSucceeds) {
    scope = "";
    EXPECT_EQ(run({"list"}), 0);
    EXPECT_EQ(terminal.output, "");
    EXPECT_THAT(terminal.errors, StartsWith("Warning: no cluster name"));
}

TEST_F(Look, listPrintsTheTimeFirst) {
    EXPECT_EQ(run({"list", "-t"}), 0);
    EXPECT_THAT(terminal.output, StartsWith("2030-03-17 19:46:40\n+ Cluster"));
}

TEST_F(Look, listTakesFormatsAndSeveralClusters) {
    EXPECT_EQ(run({"list", "orders", "other", "-f", "tsv"}), 0);
    EXPECT_THAT(terminal.output, StartsWith("Cluster\tMember\tHost"));
    EXPECT_THAT(terminal.output, HasSubstr("\norders\tdb-b\t10.1.0.12\tReplica\tstreaming"));
    terminal.output.clear();
    EXPECT_EQ(run({"list", "--format=yml"}), 0);
    EXPECT_THAT(terminal.output, StartsWith("- Cluster: orders\n"));
}

TEST_F(Look, aWatchedListComesAgain) {
    clock.sleeps_max = 2;
    EXPECT_THROW(run({"list", "-W"}), FakeClock::Interrupted);
    EXPECT_EQ(terminal.cleared, 3);
    EXPECT_EQ(clock.time, Instant(std::chrono::seconds(4)));
}

TEST_F(Look, aWatchedListOutlivesAnUnreachableDcs) {
    clock.sleeps_max = 2;
    store().broken = Error{ErrorCode::unavailable, "no etcd"};
    EXPECT_THROW(run({"list", "-w", "0.5"}), FakeClock::Interrupted);
    EXPECT_EQ(clock.time, Instant(std::chrono::seconds(1)));
    EXPECT_THAT(terminal.errors, HasSubstr("Error: no etcd\n"));
}

TEST_F(Look, anUnreachableDcsIsAnError) {
    store().broken = Error{ErrorCode::unavailable, "no etcd"};
    EXPECT_EQ(run({"list"}), 1);
    EXPECT_EQ(terminal.errors, "Error: no etcd\n");
}

TEST_F(Look, topologyIsATree) {
    EXPECT_EQ(run({"topology"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("|   + db-c "));
}

TEST_F(Look, historyIsATable) {
    store().put("history", R"([[1,67382056,"no recovery target specified",)"
                           R"("2026-01-02T03:04:05+00:00","db-a"],[2,67382100,"why"]])");
    EXPECT_EQ(run({"history"}), 0);
    EXPECT_EQ(
        terminal.output,
        R"(+----+----------+------------------------------+---------------------------+------------+
| TL |      LSN | Reason                       | Timestamp                 | New Leader |
+----+----------+------------------------------+---------------------------+------------+
|  1 | 67382056 | no recovery target specified | 2026-01-02T03:04:05+00:00 | db-a       |
|  2 | 67382100 | why                          |                           |            |
+----+----------+------------------------------+---------------------------+------------+
)");
}

TEST_F(Look, historySpeaksJson) {
    EXPECT_EQ(run({"history", "-f", "json"}), 0);
    EXPECT_EQ(terminal.output, "[]\n");
    store().put("history", R"([[1,67382056,"why","2026-01-02T03:04:05+00:00","db-a"]])");
    terminal.output.clear();
    EXPECT_EQ(run({"history", "orders", "-f", "json"}), 0);
    EXPECT_EQ(terminal.output, R"([{"TL": 1, "LSN": 67382056, "Reason": "why", )"
                               R"("Timestamp": "2026-01-02T03:04:05+00:00", "New Leader": "db-a"}])"
                               "\n");
}

TEST_F(Look, dsnIsTheLeadersByDefault) {
    EXPECT_EQ(run({"dsn"}), 0);
    EXPECT_EQ(run({"dsn", "-r", "replica"}), 0);
    EXPECT_EQ(run({"dsn", "orders", "-m", "db-c"}), 0);
    EXPECT_EQ(terminal.output,
              "host=10.1.0.11 port=5432\nhost=10.1.0.12 port=5432\nhost=10.1.0.13 port=5432\n");
}

TEST_F(Look, dsnOfAllIsAListThatLibpqFindsTheRoleIn) {
    const std::string list = "host=10.1.0.11,10.1.0.12,10.1.0.13 port=5432,5432,5432 ";
    EXPECT_EQ(run({"dsn", "--all"}), 0);
    EXPECT_EQ(run({"dsn", "--all", "-r", "replica"}), 0);
    EXPECT_EQ(run({"dsn", "--all", "-r", "any"}), 0);
    EXPECT_EQ(terminal.output, list + "target_session_attrs=read-write\n" + list +
                                   "target_session_attrs=prefer-standby\n" + list +
                                   "target_session_attrs=any\n");
    EXPECT_EQ(run({"dsn", "--all", "-m", "db-a"}), 1);
    EXPECT_EQ(run({"dsn", "--all", "-r", "standby-leader"}), 1);
}

TEST_F(Look, dsnOfNobodyIsAnError) {
    EXPECT_EQ(run({"dsn", "-m", "db-x"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("choose among db-a, db-b, db-c"));
    EXPECT_EQ(run({"dsn", "-m", "db-a", "-r", "leader"}), 1);
    EXPECT_EQ(run({"dsn", "-r", "standby-leader"}), 1);
    EXPECT_EQ(terminal.output, "");
}

TEST_F(Look, versionAsksTheMembers) {
    http.answer("GET db-a /patroni", 200,
                R"({"server_version": 150020, "patroni": {"version": "4.1.4"}})");
    http.answer("GET db-b /patroni", 200,
                R"({"server_version": 90603, "patroni": {"version": "4.1.4"}})");
    EXPECT_EQ(run({"version", "orders", "db-a", "db-b"}), 0);
    EXPECT_EQ(terminal.output,
              "relevoctl version 1.2.3\n\n"
              "db-a: Patroni 4.1.4 PostgreSQL 15.20\ndb-b: Patroni 4.1.4 PostgreSQL 9.6.3\n");
    EXPECT_EQ(run({"--strict", "version", "orders", "db-c"}), 1);
    EXPECT_THAT(terminal.output, HasSubstr("db-c: no answer: connection refused\n"));
}

TEST_F(Look, versionNeedsNoConfiguration) {
    no_configuration = Error{ErrorCode::invalid, "none"};
    EXPECT_EQ(run({"version"}), 0);
    EXPECT_EQ(terminal.output, "relevoctl version 1.2.3\n");
}

TEST_F(Look, queryAsksTheLeaderAndPrintsTsv) {
    sql.result = SqlTable{.columns = {"a", "b"}, .rows = {{"1", "x"}, {"2", ""}}};
    EXPECT_EQ(run({"query", "-c", "select", "-U", "joe"}), 0);
    EXPECT_EQ(terminal.output, "a\tb\n1\tx\n2\t\n");
    EXPECT_THAT(sql.asked, testing::ElementsAre("10.1.0.11:5432 joe postgres - select"));
}

TEST_F(Look, queryTakesAFileADatabaseAndAPassword) {
    desk.files["q.sql"] = "select 2";
    terminal.typed = {"secret"};
    sql.result = SqlTable{.columns = {"a"}, .rows = {{"1"}}};
    EXPECT_EQ(
        run({"query", "-f", "q.sql", "-d", "app", "--password", "-m", "db-b", "--format", "json"}),
        0);
    EXPECT_EQ(terminal.output, "[{\"a\": \"1\"}]\n");
    EXPECT_THAT(sql.asked, testing::ElementsAre("10.1.0.12:5432  app secret select 2"));
}

TEST_F(Look, aQueryThatFailsIsARow) {
    sql.result = std::unexpected(SqlError{"42P01", "relation \"x\" does not exist\n"});
    EXPECT_EQ(run({"query", "-c", "select"}), 0);
    EXPECT_EQ(terminal.output,
              "timestamp\terror\tsqlstate\n"
              "2030-03-17 19:46:40\trelation \"x\" does not exist\t42P01\n");
    EXPECT_EQ(run({"query", "-c", "select", "--strict"}), 1);
}

TEST_F(Look, queryWantsOneStatement) {
    EXPECT_EQ(run({"query"}), 1);
    EXPECT_EQ(run({"query", "-c", "x", "-f", "y"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("--command"));
}

TEST_F(Look, aBadKeyIsNamedAndTheRestShown) {
    store().put("sync", "{nonsense");
    EXPECT_EQ(run({"list"}), 0);
    EXPECT_THAT(terminal.errors, StartsWith("Warning: key sync of cluster orders"));
    EXPECT_THAT(terminal.output, HasSubstr("db-a"));
}

TEST_F(Look, aTerminalIsColoured) {
    terminal.is_terminal = true;
    EXPECT_EQ(run({"list"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("\x1b[1;32mLeader\x1b[0m"));
}

}  // namespace
}  // namespace relevo::ctl
