#include "pgbouncer/ini.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::pgbouncer {
namespace {

using ports::Route;
using ::testing::HasSubstr;
using ::testing::Not;

IniPlan plan() {
    IniPlan made;
    made.directory = "/run/relevo-gateway/0";
    made.listen_host = "0.0.0.0";
    made.listen_port = 6432;
    made.databases = {{"workflow", Route::writes, "", ""},
                      {"workflow_ro", Route::reads, "workflow", ""}};
    made.routes.writes = ports::Endpoint{"10.0.0.1", 5432};
    made.routes.reads = {{"10.0.0.2", 5432}, {"10.0.0.3", 5432}};
    return made;
}

TEST(Ini, HasTheSettingsOfTheAdrAndThoseThatAFailoverNeeds) {
    const auto text = render(plan());
    ASSERT_TRUE(text);
    for (const char* line :
         {"\npool_mode = transaction\n", "\nmax_client_conn = 1000\n", "\ndefault_pool_size = 25\n",
          "\nserver_login_retry = 0.1\n", "\ntcp_user_timeout = 2000\n",
          "\nquery_wait_timeout = 30\n", "\nworkflow = host=10.0.0.1 port=5432 dbname=workflow\n",
          "\nworkflow_ro = host=10.0.0.2,10.0.0.3 port=5432 dbname=workflow\n"})
        EXPECT_THAT(*text, HasSubstr(line));
    EXPECT_THAT(*text, Not(HasSubstr("so_reuseport")));
}

TEST(Ini, TheUsersSettingsStandButForThoseThatAFailoverNeeds) {
    auto made = plan();
    const auto user = parse_ini(
        "; mine\n[pgbouncer]\nserver_login_retry = 15\ndefault_pool_size=50\nlisten_port = 7\n"
        "[databases]\nother = host=db2\nworkflow = host=elsewhere\n[users]\nbob = "
        "pool_mode=session\n");
    ASSERT_TRUE(user) << user.error().message;
    made.user = *user;
    const auto text = render(made);
    ASSERT_TRUE(text);
    EXPECT_THAT(*text, HasSubstr("\nserver_login_retry = 0.1\n"));
    EXPECT_THAT(*text, HasSubstr("\ndefault_pool_size = 50\n"));
    EXPECT_THAT(*text, HasSubstr("\nlisten_port = 6432\n"));
    EXPECT_THAT(*text, HasSubstr("\nother = host=db2\n"));
    EXPECT_THAT(*text, HasSubstr("\nbob = pool_mode=session\n"));
    EXPECT_THAT(*text, Not(HasSubstr("elsewhere")));
    const auto lines = overridden(made);
    ASSERT_EQ(lines.size(), 3U);
    EXPECT_THAT(lines[0], HasSubstr("listen_port = 7 is not taken"));
    EXPECT_THAT(lines[1], HasSubstr("server_login_retry = 15 is not taken: 0.1"));
    EXPECT_THAT(lines[2], HasSubstr("database workflow"));
}

TEST(Ini, WhatTheUserKeepsIsNamedAndTaken) {
    auto made = plan();
    made.user.settings["server_login_retry"] = "5";
    made.kept = {"server_login_retry"};
    EXPECT_THAT(*render(made), HasSubstr("\nserver_login_retry = 5\n"));
    ASSERT_EQ(overridden(made).size(), 1U);
    EXPECT_THAT(overridden(made)[0], HasSubstr("is taken as keep_own says"));
}

TEST(Ini, ARouteToNobodyLeadsNowhere) {
    auto made = plan();
    made.routes = {};
    EXPECT_THAT(*render(made), HasSubstr("\nworkflow = host=127.0.0.1 port=1 dbname=workflow\n"));
}

TEST(Ini, SeveralProcessesShareThePort) {
    auto made = plan();
    made.reuse_port = true;
    EXPECT_THAT(*render(made), HasSubstr("\nso_reuseport = 1\n"));
}

TEST(Ini, ProcessesKnowEachOtherWhereThePgBouncerCan) {
    auto made = plan();
    made.number = 1;
    EXPECT_THAT(*render(made), Not(HasSubstr("peer")));
    made.peers = {"/run/relevo-gateway/0", "/run/relevo-gateway/1"};
    const auto text = render(made);
    ASSERT_TRUE(text);
    EXPECT_THAT(*text, HasSubstr("\npeer_id = 2\n"));
    EXPECT_THAT(*text, HasSubstr("\n[peers]\n1 = host=/run/relevo-gateway/0 port=6432\n"
                                 "2 = host=/run/relevo-gateway/1 port=6432\n"));
    made.user.settings["peer_id"] = "7";
    EXPECT_THAT(*render(made), HasSubstr("\npeer_id = 2\n"));
    EXPECT_THAT(overridden(made).at(0), HasSubstr("peer_id = 7 is not taken"));
}

// PgBouncer reads to the first mistake, and no further.
TEST(Ini, WhatTellsThatAllOfItWasReadIsLast) {
    auto made = plan();
    made.generation = "4711";
    made.user.users = {{"bob", "pool_mode=session"}};
    made.peers = {"/run/a", "/run/b"};
    EXPECT_TRUE(render(made)->ends_with("\nrelevo-gateway = host=127.0.0.1 port=1 dbname=4711\n"));
}

TEST(Ini, ADatabaseLeadsWhereShowDatabasesWillSay) {
    const auto made = plan();
    EXPECT_EQ(place_of(made.databases[0], made.routes), (Place{"10.0.0.1", 5432}));
    EXPECT_EQ(place_of(made.databases[1], made.routes), (Place{"10.0.0.2,10.0.0.3", 5432}));
    EXPECT_EQ(place_of(made.databases[1], {}), (Place{"127.0.0.1", 1}));
}

TEST(Ini, WhatIsWrongIsSaidWithItsLine) {
    const auto error = [](const char* text) {
        const auto read = parse_ini(text);
        return read ? "" : read.error().message;
    };
    EXPECT_THAT(error("[pgbouncer]\nauth_type\n"), HasSubstr("line 2: expected name = value"));
    EXPECT_THAT(error("a = b\n"), HasSubstr("line 1: it stands before the first section"));
    EXPECT_THAT(error("[servers]\n"), HasSubstr("line 1: the sections are"));
    EXPECT_THAT(error("[databases\n"), HasSubstr("line 1"));
    EXPECT_THAT(error("\n[peers]\n"), HasSubstr("line 2: [peers] is not taken"));
    EXPECT_THAT(error("%include\n"), HasSubstr("names no file"));
}

TEST(Ini, NothingCanBreakOutOfItsLine) {
    auto made = plan();
    made.settings["auth_file"] = "/x\nadmin_users = *";
    EXPECT_FALSE(render(made));
    made = plan();
    made.databases[0].options = "user=a\n[users]";
    EXPECT_FALSE(render(made));
    made = plan();
    made.databases[0].dbname = "it's";
    EXPECT_THAT(*render(made), HasSubstr("dbname='it''s'"));
}

TEST(Ini, NoBytesOfAFileMakeItFall) {
    const std::string alphabet =
        "[]=;#%\n\t\r ab'\"\0\xff"
        "include";
    std::uint32_t dice = 4711;
    for (int round = 0; round < 20000; ++round) {
        std::string text;
        for (int i = 0; i < 40; ++i) {
            dice = dice * 1664525 + 1013904223;
            text += alphabet[(dice >> 16) % alphabet.size()];
            if ((dice >> 8) % 16 == 0) text += "\n[databases]\n";
        }
        auto made = plan();
        if (auto read = parse_ini(text)) {
            made.user = *read;
            if (const auto written = render(made)) EXPECT_TRUE(parse_ini(*written));
        }
    }
}

}  // namespace
}  // namespace relevo::pgbouncer
