// What must hold in maintenance mode: the agent does nothing by itself.
#include <fmt/core.h>

#include <algorithm>

#include "sim/checkers.h"

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

void Checkers::check_pause(Member& who, const core::Issued& issued) {
    const auto& s = who.state();
    using namespace core;
    const auto at = static_cast<std::size_t>(who.index());
    const bool stops =
        std::ranges::any_of(s.running, [](const Running& r) { return holds<StopPg>(r.effect); });
    // As it could know: what ran for less than a look is tried again.
    const bool ran = !s.pg_stale && s.pg && s.pg->server == cluster::Server::running;
    if (!stops && (ran || !who.pause_seen())) stopped_to_hand_over_[at] = false;
    if (holds<StopPg>(issued.effect)) stopped_to_hand_over_[at] = holds<HandingOver>(s.procedure);
    const auto* commit = std::get_if<Commit>(&issued.effect);
    if (commit && commit->purpose == CommitFor::acquire) {
        const auto& order = s.dcs->failover;
        named_[at] = order && !order->scheduled_at && order->member == s.self.name;
    }
    if (!who.pause_seen() || !automation(issued.effect)) return;
    if (holds<Restarting>(s.procedure) || holds<Reinitializing>(s.procedure) ||
        holds<HandingOver>(s.procedure) || holds<Bootstrapping>(s.procedure) ||
        holds<GivingWay>(s.procedure) || holds<Restoring>(s.procedure))
        return;
    if (holds<PromotePg>(issued.effect) && named_[at]) return;
    const auto* start = std::get_if<StartPg>(&issued.effect);
    if (start && !start->plan.as_primary && stopped_to_hand_over_[at]) return;
    if (parts_.world.now() - pause_changed_ < seconds(10)) return;  // what had begun before
    // It slept through the order, and stops what it has no right to by all that it knows.
    if (parts_.world.now() - excused_since_[at] < milliseconds(500)) return;
    fail(
        fmt::format("{} acts in maintenance mode: {}", name(who.index()), describe(issued.effect)));
}

}  // namespace relevo::sim
