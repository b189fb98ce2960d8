#include "backup/show.h"

#include <gtest/gtest.h>

namespace relevo::backup {
namespace {

using cluster::BackupJob;
using cluster::JobState;
using std::chrono::seconds;

WallTime at(std::string_view text) { return parse_iso(text)->time; }

BackupJob running() {
    BackupJob job;
    job.id = "20260514T010000Z-7";
    job.state = JobState::running;
    job.member = "pg-1";
    job.primary = "pg-0";
    job.requested = at("2026-05-14T01:00:00Z");
    job.begun = at("2026-05-14T01:00:10Z");
    job.attempts = 1;
    job.progress = {2500, 10'000, 2500, at("2026-05-14T01:00:40Z")};
    return job;
}

TEST(Show, TheScheduleAndTheJob) {
    Shown shown;
    shown.scope = "orders";
    shown.from = "prefer-standby";
    shown.now = at("2026-05-14T01:00:50Z");
    shown.schedule.full = *cluster::Cron::parse("0 1 * * *");
    shown.job = running();
    EXPECT_EQ(
        schedule_json(shown),
        R"({"cluster":"orders","now":"2026-05-14T01:00:50+00:00","timezone":"UTC",)"
        R"("from":"prefer-standby","schedule":[{"type":"full","cron":"0 1 * * *",)"
        R"("last":"2026-05-14T01:00:00+00:00","next":"2026-05-15T01:00:00+00:00"}],)"
        R"("job":{"id":"20260514T010000Z-7","what":"full","state":"running",)"
        R"("requested_by":"schedule","requested":"2026-05-14T01:00:00+00:00","member":"pg-1",)"
        R"("primary":"pg-0","attempts":1,"begun":"2026-05-14T01:00:10+00:00",)"
        R"("done_bytes":2500,"total_bytes":10000,"percent":25.00,"elapsed_s":40,"eta_s":80}})");
}

TEST(Show, ARunIsTakenToGoOnAsItDid) {
    auto job = running();
    // A quarter in 30 s: 120 s in all.
    EXPECT_EQ(left_to_run(job, at("2026-05-14T01:00:40Z")), seconds(90));
    EXPECT_EQ(left_to_run(job, at("2026-05-14T01:10:00Z")), seconds(0));
    job.progress.percent_x100 = 99;  // below one percent nobody can say
    EXPECT_EQ(left_to_run(job, at("2026-05-14T01:00:40Z")), std::nullopt);
    job = running();
    job.state = JobState::done;
    EXPECT_EQ(left_to_run(job, at("2026-05-14T01:00:40Z")), std::nullopt);
    job = running();
    job.begun = at("2027-01-01T00:00:00Z");  // clocks that disagree
    EXPECT_EQ(left_to_run(job, at("2026-05-14T01:00:40Z")), std::nullopt);
}

}  // namespace
}  // namespace relevo::backup
