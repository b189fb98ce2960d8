// Synchronous replication, the leader's side: which members vote (the sync key) and for whose flush
// a commit waits (synchronous_standby_names), changed one safe step at a time. The arithmetic is in
// quorum.h; docs/adr/0006-quorum-replication.md has the rules.
#include <fmt/core.h>

#include "base/text.h"
#include "cluster/sync_names.h"
#include "core/mind.h"

namespace relevo::core {
namespace {

using cluster::SyncMode;
using cluster::SyncNames;
using quorum::Goal;
using quorum::MemberSet;
using quorum::Names;
using quorum::Votes;

// A standby that is lost is noticed within this: PostgreSQL tells nobody.
constexpr Duration look_every = std::chrono::seconds(1);
// After a start or promotion the standbys need a moment to connect; who voted before is not let go
// before that.
constexpr Duration connect_within = std::chrono::seconds(3);
// A change is being waited for.
constexpr Duration look_soon = std::chrono::milliseconds(50);
// A walsender that has not read a change by now hangs on its standby.
constexpr Duration settles_within = std::chrono::seconds(1);

const cluster::Sender* sender_of(const State& s, const std::string& name) {
    const cluster::Sender* found = nullptr;
    for (const auto& sender : s.pg->senders)
        if (iequals(sender.application_name, name) && sender.state == "streaming" &&
            sender.flush <= sender.sent && (!found || found->flush < sender.flush))
            found = &sender;
    return found;
}

Votes votes_of(const cluster::SyncState& sync) {
    return {{sync.voters.begin(), sync.voters.end()}, sync.quorum};
}

struct Standby {
    const cluster::MemberRecord* member = nullptr;
    cluster::Lsn flush;
    bool votes = false;  // already
};

// Who voted before and does not stream by then is gone.
Instant connected_by(const State& s) {
    return std::max(s.syncing.began, s.primary_since) + connect_within;
}

// Members that stream and may be waited for, the best first (contract 7.12).
std::vector<Standby> standbys(const Mind& m, const cluster::Snapshot& view) {
    const State& s = m.s;
    std::vector<Standby> out;
    for (const auto& [name, member] : view.members) {
        if (name == s.self.name || !member.running() || member.tags.nosync()) continue;
        if (member.leaves_votes) continue;
        const auto* sender = sender_of(s, name);
        const bool votes = view.sync.names(name);
        if (member.voteless && !votes) continue;
        if (sender && sender->flush)
            out.push_back({&member, sender->flush, votes});
        else if (votes && m.now.mono < connected_by(s))
            out.push_back({&member, s.pg->wal, votes});
    }
    if (s.settings.maximum_lag_on_syncnode > 0) {
        cluster::Lsn newest = s.pg->wal;
        if (out.size() > 1) newest = std::ranges::max_element(out, {}, &Standby::flush)->flush;
        const auto most = static_cast<std::uint64_t>(s.settings.maximum_lag_on_syncnode);
        std::erase_if(out, [&](const Standby& one) { return distance(newest, one.flush) > most; });
    }
    const auto rank = [](const Standby& one) {
        const auto& tags = one.member->tags;
        return std::tuple(!tags.nofailover(), tags.sync_priority(), one.votes, one.flush);
    };
    std::ranges::sort(out, [&](const Standby& a, const Standby& b) {
        return rank(a) == rank(b) ? a.member->name < b.member->name : rank(a) > rank(b);
    });
    return out;
}

MemberSet names_of(const std::vector<Standby>& list) {
    MemberSet out;
    for (const auto& one : list) out.insert(one.member->name);
    return out;
}

// How it should be, with the standbys that there are.
Goal goal_of(const Mind& m, std::vector<Standby> list) {
    const State& s = m.s;
    if (s.settings.synchronous_mode == SyncMode::off) return {};
    const auto wanted = static_cast<std::size_t>(std::max(1, s.settings.synchronous_node_count));
    std::size_t size = std::min(wanted, list.size());
    if (s.settings.synchronous_mode == SyncMode::quorum) {
        // Those that may never lead only make up the number.
        const auto able = std::ranges::count_if(
            list, [](const Standby& one) { return !one.member->tags.nofailover(); });
        size = std::max(size, static_cast<std::size_t>(able));
    }
    list.resize(std::min(size, list.size()));
    Goal goal;
    goal.names.standbys = goal.votes.voters = names_of(list);
    const int count = static_cast<int>(list.size());
    goal.names.count = std::min(static_cast<int>(wanted), count);
    goal.votes.quorum = count - goal.names.count;
    if (count > 0 || !s.settings.synchronous_mode_strict) return goal;
    // Strict: commits wait for those who were there last, until one comes back.
    if (s.syncing.told && s.syncing.told->count > 0)
        goal.names = *s.syncing.told;
    else
        goal.names = {{cluster::strict_placeholder}, 1};
    return goal;
}

std::string text_of(const State& s, const Names& names) {
    SyncNames value;
    value.count = names.count;
    value.names.assign(names.standbys.begin(), names.standbys.end());
    // While sets change a commit may wait for some of more; then any of them, in both modes.
    const bool all = names.count == static_cast<int>(names.standbys.size());
    value.method = s.settings.synchronous_mode == SyncMode::on && all ? SyncNames::Method::first
                                                                      : SyncNames::Method::any;
    return to_text(value);
}

void tell(Mind& m, Names names) {
    State& s = m.s;
    Syncing& sync = s.syncing;
    auto text = text_of(s, names);
    m.say("sync names", Note::Level::info,
          text.empty() ? std::string("commits wait for no standby")
                       : fmt::format("synchronous_standby_names = '{}'", text));
    s.fine = {};
    sync.told = std::move(names);
    sync.marker.reset();
    sync.settled = false;
    sync.end.reset();
    sync.told_at = m.now.mono;
    m.emit(SetSyncNames{std::move(text)});
}

void look_by(Mind& m, Duration after) {
    const Instant due = m.s.pg_seen + after;
    if (m.now.mono < due) return m.wake_by(due);
    if (!m.running<Observe>()) m.emit(Observe{});
}

// What PostgreSQL goes by when this leader begins. Nobody knows which of its processes have read
// it: it is told again.
void begin(Mind& m, const Votes& votes) {
    State& s = m.s;
    const auto running = cluster::parse_sync_names(s.pg->sync_names);
    Names names;
    if (running && !running->everybody)
        names = {{running->names.begin(), running->names.end()}, running->count};
    // Set past us, or by an agent that keeps other rules.
    if (!running || running->everybody || !intersect(votes, names, s.self.name))
        names = names_after_election(votes, s.self.name, {});
    tell(m, std::move(names));
}

// Whether every walsender goes by the names that were told last.
bool settled(Mind& m) {
    State& s = m.s;
    Syncing& sync = s.syncing;
    if (sync.settled) return true;
    if (!sync.marker) {  // it failed, or nobody knows
        if (m.now.mono < sync.tell_again_at) {
            m.wake_by(sync.tell_again_at);
            return false;
        }
        tell(m, *sync.told);
        return false;
    }
    if (s.pg_asked < sync.told_at) return look_by(m, {}), false;
    // Only one that streams and counts can let a commit through. One that catches up reads first,
    // and one that counts for nothing by what it has read must read more to count.
    const bool all = std::ranges::all_of(s.pg->senders, [&](const cluster::Sender& one) {
        const bool lets_through =
            one.sync_priority > 0 && (one.state == "streaming" || one.state == "stopping");
        return !lets_through || one.sent >= *sync.marker;
    });
    if (all) {
        sync.settled = true;
        sync.settled_at = m.now.mono;
        s.taken_over.reset();
        s.fine = {};
        return true;
    }
    const Instant hangs = std::max(sync.told_at + settles_within, sync.end_senders_at);
    if (m.now.mono >= hangs) {
        sync.end_senders_at = m.now.mono + settles_within;
        m.tell(Note{Note::Level::warning,
                    "ending replication connections that hang: they have not read the change of "
                    "synchronous_standby_names"});
        m.emit(EndSenders{*sync.marker});
        return false;
    }
    m.wake_by(hangs);
    look_by(m, look_soon);
    return false;
}

// Of the voters, how many hold everything that was acknowledged before the names settled.
bool flushed(Mind& m, const Votes& votes) {
    State& s = m.s;
    Syncing& sync = s.syncing;
    if (!sync.end) {
        if (s.pg_asked >= sync.settled_at && s.pg->wal)
            sync.end = s.pg->wal;
        else
            return look_by(m, {}), false;
    }
    int have = 0;
    for (const auto& name : votes.voters) {
        const auto* sender = sender_of(s, name);
        if (name == s.self.name || (sender && sender->flush >= *sync.end)) ++have;
    }
    if (have >= flushes_needed(votes)) return true;
    look_by(m, look_soon);
    return false;
}

void put(Mind& m, const cluster::SyncState& known, const Votes& votes) {
    cluster::SyncState next;
    next.leader = m.s.self.name;
    next.voters.assign(votes.voters.begin(), votes.voters.end());
    next.quorum = votes.quorum;
    m.commit(CommitFor::sync, cluster::keys::put_sync(next, known.mod_revision, m.s.lead->term));
}

void say_votes(Mind& m, const cluster::SyncState& key) {
    std::string list;
    for (const auto& name : key.voters) list += (list.empty() ? "" : ", ") + name;
    m.say("sync key", Note::Level::info,
          list.empty()      ? std::string("no standby may take over without `relevoctl failover`")
          : key.quorum == 0 ? fmt::format("any of {} may take over", list)
                            : fmt::format("{} of {} together may take over", key.quorum + 1, list));
}

// synchronous_mode was switched off: nobody reads the key any more, and the setting is the user's.
void switch_off(Mind& m, const cluster::SyncState& key) {
    m.tell(Note{Note::Level::info, "synchronous_mode is off: replication is asynchronous"});
    m.s.syncing = {};
    m.commit(CommitFor::remove_sync, cluster::keys::remove_sync(key.mod_revision, m.s.lead->term));
}

}  // namespace

bool sync_rules(const State& s) {
    return s.settings.synchronous_mode != SyncMode::off && s.dcs &&
           (s.dcs->sync.active() || s.dcs->sync.unreadable);
}

bool may_lead_by_sync(const State& s, std::string_view name) {
    return !sync_rules(s) || (!s.dcs->sync.unreadable && s.dcs->sync.names_or_leader(name));
}

std::optional<std::string> names_to_lead_with(const State& s) {
    if (s.settings.synchronous_mode == SyncMode::off || !s.dcs) return std::nullopt;
    const auto& key = s.taken_over ? s.taken_over->sync : s.dcs->sync;
    Names names;
    if (key.active()) {
        // A leader in place waits for its voters; a winner for the last leader too.
        const auto& last = s.taken_over ? s.taken_over->last_leader : key.leader;
        names = names_after_election(votes_of(key), s.self.name,
                                     last == s.self.name ? cluster::MemberName() : last);
    }
    if (names.count == 0 && s.settings.synchronous_mode_strict)
        names = {{cluster::strict_placeholder}, 1};
    return text_of(s, names);
}

void keep_sync(Mind& m) {
    State& s = m.s;
    const auto& key = m.view()->sync;
    const bool busy = m.running<SetSyncNames>() || m.running<EndSenders>() ||
                      m.committing(CommitFor::sync) || m.committing(CommitFor::remove_sync);
    if (busy) return;
    if (m.now.mono < s.sync_again_at) return m.wake_by(s.sync_again_at);
    if (s.settings.synchronous_mode == SyncMode::off) {
        if (key.active()) switch_off(m, key);  // what nobody can read is left to a person
        return;
    }
    if (s.syncing.term != s.lead->term) {
        s.syncing = {};
        s.syncing.term = s.lead->term;
        s.syncing.began = m.now.mono;
        // An agent before this one may have left a write on its way.
        if (!s.taken_over) s.syncing.unsure = key.mod_revision;
    }
    const auto look_again = [&] {
        m.wake_by(s.primary_since + connect_within);
        look_by(m, look_every);
    };
    if (s.syncing.settled && !s.syncing.unsure && s.fine.sync == m.known(*m.view()))
        return look_again();
    // Synchronous replication begins, or somebody led who does not keep the key: nobody but we.
    if (!key.active() || key.leader != s.self.name) return put(m, key, {});
    const Votes votes = votes_of(key);
    say_votes(m, key);
    // The same once more: what is still on its way does not find the key that it expects.
    if (s.syncing.unsure == key.mod_revision) return put(m, key, votes);
    s.syncing.unsure.reset();
    if (!s.syncing.told) return begin(m, votes);
    if (!settled(m)) return;
    // Set past us, or the other mode's way of writing the same: what settled holds only while
    // PostgreSQL goes by it.
    if (text_of(s, *s.syncing.told) != s.pg->sync_names) return tell(m, *s.syncing.told);
    auto list = standbys(m, *m.view());
    MemberSet live;
    for (const auto& one : list)
        if (sender_of(s, one.member->name)) live.insert(one.member->name);
    const Goal now{votes, *s.syncing.told};
    const Goal goal = goal_of(m, std::move(list));
    const auto move = quorum::next_move(now, goal, s.self.name, live, s.rules.intersect);
    if (!move)
        return m.say("sync plan", Note::Level::error,
                     "synchronous replication cannot be changed safely: the sync key and "
                     "synchronous_standby_names stay as they are");
    switch (move->what) {
        case quorum::Move::What::nothing:
            if (m.now.mono >= connected_by(s)) s.fine.sync = m.known(*m.view());
            break;
        case quorum::Move::What::names: return tell(m, move->names);
        case quorum::Move::What::votes:
            if (!move->flushed || !s.rules.flushed || flushed(m, move->votes))
                return put(m, key, move->votes);
            break;
    }
    look_again();
}

// Called with a view. A winner's PostgreSQL must go by the names from its first commit on. It takes
// its time to read them; a standby that has done so beforehand is promoted at once.
void keep_names_ready(Mind& m) {
    State& s = m.s;
    const auto& pg = *s.pg;
    if (pg.server != cluster::Server::running || pg.primary() || m.leading() || m.pg_busy() ||
        m.running<SetSyncNames>())
        return;
    if (s.fine.names_ready == m.known(*m.view())) return;
    const auto names = names_to_lead_with(s);
    if (!names || *names == pg.sync_names || !may_lead_by_sync(s, s.self.name)) {
        s.fine.names_ready = m.known(*m.view());
        return;
    }
    if (m.now.mono < s.names_ready_again_at) return m.wake_by(s.names_ready_again_at);
    s.names_ready_again_at = m.now.mono + std::chrono::seconds(1);
    m.emit(SetSyncNames{names});
}

// The answer to what PostgreSQL was told.
void sync_names_done(Mind& m, const EffectDone& done) {
    Syncing& sync = m.s.syncing;
    if (!sync.told || !m.s.lead || sync.term != m.s.lead->term) return;
    const auto* set = std::get_if<SyncNamesSet>(&done.payload);
    if (!done.error && set) {
        m.forget("sync");
        sync.marker = set->marker;
        sync.told_at = m.now.mono;
        return;
    }
    sync.tell_again_at = m.now.mono + std::chrono::seconds(1);
    m.say("sync", Note::Level::warning,
          "synchronous_standby_names cannot be changed: " +
              (done.error ? done.error->message : std::string("no answer")));
}

}  // namespace relevo::core
