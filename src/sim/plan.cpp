#include "sim/plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "sim/random.h"

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::vector<BugName>& bug_names() {
    static const std::vector<BugName> names = {
        {Bug::fence_never_fires, "fence-never-fires", "a kill is answered with done and not done"},
        {Bug::acquire_without_guard, "acquire-without-guard",
         "the leader key is put over another's"},
        {Bug::race_ignores_positions, "race-ignores-positions",
         "the race does not see who is ahead"},
        {Bug::release_before_stopped, "release-before-stopped",
         "the key is given away by a running primary"},
        {Bug::wipe_without_leader, "wipe-without-leader",
         "a data directory is emptied with no leader about"},
        {Bug::lease_counted_from_reply, "lease-counted-from-reply",
         "the lease is believed to last longer"},
        {Bug::late_promotion, "late-promotion", "a promotion that had to wait is not called off"},
        {Bug::pause_not_heard, "pause-not-heard", "maintenance mode never reaches a member"},
        {Bug::two_actions, "two-actions", "a start is reported done while it goes on"},
        {Bug::no_standby_signal, "no-standby-signal",
         "a former primary may come up as one by itself"},
        {Bug::seal_not_done, "seal-not-done", "a sealed voter goes on streaming", true},
        {Bug::names_not_settled, "names-not-settled",
         "a change of synchronous_standby_names counts before every walsender has read it", true},
        {Bug::sent_taken_for_flush, "sent-taken-for-flush",
         "a standby becomes a voter before it has flushed what was acknowledged", true},
        {Bug::sync_key_unguarded, "sync-key-unguarded",
         "the leader key is taken on an election that is void", true},
        // Found by its own story (quorum_scenarios_test.cpp).
        {Bug::vote_not_lost, "vote-not-lost", "a rewound or copied member votes at once", true},
        {Bug::promoted_alone, "promoted-alone", "a new primary waits for no standby"},
        {Bug::one_vote_too_few, "one-vote-too-few", "one vote less than needed is enough"},
        {Bug::positions_not_asked, "positions-not-asked", "the voters' positions are not compared"},
        {Bug::suspects_everybody, "suspects-everybody",
         "a voter says that it suspects the leader, whatever it hears"},
        {Bug::timeline_by_itself, "timeline-by-itself",
         "PostgreSQL chooses the timeline's number itself"},
    };
    return names;
}

std::optional<Bug> parse_bug(std::string_view name) {
    for (const auto& known : bug_names())
        if (name == known.name) return known.bug;
    return std::nullopt;
}

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
        R"("suspect_after":{},"failsafe_mode":{},)"
        R"("ttl":{},"loop_wait":{},"retry_timeout":{},"primary_start_timeout":{},)"
        R"("maximum_lag_on_failover":{},"check_timeline":{},"primary_race_backoff":{},)"
        R"("postgresql":{{"use_pg_rewind":{},"use_slots":{}}}}})",
        mode, s.synchronous_mode_strict, s.synchronous_node_count, s.suspect_after.count(),
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
    plan.config_json = config_of(plan.settings);
    if (plan.profile != Profile::rough) return plan;
    plan.loss = dice.chance(0.5) ? 0.02 : 0;
    plan.fault_every = seconds(dice.number(4, 60));
    plan.slow = dice.chance(0.2) ? dice.number(5, 40) : 1;
    plan.failures = dice.chance(0.5) ? 0.1 : 0;
    return plan;
}

}  // namespace relevo::sim
