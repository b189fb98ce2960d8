// The pool behind relevo/pool.h and relevo/blocking.h: connections, their hand-out, and the three
// kinds of calls. pool.cpp runs single statements, transaction.cpp transactions, resolve.cpp finds
// out what became of a lost COMMIT; lending.cpp hands out sessions, finding.cpp looks for servers.
//
// All of it is written once and compiled twice, for the two ways of waiting (by_asio.h and
// by_thread.h; docs/adr/0017-two-ways-of-waiting.md). Calls of many threads run at once where By is
// ByThread: what they share is under mutex_, which nobody holds while anything is waited for or
// sent. A session that is lent is its call's alone, but for interrupt().
#pragma once

#include <deque>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "client/hosts.h"
#include "client/locks.h"
#include "client/rest.h"
#include "client/session.h"
#include "relevo/pool.h"

namespace relevo::client {

// Options that make sense, with the connection string read.
struct Checked {
    Options options;  // without the connection string: it may hold a password, kept in one place
    Conninfo info;
    RestWay way;
};
Expected<Checked> check(Options options);

template <class By>
class PoolCore;

// A session that is lent; it goes back when this ends. The pool outlives it: each call holds it.
template <class By>
class Lease {
public:
    Lease(PoolCore<By>& pool, Target target, std::unique_ptr<Session<By>> session)
        : pool_(&pool), target_(target), session_(std::move(session)) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
        if (session_) pool_->give_back(target_, std::move(session_));
    }
    Session<By>& operator*() const { return *session_; }
    Session<By>* operator->() const { return session_.get(); }

private:
    PoolCore<By>* pool_;
    Target target_;
    std::unique_ptr<Session<By>> session_;
};

template <class By>
class PoolCore final : public std::enable_shared_from_this<PoolCore<By>> {
public:
    template <class T>
    using Task = typename By::template Task<T>;
    template <class T>
    using AsioTask = client::Task<T>;
    using Session = client::Session<By>;
    using Lease = client::Lease<By>;
    using Body = typename By::Body;

    PoolCore(By by, Checked checked);

    Task<Expected<Rows>> execute(std::string sql, Parameters parameters, Call call);
    Task<Expected<Receipt>> transaction(Body body, Call call);
    void close();
    Pool::Counts counts() const;
    std::string rest_problem() const;

private:
    friend class client::Lease<By>;
    using Waiter = typename By::Waiter;
    using Mutex = typename By::Mutex;
    struct Side {
        std::vector<std::unique_ptr<Session>> idle;
        std::deque<std::shared_ptr<Waiter>> waiting;
        std::size_t open = 0;  // lent, idle, and being made
    };
    struct Attempt;
    class Running;

    // What a call that needs a session is to do next: use the one that it was lent, wait, or (with
    // neither) open the one that was counted for it.
    struct Turn {
        std::unique_ptr<Session> session;  // lent; it need not be fit
        bool outdated = false;  // of a primary that was replaced, a replica that is not to be read
        bool fresh = false;     // it was given back a moment ago
        std::shared_ptr<Waiter> waiter;  // it is in the queue
        bool closed = false;
    };
    class Place;
    class Opening;

    // A call on Asio keeps its pool alive; the pool of threads waits for its calls instead.
    auto kept() {
        if constexpr (std::is_same_v<By, ByAsio>)
            return this->shared_from_this();
        else
            return nullptr;
    }

    // lending.cpp
    Side& side(Target target) RLV_REQUIRES(mutex_) {
        return target == Target::primary ? primary_ : replica_;
    }
    // A session that lies ready, which for most calls is all: no coroutine, no wait. The first
    // attempt counts the call; its time need not be asked for again.
    std::optional<Lease> at_hand(const Call& call, int attempts, Clock::time_point began);
    Task<Expected<Lease>> acquire(Target target, Clock::time_point until);
    Turn next_turn(Target target, bool waited);
    bool lend_idle(Target target, Turn& turn, Clock::time_point now) RLV_REQUIRES(mutex_);
    void give_back(Target target, std::unique_ptr<Session> session);
    static bool fit(Turn& turn);
    void drop(Target target, std::unique_ptr<Session> session);  // one that is of no use
    // True: begin_watch() is to be called.
    bool lend(Session& session, Clock::time_point now) RLV_REQUIRES(mutex_);
    void take_back(Session& session) RLV_REQUIRES(mutex_);
    bool lend_new(Session& session);  // false: the pool was closed meanwhile
    void wake_one(Side& side) RLV_REQUIRES(mutex_);

    // pool.cpp
    Task<Expected<Lease>> acquire_for(const Call& call, Clock::time_point until);
    Task<bool> caught_up(Session& session, Lsn lsn, Clock::time_point until);
    bool is_closed();
    void count(std::uint64_t Pool::Counts::* what);
    Task<void> rest(int n, Clock::time_point until);  // the pause before the n-th repetition
    // nullopt: go on with the next attempt. Otherwise how the call ends.
    Task<std::optional<Error>> before_repeating(const Seen& seen, const std::string& message,
                                                int attempts, Clock::time_point until);
    Clock::time_point end_of(const Call& call, Clock::time_point began) const;

    // finding.cpp
    class Searching;
    struct Found {
        std::unique_ptr<Session> session;
        bool hopeless = false;  // all refused us for a reason that waiting does not mend
        Seen seen;
        std::string message;
        Endpoint where{};  // of a replica
    };
    Task<Found> connect(Target target, Clock::time_point until);
    Task<Found> wait_for_search(std::shared_ptr<Waiter> waiter, Clock::time_point until);
    Task<Found> connect_to(Endpoint home, Clock::time_point until);
    AsioTask<Found> open_home(Endpoint home, Clock::time_point until);
    AsioTask<Search> search_primary(Clock::time_point until);
    AsioTask<Found> find_primary(Clock::time_point until);
    AsioTask<Found> find_replica(Clock::time_point until);
    AsioTask<Found> try_replicas(std::vector<Endpoint> hosts, Clock::time_point until);
    std::unique_ptr<Session> adopt(std::unique_ptr<client::Session<ByAsio>> opened) const;
    void forget_home();
    AsioTask<void> watch();
    void begin_watch();
    // nullopt: none is lent, and nobody watches any more.
    std::optional<Clock::time_point> oldest_lent();
    void interrupt_before(std::uint32_t timeline);

    // asking.cpp: what the members' REST says; null where it does not help.
    using Told = std::shared_ptr<const Members>;
    AsioTask<Told> ask_now(Clock::time_point until);
    AsioTask<Told> told_lately(Clock::time_point until);
    bool told_long_ago(Clock::time_point now) const RLV_REQUIRES(mutex_);
    bool fit_to_read(const Session& session) const RLV_REQUIRES(mutex_);
    void begin_asking();
    class Asking;

    // transaction.cpp
    Task<Attempt> attempt(Session& session, const Body& body, const Call& call,
                          Clock::time_point until);
    Task<Attempt> commit(Session& session, Attempt attempt, const Call& call,
                         Clock::time_point until);
    std::optional<Mark> mark_from(const Session& session, const Rows& row);
    std::optional<Mark> mark_of(const Session& session, const Rows& row);
    std::optional<Mark> complete(const Session& session, Mark mark, Lsn flushed);
    void saw_flushed(const Life& life, Lsn lsn);

    // resolve.cpp
    struct Resolved {
        Verdict verdict{};
        std::string why;
        Lsn behind = 0;  // of something written after a committed one
    };
    Task<Resolved> resolve(Mark mark, Clock::time_point until);
    Task<std::optional<Evidence>> ask(Session& session, const Mark& mark, Clock::time_point until);
    Task<std::optional<Life>> ask_life(Session& session, Clock::time_point until);
    Task<std::optional<XactStatus>> ask_status(Session& session, const Mark& mark,
                                               Clock::time_point until);
    Task<void> end_backend(Session& session, const Mark& mark, Clock::time_point until);
    // A transaction whose connection was lost before COMMIT: by its id, and by its process where
    // that is known.
    struct Abandoned {
        Life life;
        std::string xid, pid, since;  // "": not known
    };
    static std::optional<Abandoned> abandoned(const Session& session,
                                              const std::optional<Mark>& mark);
    Task<void> end_abandoned(Session& session, const Abandoned& left, Clock::time_point until);

    const By by_;
    const Options options_;
    const Conninfo info_;
    const RestWay way_;

    mutable Mutex mutex_;
    Side primary_ RLV_GUARDED_BY(mutex_), replica_ RLV_GUARDED_BY(mutex_);
    // Where the primary was last seen, and the newest timeline of any.
    std::optional<Endpoint> home_ RLV_GUARDED_BY(mutex_);
    std::uint32_t newest_timeline_ RLV_GUARDED_BY(mutex_) = 0;
    bool searching_ RLV_GUARDED_BY(mutex_) = false;
    std::vector<std::shared_ptr<Waiter>> search_waiters_ RLV_GUARDED_BY(mutex_);
    bool closed_ RLV_GUARDED_BY(mutex_) = false;
    bool watching_ RLV_GUARDED_BY(mutex_) = false;
    // What the members' REST said, when that was (or when it failed), and what was wrong then.
    Told told_ RLV_GUARDED_BY(mutex_);
    std::optional<Clock::time_point> told_at_ RLV_GUARDED_BY(mutex_);
    std::string rest_problem_ RLV_GUARDED_BY(mutex_);
    bool asking_ RLV_GUARDED_BY(mutex_) = false;
    std::vector<Session*> lent_ RLV_GUARDED_BY(mutex_);
    RetryBudget budget_ RLV_GUARDED_BY(mutex_);
    std::mt19937_64 random_ RLV_GUARDED_BY(mutex_){std::random_device{}()};
    Pool::Counts counts_ RLV_GUARDED_BY(mutex_);
    Life flushed_life_ RLV_GUARDED_BY(mutex_);
    Lsn flushed_ RLV_GUARDED_BY(mutex_) = 0;
    const std::string key_;  // random; the outcome table's keys begin with it
    std::uint64_t next_key_ RLV_GUARDED_BY(mutex_) = 0;
};

}  // namespace relevo::client
