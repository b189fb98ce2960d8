// What PgBouncer is told and asked, by its version: against a console that answers as 1.18, 1.21,
// 1.23 and 1.24 do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

#include "os/file.h"
#include "os/test_loop.h"
#include "pgbouncer/fake_console.h"
#include "pgbouncer/ini.h"
#include "pgbouncer/pgbouncer.h"

namespace relevo::pgbouncer {
namespace {

using ports::Route;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int port = 6432;

class ConsoleTest : public ::testing::Test {
public:
    ConsoleTest() {
        options.program = "/nowhere/pgbouncer";
        options.unit = "pgbouncer-relevo@";
        options.directory = directory;
        options.listen_host = "127.0.0.1";
        options.listen_port = port;
        options.databases = {{"workflow", Route::writes, "", ""},
                             {"workflow_ro", Route::reads, "workflow", ""}};
        routes.writes = ports::Endpoint{"192.0.2.1", 5432};
        routes.term = 7;
        routes.reads = {{"192.0.2.2", 5432}, {"192.0.2.3", 5432}};
    }
    ~ConsoleTest() override {
        pooler.reset();
        consoles.clear();
        (void)os::remove_tree(directory);
    }

protected:
    // Process `number` answers as this version.
    testing::FakeConsole& be(const std::string& version, int number = 0) {
        const auto home = directory + "/" + std::to_string(number);
        auto& one =
            *consoles.emplace_back(std::make_unique<testing::FakeConsole>(loop.loop, home, port));
        one.shows("SHOW VERSION", {"version"}, {{version}});
        one.shows("SHOW CONFIG", {"key", "value"},
                  {{"auth_type", "md5"}, {"conffile", home + "/pgbouncer.ini"}});
        // Done in either case, as before 1.25.
        one.does("RELOAD", [this, home] {
            const auto text = os::read_file(home + "/pgbouncer.ini").value_or("");
            const auto at = text.find("\n[databases]\n");
            if (!text.contains("bogus") && at != std::string::npos)
                databases[home] = parse_ini(text.substr(at))->databases;
            return testing::FakeConsole::Answer{};
        });
        one.does("SHOW DATABASES", [this, home] {
            Table table{{"name", "database", "paused"}, {}};
            for (const auto& [name, connection] : databases[home])
                table.rows.push_back({name, connection.substr(connection.rfind('=') + 1), "0"});
            return testing::FakeConsole::Answer{"", std::move(table)};
        });
        one.shows("SHOW POOLS", {"database", "cl_active", "cl_waiting", "sv_active", "sv_idle"},
                  {{"workflow", "3", "1", "2", "4"}});
        one.shows("SHOW STATS_TOTALS", {"database", "xact_count"}, {{"workflow", "5"}});
        one.shows("SHOW SERVERS",
                  {"type", "addr", "port", "local_addr", "local_port", "ptr", "link"},
                  {{"S", "192.0.2.1", "5432", "127.0.0.1", "40000", "0xa", "0xc1"},
                   {"S", "192.0.2.1", "5432", "127.0.0.1", "40001", "0xb", ""},
                   {"S", "192.0.2.9", "5432", "127.0.0.1", "40002", "0xd", "0xc3"}});
        one.shows(
            "SHOW CLIENTS", {"type", "ptr", "link", "id"},
            {{"C", "0xc1", "0xa", "11"}, {"C", "0xc2", "", "12"}, {"C", "0xc3", "0xd", "13"}});
        return one;
    }
    PgBouncer& made() {
        pooler = std::make_unique<PgBouncer>(loop.loop, loop.pool, options, [](const Status&) {});
        pooler->end_connections_by([this](const std::vector<TcpPair>& pairs) -> Result<int> {
            EXPECT_EQ(pairs.size(), 2U * static_cast<unsigned>(options.processes));
            if (may_end) return static_cast<int>(pairs.size());
            return fail(ErrorCode::denied, "CAP_NET_ADMIN is missing");
        });
        return *pooler;
    }
    PgBouncer& led() {
        auto& one = made();
        const auto started = loop.await(one.start(routes));
        EXPECT_TRUE(started) << started.error().message;
        EXPECT_TRUE(one.running());
        return one;
    }
    std::string refused() {
        const auto started = loop.await(made().start(routes));
        EXPECT_FALSE(pooler->running());
        return started ? "" : started.error().message;
    }
    std::string ini(int number = 0) const {
        return os::read_file(directory + "/" + std::to_string(number) + "/pgbouncer.ini")
            .value_or("");
    }

    os::TestLoop loop;
    std::string directory = os::make_temporary_directory("relevo-console-").value();
    Options options;
    ports::Routes routes;
    bool may_end = false;
    std::map<std::string, std::vector<std::pair<std::string, std::string>>> databases;  // taken
    std::vector<std::unique_ptr<testing::FakeConsole>> consoles;
    std::unique_ptr<PgBouncer> pooler;
};

TEST_F(ConsoleTest, OneThatSystemdRunsIsFoundAndLed) {
    auto& console = be("PgBouncer 1.18.0");
    led();
    EXPECT_THAT(ini(), HasSubstr("\nworkflow = host=192.0.2.1 port=5432"));
    EXPECT_THAT(console.asked(), Contains("RELOAD"));
    console.says("PAUSE \"workflow\"", {});
    console.says("RESUME \"workflow\"", {});
    const auto held = loop.await(pooler->hold(Route::writes, std::chrono::seconds(1)));
    ASSERT_TRUE(held) << held.error().message;
    EXPECT_TRUE(held->empty());
    EXPECT_TRUE(loop.await(pooler->release(Route::writes)));
    console.forget();
    loop.await(pooler->stop(true));
    EXPECT_TRUE(console.asked().empty()) << "it is not ours to end";
}

TEST_F(ConsoleTest, OneThatIsNotThereIsNamedWithWhatToType) {
    EXPECT_THAT(refused(), HasSubstr("systemctl start pgbouncer-relevo@0"));
    EXPECT_THAT(ini(), HasSubstr("\nworkflow = host=192.0.2.1 port=5432"))
        << "so that it can start";
    os::write_file(directory + "/0/pgbouncer.log",
                   "2026-11-26 05:00:00.000 UTC [7] WARNING cannot listen on 127.0.0.1:6432\n",
                   0600)
        .value();
    EXPECT_THAT(refused(), HasSubstr("the last that it said: WARNING cannot listen on 127.0.0.1"));
}

TEST_F(ConsoleTest, OneThatReadsAnotherFileIsNotTaken) {
    auto& console = be("PgBouncer 1.18.0");
    console.shows("SHOW CONFIG", {"key", "value"}, {{"conffile", "/etc/pgbouncer/pgbouncer.ini"}});
    const auto why = refused();
    EXPECT_THAT(why, HasSubstr("reads /etc/pgbouncer/pgbouncer.ini, not " + directory));
    EXPECT_THAT(why, HasSubstr("pgbouncer-relevo@0"));
    EXPECT_THAT(console.asked(), Not(Contains("RELOAD")));
}

// It answers RELOAD all the same.
TEST_F(ConsoleTest, AFileThatItDoesNotTakeIsNoticedAndTakenBack) {
    be("PgBouncer 1.18.0");
    auto& one = led();
    os::write_file(directory + "/0/pgbouncer.log",
                   "2026-11-26 05:00:00.000 UTC [7] ERROR invalid value \"bogus\" for parameter "
                   "pool_mode in configuration\n"
                   "2026-11-26 05:00:00.000 UTC [7] WARNING config file loading failed\n",
                   0600)
        .value();
    auto wrong = options;
    wrong.settings["pool_mode"] = "bogus";
    const auto told = loop.await(one.apply(wrong));
    ASSERT_FALSE(told);
    EXPECT_THAT(told.error().message, HasSubstr("goes on as before: ERROR invalid value"));
    EXPECT_THAT(ini(), Not(HasSubstr("bogus"))) << "it would not start again";
    routes.writes = ports::Endpoint{"192.0.2.2", 5432};
    const auto moved = loop.await(one.repoint(routes));
    EXPECT_TRUE(moved) << moved.error().message;
    EXPECT_THAT(ini(), HasSubstr("\nworkflow = host=192.0.2.2 port=5432"));
}

TEST_F(ConsoleTest, OneOfAnotherUserLetsNobodyIn) {
    be("PgBouncer 1.18.0").asks_for_a_password();
    EXPECT_THAT(refused(), HasSubstr("must run as one user"));
}

TEST_F(ConsoleTest, AnOldOneIsAskedNothingNew) {
    for (const char* version : {"PgBouncer 1.18.0", "PgBouncer, freshly pressed"}) {
        auto& console = be(version);
        auto& one = led();
        const auto dropped = loop.await(one.drop(*routes.writes));
        ASSERT_FALSE(dropped);
        EXPECT_EQ(dropped.error().code, ErrorCode::denied);
        const auto stats = loop.await(one.stats());
        ASSERT_TRUE(stats) << stats.error().message;
        ASSERT_EQ(stats->databases.size(), 1U);
        EXPECT_EQ(stats->databases[0].transactions, 5U);
        for (const auto& statement : console.asked()) {
            EXPECT_THAT(statement, Not(StartsWith("KILL")));
            EXPECT_NE(statement, "SHOW STATE");
        }
        pooler.reset();
        consoles.clear();
    }
}

TEST_F(ConsoleTest, From119OnItTellsThatItWasPausedByHand) {
    auto& console = be("PgBouncer 1.21.0");
    console.shows("SHOW STATE", {"key", "value"},
                  {{"active", "no"}, {"paused", "yes"}, {"suspended", "no"}});
    auto& one = led();
    const auto stats = loop.await(one.stats());
    ASSERT_TRUE(stats) << stats.error().message;
    EXPECT_EQ(stats->version, "PgBouncer 1.21.0");
    EXPECT_EQ(stats->stopped_by_hand, "paused");
    console.shows("SHOW STATE", {"key", "value"}, {{"active", "yes"}, {"paused", "no"}});
    EXPECT_EQ(loop.await(one.stats())->stopped_by_hand, "");
}

TEST_F(ConsoleTest, From119OnProcessesPassCancelRequestsOn) {
    options.processes = 2;
    be("PgBouncer 1.21.0", 0);
    be("PgBouncer 1.21.0", 1);
    led();
    for (int number : {0, 1}) {
        EXPECT_THAT(ini(number), HasSubstr("\npeer_id = " + std::to_string(number + 1) + "\n"));
        EXPECT_THAT(ini(number), HasSubstr("\n2 = host=" + directory + "/1 port=6432\n"));
    }
    pooler.reset();
    consoles.clear();
    be("PgBouncer 1.18.0", 0);
    be("PgBouncer 1.18.0", 1);
    led();
    EXPECT_THAT(ini(0), Not(HasSubstr("peer"))) << "it would refuse the file";
}

TEST_F(ConsoleTest, From124OnClientsOfALostServerAreEndedWhereTheirConnectionsCannotBe) {
    auto& console = be("PgBouncer 1.24.1");
    console.says("KILL_CLIENT 11", {});
    auto& one = led();
    const auto dropped = loop.await(one.drop(*routes.writes));
    ASSERT_TRUE(dropped) << dropped.error().message;
    EXPECT_EQ(*dropped, 1);
    EXPECT_EQ(
        std::ranges::count_if(console.asked(), [](const auto& s) { return s.starts_with("KILL"); }),
        1)
        << "neither those that wait, nor those of other servers";

    // It ended by itself meanwhile.
    console.says("KILL_CLIENT 11", {"client not found", {}});
    EXPECT_EQ(loop.await(one.drop(*routes.writes)).value_or(-1), 0);

    console.forget();
    may_end = true;
    EXPECT_EQ(loop.await(one.drop(*routes.writes)).value_or(-1), 2);
    EXPECT_THAT(console.asked(), Not(Contains("SHOW CLIENTS"))) << "the kernel did it";
}

TEST_F(ConsoleTest, OneOf123HasNoSuchVerb) {
    be("PgBouncer 1.23.1");
    EXPECT_FALSE(loop.await(led().drop(*routes.writes)));
}

}  // namespace
}  // namespace relevo::pgbouncer
