#include "postgres/rewind_decision.h"

#include <gtest/gtest.h>

#include <string>

namespace relevo::postgres {
namespace {

using cluster::Lsn;
using Verdict = cluster::Divergence::Verdict;

struct Case {
    const char* name;
    LocalEnd local;
    PrimaryTimeline primary;
    Verdict verdict;
};

PrimaryTimeline primary(cluster::Timeline timeline, std::vector<cluster::HistoryLine> history) {
    return {.timeline = timeline, .lsn = Lsn{9000}, .history = std::move(history)};
}

cluster::HistoryLine left(cluster::Timeline timeline, std::uint64_t at) {
    cluster::HistoryLine line;
    line.timeline = timeline;
    line.switch_point = Lsn{at};
    return line;
}

LocalEnd standby(cluster::Timeline timeline, std::uint64_t lsn) {
    return {.timeline = timeline, .lsn = Lsn{lsn}, .in_recovery = true, .checkpoint_end = {}};
}

LocalEnd former(cluster::Timeline timeline, std::uint64_t lsn, std::uint64_t end) {
    return {
        .timeline = timeline, .lsn = Lsn{lsn}, .in_recovery = false, .checkpoint_end = Lsn{end}};
}

class RewindTable : public ::testing::TestWithParam<Case> {};

TEST_P(RewindTable, gives_the_verdict) {
    const auto found = decide_rewind(GetParam().local, GetParam().primary);
    EXPECT_EQ(found.verdict, GetParam().verdict) << found.why;
    EXPECT_FALSE(found.why.empty());
}

INSTANTIATE_TEST_SUITE_P(
    rows, RewindTable,
    ::testing::Values(
        Case{"local_timeline_is_newer", standby(3, 100), primary(2, {left(1, 500)}),
             Verdict::must_rewind},
        Case{"same_timeline", standby(2, 100), primary(2, {left(1, 50)}), Verdict::streams},
        Case{"same_timeline_former_primary", former(2, 100, 200), primary(2, {left(1, 50)}),
             Verdict::streams},
        Case{"standby_before_the_fork", standby(1, 400), primary(2, {left(1, 500)}),
             Verdict::streams},
        Case{"standby_at_the_fork", standby(1, 500), primary(2, {left(1, 500)}), Verdict::streams},
        Case{"standby_past_the_fork", standby(1, 501), primary(2, {left(1, 500)}),
             Verdict::must_rewind},
        Case{"former_primary_ends_at_the_fork", former(1, 380, 500), primary(2, {left(1, 500)}),
             Verdict::streams},
        Case{"former_primary_checkpoint_at_the_fork", former(1, 500, 620),
             primary(2, {left(1, 500)}), Verdict::must_rewind},
        Case{"former_primary_past_the_fork", former(1, 700, 820), primary(2, {left(1, 500)}),
             Verdict::must_rewind},
        Case{"former_primary_ends_before_the_fork", former(1, 300, 420), primary(2, {left(1, 500)}),
             Verdict::must_rewind},
        Case{"former_primary_of_unknown_end", former(1, 380, 0), primary(2, {left(1, 500)}),
             Verdict::streams},
        Case{"two_timelines_behind", standby(1, 400), primary(3, {left(1, 500), left(2, 800)}),
             Verdict::streams},
        Case{"two_timelines_behind_past_the_fork", standby(1, 600),
             primary(3, {left(1, 500), left(2, 800)}), Verdict::must_rewind},
        Case{"timeline_not_in_the_history", standby(2, 600), primary(3, {left(1, 500)}),
             Verdict::must_rewind},
        Case{"no_history_at_all", former(1, 600, 700), primary(2, {}), Verdict::must_rewind},
        Case{"unknown_local_timeline", standby(0, 600), primary(2, {left(1, 500)}),
             Verdict::undecided},
        Case{"unknown_primary_timeline", standby(1, 600), primary(0, {}), Verdict::undecided},
        Case{"unknown_position", standby(1, 0), primary(2, {left(1, 500)}), Verdict::undecided}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(LocalEndOfControlData, takes_the_recovery_end_of_a_standby_and_the_checkpoint_of_a_primary) {
    cluster::ControlData control;
    control.checkpoint = Lsn{100};
    control.checkpoint_timeline = 4;
    control.min_recovery_end = Lsn{300};
    control.min_recovery_end_timeline = 5;

    control.state = cluster::ControlState::shut_down_in_recovery;
    auto end = local_end(control);
    ASSERT_TRUE(end);
    EXPECT_TRUE(end->in_recovery);
    EXPECT_EQ(end->lsn, Lsn{300});
    EXPECT_EQ(end->timeline, 5U);

    control.min_recovery_end = {};
    end = local_end(control);
    ASSERT_TRUE(end);
    EXPECT_FALSE(end->in_recovery) << "a zero recovery end is a former primary's";
    EXPECT_EQ(end->lsn, Lsn{100});

    control.state = cluster::ControlState::shut_down;
    end = local_end(control);
    ASSERT_TRUE(end);
    EXPECT_FALSE(end->in_recovery);
    EXPECT_EQ(end->timeline, 4U);

    control.state = cluster::ControlState::in_production;
    EXPECT_FALSE(local_end(control)) << "a crashed server must be recovered first";
}

TEST(CheckpointEnd, is_only_needed_for_a_former_primary_before_the_fork) {
    const auto two = primary(2, {left(1, 500)});
    EXPECT_TRUE(needs_checkpoint_end(former(1, 380, 0), two));
    EXPECT_FALSE(needs_checkpoint_end(former(1, 500, 0), two));
    EXPECT_FALSE(needs_checkpoint_end(standby(1, 380), two));
    EXPECT_FALSE(needs_checkpoint_end(former(2, 380, 0), two));
}

TEST(SharedTimeline, is_the_newest_that_a_promotion_began_on_both_sides) {
    // Here 1 -> 2 -> 4, there 1 -> 2 -> 3.
    const auto there = primary(3, {left(1, 500), left(2, 800)});
    auto shared = shared_timeline(former(4, 2000, 0), {left(1, 500), left(2, 900)}, there);
    ASSERT_TRUE(shared);
    EXPECT_EQ(shared->number, 2U);
    EXPECT_EQ(shared->begins_here, Lsn{500});
    EXPECT_EQ(shared->begins_there, Lsn{500});

    shared = shared_timeline(former(3, 2000, 0), {left(1, 500), left(2, 700)}, there);
    ASSERT_TRUE(shared);
    EXPECT_EQ(shared->number, 3U);
    EXPECT_EQ(shared->begins_here, Lsn{700});
    EXPECT_EQ(shared->begins_there, Lsn{800});

    shared = shared_timeline(former(3, 2000, 0), {}, there);
    ASSERT_TRUE(shared) << "its own history file may be gone";
    EXPECT_EQ(shared->begins_here, Lsn{800});

    EXPECT_FALSE(shared_timeline(former(1, 400, 0), {}, there)) << "nobody's promotion began 1";
    EXPECT_FALSE(shared_timeline(standby(3, 800), {left(1, 500), left(2, 800)}, there))
        << "nothing of it was replayed here";
}

TEST(SharedTimeline, was_begun_twice_when_place_or_first_record_differ) {
    const std::string record(first_record_bytes, 'r');
    std::string other = record;
    other[20] = 'x';
    const SharedTimeline same{3, Lsn{800}, Lsn{800}};
    EXPECT_FALSE(begun_twice(same, record, record));
    EXPECT_TRUE(begun_twice(same, record, other));
    EXPECT_FALSE(begun_twice(same, record, "")) << "what cannot be read proves nothing";
    EXPECT_FALSE(begun_twice(same, record, other.substr(0, 21)));
    EXPECT_TRUE(begun_twice({3, Lsn{700}, Lsn{800}}, "", ""));
    const auto twin = twin_of(same);
    EXPECT_TRUE(twin.twin);
    EXPECT_EQ(twin.verdict, Verdict::must_rewind);
    EXPECT_FALSE(twin.can_rewind);
}

}  // namespace
}  // namespace relevo::postgres
