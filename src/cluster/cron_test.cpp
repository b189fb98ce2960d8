#include "cluster/cron.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

const Zone utc;

WallTime at(std::string_view text) { return parse_iso(text)->time; }
Zone::Seconds second(std::string_view text) {
    return std::chrono::floor<seconds>(parse_iso(text)->time);
}

// Central Europe in 2026: forward on March 29 at 01:00 UTC, back on October 25 at 01:00 UTC.
const Zone berlin("Europe/Berlin", hours(1),
                  {{second("2026-03-29T01:00:00Z"), hours(2)},
                   {second("2026-10-25T01:00:00Z"), hours(1)}});

std::string next(std::string_view cron, std::string_view after, const Zone& zone = utc) {
    const auto parsed = Cron::parse(cron);
    if (!parsed) return parsed.error().message;
    const auto found = parsed->next_after(at(after), zone);
    return found ? to_iso(*found) : "never";
}

std::string last(std::string_view cron, std::string_view until, const Zone& zone = utc) {
    const auto parsed = Cron::parse(cron);
    if (!parsed) return parsed.error().message;
    const auto found = parsed->last_until(at(until), zone);
    return found ? to_iso(*found) : "never";
}

std::string problem(std::string_view cron) {
    const auto parsed = Cron::parse(cron);
    return parsed ? "none" : parsed.error().message;
}

TEST(Cron, NextIsLaterAndLastIsNot) {
    EXPECT_EQ(next("0 1 * * *", "2026-05-14T01:00:00Z"), "2026-05-15T01:00:00+00:00");
    EXPECT_EQ(next("0 1 * * *", "2026-05-14T00:59:59.999999Z"), "2026-05-14T01:00:00+00:00");
    EXPECT_EQ(last("0 1 * * *", "2026-05-14T01:00:00Z"), "2026-05-14T01:00:00+00:00");
    EXPECT_EQ(last("0 1 * * *", "2026-05-14T00:59:59.999999Z"), "2026-05-13T01:00:00+00:00");
}

TEST(Cron, ListsRangesAndSteps) {
    EXPECT_EQ(next("*/20 * * * *", "2026-05-14T10:20:00Z"), "2026-05-14T10:40:00+00:00");
    EXPECT_EQ(next("5,50 9-17/4 * * *", "2026-05-14T09:51:00Z"), "2026-05-14T13:05:00+00:00");
    EXPECT_EQ(next("0 0 1-7,20-31/5 * *", "2026-05-08T00:00:00Z"), "2026-05-20T00:00:00+00:00");
    EXPECT_EQ(last("0 0 1-7,20-31/5 * *", "2026-06-01T00:00:00Z"), "2026-06-01T00:00:00+00:00");
    EXPECT_EQ(last("0 0 1-7,20-31/5 * *", "2026-05-31T23:00:00Z"), "2026-05-30T00:00:00+00:00");
}

TEST(Cron, NamesOfMonthsAndDays) {
    EXPECT_EQ(next("0 3 * jan-mar,DEC *", "2026-04-01T00:00:00Z"), "2026-12-01T03:00:00+00:00");
    EXPECT_EQ(next("0 3 * * Sun", "2026-05-14T00:00:00Z"), "2026-05-17T03:00:00+00:00");
    EXPECT_EQ(next("0 3 * * 7", "2026-05-14T00:00:00Z"), "2026-05-17T03:00:00+00:00");
    EXPECT_EQ(next("0 3 * * 0", "2026-05-14T00:00:00Z"), "2026-05-17T03:00:00+00:00");
    EXPECT_EQ(next("0 3 * * 5-7", "2026-05-16T04:00:00Z"), "2026-05-17T03:00:00+00:00");
}

TEST(Cron, EitherDayFieldIsEnoughWhenBothAreGiven) {
    // The 1st, and every Monday.
    EXPECT_EQ(next("0 0 1 * mon", "2026-05-26T00:00:00Z"), "2026-06-01T00:00:00+00:00");
    EXPECT_EQ(next("0 0 1 * mon", "2026-06-01T00:00:00Z"), "2026-06-08T00:00:00+00:00");
    EXPECT_EQ(next("0 0 1 * mon", "2026-06-29T00:00:00Z"), "2026-07-01T00:00:00+00:00");
    // Vixie: a field that begins with * takes nothing away from the other, but must match too.
    EXPECT_EQ(next("0 0 */2 * mon", "2026-06-01T00:00:00Z"), "2026-06-15T00:00:00+00:00");
    EXPECT_EQ(next("0 0 13 * */5", "2026-05-14T00:00:00Z"), "2026-09-13T00:00:00+00:00");
}

TEST(Cron, Nicknames) {
    EXPECT_EQ(next("@daily", "2026-05-14T10:00:00Z"), "2026-05-15T00:00:00+00:00");
    EXPECT_EQ(next("@Weekly", "2026-05-14T10:00:00Z"), "2026-05-17T00:00:00+00:00");
    EXPECT_EQ(next("@monthly", "2026-05-14T10:00:00Z"), "2026-06-01T00:00:00+00:00");
    EXPECT_EQ(next("@yearly", "2026-05-14T10:00:00Z"), "2027-01-01T00:00:00+00:00");
    EXPECT_EQ(next("@hourly", "2026-05-14T10:00:00Z"), "2026-05-14T11:00:00+00:00");
}

TEST(Cron, RareDaysAreFound) {
    EXPECT_EQ(next("0 0 29 2 *", "2026-05-14T00:00:00Z"), "2028-02-29T00:00:00+00:00");
    EXPECT_EQ(last("0 0 29 2 *", "2026-05-14T00:00:00Z"), "2024-02-29T00:00:00+00:00");
    // No leap year between 2096 and 2104.
    EXPECT_EQ(next("0 0 29 2 *", "2096-03-01T00:00:00Z"), "2104-02-29T00:00:00+00:00");
    // A leap day that is a Sunday.
    EXPECT_EQ(next("0 0 29 2 */7", "2032-03-01T00:00:00Z"), "2060-02-29T00:00:00+00:00");
}

TEST(Cron, OutsideOfThisAgeThereIsNothing) {
    const auto daily = *Cron::parse("@daily");
    EXPECT_FALSE(daily.next_after(WallTime::min(), utc));
    EXPECT_FALSE(daily.last_until(WallTime::max(), utc));
}

TEST(Cron, ATimeThatIsSkippedIsDueAtTheChange) {
    // 02:30 does not exist on March 29: the clocks go from 02:00 to 03:00, at 01:00 UTC.
    EXPECT_EQ(next("30 2 * * *", "2026-03-28T12:00:00Z", berlin), "2026-03-29T01:00:00+00:00");
    EXPECT_EQ(next("30 2 * * *", "2026-03-29T01:00:00Z", berlin), "2026-03-30T00:30:00+00:00");
    EXPECT_EQ(last("30 2 * * *", "2026-03-29T12:00:00Z", berlin), "2026-03-29T01:00:00+00:00");
    // By elapsed time nothing is missing: 01:45 is followed by 03:00.
    EXPECT_EQ(next("*/15 * * * *", "2026-03-29T00:45:00Z", berlin), "2026-03-29T01:00:00+00:00");
    EXPECT_EQ(next("30 * * * *", "2026-03-29T00:30:00Z", berlin), "2026-03-29T01:30:00+00:00");
}

TEST(Cron, ATimeThatComesTwiceIsDueTheFirstTime) {
    // 02:30 is shown at 00:30 UTC and again at 01:30 UTC.
    EXPECT_EQ(next("30 2 * * *", "2026-10-24T12:00:00Z", berlin), "2026-10-25T00:30:00+00:00");
    EXPECT_EQ(next("30 2 * * *", "2026-10-25T00:30:00Z", berlin), "2026-10-26T01:30:00+00:00");
    EXPECT_EQ(last("30 2 * * *", "2026-10-25T12:00:00Z", berlin), "2026-10-25T00:30:00+00:00");
    // By elapsed time both are.
    EXPECT_EQ(next("30 * * * *", "2026-10-25T00:30:00Z", berlin), "2026-10-25T01:30:00+00:00");
    EXPECT_EQ(last("30 * * * *", "2026-10-25T01:40:00Z", berlin), "2026-10-25T01:30:00+00:00");
}

TEST(Cron, LastAndNextAgreeAtEveryMinuteOfTheChanges) {
    for (const char* text :
         {"30 2 * * *", "*/15 * * * *", "0 0 * * *", "15 1-3 * * *", "0 3 * * sun"}) {
        const auto cron = *Cron::parse(text);
        for (const char* day : {"2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"}) {
            for (auto t = at(day); t < at(day) + hours(36); t += std::chrono::minutes(1)) {
                const auto following = cron.next_after(t, berlin);
                const auto before = cron.last_until(t, berlin);
                ASSERT_TRUE(following && before);
                EXPECT_GT(*following, t);
                EXPECT_LE(*before, t);
                EXPECT_EQ(cron.last_until(*following, berlin), following) << text << to_iso(t);
                EXPECT_EQ(cron.next_after(*before, berlin), following) << text << to_iso(t);
            }
        }
    }
}

TEST(Cron, SaysWhatIsWrong) {
    EXPECT_EQ(problem("0 25 * * *"), "in the field hour, \"25\": expected a number from 0 to 23");
    EXPECT_EQ(problem("0 1 * foo *"),
              "in the field month, \"foo\": expected a number from 1 to 12 or jan to dec");
    EXPECT_EQ(problem("0 1 0 * *"),
              "in the field day of the month, \"0\": expected a number from 1 to 31");
    EXPECT_EQ(problem("5/10 * * * *"),
              "in the field minute, \"5/10\": a step goes with * or a range, as 5-59/10");
    EXPECT_EQ(problem("5/\xff * * * *"),
              "in the field minute, \"5/?\": a step goes with * or a range, as 5-59/?");
    EXPECT_EQ(problem("*/0 * * * *"),
              "in the field minute, \"*/0\": a step is a number from 1 to 59");
    EXPECT_EQ(problem("0 17-9 * * *"),
              "in the field hour, \"17-9\": the range ends before it begins; write two ranges");
    EXPECT_EQ(problem("0 1 * *"),
              "\"0 1 * *\" has 4 fields, a cron expression has five: minute, hour, day of the "
              "month, month, day of the week");
    EXPECT_EQ(problem("@reboot"),
              "\"@reboot\" is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, "
              "@annually");
    EXPECT_EQ(problem("0 0 30 2 *"),
              "\"0 0 30 2 *\" never comes: none of its months has such a day");
    EXPECT_EQ(problem("0 0 31 apr,jun,sep,nov *"),
              "\"0 0 31 apr,jun,sep,nov *\" never comes: none of its months has such a day");
    EXPECT_EQ(problem("0 0 31 apr mon"), "none");
    for (const char* bad : {"", " ", "1, * * * *", "-5 * * * *", "1- * * * *", "+1 * * * *",
                            "1--3 * * * *", "*5 * * * *", "*-5 * * * *", "99999999999 * * * *",
                            "1/ * * * *", "0 0 L * *", "0 0 ? * *", "mon * * * *", "* * * * 8"})
        EXPECT_NE(problem(bad), "none") << bad;
    EXPECT_NE(problem(std::string(300, '*')).find("longer than"), std::string::npos);
}

TEST(Zone, WithoutChangesIsWhatItIsBefore) {
    const Zone india("Asia/Kolkata", std::chrono::minutes(330), {});
    EXPECT_EQ(next("0 1 * * *", "2026-05-14T00:00:00Z", india), "2026-05-14T19:30:00+00:00");
}

TEST(Zone, ADayThatIsSkippedAsAWhole) {
    // Samoa had no December 30, 2011.
    const Zone apia("Pacific/Apia", -hours(10), {{second("2011-12-30T10:00:00Z"), hours(14)}});
    EXPECT_EQ(next("0 5 * * *", "2011-12-29T16:00:00Z", apia), "2011-12-30T10:00:00+00:00");
    EXPECT_EQ(next("0 5 * * *", "2011-12-30T10:00:00Z", apia), "2011-12-30T15:00:00+00:00");
}

}  // namespace
}  // namespace relevo::cluster
