// The pool behind relevo/pool.h: connections, their hand-out, and the three kinds of calls.
// pool.cpp hands out and runs single statements, transaction.cpp runs transactions, resolve.cpp
// finds out what became of a lost COMMIT.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "client/hosts.h"
#include "client/session.h"
#include "relevo/pool.h"

namespace relevo::client {

class PoolCore;

// A session that is lent; it goes back when this ends.
class Lease {
public:
    Lease(std::shared_ptr<PoolCore> pool, Target target, std::unique_ptr<Session> session);
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Session& operator*() const { return *session_; }
    Session* operator->() const { return session_.get(); }
    Target target() const { return target_; }

private:
    std::shared_ptr<PoolCore> pool_;
    Target target_;
    std::unique_ptr<Session> session_;
};

class PoolCore final : public Pool, public std::enable_shared_from_this<PoolCore> {
public:
    PoolCore(boost::asio::any_io_executor executor, Options options, Conninfo info);
    ~PoolCore() override;

    Task<Expected<Rows>> execute(std::string sql, Parameters parameters, Call call) override;
    Task<Expected<Receipt>> transaction(Body body, Call call) override;
    void close() override;
    Counts counts() const override;

private:
    friend class Lease;
    struct Waiter;
    struct Side {
        std::vector<std::unique_ptr<Session>> idle;
        std::deque<std::shared_ptr<Waiter>> waiting;
        std::size_t open = 0;  // lent, idle, and being made
    };
    struct Attempt;
    class Running;

    // pool.cpp
    Side& side(Target target) { return target == Target::primary ? primary_ : replica_; }
    Task<Expected<Lease>> acquire(Target target, Clock::time_point until);
    Task<Expected<Lease>> acquire_for(const Call& call, Clock::time_point until);
    Task<bool> caught_up(Session& session, Lsn lsn, Clock::time_point until);
    Task<Search> connect(Target target, Clock::time_point until);
    Task<Search> find_primary(Clock::time_point until);
    Task<Search> find_replica(Clock::time_point until);
    void give_back(Target target, std::unique_ptr<Session> session);
    void wake_one(Side& side);
    Task<void> watch();
    void lent(Session* session);
    Task<void> rest(int n, Clock::time_point until);  // the pause before the n-th repetition
    // nullopt: go on with the next attempt. Otherwise how the call ends.
    Task<std::optional<Error>> before_repeating(const Seen& seen, const std::string& message,
                                                int attempts, Clock::time_point until);
    Clock::time_point end_of(const Call& call) const;

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

    boost::asio::any_io_executor executor_;
    Options options_;
    Conninfo info_;
    Side primary_, replica_;
    std::optional<Endpoint> home_;       // where the primary was last seen
    std::uint32_t newest_timeline_ = 0;  // of any primary seen
    bool searching_ = false;
    std::set<boost::asio::steady_timer*> search_waiters_;
    bool closed_ = false, watching_ = false;
    struct Busy {
        Clock::time_point since;
    };
    std::map<Session*, Busy> busy_;
    RetryBudget budget_;
    std::mt19937_64 random_{std::random_device{}()};
    Counts counts_;
    Life flushed_life_;
    Lsn flushed_ = 0;
    std::string key_;  // random; the outcome table's keys begin with it
    std::uint64_t next_key_ = 0;
};

}  // namespace relevo::client
