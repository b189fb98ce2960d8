#include "sim/plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "sim/random.h"

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

const char* to_string(Profile profile) {
    switch (profile) {
        case Profile::rough: return "rough";
        case Profile::quiet: return "quiet";
        case Profile::blinks: return "blinks";
        case Profile::scripted: return "scripted";
    }
    return "?";
}

std::string config_of(const cluster::Settings& s) {
    const char* mode = s.synchronous_mode == cluster::SyncMode::quorum ? R"("quorum")"
                       : s.synchronous_mode == cluster::SyncMode::on   ? "true"
                                                                       : "false";
    return fmt::format(
        R"({{"synchronous_mode":{},"synchronous_mode_strict":{},"synchronous_node_count":{},)"
        R"("synchronous_commit_floor":"{}",)"
        R"("suspect_after":{},"wal_tail_timeout":{},"failsafe_mode":{},)"
        R"("ttl":{},"loop_wait":{},"retry_timeout":{},"primary_start_timeout":{},)"
        R"("maximum_lag_on_failover":{},"check_timeline":{},"primary_race_backoff":{},)"
        R"("postgresql":{{"use_pg_rewind":{},"use_slots":{}}}}})",
        mode, s.synchronous_mode_strict, s.synchronous_node_count,
        to_string(s.synchronous_commit_floor), s.suspect_after.count(), s.wal_tail_timeout.count(),
        s.failsafe_mode, s.ttl.count(), s.loop_wait.count(), s.retry_timeout.count(),
        s.primary_start_timeout.count(), s.maximum_lag_on_failover, s.check_timeline,
        s.primary_race_backoff.count(), s.use_pg_rewind, s.use_slots);
}

namespace {

void draw_settings(Plan& plan, Random& dice) {
    auto& s = plan.settings;
    static const std::vector<int> ttls = {3, 5, 10, 20, 30, 30};
    const int ttl = dice.pick(ttls);
    const int retry = std::max(1, std::min(10, ttl / 3));
    const int loop = std::max(1, std::min(10, ttl - 2 * retry));
    static const std::vector<int> start_timeouts = {0, 0, 5, 60, 300};
    s.ttl = seconds(ttl);
    s.retry_timeout = seconds(retry);
    s.loop_wait = seconds(dice.number(1, loop));
    s.primary_start_timeout = seconds(dice.pick(start_timeouts));
    s.use_pg_rewind = dice.chance(0.7);
    s.use_slots = dice.chance(0.8);
    s.remove_data_directory_on_diverged_timelines = dice.chance(0.4);
    s.remove_data_directory_on_rewind_failure = dice.chance(0.4);
    s.primary_race_backoff = seconds(dice.chance(0.2) ? dice.number(1, 5) : 0);
    s.check_timeline = dice.chance(0.2);
    s.maximum_lag_on_failover = dice.chance(0.2) ? 100000 : 1048576;
}

void draw_synchronous(Plan& plan, Random& dice) {
    auto& s = plan.settings;
    const auto kind = dice.below(10);
    s.synchronous_mode = kind < 4   ? cluster::SyncMode::off
                         : kind < 6 ? cluster::SyncMode::on
                                    : cluster::SyncMode::quorum;
    s.synchronous_mode_strict = dice.chance(0.3);
    s.synchronous_node_count = dice.chance(0.3) ? dice.number(1, plan.members) : 1;
    static const std::vector<int> patience = {200, 500, 500, 1000, 2500};
    s.suspect_after = milliseconds(dice.pick(patience));
    s.failsafe_mode = dice.chance(0.35);
}

// Safety margins that leave a timeout of at least loop_wait.
void draw_watchdog(Plan& plan, Random& dice) {
    const auto kind = dice.below(10);
    plan.watchdog.mode = kind < 3    ? core::WatchdogUse::Mode::required
                         : kind == 3 ? core::WatchdogUse::Mode::automatic
                                     : core::WatchdogUse::Mode::off;
    const auto& s = plan.settings;
    std::vector<int> margins = {1};
    if (s.ttl - seconds(5) >= s.loop_wait) margins.insert(margins.end(), {5, 5});
    if (seconds(s.ttl.count() / 2) >= s.loop_wait) margins.push_back(-1);
    plan.watchdog.safety_margin = seconds(dice.pick(margins));
}

}  // namespace

Plan plan_for(std::uint64_t seed, int members, Duration faults_for) {
    Plan plan;
    plan.seed = seed;
    plan.members = members;
    plan.faults_for = faults_for;
    Random dice(seed ^ 0xABCDEFU);
    const auto kind = dice.below(20);
    plan.profile = kind == 0 ? Profile::quiet : kind == 1 ? Profile::blinks : Profile::rough;
    draw_settings(plan, dice);
    plan.adopt = dice.chance(0.2);
    plan.pre_promote = dice.chance(0.2);
    if (dice.chance(0.15)) plan.nofailover.push_back(dice.number(1, members - 1));
    if (dice.chance(0.2)) plan.clonefrom.push_back(dice.number(0, members - 1));
    plan.wal_log_hints = dice.chance(0.9);
    plan.drift = dice.chance(0.5) ? 0.001 : 0;
    plan.latency_max = milliseconds(dice.chance(0.3) ? 50 : 3);
    plan.write_every = milliseconds(dice.number(100, 500));
    plan.receiver_timeout = seconds(dice.number(5, 60));
    plan.receiver_retry = milliseconds(dice.number(500, 5000));
    // Its own dice: which seeds are synchronous changes nothing else about them.
    Random sync_dice(seed ^ 0x51C0DEU);
    draw_synchronous(plan, sync_dice);
    // Likewise. A busy pooler calls every switchover off, so it is the rarest.
    Random pooler_dice(seed ^ 0x900137U);
    const auto poolers = pooler_dice.below(10);
    plan.poolers = poolers < 5   ? Poolers::none
                   : poolers < 7 ? Poolers::prompt
                   : poolers < 9 ? Poolers::silent
                                 : Poolers::busy;
    Random host_dice(seed ^ 0xD09D09U);
    draw_watchdog(plan, host_dice);
    plan.config_json = config_of(plan.settings);
    if (plan.profile != Profile::rough) return plan;
    plan.loss = dice.chance(0.5) ? 0.02 : 0;
    Random disk_dice(seed ^ 0xD15CU);
    plan.disk_max = milliseconds(disk_dice.chance(0.5) ? disk_dice.number(1, 20) : 0);
    plan.fault_every = seconds(dice.number(4, 60));
    plan.slow = dice.chance(0.2) ? dice.number(5, 40) : 1;
    plan.failures = dice.chance(0.5) ? 0.1 : 0;
    return plan;
}

void let_rebuild(Plan& plan) {
    plan.rots = plan.rebuilds = true;
    Random dice(plan.seed ^ 0x4EB01DU);
    if (!dice.chance(0.9)) return;
    plan.settings.corruption.rebuild_replica = true;
    plan.config_json.insert(1, R"("corruption":{"rebuild_replica":true},)");
}

Plan aimed_plan(std::uint64_t seed, int members) {
    Plan plan;
    plan.seed = seed;
    plan.members = members;
    plan.aimed = true;
    plan.faults_for = seconds(60);
    Random dice(seed ^ 0xA13EDU);
    auto& s = plan.settings;
    s.ttl = seconds(dice.number(3, 6));
    s.retry_timeout = seconds(1);
    s.loop_wait = seconds(1);
    s.primary_start_timeout = seconds(dice.chance(0.5) ? 0 : 300);
    s.use_pg_rewind = true;
    s.use_slots = dice.chance(0.8);
    s.remove_data_directory_on_diverged_timelines = dice.chance(0.3);
    s.remove_data_directory_on_rewind_failure = true;
    s.synchronous_mode = dice.chance(0.25) ? cluster::SyncMode::on : cluster::SyncMode::quorum;
    s.synchronous_mode_strict = dice.chance(0.2);
    s.synchronous_node_count =
        dice.number(1, members > 3 ? 2 : 1 + static_cast<int>(dice.below(2)));
    s.suspect_after = milliseconds(dice.number(200, 500));
    plan.config_json = config_of(s);
    if (dice.chance(0.1)) plan.nofailover.push_back(dice.number(1, members - 1));
    if (dice.chance(0.5)) plan.clonefrom.push_back(dice.number(0, members - 1));
    plan.latency_max = milliseconds(dice.chance(0.2) ? 30 : 3);
    plan.disk_max = milliseconds(dice.chance(0.5) ? 10 : 0);
    plan.write_every = milliseconds(dice.number(40, 150));
    plan.receiver_timeout = seconds(5);
    plan.receiver_retry = milliseconds(500);
    plan.loss = dice.chance(0.3) ? 0.02 : 0;
    plan.fault_every = milliseconds(dice.number(500, 3000));
    return plan;
}

}  // namespace relevo::sim
