// Each effect of the core, done with the simulated part. The deliberate bugs sit here.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "cluster/keys.h"
#include "sim/member.h"

namespace relevo::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

void Member::carry_out(const core::Issued& issued) {
    auto& world = parts_.world;
    if (world.trace.on()) {
        const bool note = holds<core::Note>(issued.effect);
        world.say(index_, (note ? "   \"" : "   => ") + core::describe(issued.effect) +
                              (note ? "\"" : fmt::format(" [{}]", issued.id)));
    }
    parts_.watchers.on_effect(*this, issued);
    if (const auto* exit = std::get_if<core::Exit>(&issued.effect)) {
        last_exit_ = exit->text;
        const bool asked = exit->code == 0;
        kill_agent();
        // Its service manager starts it again.
        world.on_host(index_, world.dice.between(seconds(1), seconds(asked ? 20 : 5)),
                      [this] { start_agent(); });
        return;
    }
    if (issued.id == 0) return;
    if (do_server(issued.id, issued.effect)) return;
    if (do_data(issued.id, issued.effect)) return;
    if (do_watchdog(issued.id, issued.effect)) return;
    do_dcs(issued.id, issued.effect);
}

bool Member::too_late(core::EffectId id, Instant not_after) {
    if (parts_.world.mono(index_) < not_after) return false;
    later({}, [this, id] {
        finish(id, {}, Error{ErrorCode::cancelled, "the right to lead had run out"});
    });
    return true;
}

void Member::do_dcs(core::EffectId id, const core::Effect& effect) {
    const int incarnation = incarnation_;
    if (const auto* read = std::get_if<core::ReadDcs>(&effect)) {
        parts_.dcs.read(index_, read->deadline, [this, id, incarnation](Result<SnapshotPtr> view) {
            if (incarnation != incarnation_) return;
            if (view) see(*view);
            if (incarnation != incarnation_) return;
            finish(id, {}, view ? std::nullopt : std::optional(view.error()));
        });
    } else if (const auto* keep = std::get_if<core::KeepLease>(&effect)) {
        const Instant asked_at = parts_.world.mono(index_);
        parts_.dcs.keep_lease(
            index_, keep->ttl, keep->deadline,
            [this, id, incarnation, asked_at](Result<cluster::Lease> lease) {
                if (incarnation != incarnation_) return;
                if (!lease) return finish(id, {}, lease.error());
                const bool wrong = has_bug(Bug::lease_counted_from_reply);
                finish(id,
                       core::LeaseKept{
                           wrong ? parts_.world.mono(index_) + lease->ttl / 3 : asked_at, *lease});
            });
    } else if (const auto* commit = std::get_if<core::Commit>(&effect)) {
        do_commit(id, *commit);
    } else if (const auto* probe = std::get_if<core::ProbePeers>(&effect)) {
        do_probe(id, *probe);
    } else if (const auto* ask = std::get_if<core::AskFailsafe>(&effect)) {
        do_failsafe(id, *ask);
    } else if (const auto* hold = std::get_if<core::HoldPoolers>(&effect)) {
        do_hold(id, *hold);
    } else {
        parts_.watchers.on_failure(*this,
                                   "an effect that nobody carries out: " + core::describe(effect));
    }
}

void Member::do_commit(core::EffectId id, core::Commit commit) {
    if (too_late(id, commit.not_after)) return;
    if (commit.purpose == core::CommitFor::acquire) distort(commit.txn);
    if (foreign()) {
        if (commit.purpose == core::CommitFor::timeline)  // as if done, and asked for again later
            return later(seconds(1),
                         [this, id] { finish(id, cluster::TxnResult{.succeeded = true}); });
        const auto told = [](const auto& part) {
            return part.key == cluster::keys::timeline || part.key == cluster::keys::status;
        };
        std::erase_if(commit.txn.compares, told);
        if (commit.purpose == core::CommitFor::acquire) std::erase_if(commit.txn.writes, told);
    }
    parts_.dcs.commit(index_, std::move(commit.txn), commit.deadline,
                      [this, id, incarnation = incarnation_](Result<cluster::TxnResult> result) {
                          if (incarnation != incarnation_) return;
                          if (result)
                              finish(id, *result);
                          else
                              finish(id, {}, result.error());
                      });
}

bool Member::do_server(core::EffectId id, const core::Effect& effect) {
    if (const auto* look = std::get_if<core::Observe>(&effect)) {
        pg().observe(look->look,
                     [this, id, incarnation = incarnation_](cluster::LocalPostgres seen) {
                         if (incarnation != incarnation_) return;
                         if (has_bug(Bug::vote_back_at_once) && seen.receiving)
                             pg().data_to_break().voteless = false;
                         distort(seen);
                         finish(id, std::move(seen));
                     });
    } else if (const auto* start = std::get_if<core::StartPg>(&effect)) {
        if (too_late(id, start->not_after)) return true;
        if (has_bug(Bug::wipe_without_leader) && !start->plan.as_primary && !start->plan.upstream) {
            parts_.postgres.on_wipe(index_, pg().data(), "start");
            pg().empty_it();
        }
        auto plan = start->plan;
        if (has_bug(Bug::admitted_unconfirmed)) plan.hold_clients = false;
        if (has_bug(Bug::restored_open) && pg().data().closed) plan.hold_clients = false;
        pg().start(plan, finisher(id));
        if (has_bug(Bug::two_actions)) finisher(id)({});
    } else if (const auto* stop = std::get_if<core::StopPg>(&effect)) {
        pg().stop(stop->mode, stop->escalate_after, finisher(id));
    } else if (holds<core::KillPg>(effect)) {
        if (has_bug(Bug::watchdog_disarmed_early)) watchdog().disarm();
        if (has_bug(Bug::fence_never_fires))
            finisher(id)({});
        else
            pg().kill(finisher(id));
    } else if (const auto* promote = std::get_if<core::PromotePg>(&effect)) {
        do_promote(id, *promote);
    } else if (const auto* follow = std::get_if<core::FollowPg>(&effect)) {
        if (has_bug(Bug::seal_not_done) && !follow->upstream)
            finisher(id)({});
        else
            pg().follow(follow->upstream, finisher(id));
    } else if (const auto* checkpoint = std::get_if<core::CheckpointPg>(&effect)) {
        if (checkpoint->make_way) give_ballast();
        if (has_bug(Bug::release_before_stopped) && holds<core::HandingOver>(state_.procedure) &&
            state_.lead)
            parts_.dcs.commit(index_,
                              cluster::keys::release_leader(state_.lead->term, std::nullopt),
                              seconds(1), [](const Result<cluster::TxnResult>&) {});
        pg().checkpoint(finisher(id));
    } else if (const auto* slots = std::get_if<core::SyncSlots>(&effect)) {
        pg().sync_slots(slots->plan, finisher(id));
    } else if (const auto* names = std::get_if<core::SetSyncNames>(&effect)) {
        pg().set_sync_names(names->names,
                            [this, id, incarnation = incarnation_](Result<cluster::Lsn> marker) {
                                later({}, [this, id, incarnation, marker = std::move(marker)] {
                                    if (incarnation != incarnation_) return;
                                    if (marker)
                                        finish(id, told(*marker));
                                    else
                                        finish(id, {}, marker.error());
                                });
                            });
    } else if (const auto* hanging = std::get_if<core::EndSenders>(&effect)) {
        pg().end_walsenders(hanging->sent_below, finisher(id));
    } else if (const auto* stale = std::get_if<core::EndSender>(&effect)) {
        pg().end_walsender(stale->pid, finisher(id));
    } else if (holds<core::AuditCommits>(effect)) {
        later(milliseconds(2), [this, id] {
            if (pg().is_primary() && !pg().hangs())
                finish(id, core::CommitsAudited{parts_.postgres.commit_settings});
            else
                finish(id, {}, Error{ErrorCode::unavailable, "no primary that answers"});
        });
    } else if (const auto* reset = std::get_if<core::ResetCommit>(&effect)) {
        pg().reset_commit_setting(reset->setting, finisher(id));
    } else if (const auto* refuse = std::get_if<core::RefuseWrites>(&effect)) {
        if (has_bug(refuse->on ? Bug::writes_not_refused : Bug::refused_for_ever))
            finisher(id)({});
        else
            pg().refuse_writes(refuse->on, finisher(id));
    } else if (holds<core::AdmitPg>(effect)) {
        pg().admit(finisher(id));
    } else if (holds<core::RestoreVote>(effect)) {
        pg().restore_vote(finisher(id));
    } else {
        return false;
    }
    return true;
}

bool Member::do_data(core::EffectId id, const core::Effect& effect) {
    if (holds<core::MakeStandby>(effect)) {
        if (has_bug(Bug::no_standby_signal))
            finisher(id)({});
        else
            pg().make_standby(finisher(id));
    } else if (const auto* make = std::get_if<core::BootstrapPg>(&effect)) {
        if (make->restore)
            pg().restore(*make->restore, finisher(id));
        else
            pg().bootstrap(finisher(id));
    } else if (holds<core::PostBootstrapPg>(effect)) {
        pg().post_bootstrap(finisher(id));
    } else if (const auto* clone = std::get_if<core::ClonePg>(&effect)) {
        pg().clone(clone->source, clone->replace_existing, clone->keep, finisher(id));
    } else if (holds<core::CheckRebuild>(effect)) {
        pg().check_rebuild(finisher(id));
    } else if (const auto* compare = std::get_if<core::ComparePg>(&effect)) {
        pg().compare(compare->source,
                     [this, id, incarnation = incarnation_](Result<cluster::Divergence> verdict) {
                         if (incarnation != incarnation_) return;
                         if (verdict)
                             finish(id, *verdict);
                         else
                             finish(id, {}, verdict.error());
                     });
    } else if (const auto* rewind = std::get_if<core::RewindPg>(&effect)) {
        pg().rewind(rewind->source, finisher(id));
    } else if (holds<core::CrashRecoverPg>(effect)) {
        pg().crash_recover(finisher(id));
    } else if (const auto* aside = std::get_if<core::SetAsidePg>(&effect)) {
        if (aside->keep.empty())
            pg().set_aside(finisher(id));
        else
            pg().keep_aside(aside->keep, finisher(id));
    } else if (const auto* back = std::get_if<core::PutBackPg>(&effect)) {
        pg().put_back(back->id, finisher(id));
    } else if (holds<core::ArchiveRestPg>(effect)) {
        pg().archive_rest(finisher(id));
    } else if (holds<core::FindWalEnd>(effect)) {
        pg().find_wal_end([this, id, incarnation = incarnation_](Result<cluster::WalTail> tail) {
            if (incarnation != incarnation_) return;
            if (tail)
                finish(id, *tail);
            else
                finish(id, {}, tail.error());
        });
    } else if (const auto* take = std::get_if<core::TakeTail>(&effect)) {
        do_take_tail(id, *take);
    } else {
        return false;
    }
    return true;
}

// Bugs of the transaction that takes the leader key.
void Member::distort(cluster::Txn& take) const {
    const auto not_leader = [](const auto& part) { return part.key != cluster::keys::leader; };
    const auto of_sync = [](const auto& part) { return part.key == cluster::keys::sync; };
    if (has_bug(Bug::acquire_without_guard)) take.compares.clear();
    if (has_bug(Bug::sync_key_unguarded)) std::erase_if(take.compares, not_leader);
    const bool own = state_.pg && state_.pg->primary();
    if (has_bug(Bug::own_key_unguarded) && own) std::erase_if(take.compares, not_leader);
    if (has_bug(Bug::take_leaves_sync_key) && own) std::erase_if(take.writes, not_leader);
    if (has_bug(Bug::take_shrinks_votes) && state_.taken_over) {
        auto sync = state_.taken_over->sync;
        if (std::erase(sync.voters, state_.self.name) > 0)
            sync.quorum = std::max(0, sync.quorum - 1);
        for (auto& write : take.writes)
            if (of_sync(write)) write.value = cluster::to_json(sync);
    }
}

namespace {
Error no_device() { return {ErrorCode::not_found, "there is no watchdog device"}; }
}  // namespace

bool Member::has_watchdog() const {
    const auto& hosts = parts_.world.plan.without_watchdog;
    return std::ranges::find(hosts, index_) == hosts.end();
}

// timeout: to arm it with; none: to feed it.
void Member::tell_watchdog(core::EffectId id, std::optional<Duration> timeout, Instant not_after) {
    auto& world = parts_.world;
    later(world.dice.between(microseconds(50), milliseconds(1)), [this, id, timeout, not_after] {
        const Instant now = parts_.world.mono(index_);
        if (now > not_after)
            return finish(id, {}, Error{ErrorCode::cancelled, "the right to lead had run out"});
        if (parts_.world.faults_on && parts_.world.dice.chance(parts_.world.plan.failures / 10))
            return finish(id, {}, Error{ErrorCode::failed, "the device fails"});
        if (!has_watchdog()) return finish(id, {}, no_device());
        auto& device = watchdog();
        if (timeout && !has_bug(Bug::watchdog_not_armed)) device.arm(*timeout);
        if (!timeout) device.feed();
        finish(id, core::WatchdogFed{timeout.value_or(state_.watchdog.armed.value_or(Duration{})),
                                     now});
    });
}

bool Member::do_watchdog(core::EffectId id, const core::Effect& effect) {
    if (const auto* arm = std::get_if<core::ArmWatchdog>(&effect)) {
        tell_watchdog(id, arm->timeout, arm->not_after);
    } else if (const auto* feeding = std::get_if<core::FeedWatchdog>(&effect)) {
        tell_watchdog(id, std::nullopt, feeding->not_after);
    } else if (holds<core::DisarmWatchdog>(effect)) {
        watchdog().disarm();
        finisher(id)({});
    } else if (holds<core::CheckWatchdog>(effect)) {
        finisher(id)(has_watchdog() ? Status{} : std::unexpected(no_device()));
    } else {
        return false;
    }
    return true;
}

core::SyncNamesSet Member::told(cluster::Lsn marker) const {
    if (has_bug(Bug::names_not_settled)) return {};
    return {marker};
}

void Member::distort(cluster::LocalPostgres& seen) const {
    if (has_bug(Bug::seal_not_done)) seen.receiving = false;
    // Without a receiver PostgreSQL shows what was flushed, and no more.
    if (has_bug(Bug::seal_told_early) && state_.follow_known && !state_.followed) {
        seen.receiving = false;
        seen.receive = seen.replay;
    }
    if (has_bug(Bug::vote_not_lost)) seen.voteless = false;
    if (has_bug(Bug::sent_taken_for_flush))
        for (auto& sender : seen.senders) sender.flush = sender.sent;
}

// The poolers answer at once, or have a transaction that does not end, or do not answer: a word of
// theirs may take all the time that they have, and the world goes on meanwhile.
void Member::do_hold(core::EffectId id, const core::HoldPoolers& hold) {
    const auto answer = [this, id](std::optional<Error> error) {
        finish(id, {}, std::move(error));
    };
    switch (parts_.world.plan.poolers) {
        case Poolers::none: return later({}, [answer] { answer(std::nullopt); });
        case Poolers::prompt: return later(milliseconds(5), [answer] { answer(std::nullopt); });
        case Poolers::silent: return later(hold.drain, [answer] { answer(std::nullopt); });
        case Poolers::busy:
            return later(hold.drain, [answer] {
                answer(Error{ErrorCode::conflict, "a transaction does not end"});
            });
    }
}

// A peer's answer.
void Member::distort(cluster::PeerStatus& answer) const {
    if (answer.primary) return;
    if (has_bug(Bug::positions_not_asked)) answer.position = {};
    if (has_bug(Bug::seals_not_asked_for) && answer.running) answer.sealed = state_.dcs->revision;
    if (has_bug(Bug::lower_lsn_leads) && state_.pg) {  // mirrored about one's own
        const auto mine = state_.pg->position().value;
        const auto theirs = answer.position.value;
        answer.position.value = theirs <= 2 * mine ? 2 * mine - theirs : 0;
    }
}

// A pre_promote hook may take its time; the right to lead is looked at once more after it.
void Member::do_promote(core::EffectId id, const core::PromotePg& promote) {
    if (has_bug(Bug::late_promotion))
        return later(parts_.world.dice.between({}, seconds(40)),
                     [this, id, promote] { promote_now(id, promote, promote.plan); });
    Duration hook{};
    if (promote.run_pre_promote) hook = parts_.world.dice.between(milliseconds(10), seconds(4));
    later(hook, [this, id, promote] {
        if (too_late(id, promote.not_after)) return;
        auto plan = promote.plan;
        if (has_bug(Bug::timeline_by_itself) || foreign()) plan.to = 0;
        if (has_bug(Bug::admitted_unconfirmed)) plan.hold_clients = false;
        if (has_bug(Bug::promoted_alone) && plan.sync_names) plan.sync_names = "";
        promote_now(id, promote, plan);
    });
}

void Member::promote_now(core::EffectId id, const core::PromotePg& promote,
                         const cluster::PromotePlan& plan) {
    // What comes of it other rules may mend; nobody may ask for it.
    if (parts_.world.mono(index_) >= promote.not_after)
        parts_.watchers.on_failure(*this, "promoted after its right to lead had run out");
    pg().promote(plan, finisher(id));
}

// All at once; a silent one is waited for until its deadline.
void Member::do_probe(core::EffectId id, const core::ProbePeers& probe) {
    struct Gather {
        core::PeerAnswers answers;
        std::size_t open = 0;
    };
    auto gather = std::make_shared<Gather>();
    gather->open = probe.peers.size();
    auto& world = parts_.world;
    const auto closed = [this, id, gather] {
        if (--gather->open == 0) finish(id, gather->answers);
    };
    if (probe.peers.empty()) return later({}, [this, id] { finish(id, core::PeerAnswers{}); });
    for (const auto& peer : probe.peers) {
        const std::string who = peer.member.name;
        gather->answers[who] = std::nullopt;
        const int other = world.index_of(who);
        const auto there = world.latency();
        const auto thinks = world.dice.between(microseconds(500), milliseconds(8));
        const auto back = world.latency() + (other < 0 ? Duration{} : world.lag(other, index_));
        auto settled = std::make_shared<bool>(false);
        const bool deaf =
            has_bug(Bug::race_ignores_positions) && probe.purpose == core::ProbeFor::race;
        later(peer.deadline, [closed, settled] {
            if (!std::exchange(*settled, true)) closed();
        });
        if (other < 0 || deaf || !world.linked(index_, other)) continue;
        if (!parts_.members[static_cast<std::size_t>(other)]->agent_runs() &&
            world.host(other).awake()) {
            later(there + back, [closed, settled] {  // connection refused
                if (!std::exchange(*settled, true)) closed();
            });
            continue;
        }
        if (probe.purpose == core::ProbeFor::race && there + thinks + back >= peer.deadline)
            parts_.watchers.on_late_answer(*this, other);
        world.on_host(
            other, there + thinks,
            [this, other, who, back, gather, settled, closed, incarnation = incarnation_] {
                auto& peer_member = *parts_.members[static_cast<std::size_t>(other)];
                auto status = peer_member.status();
                if (!status || !parts_.world.linked(other, index_)) return;
                parts_.world.on_host(
                    index_, back, [this, who, status, gather, settled, closed, incarnation] {
                        if (incarnation != incarnation_ || std::exchange(*settled, true)) return;
                        gather->answers[who] = *status;
                        distort(*gather->answers[who]);
                        closed();
                    });
            });
    }
}

}  // namespace relevo::sim
