// For keeper_model_test.cpp only. Many agents with the rules of the backup job against one store,
// in virtual time: messages that are lost, late or answered into the void, leases that run out,
// agents that are killed, hosts that freeze, failovers in the middle, a repository that does not
// answer or loses its backups.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "backup/keeper.h"
#include "backup/keeper_model_parts.h"
#include "cluster/keys.h"
#include "cluster/memory_store.h"

namespace relevo::backup::model {

class Model {
public:
    Model(std::uint64_t seed, Bug bug) : dice_(seed), bug_(bug) {
        const auto count = 2 + dice_.below(4);
        for (std::uint64_t i = 0; i < count; ++i) {
            auto& agent = agents_.emplace_back();
            agent.number = static_cast<int>(i);
            agent.name = "pg-" + std::to_string(i);
            agent.wall_off = dice_.upto(seconds(4)) - seconds(2);
        }
        policy_.ttl = ttl;
        policy_.from =
            std::array{From::primary, From::prefer_standby, From::standby}[dice_.below(3)];
        policy_.standbys_reach_primary = policy_.from == From::standby || dice_.chance(2);
        policy_.schedule.full = *cluster::Cron::parse("*/15 * * * *");
        policy_.schedule.differential = *cluster::Cron::parse("*/5 * * * *");
        policy_.schedule.incremental = *cluster::Cron::parse("* * * * *");
        // It must come to its end among backups that are due every minute.
        policy_.proof.when = *cluster::Cron::parse("*/7 * * * *");
        policy_.proof.on_only_member = dice_.chance(2);
        provers_ = std::array{Provers::some, Provers::some, Provers::none_agreed,
                              Provers::none_left}[dice_.below(4)];
        if (provers_ == Provers::some) return;
        policy_.proof.on_only_member = false;
        // Else no backup could be made either, once no standby is left.
        if (provers_ == Provers::none_left && policy_.from == From::standby)
            policy_.from = From::prefer_standby;
    }

    void run() {
        // Whether a rule that is left out is noticed, is seen among the faults.
        const Instant end = Instant{} + faults_for + (bug_ == Bug::none ? calm_for : Duration{});
        for (now_ = Instant{} + seconds(100); now_ < end + seconds(100); now_ += tick) {
            if (now_ < Instant{} + seconds(100) + faults_for) break_something();
            store_.advance(now_);
            deliver();
            for (auto& agent : agents_)
                if (agent.up && agent.frozen_until <= now_) live(agent);
            end_processes();
            check();
            if (broken()) return;
        }
        if (bug_ == Bug::none) finished_well();
    }

    bool broken() const { return !trouble_.empty(); }
    const std::string& trouble() const { return trouble_; }
    int runs() const { return runs_; }
    int interrupted() const { return interrupted_; }
    int made() const { return made_; }
    int proven() const { return proven_; }

private:
    // ---- the world

    WallTime wall(const Agent& agent) const {
        return epoch + std::chrono::duration_cast<std::chrono::microseconds>(
                           now_.time_since_epoch() + agent.wall_off);
    }

    void later(Duration delay, std::function<void()> deliver) {
        messages_.emplace(now_ + delay, std::move(deliver));
    }

    void deliver() {
        // In order of time, and of sending where that is the same.
        while (!messages_.empty() && messages_.begin()->first <= now_) {
            const auto message = messages_.extract(messages_.begin());
            message.mapped()();
        }
    }

    bool cut(const Agent& agent) const { return agent.cut_until > now_; }

    // A call to the store: it may never arrive, and its answer may not either; both take time.
    template <class Answer>
    void call(Agent& agent, std::function<Answer()> act, std::function<void(Answer)> answered) {
        const int number = agent.number, life = agent.life;
        if (cut(agent) || dice_.chance(faulty() ? 30 : 1'000'000)) return;
        const bool slow = faulty() && dice_.chance(40);
        const Duration there = slow ? dice_.upto(seconds(20)) : dice_.upto(milliseconds(150));
        const bool lost = faulty() && dice_.chance(30);
        later(there, [this, number, life, act, answered, lost] {
            auto answer = act();
            if (lost || cut(agents_[static_cast<std::size_t>(number)])) return;
            later(dice_.upto(milliseconds(150)), [this, number, life, answered, answer] {
                reach(number, life, [answered, answer] { answered(answer); });
            });
        });
    }

    // A host that stands still gets its messages when it goes on.
    void reach(int number, int life, const std::function<void()>& act) {
        auto& agent = agents_[static_cast<std::size_t>(number)];
        if (!agent.up || agent.life != life) return;
        if (agent.frozen_until > now_)
            later(agent.frozen_until - now_,
                  [this, number, life, act] { reach(number, life, act); });
        else
            act();
    }

    bool faulty() const { return now_ < Instant{} + seconds(100) + faults_for; }

    void break_something() {
        for (auto& agent : agents_) {
            if (dice_.chance(900)) agent.cut_until = now_ + dice_.upto(seconds(35));
            if (dice_.chance(1800)) freeze(agent, dice_.upto(seconds(40)));
            if (dice_.chance(1800)) kill(agent);
        }
        if (dice_.chance(3000)) backups_.clear();
        if (dice_.chance(1500)) repository_down_until_ = now_ + dice_.upto(seconds(40));
        if (dice_.chance(2000)) store_.renew_all(now_);
        // A lease is gone before its time, and its owner may be cut off so that it cannot see that.
        // Aimed at who runs one.
        if (dice_.chance(800)) {
            auto& agent =
                agents_[processes_.empty() ? dice_.below(agents_.size())
                                           : static_cast<std::size_t>(processes_.front().host)];
            store_.revoke(agent.lease);
            if (dice_.chance(2)) agent.cut_until = now_ + dice_.upto(seconds(35));
        }
        if (dice_.chance(3000))  // an operator, at any member
            ask(agents_[dice_.below(agents_.size())]);
        if (provers_ == Provers::none_left && !lost_ && proof_is_wanted() && dice_.chance(200))
            lose_all_but_one();
    }

    bool proof_is_wanted() const {
        const auto job = look_now().job;
        return job && job->active() && job->what == JobWhat::proof;
    }

    void lose_all_but_one() {
        lost_ = true;
        const auto leader = look_now().leader;
        const auto& stays = leader.empty() ? agents_.front().name : leader;
        for (auto& agent : agents_)
            if (agent.name != stays) {
                kill(agent);
                agent.lost = true;
            }
    }

    void freeze(Agent& agent, Duration time) {
        agent.frozen_until = now_ + time;
        for (auto& process : processes_)
            if (process.host == agent.number) {
                process.frozen_once = true;
                process.ends_at += time;
            }
    }

    void kill(Agent& agent) {
        if (!agent.up) return;
        agent.up = false;
        ++agent.life;
        agent.run.reset();
        // The kernel ends what it started; what that had started notices within moments.
        for (auto& process : processes_)
            if (process.host == agent.number && !process.told) {
                process.told = true;
                process.ends_at = std::min(process.ends_at, now_ + dice_.upto(seconds(1)));
            }
        const int number = agent.number;
        later(dice_.upto(seconds(30)), [this, number] {
            auto& back = agents_[static_cast<std::size_t>(number)];
            if (back.lost) return;
            Agent fresh;
            fresh.number = number;
            fresh.name = back.name;
            fresh.life = back.life + 1;
            fresh.wall_off = back.wall_off;
            fresh.cut_until = back.cut_until;
            fresh.frozen_until = back.frozen_until;
            back = std::move(fresh);
        });
    }

    void ask(Agent& agent) {
        if (!agent.up) return;
        auto job = request(agent.look,
                           std::array{JobWhat::full, JobWhat::incremental, JobWhat::expire,
                                      JobWhat::verify, JobWhat::proof}[dice_.below(5)],
                           policy_of(agent).proof, wall(agent));
        if (!job) return;
        commit(agent, cluster::keys::put_backup(*job, agent.look.job_revision, std::nullopt),
               [](bool) {});
    }

    void end_processes() {
        std::erase_if(processes_, [&](Process& process) {
            auto& agent = agents_[static_cast<std::size_t>(process.host)];
            if (agent.frozen_until > now_ || process.ends_at > now_) return false;
            Outcome outcome;
            outcome.ok = !process.told && process.will_succeed;
            outcome.interrupted = process.told;
            if (process.what == JobWhat::proof && !process.told) outcome.proof = verdict(process);
            if (outcome.ok && process.what != JobWhat::expire && !reads_only(process.what))
                outcome.label = add_backup(process);
            if (agent.up && agent.run && agent.run->token == process.token) {
                agent.run->outcome = outcome;
                agent.decide_at = now_;
            }
            return true;
        });
    }

    cluster::ProofRecord verdict(const Process& process) {
        cluster::ProofRecord out;
        out.id = "proof-" + std::to_string(++proven_);
        out.begun = process.begun;
        out.due = process.due;
        out.ok = process.will_succeed;
        return out;
    }

    std::string add_backup(const Process& process) {
        Kept backup;
        backup.label = "backup-" + std::to_string(++made_);
        backup.type = process.what == JobWhat::full           ? cluster::BackupType::full
                      : process.what == JobWhat::differential ? cluster::BackupType::differential
                                                              : cluster::BackupType::incremental;
        // Without a full one pgBackRest makes a full one.
        if (backups_.empty()) backup.type = cluster::BackupType::full;
        backup.started = process.begun;
        backups_.push_back(backup);
        return backup.label;
    }

    void check() {
        int alive = 0;
        for (const auto& process : processes_) {
            const auto& host = agents_[static_cast<std::size_t>(process.host)];
            if (host.frozen_until > now_ || (process.frozen_once && process.told)) continue;
            ++alive;
        }
        if (alive <= 1) return;
        trouble_ = "two at once after " + std::to_string(to_ms(now_.time_since_epoch()) - 100'000) +
                   " ms:";
        for (const auto& process : processes_) trouble_ += " " + process.token;
    }

    void finished_well() {
        const auto& tree = store_.tree();
        const auto at = tree.keys.find(cluster::keys::backup);
        if (at == tree.keys.end()) {
            trouble_ = "no job was ever asked for";
            return;
        }
        const auto job = cluster::parse_backup_job(at->second.value);
        // What was due three minutes ago is there: a run takes up to 30 s, another may come first.
        const auto then = wall(agents_.front()) - std::chrono::minutes(3);
        std::optional<MadeFor> made;
        const auto missing = due(policy_.schedule, backups_, made, then);
        if (missing)
            trouble_ =
                std::string("not made: ") + to_string(missing->what) + ", job: " + at->second.value;
        if (!job) trouble_ = "the job cannot be read: " + at->second.value;
        // It takes up to 40 s, and waits for no more than a backup; a failed one may be the last.
        const auto proofs = tree.keys.find(cluster::proofs_key);
        const auto read = proofs != tree.keys.end() ? cluster::parse_proofs(proofs->second.value)
                                                    : std::vector<cluster::ProofRecord>();
        const bool can = provers_ == Provers::some || (provers_ == Provers::none_left && !lost_);
        if (!read || (can && proof_due(policy_.proof, {}, *read,
                                       wall(agents_.front()) - std::chrono::minutes(4))))
            trouble_ = "no proof was made: " + (read ? to_json(*read) : read.error().message) +
                       ", job: " + at->second.value;
    }

    // ---- one agent

    // As its own configuration says.
    Policy policy_of(const Agent& agent) const {
        auto out = policy_;
        if (provers_ == Provers::none_agreed)
            out.proof.on =
                agents_[(static_cast<std::size_t>(agent.number) + 1) % agents_.size()].name;
        return out;
    }

    void live(Agent& agent) {
        if (agent.keep_at <= now_) keep_lease(agent);
        watch(agent);
        // A call that is never answered is given up.
        if (agent.busy && now_ - agent.busy_since > seconds(3)) {
            agent.busy = false;
            agent.must_read = true;
        }
        if (!agent.busy && (agent.must_read || agent.read_at <= now_)) read(agent);
        // The end of a run waits for no answer.
        const bool overdue = agent.run && !agent.run->outcome;
        if ((!agent.busy && !agent.must_read && agent.decide_at <= now_) || overdue) act(agent);
    }

    void keep_lease(Agent& agent) {
        agent.keep_at = now_ + ttl / 4;
        const Instant began = now_;
        const int number = agent.number, life = agent.life;
        call<bool>(
            agent,
            [this, number, life] {
                auto& one = agents_[static_cast<std::size_t>(number)];
                if (!one.up || one.life != life) return false;  // it died on its way
                if (!store_.keep_alive(one.lease, now_)) one.lease = store_.grant(ttl, now_);
                cluster::Txn put;
                put.writes.push_back(
                    {cluster::Write::What::put, cluster::keys::member(one.name), "{}", true});
                (void)store_.commit(put, one.lease);
                (void)store_.commit(cluster::keys::acquire_leader(one.name, {}, {}, 0), one.lease);
                return true;
            },
            [this, number, began](bool kept) {
                auto& one = agents_[static_cast<std::size_t>(number)];
                if (kept) one.lease_kept = std::max(one.lease_kept, began);
            });
    }

    Look look_now() const {
        const auto& tree = store_.tree();
        Look look;
        if (const auto at = tree.keys.find(cluster::keys::backup); at != tree.keys.end()) {
            look.job_revision = at->second.mod_revision;
            look.job = *cluster::parse_backup_job(at->second.value);
        }
        if (const auto at = tree.keys.find(cluster::proofs_key); at != tree.keys.end())
            look.proofs = *cluster::parse_proofs(at->second.value);
        if (const auto at = tree.keys.find(cluster::keys::leader); at != tree.keys.end()) {
            look.leader = at->second.value;
            look.term = at->second.create_revision;
        }
        for (const auto& agent : agents_) {
            const auto at = tree.keys.find(cluster::keys::member(agent.name));
            if (at == tree.keys.end()) continue;
            auto& seen = look.members[agent.name];
            seen.created = at->second.create_revision;
            seen.standby = agent.name != look.leader;
        }
        return look;
    }

    void take(Agent& agent, const Look& look, cluster::Revision revision) {
        if (revision < agent.look_revision) return;
        agent.look = look;
        agent.look_revision = revision;
        agent.decide_at = now_;
    }

    void watch(Agent& agent) {
        if (cut(agent) || store_.revision() == agent.look_revision || !dice_.chance(3)) return;
        const int number = agent.number, life = agent.life;
        const Duration delay =
            faulty() && dice_.chance(10) ? dice_.upto(seconds(15)) : dice_.upto(milliseconds(200));
        later(delay, [this, number, life, look = look_now(), revision = store_.revision()] {
            reach(number, life, [this, number, look, revision] {
                auto& one = agents_[static_cast<std::size_t>(number)];
                take(one, look, revision);
                if (bug_ == Bug::hears_the_watch) heard(one.mind, look, one.name, now_);
            });
        });
    }

    void read(Agent& agent) {
        agent.busy = true;
        agent.busy_since = now_;
        agent.read_at = now_ + ttl;
        const Instant began = now_;
        const int number = agent.number;
        using Seen = std::pair<Look, cluster::Revision>;
        call<Seen>(
            agent, [this] { return Seen(look_now(), store_.revision()); },
            [this, number, began](const Seen& seen) {
                auto& one = agents_[static_cast<std::size_t>(number)];
                heard(one.mind, seen.first, one.name, began);
                take(one, seen.first, seen.second);
                // One that was given up for lost and comes late does not end the one after it.
                if (one.busy_since == began) {
                    one.busy = false;
                    one.must_read = false;
                }
            });
    }

    void commit(Agent& agent, cluster::Txn txn, std::function<void(bool)> then) {
        call<bool>(
            agent,
            [this, txn] {
                const auto done = store_.commit(txn, 0);
                return done && done->succeeded;
            },
            std::move(then));
    }

    void write(Agent& agent, const Decision::Write& what) {
        agent.busy = true;
        agent.must_read = true;  // whatever comes of it
        agent.busy_since = now_;
        if (what.job.interrupted) ++interrupted_;
        const int number = agent.number;
        const Instant began = now_;
        auto txn = cluster::keys::put_backup(what.job, what.known, what.term);
        if (what.proof)
            txn.writes.push_back({cluster::Write::What::put, cluster::proofs_key,
                                  to_json(with_proof(agent.look.proofs, *what.proof)), false});
        commit(agent, std::move(txn), [this, number, began](bool) {
            auto& one = agents_[static_cast<std::size_t>(number)];
            if (one.busy_since == began) one.busy = false;
        });
    }

    void list(Agent& agent) {
        if (agent.listing_busy || agent.list_again > now_) return;
        agent.listing_busy = true;
        agent.list_again = now_ + seconds(2);
        const int number = agent.number, life = agent.life;
        Listing listing;
        listing.at = now_;
        listing.job_revision = agent.look.job_revision;
        later(dice_.upto(seconds(1)), [this, number, life, listing]() mutable {
            reach(number, life, [this, number, listing]() mutable {
                auto& one = agents_[static_cast<std::size_t>(number)];
                one.listing_busy = false;
                if (repository_down_until_ > now_) return;
                listing.backups = backups_;
                listing.usable = true;
                listing.running_here = std::ranges::any_of(
                    processes_, [&](const Process& process) { return process.host == number; });
                one.listing = listing;
                one.decide_at = now_;
            });
        });
    }

    void act(Agent& agent) {
        Facts facts;
        facts.now = now_;
        facts.wall = wall(agent);
        facts.self = agent.name;
        facts.leads = agent.look.leader == agent.name && now_ < agent.lease_kept + ttl;
        facts.term = agent.look.term;
        facts.policy = policy_of(agent);
        facts.look = agent.look;
        facts.run = agent.run;
        facts.listing = agent.listing;
        facts.fresh_token = agent.name + "/" + std::to_string(++tokens_);
        if (agent.mind.gone && bug_ == Bug::buries_at_once) agent.mind.gone->at = Instant{};
        const auto decision = decide(agent.mind, facts);
        agent.decide_at =
            decision.wake_at ? std::max(*decision.wake_at, now_ + tick) : Instant::max();
        if (decision.read) agent.read_at = std::min(agent.read_at, now_ + ttl / 6);
        if (decision.end && bug_ != Bug::never_ends) end(agent);
        if (decision.forget_run) {
            agent.run.reset();
            agent.decide_at = now_;
        }
        if (decision.list) {
            list(agent);
            agent.decide_at = std::min(agent.decide_at, now_ + seconds(2));
        }
        if (decision.begin) begin(agent, *decision.begin);
        if (decision.write && !agent.busy) write(agent, *decision.write);
    }

    void begin(Agent& agent, const Decision::Begin& what) {
        ++runs_;
        agent.run = Run{what.token, std::nullopt, {}};
        Process process;
        process.host = agent.number;
        process.token = what.token;
        process.what = what.what;
        process.begun = wall(agent);
        process.due = what.due;
        const bool proof = what.what == JobWhat::proof;
        process.ends_at = now_ + seconds(proof ? 20 : 2) + dice_.upto(seconds(proof ? 20 : 28));
        process.will_succeed = repository_down_until_ <= now_ && !(faulty() && dice_.chance(4));
        processes_.push_back(process);
    }

    void end(Agent& agent) {
        for (auto& process : processes_)
            if (process.host == agent.number && process.token == agent.run->token &&
                !process.told) {
                process.told = true;
                process.ends_at = std::min(process.ends_at, now_ + dice_.upto(seconds(2)));
            }
    }

    Dice dice_;
    Bug bug_;
    Policy policy_;
    Provers provers_ = Provers::some;
    bool lost_ = false;
    Instant now_{};
    cluster::MemoryStore store_;
    std::deque<Agent> agents_;
    std::multimap<Instant, std::function<void()>> messages_;
    std::vector<Process> processes_;
    std::vector<Kept> backups_;
    Instant repository_down_until_{};
    std::string trouble_;
    int runs_ = 0, interrupted_ = 0, made_ = 0, proven_ = 0, tokens_ = 0;
};

}  // namespace relevo::backup::model
