// Each effect of the core, done with the real part. An effect whose ground is gone (its time has
// run out) is refused here, at the last moment before it would happen.
#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/agent.h"
#include "base/log.h"

namespace relevo::agent {
namespace {

template <class... F>
struct Match : F... {
    using F::operator()...;
};

core::EffectDone from(const Status& status) {
    core::EffectDone done;
    if (!status) done.error = status.error();
    return done;
}

template <class T>
core::EffectDone with(Result<T> result) {
    core::EffectDone done;
    if (result)
        done.payload = *std::move(result);
    else
        done.error = result.error();
    return done;
}

core::EffectDone too_late() {
    core::EffectDone done;
    done.error =
        Error{ErrorCode::cancelled, "the right to lead had run out before it could be done"};
    return done;
}

void say(const core::Note& note) {
    switch (note.level) {
        case core::Note::Level::info: log::info("{}", note.text); return;
        case core::Note::Level::warning: log::warning("{}", note.text); return;
        case core::Note::Level::error: log::error("{}", note.text); return;
    }
}

}  // namespace

void Agent::carry_out(core::Issued issued) {
    if (const auto* note = std::get_if<core::Note>(&issued.effect)) return say(*note);
    log::debug("effect {}: {}", issued.id, core::describe(issued.effect));
    if (const auto* callback = std::get_if<core::Callback>(&issued.effect)) {
        parts_.postgres.run_callback(callback->action, callback->role);
    } else if (const auto* reply = std::get_if<core::Answer>(&issued.effect)) {
        if (const auto at = orders_.find(reply->order); at != orders_.end())
            at->second->set(ports::Reply{reply->code, reply->text});
    } else if (const auto* leave = std::get_if<core::Exit>(&issued.effect)) {
        exit_code_ = leave->code;
        exit_text_ = leave->text;
        ended_.cancel();
    } else {
        tasks_.spawn(answer(issued.id, std::move(issued.effect)));
    }
}

Task<void> Agent::answer(core::EffectId id, core::Effect effect) {
    auto done = co_await execute(id, effect);
    done.id = id;
    feed(std::move(done));
}

Task<core::EffectDone> Agent::execute(core::EffectId id, const core::Effect& effect) {
    auto& pg = parts_.postgres;
    auto& dcs = parts_.dcs;
    if (const auto* e = std::get_if<core::Observe>(&effect)) {
        auto seen = co_await pg.observe(e->look);
        core::EffectDone done;
        done.payload = std::move(seen);
        co_return done;
    }
    if (const auto* e = std::get_if<core::ReadDcs>(&effect)) {
        auto tree = co_await dcs.read(e->deadline);
        if (tree) see_tree(*tree);
        core::EffectDone done;
        if (!tree) done.error = tree.error();
        co_return done;
    }
    if (const auto* e = std::get_if<core::KeepLease>(&effect)) {
        const Instant asked_at = now();
        auto lease = co_await dcs.keep_lease(e->ttl, e->deadline);
        core::EffectDone done;
        if (lease)
            done.payload = core::LeaseKept{asked_at, *lease};
        else
            done.error = lease.error();
        co_return done;
    }
    if (const auto* e = std::get_if<core::Commit>(&effect)) {
        if (now() >= e->not_after) co_return too_late();
        auto result = co_await dcs.commit(e->txn, e->deadline);
        co_return with(std::move(result));
    }
    if (const auto* e = std::get_if<core::StartPg>(&effect)) {
        if (now() >= e->not_after) co_return too_late();
        const auto status = co_await pg.start(e->plan);
        co_return from(status);
    }
    if (const auto* e = std::get_if<core::StopPg>(&effect)) {
        if (e->run_before_stop) {
            const auto hook = co_await pg.run_hook("before_stop");
            if (!hook) log::warning("before_stop: {}", hook.error().message);
        }
        ports::StopPlan plan{e->mode, e->checkpoint_first, e->escalate_after, {}};
        const auto status = co_await pg.stop(std::move(plan));
        co_return from(status);
    }
    if (const auto* e = std::get_if<core::PromotePg>(&effect)) {
        auto done = co_await promote(*e);
        co_return done;
    }
    if (const auto* e = std::get_if<core::ProbePeers>(&effect)) {
        auto done = co_await probe(*e);
        co_return done;
    }
    if (const auto* e = std::get_if<core::FindWalEnd>(&effect)) {
        auto tail = co_await pg.find_wal_end(e->timeline);
        co_return with(std::move(tail));
    }
    if (const auto* e = std::get_if<core::TakeTail>(&effect)) {
        auto done = co_await take_tail(*e);
        co_return done;
    }
    if (const auto* e = std::get_if<core::AskFailsafe>(&effect)) {
        auto done = co_await ask_failsafe(*e);
        co_return done;
    }
    if (const auto* e = std::get_if<core::HoldPoolers>(&effect)) {
        auto done = co_await hold_poolers(id, *e);
        co_return done;
    }
    if (core::is_watchdog(effect)) {
        auto done = co_await tell_watchdog(effect);
        co_return done;
    }
    if (const auto* e = std::get_if<core::ComparePg>(&effect)) {
        auto verdict = co_await pg.compare(e->source);
        co_return with(std::move(verdict));
    }
    if (const auto* e = std::get_if<core::ClonePg>(&effect)) {
        auto done = co_await clone(*e);
        co_return done;
    }
    if (const auto* e = std::get_if<core::SetSyncNames>(&effect)) {
        const auto marker = co_await pg.set_synchronous_standby_names(e->names);
        core::EffectDone done;
        if (marker)
            done.payload = core::SyncNamesSet{*marker};
        else
            done.error = marker.error();
        co_return done;
    }
    if (holds<core::AuditCommits>(effect)) {
        auto settings = co_await pg.commit_settings();
        core::EffectDone done;
        if (settings)
            done.payload = core::CommitsAudited{*std::move(settings)};
        else
            done.error = settings.error();
        co_return done;
    }
    auto status = Status{};
    if (holds<core::KillPg>(effect))
        status = co_await pg.kill();
    else if (holds<core::MakeStandby>(effect))
        status = co_await pg.make_standby_by_default();
    else if (const auto* f = std::get_if<core::FollowPg>(&effect))
        status = co_await pg.follow(f->upstream, cluster::Role::replica);
    else if (const auto* make = std::get_if<core::BootstrapPg>(&effect))
        status = co_await pg.bootstrap(make->restore);
    else if (holds<core::PostBootstrapPg>(effect))
        status = co_await pg.post_bootstrap();
    else if (const auto* r = std::get_if<core::RewindPg>(&effect))
        status = co_await pg.rewind(r->source);
    else if (holds<core::CrashRecoverPg>(effect))
        status = co_await pg.crash_recover();
    else if (const auto* check = std::get_if<core::CheckpointPg>(&effect))
        status = co_await checkpoint(*check);
    else if (const auto* aside = std::get_if<core::SetAsidePg>(&effect);
             aside && aside->keep.empty())
        status = co_await pg.set_aside();
    else if (aside)
        status = co_await pg.keep_aside(aside->keep);
    else if (const auto* back = std::get_if<core::PutBackPg>(&effect))
        status = co_await pg.put_back(back->id);
    else if (holds<core::ArchiveRestPg>(effect))
        status = co_await pg.archive_rest();
    else if (const auto* s = std::get_if<core::SyncSlots>(&effect))
        status = co_await pg.sync_slots(s->plan);
    else if (const auto* h = std::get_if<core::EndSenders>(&effect))
        status = co_await pg.end_walsenders(h->sent_below);
    else if (const auto* e = std::get_if<core::EndSender>(&effect))
        status = co_await pg.end_walsender(e->pid, e->application_name);
    else if (const auto* c = std::get_if<core::ResetCommit>(&effect))
        status = co_await pg.reset_commit_setting(c->setting);
    else if (holds<core::AdmitPg>(effect))
        status = co_await pg.admit();
    else if (const auto* refuse = std::get_if<core::RefuseWrites>(&effect))
        status = co_await pg.refuse_writes(refuse->on);
    else if (holds<core::CheckRebuild>(effect))
        status = co_await pg.check_rebuild(state_.settings.disk);
    else if (holds<core::RestoreVote>(effect))
        status = co_await pg.restore_vote();
    co_return from(status);
}

Task<Status> Agent::checkpoint(core::CheckpointPg effect) {
    if (effect.make_way) co_await disks_.make_way();
    const auto status = co_await parts_.postgres.checkpoint();
    co_return status;
}

Task<core::EffectDone> Agent::tell_watchdog(const core::Effect& effect) {
    auto& device = parts_.watchdog;
    Result<ports::Watchdog::Fed> fed;
    if (const auto* arm = std::get_if<core::ArmWatchdog>(&effect)) {
        fed = co_await device.arm(arm->timeout, arm->not_after);
    } else if (const auto* feed = std::get_if<core::FeedWatchdog>(&effect)) {
        fed = co_await device.feed(feed->not_after);
    } else {
        auto status = Status{};
        if (holds<core::DisarmWatchdog>(effect))
            status = co_await device.disarm();
        else
            status = co_await device.usable();
        co_return from(status);
    }
    core::EffectDone done;
    if (fed)
        done.payload = core::WatchdogFed{fed->timeout, fed->at};
    else
        done.error = fed.error();
    co_return done;
}

Task<core::EffectDone> Agent::clone(core::ClonePg effect) {
    copy_logged_ = 0;
    const auto status = co_await parts_.postgres.clone(
        {.source = effect.source,
         .replace_existing = effect.replace_existing,
         .only_basebackup = effect.only_basebackup,
         .progress = [this](const cluster::CopyProgress& so_far) { copied(so_far); },
         .repository = &copies_,
         .keep_as = effect.keep});
    copy_.reset();
    co_return from(status);
}

// Another method begins anew.
void Agent::copied(const cluster::CopyProgress& so_far) {
    constexpr std::uint64_t step = 1ULL << 30U;  // a line for each GiB
    constexpr Duration show_every = std::chrono::seconds(1);
    const bool another = !copy_ || copy_->method != so_far.method;
    if (another) copy_logged_ = 0;
    copy_ = so_far;
    if (so_far.done_bytes >= copy_logged_ + step) {
        copy_logged_ = so_far.done_bytes;
        if (so_far.total_bytes != 0)
            log::info("cloning: {} of {} MiB", so_far.done_bytes >> 20U, so_far.total_bytes >> 20U);
        else
            log::info("cloning: {} MiB", so_far.done_bytes >> 20U);
    }
    if (!another && now() - copy_shown_ < show_every) return;
    copy_shown_ = now();
    show();
}

Task<core::EffectDone> Agent::promote(core::PromotePg effect) {
    if (effect.run_pre_promote) {
        const auto hook = co_await parts_.postgres.run_hook("pre_promote");
        if (!hook) co_return from(hook);
    }
    if (now() >= effect.not_after) co_return too_late();
    const auto status = co_await parts_.postgres.promote(effect.plan);
    co_return from(status);
}

// The gateways know by the view that they shall hold; here their word is waited for.
Task<core::EffectDone> Agent::hold_poolers(core::EffectId id, core::HoldPoolers effect) {
    core::EffectDone done;
    auto outcome = co_await poolers_.held(id, effect.drain);
    for (const auto& name : outcome.silent)
        log::warning("gateway {} did not say that its clients wait: the switchover goes on", name);
    if (!outcome.blocked_at.empty()) {
        std::vector<int> pids;
        pids.reserve(outcome.blockers.size());
        for (const auto& blocker : outcome.blockers) pids.push_back(blocker.pid);
        auto queries = co_await parts_.postgres.queries_of(std::move(pids));
        std::string who;
        for (auto& blocker : outcome.blockers) {
            blocker.query = std::move(queries[blocker.pid]);
            who += (who.empty() ? "" : "; ") + cluster::describe(blocker);
        }
        done.error = Error{
            ErrorCode::conflict,
            fmt::format("gateway {}: a transaction did not end within {} ms ({})",
                        outcome.blocked_at, to_ms(effect.drain), who.empty() ? "not named" : who)};
    }
    co_return done;
}

// All at once; the slowest deadline bounds the whole.
Task<core::EffectDone> Agent::probe(core::ProbePeers effect) {
    struct Gather {
        explicit Gather(boost::asio::io_context& io) : all(io) {}
        Promise<bool> all;
        core::PeerAnswers answers;
        std::size_t open = 0;
    };
    auto gather = std::make_shared<Gather>(io_);
    gather->open = effect.peers.size();
    Duration longest{};
    for (const auto& peer : effect.peers) {
        gather->answers[peer.member.name] = std::nullopt;
        longest = std::max(longest, peer.deadline);
        tasks_.spawn(
            [](Agent& self, std::shared_ptr<Gather> g, core::ProbePeers::Peer p) -> Task<void> {
                auto status = co_await self.parts_.peers.status(p.member, p.deadline);
                if (status)
                    g->answers[p.member.name] = *std::move(status);
                else
                    log::debug("asking {}: {}", p.member.name, status.error().message);
                if (--g->open == 0) g->all.set(true);
            }(*this, gather, peer));
    }
    if (gather->open > 0) co_await gather->all.get(longest + std::chrono::milliseconds(100));
    core::EffectDone done;
    done.payload = gather->answers;
    co_return done;
}

// All at once; one that does not agree is enough.
Task<core::EffectDone> Agent::ask_failsafe(core::AskFailsafe effect) {
    struct Gather {
        explicit Gather(boost::asio::io_context& io) : all(io) {}
        Promise<bool> all;
        core::EffectDone done;
        std::size_t open = 0;
    };
    nlohmann::ordered_json body{{"name", state_.self.name},
                                {"conn_url", state_.self.conn_url},
                                {"api_url", state_.self.api_url},
                                {"ttl", effect.ttl.count()}};
    if (state_.pg && !state_.pg->system_id.empty()) body["system_id"] = state_.pg->system_id;
    for (const auto& [slot, position] : effect.slots) body["slots"][slot] = position.value;
    const auto text = body.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    auto gather = std::make_shared<Gather>(io_);
    gather->open = effect.members.size();
    for (const auto& member : effect.members) {
        tasks_.spawn([](Agent& self, std::shared_ptr<Gather> g, cluster::MemberRecord to,
                        std::string words, Duration deadline) -> Task<void> {
            const auto agreed = co_await self.parts_.peers.failsafe(to, words, deadline);
            if (!agreed && !g->done.error) g->done.error = agreed.error();
            if (--g->open == 0) g->all.set(true);
        }(*this, gather, member, text, effect.deadline));
    }
    if (gather->open > 0) {
        const auto all = co_await gather->all.get(effect.deadline + std::chrono::milliseconds(100));
        if (!all && !gather->done.error)
            gather->done.error = Error{ErrorCode::unavailable, "a member does not answer"};
    }
    co_return gather->done;
}

}  // namespace relevo::agent
