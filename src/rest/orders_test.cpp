#include "rest/orders.h"

#include <gtest/gtest.h>

namespace relevo::rest {
namespace {

const WallTime now{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};

template <class T>
int status(const Parsed<T>& parsed) {
    return parsed ? 200 : parsed.error().status;
}

struct Case {
    const char* body;
    int status;
};

TEST(Orders, ARequiredBodyIsAnObjectWithSomethingInIt) {
    for (const auto& [body, expected] : {Case{"", 400},
                                         {"{", 400},
                                         {"[]", 400},
                                         {"1", 400},
                                         {"null", 400},
                                         {"{}", 400},
                                         {"{\"a\":1} x", 400},
                                         {"{\"ttl\":20}", 200}}) {
        EXPECT_EQ(status(parse_object_body(body)), expected) << body;
    }
}

TEST(Orders, ASwitchoverIsCheckedForItsForm) {
    const auto* good = R"({"leader":"a","candidate":"b"})";
    EXPECT_EQ(parse_switchover(good, false, false, now)->candidate, "b");
    EXPECT_EQ(parse_switchover(R"({"leader":"a","member":"b"})", false, false, now)->candidate,
              "b");
    for (const auto& [body, expected] :
         {Case{good, 200},
          {R"({"leader":"a"})", 200},
          {R"({"candidate":"b"})", 400},
          {R"({"leader":1})", 400},
          {R"({"leader":"a","candidate":"a"})", 400},
          {R"({"leader":"a","candidate":["b"]})", 400},
          {R"({"leader":"a","scheduled_at":"2026-02-01T00:00:00+00:00"})", 200},
          {R"({"leader":"a","scheduled_at":"2026-02-01T00:00:00"})", 400},
          {R"({"leader":"a","scheduled_at":"2025-02-01T00:00:00+00:00"})", 422},
          {R"({"leader":"a","scheduled_at":"tomorrow"})", 422},
          {R"({"leader":"a","scheduled_at":null})", 200},
          {R"({"leader":"a","scheduled_at":5})", 400}}) {
        EXPECT_EQ(status(parse_switchover(body, false, false, now)), expected) << body;
    }
}

TEST(Orders, AFailoverNeedsACandidateAndWithALeaderIsASwitchover) {
    EXPECT_EQ(status(parse_switchover(R"({"leader":"a"})", true, false, now)), 400);
    EXPECT_TRUE(parse_switchover(R"({"candidate":"b"})", true, false, now)->failover);
    EXPECT_FALSE(parse_switchover(R"({"leader":"a","candidate":"b"})", true, false, now)->failover);
    const auto* scheduled = R"({"candidate":"b","scheduled_at":"2026-02-01T00:00:00Z"})";
    EXPECT_EQ(status(parse_switchover(scheduled, true, false, now)), 400);
}

TEST(Orders, WhilePausedOnlyANamedCandidateAndNoSchedule) {
    EXPECT_EQ(status(parse_switchover(R"({"leader":"a"})", false, true, now)), 400);
    EXPECT_EQ(status(parse_switchover(R"({"leader":"a","candidate":"b"})", false, true, now)), 200);
    const auto* scheduled =
        R"({"leader":"a","candidate":"b","scheduled_at":"2026-02-01T00:00:00Z"})";
    EXPECT_EQ(status(parse_switchover(scheduled, false, true, now)), 400);
    EXPECT_EQ(status(parse_restart(R"({"schedule":"2026-02-01T00:00:00Z"})", true, now)), 500);
}

TEST(Orders, RestartFiltersAreRead) {
    const auto order = parse_restart(
        R"({"role":"replica","postgres_version":"15.4","restart_pending":true,"timeout":"2min",)"
        R"("schedule":"2026-02-01T00:00:00+01:00"})",
        false, now);
    ASSERT_TRUE(order) << order.error().reason;
    EXPECT_EQ(order->role, "replica");
    EXPECT_EQ(order->postgres_version, "15.4");
    EXPECT_TRUE(order->restart_pending);
    EXPECT_EQ(order->timeout, std::chrono::seconds{120});
    EXPECT_EQ(order->schedule_text, "2026-02-01T00:00:00+01:00");
    EXPECT_EQ(*order->schedule, now + std::chrono::days{31} - std::chrono::hours{1});
    EXPECT_FALSE(parse_restart("", false, now)->schedule);
}

TEST(Orders, BadRestartFiltersAreRefused) {
    for (const auto& [body, expected] : {Case{"{}", 200},
                                         {"[]", 400},
                                         {R"({"rolle":"replica"})", 400},
                                         {R"({"role":"boss"})", 400},
                                         {R"({"postgres_version":"15"})", 400},
                                         {R"({"postgres_version":"9.6.24"})", 200},
                                         {R"({"postgres_version":"15.x"})", 400},
                                         {R"({"timeout":0})", 400},
                                         {R"({"timeout":-5})", 400},
                                         {R"({"timeout":"soon"})", 400},
                                         {R"({"timeout":10})", 200},
                                         {R"({"timeout":{}})", 400},
                                         {R"({"schedule":"2026-02-01T00:00:00"})", 400},
                                         {R"({"schedule":"x"})", 422}}) {
        EXPECT_EQ(status(parse_restart(body, false, now)), expected) << body;
    }
}

TEST(Orders, ReinitializeTakesItsFlags) {
    EXPECT_FALSE(parse_reinitialize("")->force);
    EXPECT_TRUE(parse_reinitialize(R"({"force":true})")->force);
    EXPECT_TRUE(parse_reinitialize(R"({"from_leader":"on"})")->from_leader);
    EXPECT_EQ(status(parse_reinitialize(R"({"force":"maybe"})")), 400);
    EXPECT_EQ(status(parse_reinitialize("[true]")), 400);
}

TEST(Orders, ARestoreHasOneTarget) {
    const auto order = parse_restore(
        R"({"to_lsn":"0/5000060","exclusive":true,"timeline":"3","backup":"20260514-010000F",)"
        R"("into":"/srv/new","dry_run":true})");
    ASSERT_TRUE(order);
    EXPECT_EQ(describe(order->target), "just before LSN 0/5000060");
    EXPECT_EQ(order->target.timeline.number, 3U);
    EXPECT_EQ(order->backup, "20260514-010000F");
    EXPECT_EQ(order->into, "/srv/new");
    EXPECT_TRUE(order->dry_run);
    EXPECT_FALSE(order->in_place);
    EXPECT_TRUE(parse_restore(R"({"latest":true,"in_place":true})")->in_place);
    EXPECT_FALSE(parse_restore(R"({"latest":true})")->backup);
    for (const char* wrong :
         {"", "{}", R"({"to":"2026-05-14 10:00"})", R"({"latest":true,"to_xid":"735"})",
          R"({"latest":true,"in_to":"/x"})", R"({"to_xid":735})", R"({"latest":true,"into":7})",
          R"({"latest":true,"into":"/x","in_place":true})",
          R"({"latest":true,"in_place":"perhaps"})",
          R"({"immediate":true,"action":"pause","in_place":true})"})
        EXPECT_EQ(status(parse_restore(wrong)), 400) << wrong;
}

TEST(Orders, ABackupIsAFullOneUnlessItSaysMore) {
    EXPECT_EQ(parse_backup("")->what, cluster::JobWhat::full);
    EXPECT_EQ(parse_backup(R"({"type":"incr"})")->what, cluster::JobWhat::incremental);
    EXPECT_EQ(parse_backup(R"({"type":"differential"})")->what, cluster::JobWhat::differential);
    EXPECT_EQ(parse_backup(R"({"type":"verify"})")->what, cluster::JobWhat::verify);
    EXPECT_TRUE(parse_backup(R"({"type":"proof","cancel":true})")->cancel);
    EXPECT_EQ(status(parse_backup(R"({"type":"full","cancel":true})")), 400);
    EXPECT_EQ(status(parse_backup(R"({"type":"expire"})")), 400);
    EXPECT_EQ(status(parse_backup(R"({"type":7})")), 400);
    EXPECT_FALSE(parse_expire("")->dry_run);
    EXPECT_TRUE(parse_expire(R"({"dry_run":true})")->dry_run);
    EXPECT_EQ(status(parse_expire(R"({"dry_run":"perhaps"})")), 400);
}

TEST(Orders, ARefusalNeverHoldsBytesThatAreNoUtf8) {
    const auto refused = parse_restart("{\"\xc3\x28\": 1}", false, now);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason.find('\xc3'), std::string::npos);
}

TEST(Orders, SpacedJsonIsPatronis) {
    EXPECT_EQ(spaced(R"({"a":1,"b":["x,y:z","\"",{}],"c":{"d":null}})"),
              R"({"a": 1, "b": ["x,y:z", "\"", {}], "c": {"d": null}})");
    EXPECT_EQ(spaced("[ 1 ,\n2]"), "[1, 2]");
    EXPECT_EQ(spaced("\"\\"), "\"\\");
}

}  // namespace
}  // namespace relevo::rest
