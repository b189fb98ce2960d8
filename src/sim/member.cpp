// The agent's life: start, events, timers.
#include "sim/member.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace relevo::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr int steps_in_a_second_max = 400;

core::Self self_of(const World& world, int index) {
    core::Self self;
    self.name = world.name(index);
    self.conn_url = fmt::format("postgres://10.0.0.{}:5432/postgres", index + 1);
    self.api_url = fmt::format("http://10.0.0.{}:8008/patroni", index + 1);
    self.version = "4.1.4";
    // Only ours can say that they are sealed, and are believed only then.
    const auto& others = world.plan.foreign;
    if (std::ranges::find(others, index) == others.end()) self.relevo_version = "1";
    self.may_bootstrap = true;
    self.initial_config = world.plan.config_json;
    self.has_pre_promote = world.plan.pre_promote;
    const auto& p = world.plan;
    self.watchdog = p.watchdog;
    if (std::ranges::find(p.nofailover, index) != p.nofailover.end())
        self.tags.published["nofailover"] = {"true"};
    if (std::ranges::find(p.clonefrom, index) != p.clonefrom.end())
        self.tags.published["clonefrom"] = {"true"};
    return self;
}

}  // namespace

Member::Member(Parts parts, int index) : parts_(parts), index_(index) {}

bool Member::foreign() const {
    const auto& members = parts_.world.plan.foreign;
    return std::ranges::find(members, index_) != members.end();
}

void Member::start_agent() {
    if (runs_ || !parts_.world.host(index_).powered) return;
    runs_ = true;
    ready_ = false;
    ++incarnation_;
    state_ = core::State{};
    listener_ = {};
    told_suspects_ = told_alone_ = false;
    told_disk_.reset();
    told_rotten_.reset();
    back_again_at_ = {};
    state_.self = self_of(parts_.world, index_);
    state_.rules = rules();
    state_.settings = parts_.world.plan.settings;  // the local file's, until the DCS's are read
    state_.settings.pause = false;
    pause_seen_ = false;
    seen_config_.clear();
    armed_ = next_tick_ = Instant::max();
    if (parts_.world.trace.on()) parts_.world.say(index_, "== the agent starts");
    parts_.dcs.reset(index_);
    wait_for_dcs();
}

void Member::kill_agent() {
    if (!runs_) return;
    runs_ = ready_ = stalled_ = false;
    held_.clear();
    ++incarnation_;
    parts_.dcs.reset(index_);
    pg().agent_gone();
    state_ = core::State{};
    if (parts_.world.trace.on()) parts_.world.say(index_, "== the agent is gone");
}

core::Rules Member::rules() const {
    core::Rules rules;
    rules.intersect = !has_bug(Bug::names_do_not_meet);
    rules.flushed = !has_bug(Bug::votes_before_flush);
    rules.newer_seal = !has_bug(Bug::old_seal_counts);
    rules.forward = !has_bug(Bug::old_view_believed);
    rules.fits = !has_bug(Bug::followed_unasked);
    rules.vote_read = !has_bug(Bug::vote_by_old_view);
    rules.roomier = !has_bug(Bug::handed_over_to_full);
    rules.leaves_full = !has_bug(Bug::started_on_full);
    rules.cleaner = !has_bug(Bug::damaged_goes_first);
    rules.one_rebuilds = !has_bug(Bug::damaged_all_at_once);
    rules.copies_left = !has_bug(Bug::last_copy_remade);
    rules.leads_alone = !has_bug(Bug::follows_deposed);
    rules.old_stays_out = !has_bug(Bug::old_data_joins);
    rules.own_writes = rules.forward && !has_bug(Bug::old_read_at_start);
    return rules;
}

void Member::stall() { stalled_ = runs_; }

void Member::resume() {
    if (!std::exchange(stalled_, false)) return;
    for (auto& what : std::exchange(held_, {}))
        if (runs_) what();
}

// Nothing is decided before the DCS was read once (agent/agent.cpp, wait_for_dcs).
void Member::wait_for_dcs() {
    parts_.dcs.read(index_, seconds(5),
                    [this, incarnation = incarnation_](Result<SnapshotPtr> view) {
                        if (incarnation != incarnation_) return;
                        if (!view) return later(milliseconds(100), [this] { wait_for_dcs(); });
                        ready_ = true;
                        deciding_since_ = parts_.world.now();
                        pg().on_exit = [this] {
                            later({}, [this] { feed(core::PostmasterExited{}); });
                            // It may have ended for want of room.
                            if (parts_.world.plan.disks) look_at_disk(milliseconds(3));
                        };
                        parts_.dcs.watch(index_, [this](SnapshotPtr changed) { see(changed); });
                        see(*view);
                        feed(core::TimerFired{});
                        // The first look comes after the first of the server, so that what a server
                        // refuses since before this agent is seen before it is known whether it
                        // must.
                        if (parts_.world.plan.disks) look_at_disk(milliseconds(300));
                        if (parts_.world.plan.rots) look_at_data(milliseconds(100));
                        keep_listening();
                    });
}

void Member::see(const SnapshotPtr& view) {
    if (stalled_) return held_.push_back([this, view] { see(view); });
    if (view->config && view->config->json != seen_config_) {
        seen_config_ = view->config->json;
        if (auto read = cluster::read_settings(seen_config_)) {
            auto settings = read->settings;
            const auto& local = parts_.world.plan.settings;
            settings.remove_data_directory_on_diverged_timelines =
                local.remove_data_directory_on_diverged_timelines;
            settings.remove_data_directory_on_rewind_failure =
                local.remove_data_directory_on_rewind_failure;
            if (pause_seen_ && !settings.pause) pause_left_ = parts_.world.now();
            pause_seen_ = settings.pause;
            if (has_bug(Bug::pause_not_heard)) settings.pause = false;
            feed(core::SettingsChanged{settings});
        }
    }
    const bool fewer_votes =
        has_bug(Bug::one_vote_too_few) && view->sync.quorum > 0 && !view->leader;
    if (!foreign() && !fewer_votes) return feed(core::DcsView{view});
    auto other = std::make_shared<cluster::Snapshot>(*view);
    if (foreign()) other->granted = {};
    if (fewer_votes) --other->sync.quorum;
    feed(core::DcsView{std::move(other)});
}

void Member::feed(const core::Event& event) {
    if (!decides()) return;
    if (stalled_) return held_.push_back([this, event] { feed(event); });
    if (const auto late = overslept(); late > core::overslept) {
        armed_ = next_tick_ = Instant::max();
        step(core::Woke{late});
    }
    if (holds<core::TimerFired>(event)) armed_ = Instant::max();
    if (runs_) step(event);
}

// For how long something should have happened in this agent.
Duration Member::overslept() const {
    return parts_.world.mono(index_) - std::min(armed_, next_tick_);
}

void Member::step(const core::Event& event) {
    auto& world = parts_.world;
    if (world.trace.on()) world.say(index_, "-> " + core::describe(event));
    ++steps_;
    if (world.now() - second_ >= seconds(1)) {
        second_ = world.now();
        steps_in_second_ = 0;
    }
    // What others wrote while it hung comes all at once, and is no doing of its own.
    if (!holds<core::DcsView>(event) && ++steps_in_second_ == steps_in_a_second_max)
        parts_.watchers.on_failure(*this, fmt::format("more than {} steps in a second: a busy loop",
                                                      steps_in_a_second_max));
    const core::Now now{world.mono(index_), world.wall(index_)};
    world.trace.mix(static_cast<std::uint64_t>(world.now().time_since_epoch().count()));
    world.trace.mix(event.index() * 64 + static_cast<std::uint64_t>(index_));
    const core::Step done = core::step(state_, event, now);
    arm(done.wake_at);
    for (const auto& issued : done.effects) {
        world.trace.mix(issued.effect.index());
        if (!runs_) return;
        carry_out(issued);
    }
}

void Member::arm(Instant wake_at) {
    if (wake_at == armed_) return;
    armed_ = wake_at;
    const int alarm = ++alarm_;
    if (wake_at == Instant::max()) return;
    const auto when = parts_.world.world_time(index_, wake_at);
    const Duration delay = std::max<Duration>(when - parts_.world.now(), microseconds(1));
    later(delay, [this, alarm] {
        if (alarm != alarm_) return;
        feed(core::TimerFired{});
    });
}

void Member::answer(int incarnation, core::EffectDone done) {
    if (incarnation != incarnation_ || !runs_) return;
    if (parts_.world.stutters())
        later(parts_.world.dice.between({}, seconds(2)), [this, done] { feed(done); });
    feed(std::move(done));
}

void Member::finish(core::EffectId id, core::Payload payload, std::optional<Error> error) {
    answer(incarnation_, core::EffectDone{id, std::move(error), std::move(payload)});
}

Finish Member::finisher(core::EffectId id) {
    return [this, id, incarnation = incarnation_](const Status& status) {
        core::EffectDone done;
        done.id = id;
        if (!status) done.error = status.error();
        // Never from within a step.
        later({}, [this, incarnation, done = std::move(done)]() mutable {
            answer(incarnation, std::move(done));
        });
    };
}

std::optional<cluster::PeerStatus> Member::status() const {
    if (!answers() || !parts_.world.host(index_).awake()) return std::nullopt;
    auto seen = parts_.postgres.at(index_).report();
    distort(seen);
    cluster::PeerStatus answer;
    answer.primary = seen.primary() || core::shown_role(state_) == cluster::Role::primary;
    answer.running = seen.server == cluster::Server::running;
    answer.position = seen.position();
    answer.streams = seen.replication_state == "streaming";
    answer.timeline = seen.timeline;
    answer.nofailover = state_.self.tags.nofailover();
    answer.failover_priority = state_.self.tags.failover_priority();
    answer.watchdog_failed = core::watchdog_failed(state_);
    answer.system_id = seen.system_id;
    answer.voteless = seen.voteless;
    if (told_disk_) answer.disk = told_disk_;
    answer.corrupted = told_rotten_;
    answer.suspects = core::suspects_term(state_, parts_.world.mono(index_));
    if (has_bug(Bug::suspects_everybody) && state_.dcs->leader)
        answer.suspects = state_.dcs->leader->create_revision;
    if (state_.tail) answer.tail = state_.tail->wal;
    if (!seen.receiving && seen.received_all) answer.sealed = core::sealed_at(state_);
    return answer;
}

void Member::order_restart() {
    core::RestartAsked asked;
    asked.order = ++last_order_;
    feed(asked);
}

// An agent that hangs looks when it goes on, and knows nothing of what was meanwhile.
void Member::look_at_disk(Duration after) {
    later(after, [this] {
        if (stalled_) return held_.push_back([this] { look_at_disk({}); });
        auto& host = parts_.world.host(index_);
        const auto state = host.disk_state;
        if (!decides()) return;
        if (host.disk_full) give_ballast();
        if (state == told_disk_) return;
        told_disk_ = state;
        feed(core::DiskSeen{state, "as the simulator says"});
    });
}

// Who fills that disk may take it too (faults_disk.cpp).
void Member::give_ballast() {
    auto& host = parts_.world.host(index_);
    if (!std::exchange(host.ballast, false)) return;
    host.disk_full = false;
    if (parts_.world.trace.on()) parts_.world.say(index_, "== gives its ballast back");
}

void Member::look_at_data(Duration after) {
    later(after, [this] {
        if (stalled_) return held_.push_back([this] { look_at_data({}); });
        const bool rotten = parts_.world.host(index_).rotten;
        if (!decides() || rotten == told_rotten_) return;
        told_rotten_ = rotten;
        feed(core::CorruptionSeen{rotten, rotten ? "as the simulator says" : "",
                                  rotten && parts_.world.host(index_).found_by_amcheck});
    });
}

void Member::set_tag(const std::string& tag, const std::string& value) {
    auto self = state_.self;
    self.tags.published[tag] = {value};
    feed(core::SelfChanged{std::move(self)});
}

void Member::order_reinit(bool force) {
    core::ReinitAsked asked;
    asked.force = force;
    asked.order = ++last_order_;
    feed(asked);
}

}  // namespace relevo::sim
