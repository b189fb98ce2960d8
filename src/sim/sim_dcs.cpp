#include "sim/sim_dcs.h"

#include <algorithm>
#include <utility>

namespace relevo::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr Duration attempt_again = milliseconds(250);
constexpr Duration attempt_timeout = seconds(1);

std::unexpected<Error> lost(bool perhaps) {
    return perhaps ? fail(ErrorCode::outcome_unknown, "no answer from the DCS")
                   : fail(ErrorCode::unavailable, "the DCS cannot be reached");
}
}  // namespace

SimDcs::SimDcs(World& world) : world_(world), clients_(static_cast<std::size_t>(world.size())) {
    world_.on_change.push_back([this] { links_changed(); });
}

SnapshotPtr SimDcs::truth() {
    if (!snapshot_ || snapshot_->revision != store_.revision())
        snapshot_ = reader_.read_shared(store_.tree());
    return snapshot_;
}

bool SimDcs::operate(const cluster::Txn& txn) {
    if (!up_) return false;
    const auto before = store_.revision();
    const auto result = store_.commit(txn, 0);
    if (store_.revision() != before) wrote();
    return result && result->succeeded;
}

void SimDcs::go_down() {
    up_ = false;
    ++downs_;
    links_changed();
}

void SimDcs::come_back() {
    if (up_) return;
    up_ = true;
    store_.renew_all(world_.now());
    arm_expiry();
    links_changed();
}

void SimDcs::reset(int member) {
    Client& c = client(member);
    const int session = c.session + 1;
    const int stream = c.stream + 1;
    c = Client{};
    c.session = session;
    c.since = world_.now();
    c.stream = stream;
    c.since = world_.now();
}

// What a read finds: the truth. With the bug a member that has just started asks a server of the
// DCS that lags.
SnapshotPtr SimDcs::seen_by(int member) {
    constexpr Duration lag = seconds(3);
    const Client& c = client(member);
    const bool again = c.session > 1;  // not its very first start
    if (world_.plan.bug != Bug::old_read_at_start || !again || world_.now() - c.since > lag)
        return truth();
    SnapshotPtr found;
    for (const auto& [at, view] : past_)
        if (!found || at <= world_.now() - lag) found = view;
    return found ? found : truth();
}

SimDcs::CallPtr SimDcs::make_call(int member, Duration deadline, bool repeatable) {
    auto call = std::make_shared<Call>();
    call->member = member;
    call->session = client(member).session;
    call->give_up = world_.now() + deadline;
    call->repeatable = repeatable;
    return call;
}

void SimDcs::run(const CallPtr& call) {
    world_.after(call->give_up - world_.now(),
                 [this, call] { settle(call, call->perhaps ? Fate::unknown : Fate::unreachable); });
    attempt(call);
}

void SimDcs::settle(const CallPtr& call, Fate fate) {
    if (call->settled) return;
    call->settled = true;
    world_.on_host(call->member, {}, [this, call, fate] {
        if (client(call->member).session == call->session) call->finish(fate);
    });
}

// One try: there, done, and back; each leg may be lost.
void SimDcs::attempt(const CallPtr& call) {
    if (call->settled || client(call->member).session != call->session) return;
    if (!reachable(call->member)) {
        // Surely not sent: a connection could not be made. Again until the deadline.
        const bool half_open = up_ && world_.linked(call->member, world_.dcs_node());
        if (!half_open || call->repeatable) {
            world_.on_host(call->member, attempt_again, [this, call] { attempt(call); });
            return;
        }
    }
    call->perhaps = true;
    if (call->repeatable)
        world_.on_host(call->member, attempt_timeout, [this, call] { attempt(call); });
    if (world_.faults_on && world_.dice.chance(world_.plan.loss)) return;
    const Duration lag = world_.lag(call->member, world_.dcs_node());
    world_.after(world_.latency() + lag, [this, call] {
        if (!up_ || !world_.linked(call->member, world_.dcs_node())) return;
        const auto before = store_.revision();
        call->apply();
        arm_expiry();
        if (store_.revision() != before) wrote();
        if (world_.faults_on && world_.dice.chance(world_.plan.loss)) return;
        world_.after(world_.latency(), [this, call, downs = downs_] {
            // What it had answered may go down with it.
            if (downs != downs_ && world_.dice.chance(0.5)) return;
            if (world_.linked(world_.dcs_node(), call->member)) settle(call, Fate::answered);
        });
    });
}

void SimDcs::read(int member, Duration deadline, ReadDone done) {
    auto call = make_call(member, deadline, true);
    auto found = std::make_shared<SnapshotPtr>();
    call->apply = [this, member, found] { *found = seen_by(member); };
    call->finish = [found, done = std::move(done)](Fate fate) {
        if (fate == Fate::answered) return done(*found);
        done(fail(ErrorCode::unavailable, "the DCS cannot be reached"));
    };
    run(call);
}

void SimDcs::commit(int member, cluster::Txn txn, Duration deadline, CommitDone done) {
    const auto lease = client(member).lease;
    const bool leased = std::ranges::any_of(txn.writes, &cluster::Write::with_lease);
    if (leased && lease == 0) {
        world_.on_host(member, {}, [done = std::move(done)] {
            done(fail(ErrorCode::not_found, "there is no lease"));
        });
        return;
    }
    auto call = make_call(member, deadline, false);
    auto result = std::make_shared<Result<cluster::TxnResult>>(fail(ErrorCode::unavailable, ""));
    call->apply = [this, result, lease, txn = std::move(txn)] {
        *result = store_.commit(txn, lease);
    };
    call->finish = [this, member, lease, result, done = std::move(done)](Fate fate) {
        if (fate != Fate::answered) return done(lost(fate == Fate::unknown));
        if (!*result && result->error().code == ErrorCode::not_found &&
            client(member).lease == lease)
            client(member).lease = 0;
        done(*result);
    };
    run(call);
}

void SimDcs::keep_lease(int member, seconds ttl, Duration deadline, LeaseDone done) {
    Client& c = client(member);
    const Instant give_up = world_.now() + deadline;
    const bool keep = c.lease != 0 && c.ttl == ttl;
    auto call = make_call(member, deadline, true);
    auto id = std::make_shared<cluster::LeaseId>(0);
    if (keep) {
        call->apply = [this, id, lease = c.lease] {
            *id = store_.keep_alive(lease, world_.now()) ? lease : 0;
        };
    } else {
        call->apply = [this, id, ttl] {  // again with the same id when an answer was lost
            if (*id == 0)
                *id = store_.grant(ttl, world_.now());
            else if (!store_.keep_alive(*id, world_.now()))
                *id = 0;
        };
    }
    call->finish = [this, member, keep, ttl, id, give_up, done = std::move(done)](Fate fate) {
        if (fate != Fate::answered) return done(lost(fate == Fate::unknown));
        Client& mine = client(member);
        if (*id != 0) {
            mine.lease = *id;
            mine.ttl = ttl;
            return done(cluster::Lease{*id, !keep, ttl});
        }
        if (!keep) return done(fail(ErrorCode::unavailable, "the lease expired at once"));
        mine.lease = 0;
        keep_lease(member, ttl, std::max<Duration>(give_up - world_.now(), microseconds(1)), done);
    };
    run(call);
}

void SimDcs::watch(int member, std::function<void(SnapshotPtr)> handler) {
    client(member).handler = std::move(handler);
    links_changed();
}

void SimDcs::tell(int member, SnapshotPtr view) {
    if (client(member).handler) client(member).handler(std::move(view));
}

void SimDcs::wrote() {
    if (world_.plan.bug == Bug::old_read_at_start) past_.emplace_back(world_.now(), truth());
    for (int m = 0; m < world_.size(); ++m)
        if (client(m).watching) notify(m, {});
    if (on_write) on_write();
}

void SimDcs::notify(int member, Duration extra) {
    Client& c = client(member);
    const Duration lag = extra + world_.lag(world_.dcs_node(), member);
    c.last = std::max(c.last + microseconds(1), world_.now() + world_.latency() + lag);
    if (world_.stutters())
        world_.to_host(member, c.last - world_.now() + world_.dice.between({}, seconds(3)),
                       [this, member, session = c.session, view = truth()] {
                           Client& mine = client(member);
                           if (mine.session == session && mine.handler) mine.handler(view);
                       });
    world_.to_host(member, c.last - world_.now(),
                   [this, member, session = c.session, stream = c.stream, view = seen_by(member)] {
                       Client& mine = client(member);
                       if (mine.session == session && mine.stream == stream && mine.handler)
                           mine.handler(view);
                   });
}

// A stream breaks with its link, and what was under way on it is lost; when the link is back it
// resumes with what is there now.
void SimDcs::links_changed() {
    for (int m = 0; m < world_.size(); ++m) {
        Client& c = client(m);
        if (!c.handler) continue;
        const bool reach = reachable(m) && world_.host(m).powered;
        if (c.watching && !reach) {
            c.watching = false;
            ++c.stream;
        } else if (!c.watching && reach && !c.resuming) {
            c.resuming = true;
            const bool first = c.last == Instant{};
            const auto wait =
                first ? Duration{} : world_.dice.between(milliseconds(20), seconds(1));
            world_.after(wait, [this, m, session = c.session] {
                Client& mine = client(m);
                if (mine.session != session) return;
                mine.resuming = false;
                if (!reachable(m)) return;
                mine.watching = true;
                notify(m, {});
            });
        }
    }
}

void SimDcs::arm_expiry() {
    const auto next = store_.next_expiry();
    if (!next || *next >= expiry_armed_) return;
    expiry_armed_ = *next;
    world_.at(*next, [this, armed = *next] {
        if (expiry_armed_ == armed) expiry_armed_ = Instant::max();
        if (!up_) return;  // nobody counts without a leader; come_back() begins anew
        const auto due = store_.next_expiry();
        if (due && *due <= world_.now()) {
            // etcd looks for what expired now and then, and leases kept alive meanwhile are gone
            // all the same.
            world_.after(world_.dice.between({}, world_.plan.expiry_late),
                         [this, until = world_.now()] {
                             if (!up_) return;
                             const auto before = store_.revision();
                             store_.advance(until);
                             if (store_.revision() != before) wrote();
                             arm_expiry();
                         });
            return;
        }
        arm_expiry();
    });
}

}  // namespace relevo::sim
