#include "cluster/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

MemberStream full() {
    MemberStream s;
    s.sequence = 7;
    s.scope = "demo";
    s.system_id = "7711188255317205645";
    s.name = "pg-1";
    s.seen = SeenLeader{"pg-1", 42};
    s.term = 42;
    s.serves_for = 4200ms;
    s.hold = PoolerHold{9, 2000ms};
    s.suspects = 41;
    s.primary = true;
    s.timeline = s.leader_timeline = 3;
    s.lag_bytes = 10;
    s.lag_ms = 20ms;
    s.host = "10.0.0.1";
    s.port = 5432;
    s.members = {{"pg-1", "http://10.0.0.1:8008/patroni", "10.0.0.1", 5432}};
    return s;
}

TEST(Stream, IsReadAsItWasWritten) {
    const auto read = parse_stream(to_json(full()));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, full());
    auto standby = full();
    standby.seen.reset();
    standby.hold.reset();
    standby.standby = standby.streaming = standby.noloadbalance = true;
    EXPECT_EQ(*parse_stream(to_json(standby)), standby);
}

TEST(Stream, TimesAndPositionsAreNoNewsButTheEndOfARightIs) {
    auto other = full();
    other.sequence = 8;
    other.serves_for = 100ms;
    other.lag_bytes = 1000;
    EXPECT_TRUE(full().same_news(other));
    other.serves_for = 0ms;
    EXPECT_FALSE(full().same_news(other));
    other = full();
    other.hold.reset();
    EXPECT_FALSE(full().same_news(other));
}

TEST(Stream, WhatIsNoneIsRefusedWithAReason) {
    EXPECT_THAT(parse_stream("[]").error().message, HasSubstr("object"));
    EXPECT_THAT(parse_stream("{}").error().message, HasSubstr("whose"));
    EXPECT_FALSE(parse_stream(R"({"name":"a","term":-1})"));
    EXPECT_FALSE(parse_stream(R"({"name":"a","hold":3})"));
    EXPECT_FALSE(parse_stream(R"({"name":"a","members":{}})"));
}

TEST(GatewayReport, IsReadAsItWasWritten) {
    GatewayReport report;
    report.name = "gw";
    report.since = 12;
    report.wait = 300ms;
    report.positions = true;
    EXPECT_EQ(*parse_gateway_report(to_json(report)), report);
    report.hold = 5;
    report.outcome = GatewayReport::Outcome::blocked;
    report.blockers = {{4711, "app", "workflow", "10.0.0.7", "select 1", 5200ms}};
    EXPECT_EQ(*parse_gateway_report(to_json(report)), report);
    EXPECT_EQ(describe(report.blockers[0]),
              "pid 4711, user app, database workflow, from 10.0.0.7, for 5.2 s: select 1");
    EXPECT_FALSE(parse_gateway_report("{}"));
    EXPECT_FALSE(parse_gateway_report(R"({"name":7})"));
}

}  // namespace
}  // namespace relevo::cluster
