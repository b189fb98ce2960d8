#include "config/zone.h"

#include <gtest/gtest.h>

#include "cluster/cron.h"

namespace relevo::config {
namespace {

using std::chrono::hours;

cluster::Zone::Seconds at(std::string_view text) {
    return std::chrono::floor<std::chrono::seconds>(parse_iso(text)->time);
}

TEST(LoadZone, HasTheChangesOfThePastAndOfTheRulesToCome) {
    const auto zone = load_zone("Europe/Berlin");
    ASSERT_TRUE(zone) << zone.error().message;
    EXPECT_EQ(zone->name(), "Europe/Berlin");
    EXPECT_EQ(zone->offset_at(at("1975-07-01T00:00:00Z")), hours(1));  // no summer time then
    EXPECT_EQ(zone->offset_at(at("2026-03-29T00:59:59Z")), hours(1));
    EXPECT_EQ(zone->offset_at(at("2026-03-29T01:00:00Z")), hours(2));
    EXPECT_EQ(zone->offset_at(at("2026-10-25T00:59:59Z")), hours(2));
    EXPECT_EQ(zone->offset_at(at("2026-10-25T01:00:00Z")), hours(1));
    EXPECT_EQ(zone->offset_at(at("2090-07-01T00:00:00Z")), hours(2));
    const auto one_in_the_morning = *cluster::Cron::parse("0 1 * * *");
    EXPECT_EQ(one_in_the_morning.next_after(parse_iso("2026-07-01T00:00:00Z")->time, *zone),
              parse_iso("2026-07-01T23:00:00Z")->time);
}

TEST(LoadZone, ZonesOfAllKinds) {
    EXPECT_EQ(load_zone("UTC")->offset_at(at("2026-07-01T00:00:00Z")), hours(0));
    EXPECT_EQ(load_zone("Asia/Kolkata")->offset_at(at("2026-07-01T00:00:00Z")),
              std::chrono::minutes(330));
    // The day that Samoa left out.
    const auto apia = load_zone("Pacific/Apia");
    EXPECT_FALSE(apia->shown(at("2011-12-30T12:00:00Z")).first);
}

TEST(LoadZone, WhatIsNoZoneIsSaid) {
    for (const char* name :
         {"", "Europe/Berln", "/etc/localtime", "../etc/passwd", "a b", "Fixed/"}) {
        const auto zone = load_zone(name);
        ASSERT_FALSE(zone) << name;
        EXPECT_NE(zone.error().message.find("as Europe/Berlin"), std::string::npos) << name;
    }
}

}  // namespace
}  // namespace relevo::config
