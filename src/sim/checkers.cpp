#include "sim/checkers.h"

#include <fmt/core.h>

#include <algorithm>

namespace relevo::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

bool changes_server(const core::Effect& effect) {
    using namespace core;
    return holds<StartPg>(effect) || holds<StopPg>(effect) || holds<MakeStandby>(effect) ||
           holds<PromotePg>(effect) || holds<FollowPg>(effect) || holds<BootstrapPg>(effect) ||
           holds<PostBootstrapPg>(effect) || holds<ClonePg>(effect) || holds<RewindPg>(effect) ||
           holds<CrashRecoverPg>(effect) || holds<SetAsidePg>(effect);
}

}  // namespace

bool automation(const core::Effect& effect) {
    using namespace core;
    return (changes_server(effect) && !holds<FollowPg>(effect) && !holds<MakeStandby>(effect)) ||
           holds<KillPg>(effect);
}

Checkers::Checkers(Parts parts)
    : parts_(parts),
      excused_since_(static_cast<std::size_t>(parts.world.size())),
      stopped_to_hand_over_(static_cast<std::size_t>(parts.world.size())),
      named_(static_cast<std::size_t>(parts.world.size())),
      promised_(static_cast<std::size_t>(parts.world.size())),
      forced_(static_cast<std::size_t>(parts.world.size())),
      probes_(static_cast<std::size_t>(parts.world.size())) {}

void Checkers::fail(const std::string& what) {
    auto& world = parts_.world;
    findings.failures.push_back(
        fmt::format("at {:.3f} s: {}", to_s(world.now().time_since_epoch()), what));
    world.say("FAILURE: " + what);
    world.stopped = true;
}

int Checkers::leader() const {
    const auto truth = parts_.dcs.truth();
    return truth->leader ? parts_.world.index_of(truth->leader->name) : -1;
}

void Checkers::excuse_pause(bool on) {
    paused_ = on;
    pause_changed_ = parts_.world.now();
    for (int m = 0; m < parts_.world.size(); ++m) excuse(m);
}

// Why nobody could expect this member's agent to have stopped its primary by now.
std::string Checkers::why_excused(int index) const {
    const auto& world = parts_.world;
    const auto& s = world.plan.settings;
    Member& who = member(index);
    // Its watchdog resets the host in time, whatever became of the agent. Where votes decide it is
    // not waited for: without them nothing is acknowledged.
    // Nor is it armed before there is a cluster to lead, which a new lease has to come first for,
    // and maintenance mode disarms it.
    const bool armed =
        who.state().watchdog.armed || (!paused_ && parts_.postgres.at(index).primary_since() >
                                                       std::max(pause_changed_, cluster_since_));
    const bool guarded = world.plan.watchdog.mode == core::WatchdogUse::Mode::required &&
                         s.synchronous_mode == cluster::SyncMode::off && armed &&
                         parts_.dcs.truth()->initialized();
    if (!guarded && !who.decides()) return "its agent is dead or has not seen the DCS yet";
    if (!guarded && who.stalls()) return "its agent hangs";
    if (!guarded && parts_.postgres.at(index).stuck()) return "its processes do not die";
    if (guarded && parts_.postgres.at(index).started_outside())
        return "somebody started it past the agent";
    if (who.pause_seen()) return "maintenance mode";
    if (world.now() - who.pause_left() < milliseconds(500)) return "maintenance mode";
    const Duration since_start = world.now() - who.deciding_since();
    // By its voters' word, or its lease, and nobody has told it that another leads.
    const auto truth = parts_.dcs.truth();
    const auto& state = who.state();
    const Instant may_until = std::max({core::serves_until(state), core::backed_until(state),
                                        core::failsafe_until(state), state.right_until});
    const bool stops = std::ranges::any_of(
        state.running, [](const core::Running& r) { return holds<core::KillPg>(r.effect); });
    const auto replaced_at = truth->sync.leader != name(index) ? truth->sync.mod_revision
                             : truth->leader                   ? truth->leader->create_revision
                                                               : 0;
    // A commit of the very instant in which its time ends may come before its timer.
    const bool unaware =
        world.mono(index) < may_until + milliseconds(1) && state.dcs &&
        // Nothing is decided on a view that lacks its own newest write.
        state.dcs->revision < std::max(replaced_at, replaced_at > 0 ? state.floor : 0);
    if (core::sync_rules(state) && (stops || unaware))
        return "it was deposed and does not know yet";
    if (!guarded && since_start < Duration(s.retry_timeout) + seconds(1))
        return "its agent has just started";
    if (!guarded &&
        world.now() - excused_since_[static_cast<std::size_t>(index)] < milliseconds(500))
        return "it was frozen until now";
    const auto& pg = parts_.postgres.at(index);
    const Duration seen_by = Duration(s.loop_wait) + seconds(2);
    if (pg.started_outside() && world.now() - pg.primary_since() < seen_by)
        return "somebody started it past the agent";
    if (world.now() - pause_changed_ < seen_by + Duration(s.ttl))
        return "maintenance mode has just ended";
    return {};
}

void Checkers::two_primaries(int a, int b) {
    const auto& pg_a = parts_.postgres.at(a);
    const auto& pg_b = parts_.postgres.at(b);
    const auto& sync = parts_.dcs.truth()->sync;
    const int key = leader();
    const int leads = key >= 0 || !sync.active() ? key : parts_.world.index_of(sync.leader);
    // Who should have stopped: the one without the key; without any leader (it may go on by the
    // others' word) the one that nobody but an operator or init started; else the older one.
    const bool outside = pg_a.started_outside() != pg_b.started_outside();
    const bool a_stops =
        outside ? pg_a.started_outside() : pg_a.primary_since() < pg_b.primary_since();
    const int stale = leads == a ? b : leads == b || a_stops ? a : b;
    auto excuse_text = why_excused(stale);
    const auto truth = parts_.dcs.truth();
    if (truth->initialized() && data(stale).system_id != *truth->initialize)
        excuse_text = "it is of another cluster";
    // Two at a bootstrap: the one that has lost its claim, and the claim does not tell us whose.
    if (leads < 0 && !truth->initialized() && excuse_text.empty())
        excuse_text = why_excused(stale == a ? b : a);
    if (!excuse_text.empty()) {
        ++findings.overlaps;
        return;
    }
    fail(fmt::format("two primaries accept writes: {} and {}; {} should have stopped", name(a),
                     name(b), name(stale)));
}

void Checkers::on_primary(int index) {
    auto& world = parts_.world;
    note_restore();
    if (data(index).closed) return world.say(index, "## is restored, and lets nobody in");
    world.say(index, "## accepts writes");
    for (int other = 0; other < world.size(); ++other)
        if (other != index && parts_.postgres.at(other).accepts_writes())
            two_primaries(other, index);
    if (leader() == index || line_ < 0) line_ = data(index).end.branch;
    if (leader() == index) handed_over_ = {};  // what comes later is no part of it
    // Bootstrap: the key comes a moment later.
    if (leader() < 0 && parts_.dcs.truth()->initialized() == false) line_ = data(index).end.branch;
}

// The key went to a member that was a primary already: what it writes is the cluster's line from
// now on, and what it lacks of the earlier one is lost as in a promotion.
void Checkers::follow_line(int leads) {
    const WalEnd end = data(leads).end;
    if (line_ == end.branch) return;
    if (line_ >= 0) {
        const WalEnd line{line_, cluster::Lsn{~std::uint64_t{0} >> 1U}};
        const auto lost = parts_.postgres.wal.lost(line, end);
        findings.lost += parts_.postgres.wal.count_lost(line, end);
        if (lost.count > 0) {
            check_promise(leads, lost);
            check_better_candidate(leads, end, lost);
        }
    }
    line_ = end.branch;
}

void Checkers::on_commit(int index) {
    ++findings.commits;
    note_restore();
    check_is_restored(index, "takes writes");
    if (leader() == index) follow_line(index);
    for (int other = 0; other < parts_.world.size(); ++other)
        if (other != index && parts_.postgres.at(other).accepts_writes())
            two_primaries(index, other);
}

// Whoever may be elected without the leader has, in one of its members, all that was acknowledged:
// looked at with every acknowledgement, not only when somebody is elected.
void Checkers::on_acknowledged(int index) { check_electable(index, "acknowledged"); }
void Checkers::on_read(int index) { check_electable(index, "showed to a reader"); }

void Checkers::check_electable(int index, const char* what) {
    const auto truth = parts_.dcs.truth();
    const auto& sync = truth->sync;
    if (!parts_.postgres.promised(index)) return check_deposed(index);
    promised_[static_cast<std::size_t>(index)] = true;
    const auto& wal = parts_.postgres.wal;
    const WalEnd acked = wal.last_acked(data(index).end);
    int without = 0;
    for (int other = 0; other < parts_.world.size(); ++other) {
        const Data& there = data(other);
        if (other == index || !sync.names(name(other)) || there.voteless) continue;
        if (there.kind == cluster::DataDir::initialized && !wal.covers(there.flushed, acked))
            ++without;
    }
    if (without > sync.quorum)
        fail(fmt::format("{} {} what {} voters lack, and {} of them elect a leader", name(index),
                         what, without, sync.quorum + 1));
}

// Whoever took the lead, not against the votes, has all that the one before it still acknowledges:
// its votes are of those that stopped to follow that one, and it has what they have.
void Checkers::check_deposed(int deposed) {
    const auto truth = parts_.dcs.truth();
    if (parts_.world.plan.settings.synchronous_mode == cluster::SyncMode::off) return;
    // One that never came as far as to name its voters led by its lease alone.
    if (!promised_[static_cast<std::size_t>(deposed)]) return;
    const int winner = truth->sync.active() ? parts_.world.index_of(truth->sync.leader) : -1;
    if (winner < 0 || winner == deposed || forced_[static_cast<std::size_t>(winner)]) return;
    const auto& wal = parts_.postgres.wal;
    // The operator who chose against the votes chose against what it acknowledges.
    note_overridden();
    if (std::ranges::count(overridden_, data(deposed).end.branch) > 0) return;
    const WalEnd acked = wal.last_acked(data(deposed).end);
    if (data(winner).system_id != data(deposed).system_id || wal.covers(data(winner).end, acked))
        return;
    fail(fmt::format("{} acknowledged what {}, which leads since, lacks", name(deposed),
                     name(winner)));
}

// The order may have come too late; whoever has the key now has had it carried out.
void Checkers::note_overridden() {
    if (!overriding_ || parts_.dcs.truth()->sync.leader != name(overriding_->by)) return;
    overridden_.push_back(overriding_->line);
    overriding_.reset();
}

void Checkers::on_promoting(int winner, WalEnd from) {
    ++findings.promotions;
    note_restore();
    if (leader() == winner) check_is_restored(winner, "is promoted");
    if (formed && parts_.world.plan.profile != Profile::rough &&
        parts_.world.plan.profile != Profile::scripted)
        return fail(name(winner) + " is promoted without a fault");
    if (leader() != winner) {
        // Its key ran out during the promotion itself: it will be stopped. One that began without
        // any is wrong.
        if (!member(winner).decides()) return;
    }
    if (line_ < 0) return;
    const WalEnd line{line_, cluster::Lsn{~std::uint64_t{0} >> 1U}};
    const auto lost = parts_.postgres.wal.lost(line, from);
    if (lost.count == 0) return;
    findings.lost += parts_.postgres.wal.count_lost(line, from);
    if (parts_.world.trace.on())
        parts_.world.say(winner,
                         fmt::format("## {} acknowledged commits are lost, the oldest of {:.3f} s",
                                     lost.count, to_s(lost.first.time_since_epoch())));
    // One whose key is another's by now acknowledges nothing.
    if (leader() == winner) check_promise(winner, lost);
    check_tail(winner, from);
    check_switchover(winner, lost);
    check_better_candidate(winner, from, lost);
}

void Checkers::check_switchover(int winner, const WalTree::Lost& lost) {
    const auto& world = parts_.world;
    if (handed_over_ == Instant{} || world.now() - handed_over_ > seconds(5)) return;
    if (world.last_fault > handed_over_ - seconds(3)) return;
    // Where the promotion of whom it was given to failed, this is a failover.
    if (took_over_ != winner) return;
    fail(fmt::format("{} takes over in a switchover without {} acknowledged commits", name(winner),
                     lost.count));
}

// Its answer came, or should have: who cannot be heard and has no key in the DCS is as good as
// gone.
bool Checkers::could_tell(const Probe& asked, int other) const {
    const auto i = static_cast<std::size_t>(other);
    return asked.answers[i] && (asked.late[i] == 0 || parts_.dcs.truth()->member(name(other)));
}

// Commits are lost. Not such as a crashed primary's agent offers all the while (docs/adr/0009),
// unless the winner knows that it could not have them. A frozen host offers nothing.
void Checkers::check_tail(int winner, WalEnd from) {
    const auto& world = parts_.world;
    if (forced_[static_cast<std::size_t>(winner)]) return;
    const auto& probe = probes_[static_cast<std::size_t>(winner)];
    const bool calm = !probe.ends.empty() && world.last_fault < probe.at - milliseconds(500);
    const auto& wanted = member(winner).state().tail_wanted;
    for (int other = 0; other < world.size(); ++other) {
        if (other == winner || !member(other).decides()) continue;
        const auto& tail = member(other).state().tail;
        const WalEnd end = data(other).end;
        if (!tail || end.branch != from.branch || end.branch != line_ || end.lsn <= from.lsn)
            continue;
        if (!wanted && calm && could_tell(probe, other))
            fail(fmt::format("{} does not ask for what {} wrote last", name(winner), name(other)));
        else if (wanted && wanted->member.name == name(other) && wanted->got >= tail->wal.end)
            fail(fmt::format("{} believes to have what {} wrote last, and lacks {} bytes",
                             name(winner), name(other), cluster::distance(end.lsn, from.lsn)));
    }
}

// What was acknowledged while synchronous replication was in force is never lost, but by an
// operator who chose against the votes.
void Checkers::check_promise(int winner, const WalTree::Lost& lost) {
    if (lost.promised == 0 || forced_[static_cast<std::size_t>(winner)]) return;
    if (parts_.world.plan.settings.synchronous_mode == cluster::SyncMode::off) return;
    fail(fmt::format("{} leads without {} commits that synchronous replication had promised",
                     name(winner), lost.promised));
}

// Asynchronous replication may lose what nobody else had; never what a member had that could be
// asked.
void Checkers::check_better_candidate(int winner, WalEnd from, const WalTree::Lost& lost) {
    const auto& world = parts_.world;
    const Probe& probe = probes_[static_cast<std::size_t>(winner)];
    if (forced_[static_cast<std::size_t>(winner)]) return;
    if (probe.ends.empty() || world.now() - probe.at > seconds(20)) return;
    if (world.last_fault > probe.at - seconds(2)) return;
    const WalEnd line{line_, cluster::Lsn{~std::uint64_t{0} >> 1U}};
    // Who led since a leader last told its line goes first (docs/adr/0005). That another led after
    // it and was gone before it told, nobody knows.
    const auto& granted = parts_.dcs.truth()->granted;
    if (parts_.postgres.wal.at(line_).timeline > granted.settled &&
        parts_.postgres.wal.at(from.branch).timeline > granted.settled)
        return;
    for (int other = 0; other < world.size(); ++other) {
        const auto i = static_cast<std::size_t>(other);
        if (probe.late[i] > 1) continue;  // it was asked twice
        // Of those who followed the last leader: who left its line earlier has something else
        // instead.
        if (other == winner || !probe.reachable[i] ||
            !parts_.postgres.wal.covers(line, probe.ends[i]))
            continue;
        const auto theirs = parts_.postgres.wal.lost(line, probe.ends[i]);
        if (theirs.count < lost.count && !parts_.postgres.wal.covers(from, probe.ends[i]))
            fail(fmt::format(
                "{} leads without {} acknowledged commits that {} had and could have told of",
                name(winner), lost.count - theirs.count, name(other)));
    }
}

void Checkers::on_wipe(int index, const Data& data_there, const char* how) {
    auto& world = parts_.world;
    world.say(index, fmt::format("## data thrown away ({})", how));
    const auto truth = parts_.dcs.truth();
    // A bootstrap that is undone: no cluster yet, or another's.
    if (!truth->initialized()) {
        line_ = -1;
        return;
    }
    if (truth->initialize != data_there.system_id) return;
    if (line_ < 0) return;
    if (leader() < 0 && world.now() - last_led_ > Duration(world.plan.settings.ttl) + seconds(30))
        return fail(
            fmt::format("{} throws its data away ({}) while nobody leads", name(index), how));
    const WalEnd line{line_, cluster::Lsn{~std::uint64_t{0} >> 1U}};
    const auto& wal = parts_.postgres.wal;
    const auto mine = wal.lost(line, data_there.end);
    for (int other = 0; other < world.size(); ++other) {
        const Data& there = data(other);
        if (other == index || there.kind != cluster::DataDir::initialized ||
            there.system_id != data_there.system_id)
            continue;
        if (wal.lost(line, there.end).count <= mine.count) return;
    }
    fail(
        fmt::format("{} throws away ({}) the only copy of acknowledged commits", name(index), how));
}

void Checkers::on_reset(int index) {
    ++findings.resets;
    const auto profile = parts_.world.plan.profile;
    if (profile == Profile::quiet || profile == Profile::blinks)
        fail(name(index) + " is reset by its watchdog without a fault");
}

// After any stop a data directory starts as a standby: whoever starts it past the agent makes no
// primary.
void Checkers::on_outside_start(int index) {
    const auto& pg = parts_.postgres.at(index);
    const auto now = parts_.world.now();
    Member& who = member(index);
    if (pg.data().kind != cluster::DataDir::initialized || pg.data().standby_signal) return;
    if (leader() == index || leader() < 0 || pg.busy() || !who.decides() || who.stalls() ||
        who.pause_seen())
        return;
    if (now - pg.stopped_since() < seconds(2) || now - who.deciding_since() < seconds(5)) return;
    if (parts_.world.host(index).disk_in_trouble(now)) return;
    // It was frozen until a moment ago: its agent has not had the time either.
    if (now - excused_since_[static_cast<std::size_t>(index)] < seconds(2)) return;
    if (now - pause_changed_ < seconds(30) || !who.state().dcs || who.state().dcs_down) return;
    fail(name(index) + ", a former primary, would come up as one when somebody started it");
}

// As many voters must suspect it as elect the next.
void Checkers::check_deposition(const Member& who) {
    const auto& sync = who.state().dcs->sync;
    int suspect = 0;
    for (const auto& voter : sync.voters) {
        const int other = parts_.world.index_of(voter);
        // What it answered may be a moment old.
        if (other >= 0 && parts_.world.now() - member(other).suspected_at() < seconds(1)) ++suspect;
    }
    if (suspect <= sync.quorum)
        fail(fmt::format("{} deposes the leader, which {} voters suspect", name(who.index()),
                         suspect));
}

void Checkers::check_one_action(Member& who) {
    const auto count = std::ranges::count_if(
        who.state().running, [](const core::Running& r) { return changes_server(r.effect); });
    const bool killing = std::ranges::any_of(
        who.state().running, [](const core::Running& r) { return holds<core::KillPg>(r.effect); });
    if (count > 1 && !killing)
        fail(name(who.index()) + " does two things to PostgreSQL at the same time");
}

void Checkers::note_probe(Member& who) {
    const auto& world = parts_.world;
    Probe& seen = probes_[static_cast<std::size_t>(who.index())];
    const auto nobody = std::vector<int>(probes_.size());
    auto late = std::move(seen.late);
    if (late.empty()) late = nobody;
    seen = Probe{world.now(), {}, {}, {}, nobody, std::move(late)};
    for (int other = 0; other < world.size(); ++other) {
        const auto& pg = parts_.postgres.at(other);
        seen.ends.push_back(pg.data().end);
        const auto report = pg.report();
        seen.answers.push_back(other != who.index() && member(other).answers() &&
                               parts_.world.host(other).awake() &&
                               world.linked_both(who.index(), other));
        // One whose key is not there (its lease ran out while it hung) is not known to be asked.
        const bool known = who.state().dcs && who.state().dcs->member(name(other));
        seen.reachable.push_back(seen.answers.back() && known &&
                                 world.linked_both(other, world.dcs_node()) &&
                                 report.server == cluster::Server::running && report.in_recovery &&
                                 !member(other).state().self.tags.nofailover() &&
                                 !core::watchdog_failed(member(other).state()) &&
                                 world.now() - member(other).deciding_since() > seconds(2));
    }
}

void Checkers::on_late_answer(Member& asker, int other) {
    Probe& seen = probes_[static_cast<std::size_t>(asker.index())];
    if (seen.late.empty()) return;
    const auto i = static_cast<std::size_t>(other);
    seen.late[i] = seen.late_before[i] + 1;
}

void Checkers::on_effect(Member& who, const core::Issued& issued) {
    if (!parts_.dcs.truth()->initialized())
        cluster_since_ = Instant::max();
    else if (cluster_since_ == Instant::max())
        cluster_since_ = parts_.world.now();
    const auto& world = parts_.world;
    const auto index = static_cast<std::size_t>(who.index());
    if (leader() >= 0) last_led_ = world.now();
    note_overridden();
    note_restore();
    check_room(who, issued);
    check_rot(who, issued);
    check_rebuild(who, issued);
    check_pause(who, issued);
    if (changes_server(issued.effect)) check_one_action(who);
    const bool quiet =
        world.plan.profile == Profile::quiet || world.plan.profile == Profile::blinks;
    if (quiet && formed && automation(issued.effect))
        fail(
            fmt::format("{} acts without a fault: {}", name(who.index()), describe(issued.effect)));
    if (const auto* probe = std::get_if<core::ProbePeers>(&issued.effect);
        probe && probe->purpose == core::ProbeFor::race)
        note_probe(who);
    if (const auto* commit = std::get_if<core::Commit>(&issued.effect)) {
        if (commit->purpose == core::CommitFor::depose) check_deposition(who);
        if (commit->purpose == core::CommitFor::acquire) {
            // A candidate that an operator named does not ask.
            const auto& failover = who.state().dcs->failover;
            // The order stands for as long as the sync key names whom it chose.
            const bool ordered =
                failover && failover->member == name(who.index()) && failover->leader.empty();
            const bool stands = forced_[index] && who.state().dcs->sync.leader == name(who.index());
            // With the votes it promises what every leader does.
            const auto& put = who.state().taken_over;
            const bool voted = put && !put->sync.voters.empty();
            forced_[index] = (ordered && !voted) || stands;
            const int last = world.index_of(who.state().dcs->sync.leader);
            if (overriding_ && overriding_->by == who.index()) overriding_.reset();
            if (ordered && !voted && last >= 0 && last != who.index())
                overriding_ = Overriding{who.index(), data(last).end.branch};
            if (failover && failover->member == name(who.index())) {
                probes_[index] = {};
                if (failover->leader.empty())
                    handed_over_ = {};  // his word goes before what is lost
            } else if (parts_.postgres.at(who.index()).is_primary() && !who.pause_seen())
                note_probe(who);  // whether it asked or not
        }
        if (commit->purpose == core::CommitFor::release &&
            holds<core::HandingOver>(who.state().procedure)) {
            handed_over_ = world.now();
            took_over_ = -1;
        }
    } else if (holds<core::PromotePg>(issued.effect) && took_over_ < 0) {
        took_over_ = who.index();
    }
}

std::string Checkers::unrest() const {
    const auto& place = parts_.dcs.truth()->restoration;
    if (place && place->goes_on()) return "a restore in place goes on";
    const int leads = leader();
    if (leads < 0) return "nobody leads";
    const auto& pg = parts_.postgres.at(leads);
    if (!pg.accepts_writes()) return name(leads) + " leads but does not accept writes";
    // Alone in strict mode it waits, as a commit does.
    const bool alone = parts_.world.plan.settings.synchronous_mode_strict &&
                       std::ranges::none_of(parts_.postgres.servers, [&](const auto& other) {
                           return other->streams() && other->upstream() == leads;
                       });
    if (!alone && (pg.report().gated || core::keeps_clients_out(member(leads).state())))
        return name(leads) + " leads but lets no client in";
    if (pg.report().refuses_writes) return name(leads) + " leads and refuses writes";
    if (!pg.data().roles) return name(leads) + " leads a cluster that nobody made the roles of";
    for (int other = 0; other < parts_.world.size(); ++other) {
        if (other == leads) continue;
        const auto& theirs = parts_.postgres.at(other);
        // A bootstrap that its agent did not survive left data, perhaps a running server, of a
        // cluster that never was: a stranger's, by its identifier, which is left alone.
        if (theirs.data().kind == cluster::DataDir::initialized &&
            theirs.data().system_id != pg.data().system_id &&
            member(other).last_exit().find("belongs to another cluster") != std::string::npos)
            continue;
        if (theirs.is_primary()) return name(other) + " is a primary without being the leader";
        if (theirs.report().gated) return name(other) + " lets no client in";
        if (theirs.server() == cluster::Server::running && theirs.streams() &&
            theirs.upstream() == leads &&
            parts_.postgres.wal.covers(pg.data().end, theirs.data().end))
            continue;
        const auto& state = member(other).state();
        // What pg_rewind can repair waits for nobody.
        const bool waits_for_a_person =
            member(other).decides() && state.said.contains("diverged") &&
            !(state.judged && state.judged->divergence.can_rewind) &&
            theirs.data().kind == cluster::DataDir::initialized &&
            !parts_.postgres.wal.covers(pg.data().end, theirs.data().end);
        if (!waits_for_a_person) return name(other) + " does not stream from " + name(leads);
    }
    if (const auto damaged = damaged_leads(leads); !damaged.empty()) return damaged;
    return damaged_for_good(leads);
}

}  // namespace relevo::sim
