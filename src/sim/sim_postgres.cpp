// Starting, stopping and promoting. What is seen of it: sim_report.cpp; streaming:
// sim_streaming.cpp; copies: sim_copies.cpp.
#include "sim/sim_postgres.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace relevo::sim {

using cluster::ControlState;
using cluster::Lsn;
using cluster::Server;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr std::uint64_t record_bytes = 0x70;  // of a checkpoint or end-of-recovery record
}

Postgreses::Postgreses(World& in) : world(in) {}
Postgreses::~Postgreses() = default;

SimPostgres::SimPostgres(Postgreses& all, int member)
    : all_(all), me_(member), walsenders_(static_cast<std::size_t>(all.world.size())) {
    world().on_change.push_back([this] { network_changed(); });
}

Duration SimPostgres::takes(Duration low, Duration high) const {
    return world().dice.between(low, high) * (world().faults_on ? world().plan.slow : 1);
}

bool SimPostgres::fails() const {
    return full() || (world().faults_on && world().dice.chance(world().plan.failures));
}

int SimPostgres::begin(Finish done) {
    if (pending_)
        all_.on_impossible(world().name(me_) + ": two actions on PostgreSQL at the same time");
    pending_ = std::move(done);
    child_of_agent_ = touched_ = stopping_ = false;
    return ++action_;
}

void SimPostgres::end(int action, Status status) {
    if (action != action_ || !pending_) return;
    auto done = std::exchange(pending_, nullptr);
    ++action_;
    done(std::move(status));
}

bool SimPostgres::accepts_writes() const {
    return (is_primary() || orphans_) && !data_.closed && !hung_ && world().host(me_).awake();
}

void SimPostgres::write(std::uint64_t bytes) {
    if (data_.refuses_writes && !orphans_) return;
    if (full()) {
        if (!world().host(me_).only_tables) panic();
        return;
    }
    const Branch& branch = all_.wal.at(data_.end.branch);
    if (branch.writer != me_)
        all_.on_impossible(
            fmt::format("{} writes on a timeline of another primary", world().name(me_)));
    data_.end.lsn.value += bytes;
    waiting_.push_back(data_.end.lsn);
    all_.wal.at(data_.end.branch).open.push_back(data_.end.lsn);
    all_.on_commit(me_);
    flush_soon();
}

void SimPostgres::read() {
    if (!accepts_writes() || orphans_ || gated_ || started_outside_ || !all_.promised(me_)) return;
    const auto held = std::exchange(held_, {});
    if (held.branch >= 0 && all_.wal.show(held, world().now())) all_.on_read(me_);
}

// No room to write what must be written: WAL, what a checkpoint leaves.
void SimPostgres::panic() {
    if (server_ == Server::stopped) return;
    if (all_.on_panic) all_.on_panic(me_);
    crash();
}

// Everything that the end of a postmaster means here; the agent hears of it through pidfd.
void SimPostgres::gone(bool tell) {
    server_ = Server::stopped;
    stopped_since_ = world().now();
    stuck_until_ = {};
    hung_ = gated_ = false;
    ++epoch_;
    flushing_ = false;
    // WAL that was in memory only.
    if (!recovering_ && data_.end != data_.flushed && world().dice.chance(0.5)) forget_unflushed();
    receiver_stopped(tell);
    waiting_.clear();  // nobody is told of them
    walsenders_.assign(walsenders_.size(), {});
    ++names_told_;
    for (auto& slot : slots_) slot.active = false;
    for (auto& other : all_.servers)
        if (other->receiver_.from == me_) other->network_changed();
    if (std::exchange(stopping_, false))  // whatever ended it, it has stopped
        later({}, action_, [this, action = action_] { end(action, {}); });
    if (tell)
        world().on_host(me_, world().dice.between(microseconds(200), milliseconds(3)), [this] {
            if (on_exit) on_exit();
        });
}

void SimPostgres::start(const cluster::StartPlan& plan, Finish done) {
    if (server_ != Server::stopped) {
        world().on_host(me_, milliseconds(5), [done = std::move(done)] {
            done(fail(ErrorCode::failed, "a postmaster runs already"));
        });
        return;
    }
    const int action = begin(std::move(done));
    if (data_.kind != cluster::DataDir::initialized)
        return later(milliseconds(5), action,
                     [this, action] { end(action, fail(ErrorCode::failed, "no data directory")); });
    if (orphans_)
        return later(milliseconds(5), action, [this, action] {
            end(action, fail(ErrorCode::failed, "shared memory is still in use"));
        });
    replay_tail();
    const Kept before = data_.kept();
    const Duration writes = world().disk(me_);
    data_.standby_signal = !plan.as_primary;
    data_.upstream = plan.as_primary ? std::nullopt : plan.upstream;
    if (!plan.as_primary) data_.refuses_writes = false;
    if (plan.sync_names) data_.sync_names = *plan.sync_names;
    being_written(before, writes);
    read_names();
    commits_wait_ = names_.count > 0;
    gated_ = plan.hold_clients;
    if (!plan.hold_clients) data_.closed = false;
    const int epoch = ++epoch_;
    flushing_ = false;  // what backends of the last postmaster had begun ended with them
    server_ = Server::starting;
    started_outside_ = false;  // not before: what its backends do after its end is its doing too
    recovering_ = data_.standby_signal;
    const bool unclean = data_.control == ControlState::in_production;
    Duration takes_time = writes + takes(milliseconds(100), milliseconds(600));
    if (unclean) takes_time += takes(milliseconds(50), seconds(world().dice.chance(0.1) ? 30 : 3));
    if (plan.timeout > Duration::zero())
        later(plan.timeout, action,
              [this, action] { end(action, fail(ErrorCode::outcome_unknown, "still starting")); });
    // With nothing left it needs luck: what the last one leaves behind is removed first.
    const bool lucky = full() && world().host(me_).only_tables && world().dice.chance(0.5);
    const bool breaks = std::exchange(fail_next_start_, false) || (!lucky && fails());
    world().on_host(me_, takes_time, [this, epoch, action, breaks] {
        if (epoch != epoch_) return;
        if (breaks) {
            gone(true);
            end(action, fail(ErrorCode::failed, "could not start"));
            return;
        }
        arm_consistency(epoch, action);
    });
    flush_soon();  // a server that was not shut down has everything flushed at its start
    if (recovering_ && data_.upstream) receiver_soon(writes + milliseconds(50));
}

// A rewound standby opens when it has come as far as its source was: PostgreSQL compares positions,
// not histories. A copy waits for its own end-of-backup record.
void SimPostgres::arm_consistency(int epoch, int action) {
    if (epoch != epoch_) return;
    const bool there = all_.wal.covers(data_.end, data_.needs);
    const bool far_enough = !data_.backup_label && data_.end.lsn >= data_.needs.lsn;
    if (recovering_ && !there && far_enough)
        all_.on_impossible(world().name(me_) + " opens data of two histories");
    if (recovering_ && !there) {
        world().on_host(me_, milliseconds(200),
                        [this, epoch, action] { arm_consistency(epoch, action); });
        return;
    }
    data_.needs = {};
    data_.backup_label = false;
    started(epoch);
    end(action, {});
}

// A restored cluster recovers before it is a primary.
bool SimPostgres::restores(int epoch) {
    if (!making_ || recovering_ || world().plan.restore_takes <= Duration::zero()) return false;
    if (data_.control == ControlState::in_archive_recovery) return false;  // did so
    recovering_ = true;
    data_.control = ControlState::in_archive_recovery;
    world().on_host(me_, world().plan.restore_takes, [this, epoch] {
        if (epoch != epoch_) return;
        recovering_ = false;
        started(epoch);
    });
    return true;
}

void SimPostgres::started(int epoch) {
    if (epoch != epoch_) return;
    server_ = Server::running;
    if (restores(epoch)) return;
    if (recovering_) {
        data_.control = ControlState::in_archive_recovery;
        return;
    }
    begin_restored();
    if (all_.wal.at(data_.end.branch).writer != me_)
        all_.on_impossible(world().name(me_) + " came up as a primary on a timeline of another");
    if (data_.control == ControlState::in_production) data_.end.lsn.value += record_bytes;
    data_.control = ControlState::in_production;
    flush_now();
    data_.checkpoint = data_.end.lsn;
    data_.checkpoint_timeline = all_.wal.timeline(data_.end);
    checkpointed_ = true;
    primary_since_ = world().now();
    held_ = data_.end;
    all_.on_primary(me_);
    read();
}

void SimPostgres::adopt_running(const std::string& system_id) {
    data_.kind = cluster::DataDir::initialized;
    data_.system_id = system_id;
    data_.end = {all_.wal.root(me_), Lsn{0x3000000}};
    flush_now();
    data_.roles = true;
    server_ = Server::running;
    recovering_ = false;
    data_.control = ControlState::in_production;
    data_.checkpoint = data_.end.lsn;
    data_.checkpoint_timeline = 1;
    primary_since_ = world().now();
}

void SimPostgres::start_outside() {
    if (server_ != Server::stopped || pending_ || data_.kind != cluster::DataDir::initialized)
        return;
    if (orphans_) return;  // it would not start
    cluster::StartPlan plan;
    // Where a promotion was cut short a real one would be a primary on its old timeline: nothing
    // that an agent could keep from happening in the instant before it has made a standby of it.
    const bool cut_short = data_.control == ControlState::in_archive_recovery;
    plan.as_primary = !data_.standby_signal && !cut_short;
    plan.upstream = data_.upstream;
    plan.hold_clients = data_.closed;  // by the file that rules who gets in
    start(plan, [](const Status&) {});
    auto none = std::exchange(pending_, nullptr);  // not the agent's action: it may do its own
    ++action_;
    started_outside_ = true;
}

// How long a fast shutdown waits for walsenders: those that can hear it take the shutdown record at
// once.
Duration SimPostgres::walsenders_wait() const {
    Duration longest = milliseconds(0);
    for (const auto& other : all_.servers) {
        if (other->receiver_.from != me_ || !other->receiver_.streaming) continue;
        const bool hears = world().linked_both(me_, other->me_) &&
                           world().host(other->me_).awake() && !other->hung_;
        longest = std::max<Duration>(longest, hears ? milliseconds(5) : seconds(60));
    }
    return longest;
}

void SimPostgres::shut_down_cleanly() {
    flush_now();
    if (recovering_) {
        data_.control = ControlState::shut_down_in_recovery;
    } else {
        data_.checkpoint = data_.end.lsn;
        data_.checkpoint_timeline = all_.wal.timeline(data_.end);
        data_.end.lsn.value += record_bytes;
        flush_now();
        data_.control = ControlState::shut_down;
        // What walsenders still deliver before they end.
        for (auto& other : all_.servers)
            if (other->receiver_.from == me_ && other->receiver_.streaming &&
                world().linked_both(me_, other->me_) && world().host(other->me_).awake() &&
                !other->hung_ && all_.wal.covers(data_.end, other->data_.end)) {
                other->data_.end = data_.end;
                other->flush_soon();
            }
    }
}

// Its steps hang on the postmaster, not on who asked: they go on when the agent is gone.
void SimPostgres::stop(cluster::StopMode mode, Duration escalate_after, Finish done) {
    const int action = begin(std::move(done));
    if (server_ == Server::stopped)
        return later(milliseconds(2), action, [this, action] { end(action, {}); });
    stopping_ = true;
    const int epoch = epoch_;
    const auto ends_after = [this, action, epoch](Duration delay) {
        if (stuck()) delay = std::max(delay, stuck_until_ - world().now());
        world().on_host(me_, delay, [this, action, epoch] {
            if (epoch != epoch_) return;
            gone(true);
            end(action, {});
        });
    };
    if (escalate_after > Duration{})
        ends_after(hung_ ? 2 * escalate_after : escalate_after + milliseconds(50));
    if (mode == cluster::StopMode::immediate)
        return ends_after(takes(milliseconds(5), milliseconds(50)));
    stop_fast(action, epoch);
}

void SimPostgres::stop_fast(int action, int epoch) {
    if (epoch != epoch_) return;
    if (hung_ || stuck()) {  // the signal waits with everything else
        world().on_host(me_, milliseconds(500),
                        [this, action, epoch] { stop_fast(action, epoch); });
        return;
    }
    const bool was_running = server_ == Server::running;
    if (was_running) server_ = Server::stopping;
    world().on_host(me_, takes(milliseconds(20), milliseconds(200)) + world().disk(me_),
                    [this, action, epoch, was_running] {
                        if (epoch != epoch_) return;
                        // The shutdown checkpoint has no room either.
                        const bool panics = was_running && full();
                        if (panics && !recovering_ && all_.on_panic) all_.on_panic(me_);
                        const Duration senders =
                            recovering_ || panics ? Duration{} : walsenders_wait();
                        if (was_running && !panics) shut_down_cleanly();
                        world().on_host(me_, senders + milliseconds(5), [this, action, epoch] {
                            if (epoch != epoch_) return;
                            gone(true);
                            end(action, {});
                        });
                    });
}

void SimPostgres::kill(Finish done) {
    // What runs is made to fail; a copy that had begun stays half made.
    const Duration dies = server_ == Server::stopped
                              ? Duration(world().dice.between(milliseconds(2), milliseconds(12)))
                              : world().dice.between(milliseconds(5), milliseconds(230));
    if (pending_) {
        if (touched_) data_.kind = cluster::DataDir::half_made;
        const int action = action_;
        world().on_host(me_, milliseconds(1), [this, action] {
            if (action == action_) take_back();
            end(action, fail(ErrorCode::failed, "PostgreSQL was killed"));
        });
    }
    // The adapter waits no longer than this for processes that do not die.
    constexpr Duration patience = seconds(10);
    if (server_ != Server::stopped && stuck_until_ > world().now() + patience)
        return world().on_host(me_, patience, [done = std::move(done)] {
            done(fail(ErrorCode::failed, "PostgreSQL's processes do not end"));
        });
    const Duration lasts =
        server_ != Server::stopped && stuck() ? stuck_until_ - world().now() : dies;
    world().on_host(me_, std::max(dies, lasts), [this, done = std::move(done)] {
        end_orphans();
        if (server_ != Server::stopped) gone(true);
        // Begun while the kill was on its way.
        if (pending_ && !child_of_agent_)
            end(action_, fail(ErrorCode::failed, "PostgreSQL was killed"));
        done({});
    });
}

void SimPostgres::make_standby(Finish done) {
    const Duration writes = world().disk(me_);
    world().on_host(me_, writes + world().dice.between(milliseconds(1), milliseconds(8)),
                    [this, done = std::move(done)] {
                        if (data_.kind != cluster::DataDir::initialized)
                            return done(fail(ErrorCode::failed, "no data directory"));
                        if (full() && !world().host(me_).files_left)
                            return done(fail(ErrorCode::failed, "no space left"));
                        const Kept before = data_.kept();
                        data_.standby_signal = true;
                        if (world().plan.bug == Bug::signal_not_durable) never_durable(before);
                        done({});
                    });
}

void SimPostgres::promote(const cluster::PromotePlan& plan, Finish done) {
    const int action = begin(std::move(done));
    const Duration patience = plan.timeout > Duration{} ? plan.timeout : Duration(seconds(60));
    if (server_ != Server::running || !recovering_)
        return later(milliseconds(5), action, [this, action] {
            end(action, fail(ErrorCode::failed, "no running standby"));
        });
    if (plan.to > 0 && plan.to <= std::max(data_.begun, all_.wal.timeline(data_.end)))
        return later(milliseconds(5), action, [this, action] {
            end(action, fail(ErrorCode::conflict, "this timeline was begun here already"));
        });
    const Duration writes = world().disk(me_);
    if (plan.sync_names) {
        const Kept before = data_.kept();
        data_.sync_names = *plan.sync_names;
        being_written(before, writes);
        read_names();
        commits_wait_ = names_.count > 0;
        for (auto& one : walsenders_) one.names = names_;
    }
    gated_ = gated_ || plan.hold_clients;
    const Duration wait = writes + takes(milliseconds(10), milliseconds(60));
    const int epoch = epoch_;
    if (!hung_)
        world().on_host(me_, wait / 2, [this, epoch, plan] {
            if (epoch == epoch_) data_.begun = plan.to;
        });
    if (hung_ || wait > patience)
        later(patience, action, [this, action] {
            end(action, fail(ErrorCode::outcome_unknown, "not promoted in time"));
        });
    if (hung_) return;
    // The signal file goes before the new timeline is begun: a server that ends in between, as one
    // without room does, leaves a standby's data that a plain start makes a primary of.
    world().on_host(me_, wait * 3 / 4, [this, epoch] {
        if (epoch == epoch_ && server_ == Server::running && recovering_)
            data_.standby_signal = false;
    });
    if (fails()) return promotion_fails(action, wait);
    world().on_host(me_, wait, [this, action, epoch, plan] {
        if (epoch == epoch_ && server_ == Server::running) promoted(action, plan.to);
    });
}

void SimPostgres::promotion_fails(int action, Duration after) {
    const bool ends = full() || world().dice.chance(0.5);
    world().on_host(me_, after, [this, action, epoch = epoch_, ends] {
        if (epoch != epoch_) return;
        if (ends)
            gone(true);
        else
            data_.standby_signal = true;  // it had not come as far
        end(action, fail(ErrorCode::failed, "promotion failed"));
    });
}

void SimPostgres::promoted(int action, cluster::Timeline to) {
    // What an agent that is gone had asked for came to its end meanwhile.
    if (!recovering_) return end(action, {});
    receiver_stopped(true);
    replay_tail();
    flush_now();
    const WalEnd from = data_.end;
    all_.on_promoting(me_, from);
    data_.end.branch = all_.wal.fork(from, me_, to);
    const auto& foreign = world().plan.foreign;  // whose numbers are PostgreSQL's own choice
    const bool ours = std::ranges::find(foreign, me_) == foreign.end();
    if (ours && all_.wal.has_twin(data_.end.branch))
        all_.on_impossible(fmt::format("{} began timeline {}, which another one has",
                                       world().name(me_), all_.wal.timeline(data_.end)));
    data_.end.lsn.value += record_bytes;
    flush_now();
    data_.standby_signal = false;
    data_.upstream.reset();
    data_.control = ControlState::in_production;
    recovering_ = false;
    checkpointed_ = false;
    primary_since_ = world().now();
    held_ = data_.end;
    all_.on_primary(me_);
    read();
    end(action, {});
}

void SimPostgres::checkpoint(Finish done) {
    const int epoch = epoch_;
    Duration wait = takes(milliseconds(20), milliseconds(800)) + world().disk(me_);
    world().on_host(me_, wait, [this, epoch, done = std::move(done)] {
        const bool runs = epoch == epoch_ && server_ == Server::running && !hung_;
        if (runs && full() && !recovering_) panic();
        if (!runs || full()) return done(fail(ErrorCode::failed, "no connection"));
        if (!recovering_) {
            checkpointed_ = true;
            data_.checkpoint = data_.end.lsn;
            data_.checkpoint_timeline = all_.wal.timeline(data_.end);
        }
        done({});
    });
}

void SimPostgres::crash() {
    if (server_ == Server::stopped || stuck()) return;
    const bool busy = is_primary() && !hung_;
    gone(true);
    if (busy) leave_orphans();
    if (pending_ && !child_of_agent_) end(action_, fail(ErrorCode::failed, "the postmaster ended"));
}

void SimPostgres::hang(bool hung) {
    if (server_ == Server::stopped) return;
    hung_ = hung;
    world().changed();
    if (hung) return;
    for (auto& server : all_.servers) {
        server->receiver_sync();
        server->report_flush();
    }
}

void SimPostgres::sync_slots(const cluster::SlotPlan& plan, Finish done) {
    world().on_host(me_, takes(milliseconds(2), milliseconds(20)),
                    [this, plan, done = std::move(done)] {
                        if (server_ != Server::running || hung_)
                            return done(fail(ErrorCode::failed, "no connection"));
                        std::vector<cluster::Slot> next;
                        for (const auto& wanted : plan.wanted) {
                            cluster::Slot slot;
                            slot.name = wanted.name;
                            slot.type = "physical";
                            slot.restart = std::max(data_.end.lsn, wanted.advance_to);
                            next.push_back(std::move(slot));
                        }
                        slots_ = std::move(next);
                        done({});
                    });
}

}  // namespace relevo::sim
