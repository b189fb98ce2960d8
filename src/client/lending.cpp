// Sessions are lent to calls and taken back; who finds none waits for one, or opens one.
#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

#include "client/pool_core.h"

namespace relevo::client {

using namespace std::chrono_literals;

template <class By>
void PoolCore<By>::wake_one(Side& its) {
    if (its.waiting.empty()) return;
    its.waiting.front()->wake();
    its.waiting.pop_front();
}

template <class By>
bool PoolCore<By>::lend(Session& session, Clock::time_point now) {
    session.lent_since = now;
    session.lent_at = lent_.size();
    lent_.push_back(&session);
    return !std::exchange(watching_, true);
}

template <class By>
void PoolCore<By>::take_back(Session& session) {
    lent_.back()->lent_at = session.lent_at;
    std::swap(lent_[session.lent_at], lent_.back());
    lent_.pop_back();
}

template <class By>
bool PoolCore<By>::lend_new(Session& session) {
    bool watch = false;
    {
        const Guard lock(mutex_);
        if (closed_) return false;
        watch = lend(session, Clock::now());
    }
    if (watch) begin_watch();
    return true;
}

template <class By>
void PoolCore<By>::give_back(Target target, std::unique_ptr<Session> session) {
    const bool usable = session->usable(), idle = session->idle();
    session->idle_since = Clock::now();
    session->had_by = std::this_thread::get_id();
    const Guard lock(mutex_);
    auto& its = side(target);
    take_back(*session);
    if (!usable && target == Target::primary) home_.reset();
    if (!usable && target == Target::replica) told_at_.reset();  // to be asked anew
    // What comes while it lies idle is seen when it is handed out.
    if (closed_ || !idle)
        --its.open;
    else
        its.idle.push_back(std::move(session));
    wake_one(its);
}

template <class By>
void PoolCore<By>::drop(Target target, std::unique_ptr<Session> session) {
    const Guard lock(mutex_);
    take_back(*session);
    --side(target).open;
}

namespace {

// The one that this thread had last, where it is there: its server's process runs near this thread
// then, and the scheduler keeps them together. Else the one that was used last of all.
template <class Sessions>
auto at_best(Sessions& idle) {
    const auto me = std::this_thread::get_id();
    const auto mine = std::find_if(idle.rbegin(), idle.rend(),
                                   [&](const auto& session) { return session->had_by == me; });
    return mine == idle.rend() ? std::prev(idle.end()) : std::prev(mine.base());
}

}  // namespace

// True: begin_watch() is to be called.
template <class By>
bool PoolCore<By>::lend_idle(Target target, Turn& turn, Clock::time_point now) {
    // What ended is noticed when the session is handed out (Session::fit). Where it was in use
    // until this moment that is left out: it costs a call of the system for each statement, and
    // the connection may as well end between the look and the sending.
    constexpr auto moment = 50us;
    auto& its = side(target);
    const auto place = at_best(its.idle);
    turn.session = std::move(*place);
    its.idle.erase(place);
    turn.outdated = target == Target::primary ? turn.session->timeline < newest_timeline_
                                              : !fit_to_read(*turn.session);
    turn.fresh = now - turn.session->idle_since < moment;
    return lend(*turn.session, now);
}

template <class By>
auto PoolCore<By>::next_turn(Target target, bool waited) -> Turn {
    Turn turn;
    bool watch = false, ask = false;
    const auto now = Clock::now();
    {
        const Guard lock(mutex_);
        auto& its = side(target);
        // Nobody waits for this answer; the next ones profit.
        ask = target == Target::replica && !closed_ && told_at_ && !asking_ && told_long_ago(now);
        if (closed_) {
            turn.closed = true;
        } else if (!its.idle.empty()) {
            watch = lend_idle(target, turn, now);
        } else if (its.open >= options_.size) {
            turn.waiter = std::make_shared<Waiter>(by_);
            // Whoever was woken, and found that another was faster, need not go to the end.
            its.waiting.insert(waited ? its.waiting.begin() : its.waiting.end(), turn.waiter);
        } else {
            ++its.open;
        }
    }
    if (watch) begin_watch();
    if (ask) begin_asking();
    return turn;
}

template <class By>
bool PoolCore<By>::fit(Turn& turn) {
    return !turn.outdated && (turn.fresh || turn.session->fit());
}

template <class By>
auto PoolCore<By>::at_hand(const Call& call, int attempts, Clock::time_point began)
    -> std::optional<Lease> {
    Turn turn;
    bool watch = false;
    const auto now = attempts == 1 ? began : Clock::now();
    {
        const Guard lock(mutex_);
        if (attempts == 1) {
            ++counts_.calls;
            budget_.earn();
        }
        if (call.target != Target::primary || closed_ || primary_.idle.empty()) return std::nullopt;
        watch = lend_idle(Target::primary, turn, now);
    }
    if (watch) begin_watch();
    if (fit(turn)) return Lease(*this, Target::primary, std::move(turn.session));
    drop(Target::primary, std::move(turn.session));
    return std::nullopt;
}

// A place in the queue. Whoever was called and does not come calls the next.
template <class By>
class PoolCore<By>::Place {
public:
    Place(PoolCore& pool, Target target, std::shared_ptr<Waiter> waiter)
        : pool_(pool), target_(target), waiter_(std::move(waiter)) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
        const Guard lock(pool_.mutex_);
        auto& its = pool_.side(target_);
        if (std::erase(its.waiting, waiter_) == 0 && !comes_) pool_.wake_one(its);
    }
    Task<void> wait(Clock::time_point until) {
        co_await waiter_->wait(until);
        comes_ = Clock::now() < until;
    }
    bool comes() const { return comes_; }

private:
    PoolCore& pool_;
    Target target_;
    std::shared_ptr<Waiter> waiter_;
    bool comes_ = false;
};

// A session that is counted as open, until its end unless there is one.
template <class By>
class PoolCore<By>::Opening {
public:
    Opening(PoolCore& pool, Target target) : pool_(pool), target_(target) {}
    Opening(const Opening&) = delete;
    Opening& operator=(const Opening&) = delete;
    ~Opening() {
        if (open_) return;
        const Guard lock(pool_.mutex_);
        auto& its = pool_.side(target_);
        --its.open;
        pool_.wake_one(its);
    }
    void succeeded() { open_ = true; }

private:
    PoolCore& pool_;
    Target target_;
    bool open_ = false;
};

template <class By>
auto PoolCore<By>::acquire(Target target, Clock::time_point until) -> Task<Expected<Lease>> {
    const auto failed = [](Kind kind, std::string code, std::string why) {
        return std::unexpected(Error{kind, std::move(code), std::move(why), 0});
    };
    bool waited = false;
    for (int tries = 1;; ++tries) {
        auto turn = next_turn(target, waited);
        if (turn.closed) co_return failed(Kind::closed, "", "the pool is closed");
        if (turn.session) {
            if (fit(turn)) co_return Lease(*this, target, std::move(turn.session));
            drop(target, std::move(turn.session));
            --tries;
            continue;
        }
        if (turn.waiter) {
            Place place(*this, target, std::move(turn.waiter));
            co_await place.wait(until);
            if (!place.comes())
                co_return failed(Kind::unavailable, "",
                                 "all connections of the pool were in use until the deadline");
            waited = true;
            continue;
        }
        Found found;
        {
            Opening opening(*this, target);
            found = co_await connect(target, until);
            if (found.session && lend_new(*found.session)) {
                opening.succeeded();
                co_return Lease(*this, target, std::move(found.session));
            }
            found.session.reset();
        }
        if (is_closed()) continue;
        if (found.hopeless) co_return failed(Kind::rejected, found.seen.sqlstate, found.message);
        // A replica has a substitute; what to do without one is the caller's.
        if (Clock::now() >= until || target == Target::replica)
            co_return failed(Kind::unavailable, found.seen.sqlstate, found.message);
        // Nobody tells when there is a primary again, so it is asked again and again: jittered,
        // and at most every 250 ms, since what is asked is cheap.
        co_await rest(std::min(tries, 4), until);
    }
}

template class PoolCore<ByAsio>;
template class PoolCore<ByThread>;

}  // namespace relevo::client
