#include "core/mind.h"

namespace relevo::core {

Instant State::lead_until() const {
    if (!lead || !lease || lead->term == given_up) return Instant{};
    return lease->until;
}

Instant serves_until(const State& s) {
    if (!s.lead || s.lead->term == s.given_up) return Instant{};
    // Voters do not wait for the lease.
    if (s.doubts && sync_rules(s)) return Instant{};
    const Instant lease_ends = std::min(s.lead_until(), watchdog_fires_at(s));
    return std::max({lease_ends - fence_margin(s.settings), backed_until(s), failsafe_until(s)});
}

Duration fence_margin(const cluster::Settings& settings) {
    return std::min<Duration>(std::chrono::seconds(1), Duration(settings.ttl) / 6);
}

namespace {

// Begins to work on the data directory: what a dead server left there is not what it was any more.
bool works_on_data(const Effect& effect) {
    return holds<StartPg>(effect) || holds<BootstrapPg>(effect) || holds<ClonePg>(effect) ||
           holds<RewindPg>(effect) || holds<CrashRecoverPg>(effect) || holds<SetAsidePg>(effect) ||
           holds<PutBackPg>(effect);
}

}  // namespace

EffectId Mind::emit(Effect effect) {
    const EffectId id = ++s.last_id;
    if (works_on_data(effect)) {
        s.tail.reset();
        s.all_dead = false;
    }
    if (holds<ClonePg>(effect) || holds<RewindPg>(effect)) s.copying_in = term_of(s);
    if (holds<StartPg>(effect)) s.last_start = {term_of(s), s.pg && may_be_half_way(*s.pg), false};
    s.running.push_back({id, effect, now.mono, s.pg_changes});
    step_.effects.push_back({id, std::move(effect)});
    return id;
}

void Mind::tell(Effect effect) { step_.effects.push_back({0, std::move(effect)}); }

void Mind::commit(CommitFor purpose, cluster::Txn txn) {
    // A write that needs the right to lead is void once that right has run out.
    const bool as_leader = purpose == CommitFor::status || purpose == CommitFor::history ||
                           purpose == CommitFor::rewrite_leader || purpose == CommitFor::sync ||
                           purpose == CommitFor::remove_sync || purpose == CommitFor::failsafe;
    const Instant end = as_leader && s.lease ? s.lease->until : Instant::max();
    emit(Commit{purpose, std::move(txn), end, dcs_deadline()});
}

void Mind::say(std::string_view topic, Note::Level level, std::string text) {
    auto last = s.said.find(topic);
    if (last == s.said.end()) last = s.said.emplace(topic, std::string()).first;
    if (last->second == text) return;
    last->second = text;
    tell(Note{level, std::move(text), std::string(topic)});
}

bool Mind::committing(CommitFor purpose) const {
    for (const Running& r : s.running)
        if (const auto* c = std::get_if<Commit>(&r.effect); c && c->purpose == purpose) return true;
    return false;
}

bool Mind::probing(ProbeFor purpose) const {
    return std::ranges::any_of(s.running, [&](const Running& r) {
        const auto* probe = std::get_if<ProbePeers>(&r.effect);
        return probe && probe->purpose == purpose;
    });
}

bool Mind::pg_busy() const {
    // Whoever starts it next closes the door anew, and must not find it opened after that.
    const bool stopped = s.pg && s.pg->server == cluster::Server::stopped;
    return std::ranges::any_of(s.running, [stopped](const Running& r) {
        if (stopped && holds<AdmitPg>(r.effect)) return true;
        return holds<StartPg>(r.effect) || holds<StopPg>(r.effect) || holds<KillPg>(r.effect) ||
               holds<MakeStandby>(r.effect) || holds<PromotePg>(r.effect) ||
               holds<FollowPg>(r.effect) || holds<BootstrapPg>(r.effect) ||
               holds<ClonePg>(r.effect) || holds<PostBootstrapPg>(r.effect) ||
               holds<RewindPg>(r.effect) || holds<CrashRecoverPg>(r.effect) ||
               holds<TakeTail>(r.effect) || holds<SetAsidePg>(r.effect) ||
               holds<PutBackPg>(r.effect) || holds<ArchiveRestPg>(r.effect);
    });
}

const cluster::Snapshot* Mind::view() const {
    if (!s.dcs || s.dcs_down || !s.dcs_seen) return nullptr;
    if (s.rules.own_writes && s.dcs->revision < s.floor) return nullptr;
    if (now.mono - *s.dcs_seen > s.settings.ttl) return nullptr;
    return s.dcs.get();
}

bool Mind::awaits_own_write() {
    constexpr Duration shown_within = std::chrono::seconds(1);
    if (view() || !s.dcs || s.dcs_down || s.dcs->revision >= s.floor || !s.floor_since)
        return false;
    if (now.mono >= *s.floor_since + shown_within) return false;
    wake_by(*s.floor_since + shown_within);
    return true;
}

Instant Mind::fence_at() const {
    if (!s.lead || !s.lease || given_up()) return Instant{};
    // A host must not be reset for what a kill settles. As long as it may be fed it will be.
    const bool starves = s.watchdog.armed && now.mono > watchdog_feed_before(s, *s.watchdog.armed);
    const Instant fires = starves ? watchdog_fires_at(s) : Instant::max();
    return std::min(s.lease->until, fires) - fence_margin(s.settings);
}

namespace {

// The questions, in order. The first that settles it ends the round; nothing here depends on which
// event came last.
void decide(Mind& m) {
    look(m);
    if (!m.s.pg) return;
    if (fence(m)) return;
    end_remains(m);
    // A postmaster ended, or an action just did: what is known of the server is old. Look first.
    if (m.s.pg_stale && !m.pg_busy()) {
        if (!m.running<Observe>()) m.emit(m.next_look());
        return;
    }
    if (unfinished_cluster(m)) return;
    if (wrong_cluster(m)) return;
    if (leave(m)) return;
    if (in_place(m)) return;
    if (bootstrap(m)) return;
    if (fence(m)) return;  // a bootstrap that has just ended has no more right than anybody
    if (watchdog_gives_up(m)) return;
    spare_this_member(m);
    if (hand_over(m)) return;
    if (give_way(m)) return;
    if (crash_failover(m)) return;
    if (restart_order(m)) return;
    if (reinit_order(m)) return;
    if (rebuild(m)) return;
    end_half_way_start(m);
    if (m.pg_busy()) return;
    if (lead(m)) return;
    if (demoted(m)) return;
    if (fill_data_directory(m)) return;
    if (start_stopped(m)) return;
    depose(m);
    if (seal(m)) return;
    if (race(m)) return;
    follow(m);
}

}  // namespace

Step step(State& state, const Event& event, Now now) {
    Step result{{}, Instant::max()};
    Mind m(state, now, result);
    if (state.exiting) return result;
    if (state.started_at == Instant{}) state.started_at = now.mono;
    learn(m, event);
    decide(m);
    if (!state.exiting) ask_failsafe(m);
    if (!state.exiting) watchdog(m);
    if (!state.exiting && state.pg) {
        keep_house(m);
        keep_writes(m);
        tell_waits(m);
        keep_commits(m);
        end_stale_senders(m);
        admit(m);
        publish(m);
        announce(m);
    }
    return result;
}

}  // namespace relevo::core
