#include "postgres/slots.h"

#include <gtest/gtest.h>

namespace relevo::postgres {
namespace {

using cluster::Lsn;
using Kind = SlotChange::Kind;

cluster::Slot slot(const std::string& name, bool active) {
    cluster::Slot made;
    made.name = name;
    made.type = "physical";
    made.active = active;
    made.restart = Lsn{100};
    return made;
}

cluster::SlotPlan want(const std::string& name, bool expected_active,
                       std::uint64_t advance_to = 0) {
    cluster::SlotPlan plan;
    plan.wanted.push_back({.name = name,
                           .advance_to = Lsn{advance_to},
                           .expected_active = expected_active,
                           .logical = false,
                           .database = {},
                           .plugin = {}});
    return plan;
}

TEST(PlanSlots, makes_what_is_missing) {
    const auto changes = plan_slots(want("pg_2", true), {}, true);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].kind, Kind::create);
    EXPECT_EQ(changes[0].name, "pg_2");
}

TEST(PlanSlots, changes_nothing_when_all_is_there) {
    EXPECT_TRUE(plan_slots(want("pg_2", true), {slot("pg_2", true)}, true).empty());
    EXPECT_TRUE(plan_slots(want("pg_2", true), {slot("pg_2", false)}, true).empty());
}

TEST(PlanSlots, drops_inactive_slots_of_others_and_leaves_active_and_kept_ones) {
    auto plan = want("pg_2", true);
    plan.keep = {"mine"};
    const std::vector slots{slot("pg_2", true), slot("old", false), slot("busy", true),
                            slot("mine", false)};
    const auto changes = plan_slots(plan, slots, true);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].kind, Kind::drop);
    EXPECT_EQ(changes[0].name, "old");
    plan.drop_others = false;
    EXPECT_TRUE(plan_slots(plan, slots, true).empty());
}

TEST(PlanSlots, advances_a_slot_that_nobody_uses_here_and_never_back) {
    const auto changes = plan_slots(want("pg_3", false, 200), {slot("pg_3", false)}, false);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].kind, Kind::advance);
    EXPECT_EQ(changes[0].advance_to, Lsn{200});
    EXPECT_TRUE(plan_slots(want("pg_3", false, 50), {slot("pg_3", false)}, false).empty());
    EXPECT_TRUE(plan_slots(want("pg_3", true, 200), {slot("pg_3", false)}, false).empty());
    EXPECT_TRUE(plan_slots(want("pg_3", false, 200), {slot("pg_3", true)}, false).empty());
}

TEST(PlanSlots, makes_broken_slots_again) {
    auto lost = slot("pg_2", false);
    lost.lost = true;
    EXPECT_EQ(plan_slots(want("pg_2", true), {lost}, true).at(0).kind, Kind::recreate);
    auto unreserved = slot("pg_2", false);
    unreserved.restart = {};
    EXPECT_EQ(plan_slots(want("pg_2", true), {unreserved}, true).at(0).kind, Kind::recreate);
    auto logical = slot("pg_2", false);
    logical.type = "logical";
    EXPECT_EQ(plan_slots(want("pg_2", true), {logical}, true).at(0).kind, Kind::recreate);
}

TEST(PlanSlots, drops_a_stale_xmin_on_a_primary_only) {
    auto held = slot("pg_2", false);
    held.has_xmin = true;
    EXPECT_EQ(plan_slots(want("pg_2", false), {held}, true).at(0).kind, Kind::recreate);
    EXPECT_TRUE(plan_slots(want("pg_2", false), {held}, false).empty());
    EXPECT_TRUE(plan_slots(want("pg_2", true), {held}, true).empty());
}

}  // namespace
}  // namespace relevo::postgres
