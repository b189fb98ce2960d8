#include "client/hosts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "relevo/pool.h"

namespace relevo::client {
namespace {

std::string keyword(const Conninfo& info, const std::string& name) {
    const auto at =
        std::ranges::find(info.keywords, name, [](const auto& entry) { return entry.first; });
    return at == info.keywords.end() ? "" : at->second;
}

TEST(ConninfoTest, TakesSeveralHostsInBothForms) {
    for (const auto* text : {"host=a,b,c port=1,2,3 dbname=app user=me",
                             "postgresql://me@a:1,b:2,c:3/app?target_session_attrs=read-write"}) {
        const auto info = parse_conninfo(text);
        ASSERT_TRUE(info) << text;
        ASSERT_EQ(info->hosts.size(), 3u);
        EXPECT_EQ(info->hosts[1], (Endpoint{"b", "", "2"}));
        EXPECT_EQ(keyword(*info, "dbname"), "app");
        EXPECT_EQ(keyword(*info, "target_session_attrs"), "");
        EXPECT_EQ(keyword(*info, "host"), "");
    }
}

TEST(ConninfoTest, SetsWhatNoticesADeadPeerUnlessToldOtherwise) {
    EXPECT_EQ(keyword(*parse_conninfo("host=a"), "tcp_user_timeout"), "5000");
    EXPECT_EQ(keyword(*parse_conninfo("host=a tcp_user_timeout=7"), "tcp_user_timeout"), "7");
}

TEST(ConninfoTest, SaysWhatIsMissingAndNeverRepeatsASecret) {
    for (const auto* text : {"dbname=app", "host=a,b port=1,2,3", "host=a,b hostaddr=127.0.0.1",
                             "host=a password='hidden", "nonsense hidden"}) {
        const auto info = parse_conninfo(text);
        ASSERT_FALSE(info) << text;
        EXPECT_EQ(info.error().kind, Kind::invalid);
        EXPECT_EQ(info.error().message.find("hidden"), std::string::npos);
    }
}

TEST(LookUp, KeepsDirectoriesAndAddressesAndLeavesOutWhatHasNone) {
    boost::asio::io_context io;
    auto found = boost::asio::co_spawn(io,
                                       look_up(io.get_executor(),
                                               {{"/tmp", "", "1"},
                                                {"127.0.0.9", "", "2"},
                                                {"no.such.name.invalid", "", "3"},
                                                {"named", "127.0.0.8", "4"}},
                                               Clock::now() + std::chrono::seconds(10)),
                                       boost::asio::use_future);
    io.run();
    const std::vector<Endpoint> wanted{
        {"/tmp", "", "1"}, {"127.0.0.9", "127.0.0.9", "2"}, {"named", "127.0.0.8", "4"}};
    EXPECT_EQ(found.get(), wanted);
}

TEST(PoolOptions, MistakesAreNamedBeforeAnythingIsTried) {
    boost::asio::io_context io;
    const auto problem = [&](Options options) {
        const auto pool = Pool::make(io.get_executor(), std::move(options));
        return pool ? "" : pool.error().message;
    };
    EXPECT_NE(problem({.conninfo = "dbname=x"}).find("names no host"), std::string::npos);
    EXPECT_NE(problem({.conninfo = "host=a", .size = 0}).find("size"), std::string::npos);
    EXPECT_NE(problem({.conninfo = "host=a", .outcome_table = "x; DROP"}).find("outcome_table"),
              std::string::npos);
    EXPECT_EQ(problem({.conninfo = "host=a"}), "");
}

}  // namespace
}  // namespace relevo::client
