// The periodic part: look at PostgreSQL, keep the lease, read the DCS. loop_wait is only the
// longest time between two full looks; what matters sooner comes as an event.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

void keep_lease(Mind& m) {
    State& s = m.s;
    if (m.running<KeepLease>() || m.now.mono < s.lease_retry_at) return;
    if (s.lease && s.lease->ttl == s.settings.ttl && s.lease_retry_at <= s.lease->asked_at) {
        // A third of the TTL leaves two more tries before the right to lead ends.
        const Duration period =
            std::min<Duration>(s.settings.loop_wait, Duration(s.settings.ttl) / 3);
        const Instant due = s.lease->asked_at + period;
        if (m.now.mono < due) return m.wake_by(due);
    }
    m.emit(KeepLease{s.settings.ttl,
                     std::min<Duration>(s.settings.retry_timeout, Duration(s.settings.ttl) / 3)});
}

// The key has our name but an older lease (the agent was restarted, or the TTL changed): put it
// again under ours, on condition that it is still the same key.
void confirm_key(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!view || !view->led_by(s.self.name) || !s.lease || s.lead) return;
    if (s.lease_retry_at > s.lease->asked_at)
        return;                                // the server may have forgotten it: first a good one
    if (m.now.mono >= s.lease->until) return;  // the same, by our own clock
    if (m.now.mono < s.confirm_again_at) return m.wake_by(s.confirm_again_at);
    if (view->leader->lease == s.lease->id || m.committing(CommitFor::rewrite_leader)) return;
    m.commit(CommitFor::rewrite_leader,
             cluster::keys::rewrite_leader(s.self.name, view->leader->create_revision));
}

// Our own write does not show in the view yet. The watch brings it within milliseconds; if it has
// not, read.
void catch_up(Mind& m) {
    State& s = m.s;
    if (!s.dcs || s.dcs->revision >= s.floor || !s.floor_since || m.running<ReadDcs>()) return;
    const Instant due = *s.floor_since + std::chrono::milliseconds(50);
    if (m.now.mono < due) return m.wake_by(due);
    s.floor_since = m.now.mono;
    m.emit(ReadDcs{m.dcs_deadline()});
}

}  // namespace

void look(Mind& m) {
    State& s = m.s;
    if (m.now.mono >= s.next_look) {
        s.next_look = m.now.mono + s.settings.loop_wait;
        if (!m.running<Observe>()) m.emit(m.next_look());
        if (!m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
        // Others ask whether this member could lead.
        const bool matters = s.self.watchdog.mode == WatchdogUse::Mode::required &&
                             !s.watchdog.armed && m.now.mono >= s.watchdog.again_at;
        if (matters && !m.running<CheckWatchdog>() && !m.running<ArmWatchdog>())
            m.emit(CheckWatchdog{});
    }
    m.wake_by(s.next_look);
    // One that was under way when this agent fell asleep tells of before.
    if (s.doubts && !s.dcs_down && !m.running<ReadDcs>()) m.emit(ReadDcs{m.dcs_deadline()});
    // Nobody tells when a start-up ends or a hung server answers again.
    const bool unsettled = s.pg && (s.pg->server == cluster::Server::starting ||
                                    s.pg->server == cluster::Server::hung);
    if (unsettled && !m.running<Observe>() && !m.pg_busy()) {
        const Instant due = s.pg_seen + std::chrono::milliseconds(500);
        if (m.now.mono >= due)
            m.emit(Observe{});
        else
            m.wake_by(due);
    }
    // A DCS that was away is looked for every second: that is how long its return may go unnoticed
    // when the watch does not tell.
    if (s.dcs_down && !m.running<ReadDcs>()) {
        if (m.now.mono >= s.read_again_at)
            m.emit(ReadDcs{m.dcs_deadline()});
        else
            m.wake_by(s.read_again_at);
    }
    keep_lease(m);
    if (s.lease_retry_at > m.now.mono) m.wake_by(s.lease_retry_at);
    confirm_key(m);
    catch_up(m);
    if (m.leading() && !m.paused()) {
        s.right_until = m.fence_at();
        m.wake_by(s.right_until);
    }
}

bool wrong_cluster(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!view || s.pg->system_id.empty() || s.pg->data_dir != cluster::DataDir::initialized)
        return false;
    if (!view->initialized() || *view->initialize == s.pg->system_id) return false;
    if (holds<Bootstrapping>(s.procedure) || holds<Restoring>(s.procedure)) return false;
    const std::string text = fmt::format(
        "system identifier of the data directory is {}, but the cluster's is {}: this data "
        "directory belongs "
        "to another cluster. Nothing was changed. Move it away to let this member be cloned, or "
        "correct scope "
        "and namespace",
        s.pg->system_id, *view->initialize);
    if (m.paused()) {
        m.say("system id", Note::Level::error, text);
        return true;
    }
    s.exiting = true;
    m.tell(Exit{1, text});
    return true;
}

}  // namespace relevo::core
