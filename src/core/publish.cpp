// What others see of this member, and the keys that a leader keeps for all.
#include <algorithm>

#include "core/mind.h"

namespace relevo::core {
namespace {

bool long_action(const State& s) {
    return std::ranges::any_of(s.running, [](const Running& r) {
        return holds<ClonePg>(r.effect) || holds<RewindPg>(r.effect) ||
               holds<BootstrapPg>(r.effect) || holds<CrashRecoverPg>(r.effect);
    });
}

template <class E>
bool doing(const State& s) {
    return std::ranges::any_of(s.running, [](const Running& r) { return holds<E>(r.effect); });
}

}  // namespace

cluster::State shown_state(const State& s) {
    using cluster::State;
    if (const auto* boot = std::get_if<Bootstrapping>(&s.procedure)) {
        if (boot->stage == Bootstrapping::Stage::claim) return State::stopped;
        if (!boot->failure.empty()) return State::initdb_failed;
        return boot->stage == Bootstrapping::Stage::initialize ? State::initdb : State::starting;
    }
    if (const auto* place = std::get_if<Restoring>(&s.procedure))
        return place->stage == Restoring::Stage::make ? State::custom_bootstrap : State::starting;
    if (doing<ClonePg>(s)) return State::creating_replica;
    // While clients are being held it still serves.
    if (const auto* restart = std::get_if<Restarting>(&s.procedure);
        restart && restart->stage != Restarting::Stage::quiet)
        return State::restarting;
    if (doing<StartPg>(s)) return State::starting;
    if (doing<StopPg>(s)) return State::stopping;
    if (!s.pg) return State::unknown;
    switch (s.pg->server) {
        case cluster::Server::stopped:
            if (s.crashed) return State::crashed;
            return s.start_failures > 0 ? State::start_failed : State::stopped;
        case cluster::Server::starting: return State::starting;
        case cluster::Server::running: return State::running;
        case cluster::Server::stopping: return State::stopping;
        case cluster::Server::hung: return State::unknown;
    }
    return State::unknown;
}

cluster::Role shown_role(const State& s) {
    using cluster::Role;
    if (!s.pg || s.pg->data_dir == cluster::DataDir::empty ||
        s.pg->data_dir == cluster::DataDir::unusable || holds<Restoring>(s.procedure))
        return Role::uninitialized;
    if (doing<PromotePg>(s)) return Role::promoted;
    if (s.pg->server == cluster::Server::running || s.pg->server == cluster::Server::starting)
        return s.pg->primary() ? Role::primary : Role::replica;
    // One that may be started in place is waited for. A standby by default is given up: its key is
    // another's as soon as it is gone, also while this agent cannot see that.
    if (s.was_primary)
        return s.lead && s.crashed && !s.pg->standby_signal ? Role::primary : Role::demoted;
    return Role::replica;
}

namespace {

// Every field but those of the key itself, so that nothing of what `r` was before stays.
void fill(cluster::MemberRecord& r, const State& s) {
    r.name = s.self.name;
    r.conn_url = s.self.conn_url;
    r.api_url = s.self.api_url;
    r.proxy_url = s.self.proxy_url;
    r.state = shown_state(s);
    r.state_text.clear();
    r.role = shown_role(s);
    r.version = s.self.version;
    r.relevo = s.self.relevo_version;
    r.tags = s.self.tags;
    r.pause = s.settings.pause;
    r.scheduled_restart = s.self.scheduled_restart;
    r.wal_tail = s.tail ? std::optional(s.tail->wal) : std::nullopt;

    const auto* pg = s.pg ? &*s.pg : nullptr;
    r.restores_in_place = !s.self.relevo_version.empty();
    const bool primary = pg && pg->primary() && !holds<Restoring>(s.procedure);
    r.checkpoint_after_promote.reset();
    if (primary && !pg->checkpoint_after_promote) r.checkpoint_after_promote = false;
    r.admission = primary ? s.admission.why : std::string();
    r.leaves_votes = s.leaves_votes_since || holds<Reinitializing>(s.procedure);
    r.voteless = pg && pg->voteless;
    r.lowered_commits = primary ? cluster::describe(s.commits.lowered) : std::string();
    r.disk = s.disk.state;
    r.disk_note = s.disk.note;
    r.corrupted = s.corruption.corrupted;
    r.corruption_note = s.corruption.note;
    r.archive_note = primary ? s.archive.note : std::string();
    r.refuses_writes = primary && pg->refuses_writes;
    r.pending_restart = pg && pg->pending_restart;
    r.pending_restart_reason.clear();
    if (pg) r.pending_restart_reason = pg->pending_restart_reason;

    // What is being restored is nobody's yet.
    const bool told = pg && pg->server == cluster::Server::running && !long_action(s) &&
                      !holds<Restoring>(s.procedure);
    const bool standby = told && !primary;
    r.xlog_location.reset();
    if (told) r.xlog_location = primary ? pg->wal : pg->position();
    r.replay_lsn = standby && pg->replay ? std::optional(pg->replay) : std::nullopt;
    r.receive_lsn = standby && pg->receive ? std::optional(pg->receive) : std::nullopt;
    r.replication_state = standby ? pg->replication_state : std::string();
    r.timeline = told ? pg->timeline : 0;
}

}  // namespace

cluster::MemberRecord member_record(const State& s) {
    cluster::MemberRecord r;
    fill(r, s);
    return r;
}

namespace {

bool same_but_positions(const cluster::MemberRecord& a, cluster::MemberRecord& b) {
    const auto xlog = std::exchange(b.xlog_location, a.xlog_location);
    const auto replay = std::exchange(b.replay_lsn, a.replay_lsn);
    const auto receive = std::exchange(b.receive_lsn, a.receive_lsn);
    const bool same = a == b;
    b.xlog_location = xlog;
    b.replay_lsn = replay;
    b.receive_lsn = receive;
    return same;
}

}  // namespace

void publish(Mind& m) {
    State& s = m.s;
    if (!s.lease || !s.dcs || s.dcs_down || m.committing(CommitFor::member)) return;
    auto& record = s.shown;
    fill(record, s);
    if (s.published && *s.published == record) {
        // Somebody removed it, or it went with an old lease: put it again.
        const auto* shown = m.view() ? m.view()->member(s.self.name) : nullptr;
        if (!m.view() || (shown && shown->lease == s.lease->id)) return;
    }
    // Positions move all the time; they are worth a write once a loop. Everything else at once.
    const Instant next = s.published_at + Duration(s.settings.loop_wait) * 9 / 10;
    if (s.published && m.now.mono < next && same_but_positions(*s.published, record))
        return m.wake_by(next);
    if (!s.published && m.now.mono < s.published_at + std::chrono::milliseconds(200))
        return m.wake_by(s.published_at + std::chrono::milliseconds(200));
    s.published = record;
    s.published_at = m.now.mono;
    m.commit(CommitFor::member, cluster::keys::put_member(record));
}

namespace {

// Slots of members that have been gone for less than member_slots_ttl are kept for their return.
std::vector<std::string> retained(const Mind& m) {
    std::vector<std::string> names;
    for (const auto& [slot, seen] : m.s.slot_seen)
        if (m.now.mono - seen <= Duration(m.s.settings.member_slots_ttl)) names.push_back(slot);
    return names;
}

}  // namespace

cluster::StatusKey status_now(const Mind& m) {
    const State& s = m.s;
    cluster::StatusKey status;
    status.optime = s.pg->wal;
    for (const auto& slot : s.pg->slots)
        if (slot.type == "logical" ? bool(slot.confirmed_flush) : bool(slot.restart))
            status.slots[slot.name] = slot.type == "logical" ? slot.confirmed_flush : slot.restart;
    status.slots[cluster::slot_name(s.self.name)] = s.pg->wal;
    if (s.settings.member_slots_ttl.count() > 0) status.retain_slots = retained(m);
    return status;
}

namespace {

void put_status(Mind& m) {
    State& s = m.s;
    if (m.committing(CommitFor::status) || m.running<ReadDcs>()) return;
    const Instant next = s.status_at + Duration(s.settings.loop_wait) * 9 / 10;
    const bool early = s.status_written && m.now.mono < next;
    // The usual: WAL was written, and it is not time yet. Nothing need be put together to see that.
    if (early && s.status_written->optime != s.pg->wal) return m.wake_by(next);
    const auto status = status_now(m);
    const bool removed = m.view() && !m.view()->has_status;  // by hand: put it again
    if (s.status_written == status && !removed) return;
    if (early) return m.wake_by(next);
    s.status_written = status;
    s.status_at = m.now.mono;
    m.commit(CommitFor::status, cluster::keys::put_status(status, s.lead->term));
}

// Whom this leader will ask when the DCS is gone: every member with an address, and itself.
void put_failsafe(Mind& m, const cluster::Snapshot& view) {
    State& s = m.s;
    if (!s.settings.failsafe_mode || m.committing(CommitFor::failsafe)) return;
    std::map<cluster::MemberName, std::string> members;
    for (const auto& [name, member] : view.members)
        if (!member.api_url.empty()) members[name] = member.api_url;
    members[s.self.name] = s.self.api_url;
    if (members == view.failsafe) {
        s.failsafe_tried = members;  // nothing else can be on its way
        return;
    }
    if (m.now.mono < s.failsafe_again_at) return m.wake_by(s.failsafe_again_at);
    s.failsafe_again_at = m.now.mono + std::chrono::milliseconds(500);
    s.failsafe_tried.insert(members.begin(), members.end());
    m.commit(CommitFor::failsafe, cluster::keys::put_failsafe(members, s.lead->term));
}

// Whether the key holds, in order, what put_history() would write: nearly always, and seen without
// copying.
bool history_told(const std::vector<cluster::HistoryLine>& key,
                  const std::vector<cluster::HistoryLine>& local, std::size_t keep) {
    const std::size_t size = keep ? std::min(keep, local.size()) : local.size();
    if (key.size() != size || key.back().member.empty()) return false;
    for (std::size_t i = 0; i < size; ++i) {
        const auto& line = local[local.size() - size + i];
        if (key[i].timeline != line.timeline || key[i].switch_point != line.switch_point ||
            key[i].reason != line.reason || (i > 0 && key[i - 1].timeline >= key[i].timeline))
            return false;
    }
    return true;
}

// True: the key says how the present timeline came about.
bool put_history(Mind& m, const cluster::Snapshot& view) {
    State& s = m.s;
    if (m.committing(CommitFor::history) || s.pg->timeline == 0) return false;
    if (s.pg->timeline == 1) {
        if (!view.history || view.history->empty()) return true;
        m.commit(CommitFor::history, cluster::keys::put_history({}, s.lead->term));
        return false;
    }
    if (s.fine.history == m.known(view)) return true;
    // Numbers may be left out: they went to others (docs/adr/0005).
    if (s.pg->history.empty() || s.pg->history.back().timeline >= s.pg->timeline) return false;
    const auto keep = static_cast<std::size_t>(std::max(0, s.settings.max_timelines_history));
    if (view.history && history_told(*view.history, s.pg->history, keep)) {
        s.fine.history = m.known(view);
        return true;
    }
    auto lines = s.pg->history;
    for (auto& line : lines) {
        if (view.history)
            for (const auto& old : *view.history)
                if (old.timeline == line.timeline && old.switch_point == line.switch_point) {
                    line.timestamp = old.timestamp;
                    line.member = old.member;
                }
    }
    if (lines.back().member.empty()) {
        lines.back().timestamp = to_iso(m.now.wall);
        lines.back().member = s.self.name;
    }
    if (keep && lines.size() > keep)
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(keep));
    if (view.history && *view.history == lines) {
        s.fine.history = m.known(view);
        return true;
    }
    m.commit(CommitFor::history, cluster::keys::put_history(lines, s.lead->term));
    return false;
}

cluster::SlotPlan slot_plan(const Mind& m, const cluster::Snapshot& view) {
    const State& s = m.s;
    cluster::SlotPlan plan;
    const bool primary = s.pg->primary();
    std::set<std::string> names;
    // A leader that runs Patroni before 4.0 does not tell where the slots are; then its members'
    // own words count. Left where it was made, a slot would keep all WAL from then on.
    const auto want = [&](const std::string& name, bool active,
                          std::optional<cluster::Lsn> has = {}) {
        if (name == cluster::slot_name(s.self.name) || !names.insert(name).second) return;
        cluster::SlotPlan::Wanted wanted;
        wanted.name = name;
        wanted.expected_active = active;
        const auto at = view.status.slots.find(name);
        if (!active && at != view.status.slots.end())
            wanted.advance_to = at->second;
        else if (!active && !primary && has)
            wanted.advance_to = *has;
        plan.wanted.push_back(std::move(wanted));
    };
    const bool everywhere = s.settings.member_slots_ttl.count() > 0 && s.pg->version >= 110000;
    if (s.settings.use_slots) {
        for (const auto& [name, member] : view.members) {
            if (name == s.self.name || member.tags.nostream()) continue;
            const std::string from = member.tags.replicatefrom();
            const bool from_me = from == s.self.name ||
                                 (primary && (from.empty() || !view.member(from) || from == name));
            const bool leader_of_mine = view.led_by(name);
            if (s.self.tags.nofailover() && !from_me) continue;
            if (everywhere || from_me)
                want(cluster::slot_name(name), from_me && !leader_of_mine, member.xlog_location);
        }
        if (everywhere && !s.self.tags.nofailover()) {
            for (const auto& name : view.status.retain_slots) want(name, false);
            if (primary)
                for (const auto& name : retained(m)) want(name, false);
        }
    }
    for (const auto& [name, slot] : s.settings.slots) {
        if (slot.logical || !names.insert(name).second) continue;
        cluster::SlotPlan::Wanted wanted;
        wanted.name = name;
        const auto at = view.status.slots.find(name);
        if (!primary && at != view.status.slots.end()) wanted.advance_to = at->second;
        wanted.expected_active = primary;
        plan.wanted.push_back(std::move(wanted));
    }
    for (const auto& slot : s.pg->slots)
        for (const auto& ignore : s.settings.ignore_slots)
            if ((!ignore.name || *ignore.name == slot.name) &&
                (!ignore.type || *ignore.type == slot.type) &&
                (!ignore.database || *ignore.database == slot.database) &&
                (!ignore.plugin || *ignore.plugin == slot.plugin))
                plan.keep.push_back(slot.name);
    plan.drop_others = !m.paused();
    return plan;
}

bool satisfied(const cluster::SlotPlan& plan, const std::vector<cluster::Slot>& slots) {
    for (const auto& wanted : plan.wanted) {
        const auto at = std::ranges::find(slots, wanted.name, &cluster::Slot::name);
        if (at == slots.end() || at->lost || (at->type == "physical" && !at->restart)) return false;
        if (!at->active && wanted.advance_to > at->restart) return false;
        if (!wanted.expected_active && at->has_xmin && !at->active) return false;
    }
    if (!plan.drop_others) return true;
    return std::ranges::all_of(slots, [&](const cluster::Slot& slot) {
        return slot.active || slot.type == "logical" ||
               std::ranges::find(plan.keep, slot.name) != plan.keep.end() ||
               std::ranges::any_of(plan.wanted,
                                   [&](const auto& wanted) { return wanted.name == slot.name; });
    });
}

void keep_slots(Mind& m, const cluster::Snapshot& view) {
    State& s = m.s;
    if (m.running<SyncSlots>() || m.pg_busy() || !view.config ||
        s.pg->server != cluster::Server::running)
        return;
    // Nothing that matters to slots changes between two looks but the view and the settings.
    if (s.fine.slots == m.known(view)) return;
    auto plan = slot_plan(m, view);
    if (satisfied(plan, s.pg->slots)) {
        s.fine.slots = m.known(view);
        return;
    }
    // What an earlier try did shows in the next observation; one that fails is not repeated in a
    // loop.
    if (s.slots_synced_at >= s.pg_seen &&
        m.now.mono < s.slots_synced_at + Duration(s.settings.loop_wait)) {
        if (s.pg_seen < s.slots_synced_at && !m.running<Observe>()) m.emit(Observe{});
        return;
    }
    s.slots_synced_at = m.now.mono;
    m.emit(SyncSlots{std::move(plan)});
}

}  // namespace

void keep_house(Mind& m) {
    State& s = m.s;
    const auto* view = m.view();
    if (!view || s.pg_stale || !holds<std::monostate>(s.procedure)) return;
    keep_slots(m, *view);
    regain_vote(m);
    keep_names_ready(m);
    if (!m.may_lead() || !s.pg->primary() || m.pg_busy()) return;
    if (!view->initialized() && !m.committing(CommitFor::put_initialize) &&
        !s.pg->system_id.empty())
        m.commit(CommitFor::put_initialize,
                 cluster::keys::put_initialize(s.pg->system_id, view->initialize_revision));
    if (!view->config && !m.committing(CommitFor::config) && !s.self.initial_config.empty())
        m.commit(CommitFor::config, cluster::keys::put_config_if_absent(s.self.initial_config));
    put_failsafe(m, *view);
    put_status(m);
    // In this order: by a line beside the history of an older one, the timelines between the two
    // would seem to have been left out, and what was acknowledged on them worth nothing.
    if (put_history(m, *view)) tell_line(m);
    keep_sync(m);
    // Also when the agent that promoted died before it could: nobody can rewind to a source whose
    // pg_control still shows the old timeline.
    const bool due = s.checkpoint_wanted ||
                     (!s.pg->checkpoint_after_promote && m.now.mono >= s.checkpoint_again_at);
    if (due && !m.running<CheckpointPg>()) {
        s.checkpoint_wanted = false;
        s.checkpoint_again_at = m.now.mono + s.settings.loop_wait;
        m.emit(CheckpointPg{});
    }
}

// Callbacks: on_start once it runs, on_role_change when the role others see changes, on_stop when
// it ended.
void announce(Mind& m) {
    State& s = m.s;
    if (holds<Bootstrapping>(s.procedure) || holds<Restoring>(s.procedure) || s.pg_stale) return;
    const auto role = shown_role(s);
    const bool runs = s.pg->server == cluster::Server::running;
    if (runs && !s.started_announced) {
        s.started_announced = true;
        if (s.announced_role != role && s.announced_role != cluster::Role::uninitialized)
            m.tell(Callback{"on_role_change", role});
        else
            m.tell(Callback{"on_start", role});
        s.announced_role = role;
    } else if (runs && role != s.announced_role && role != cluster::Role::promoted) {
        s.announced_role = role;
        m.tell(Callback{"on_role_change", role});
    } else if (!runs && s.started_announced && s.pg->server == cluster::Server::stopped &&
               !m.pg_busy() && !holds<Restarting>(s.procedure)) {
        s.started_announced = false;
        m.tell(Callback{"on_stop", role});
    }
}

}  // namespace relevo::core
