#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "os/test_mutate.h"
#include "rest/fuzz_target.h"

namespace relevo::rest {
namespace {

TEST(Fuzz, MutatedOrdersAndQueriesNeverBreakTheRules) {
    const std::vector<std::string> seeds = {
        "",
        "{}",
        R"({"leader":"a","candidate":"b","scheduled_at":"2026-02-01T00:00:00+00:00"})",
        R"({"role":"replica","postgres_version":"15.4","timeout":"2min","restart_pending":true})",
        R"({"force":true,"from_leader":"off"})",
        R"({"to":"2026-05-14 10:00+00","timeline":"3","backup":"20260514-010000F","into":"/a"})",
        R"({"to_lsn":"0/3000148","exclusive":true,"action":"pause","dry_run":true})",
        R"({"from":"b","system_id":"71","timeline":3,"lsn":"0/3000148","wal_tail":{"end":1}})",
        R"({"schedule":"2026-01-02 03:04:05.5Z","timeout":1e300})",
        R"({"a":{"b":[[["\u0000\ud800"]]]}})",
        "/replica?lag=10MB&tag_a=%20b&replication_state=streaming",
        "lag=-9223372036854775809kB&lag=0x10&mode=write",
        "/standby-leader/read-only-sync/primary"};
    std::mt19937 random(20260101);
    for (int round = 0; round < 5'000; ++round) {
        auto text = seeds[random() % seeds.size()];
        for (auto changes = random() % 6; changes > 0; --changes)
            text = os::testing::mutate(text, seeds, random);
        SCOPED_TRACE(text);
        testing::fuzz_one(text);
    }
}

TEST(Fuzz, DeepNestingIsTakenWithoutHarm) {
    testing::fuzz_one(std::string(500'000, '['));
    testing::fuzz_one(R"({"leader":)" + std::string(100'000, '[') + std::string(100'000, ']') +
                      "}");
}

}  // namespace
}  // namespace relevo::rest
