// One simulated agent: the shell around core::step that agent/ is in the daemon. Events in, effects
// out to the simulated parts, each answered as the real ones do. A crash loses the core's state;
// PostgreSQL and what was sent to the DCS live on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/state.h"
#include "core/suspicion.h"
#include "sim/sim_dcs.h"
#include "sim/sim_postgres.h"
#include "sim/sim_watchdog.h"
#include "sim/world.h"

namespace relevo::sim {

class Member;

// What checkers look at.
struct Watchers {
    std::function<void(Member&, const core::Issued&)> on_effect;
    std::function<void(Member&, const std::string&)> on_failure;
    // The answer of the second to a question of the first takes longer than it is waited for.
    std::function<void(Member&, int)> on_late_answer;
};

struct Parts {
    World& world;
    SimDcs& dcs;
    Postgreses& postgres;
    std::vector<SimWatchdog>& watchdogs;
    std::vector<std::unique_ptr<Member>>& members;
    Watchers& watchers;
};

class Member {
public:
    Member(Parts parts, int index);

    void start_agent();
    void kill_agent();
    void stop_agent() { feed(core::StopAsked{}); }  // SIGTERM
    void stall();  // SIGSTOP: nothing more happens in it, PostgreSQL goes on
    void resume();
    bool agent_runs() const { return runs_; }
    bool stalls() const { return stalled_; }
    bool answers() const { return decides() && !stalled_; }
    // The core has seen the DCS: it decides.
    bool decides() const { return runs_ && ready_; }
    Instant deciding_since() const { return deciding_since_; }

    void order_restart();
    void order_reinit(bool force = false);
    void look_at_data(Duration after);
    void look_at_disk(Duration after);  // the shell's own look, which comes within its period
    void give_ballast();
    void set_tag(const std::string& tag, const std::string& value);  // until the agent's end

    int index() const { return index_; }
    const core::State& state() const { return state_; }
    const std::string& last_exit() const { return last_exit_; }
    Instant pause_left() const { return pause_left_; }
    bool pause_seen() const { return pause_seen_; }
    SimWatchdog& watchdog() { return parts_.watchdogs[static_cast<std::size_t>(index_)]; }
    SimPostgres& pg() { return parts_.postgres.at(index_); }
    Instant suspected_at() const { return suspected_at_; }  // when last
    std::uint64_t steps() const { return steps_; }
    // A peer's or client's question, answered with what is there now; nullopt: no agent answers.
    std::optional<cluster::PeerStatus> status() const;

private:
    void feed(const core::Event& event);
    Duration overslept() const;
    void step(const core::Event& event);
    void see(const SnapshotPtr& view);
    void wait_for_dcs();
    void arm(Instant wake_at);
    void carry_out(const core::Issued& issued);
    void answer(int incarnation, core::EffectDone done);
    Finish finisher(core::EffectId id);
    void finish(core::EffectId id, core::Payload payload, std::optional<Error> error = {});
    bool too_late(core::EffectId id, Instant not_after);
    void do_dcs(core::EffectId id, const core::Effect& effect);
    void do_commit(core::EffectId id, core::Commit commit);
    bool do_server(core::EffectId id, const core::Effect& effect);
    bool do_data(core::EffectId id, const core::Effect& effect);
    void do_promote(core::EffectId id, const core::PromotePg& promote);
    void promote_now(core::EffectId id, const core::PromotePg& promote,
                     const cluster::PromotePlan& plan);
    void do_probe(core::EffectId id, const core::ProbePeers& probe);
    void do_failsafe(core::EffectId id, const core::AskFailsafe& ask);
    void do_hold(core::EffectId id, const core::HoldPoolers& hold);
    bool has_watchdog() const;
    bool do_watchdog(core::EffectId id, const core::Effect& effect);
    void tell_watchdog(core::EffectId id, std::optional<Duration> timeout, Instant not_after);
    void do_take_tail(core::EffectId id, const core::TakeTail& take);
    bool agrees_to(const std::string& leader);
    template <class F>
    void later(Duration delay, F what) {  // for this incarnation of the agent
        parts_.world.on_host(index_, delay,
                             [this, incarnation = incarnation_, what = std::move(what)]() mutable {
                                 if (incarnation == incarnation_ && runs_) what();
                             });
    }
    // Deliberate bugs.
    core::Rules rules() const;
    void distort(cluster::LocalPostgres& seen) const;
    void distort(cluster::PeerStatus& answer) const;
    void distort(cluster::Txn& take) const;
    core::SyncNamesSet told(cluster::Lsn marker) const;
    // member_pulse.cpp: listening to the leader, and being listened to
    void keep_listening();
    void listen();
    bool hears(int leader) const;
    bool connects_to(int leader) const;
    bool sees_in_dcs(int leader) const;
    struct Judged {  // by one view, in one mode
        SnapshotPtr view;
        cluster::SyncMode mode = cluster::SyncMode::off;
        int listens_to = -1;
        bool one_vote = false;
    };
    const Judged& judged();
    void back_leader();
    bool has_bug(Bug bug) const { return parts_.world.plan.bug == bug; }
    bool foreign() const;

    Parts parts_;
    int index_;
    bool runs_ = false, ready_ = false, stalled_ = false;
    std::vector<Action> held_;  // what came while it was stalled
    bool pause_seen_ = false;
    Instant deciding_since_, pause_left_{};
    int incarnation_ = 0;
    core::State state_;
    core::Suspicion listener_;
    Judged judged_;
    bool told_suspects_ = false, told_alone_ = false;
    Instant back_again_at_{}, suspected_at_{};
    std::string seen_config_, last_exit_;
    Instant armed_ = Instant::max(), next_tick_ = Instant::max();
    int alarm_ = 0;
    std::optional<cluster::DiskState> told_disk_;  // to this agent
    std::optional<bool> told_rotten_;              // likewise
    std::uint64_t steps_ = 0;
    Instant second_;
    int steps_in_second_ = 0;
    core::OrderId last_order_ = 0;
};

}  // namespace relevo::sim
