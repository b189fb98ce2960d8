#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "client/pool_core.h"

namespace relevo::client {

namespace asio = boost::asio;
using boost::system::error_code;
using namespace std::chrono_literals;

namespace {

Task<void> sleep_until(asio::steady_timer& timer, Clock::time_point until) {
    timer.expires_at(until);
    error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

bool is_primary(const Session& session, std::uint32_t timeline_at_least) {
    return session.primary() && session.timeline() >= timeline_at_least;
}

bool is_replica(const Session& session, std::uint32_t) { return !session.primary(); }

bool plain_name(const std::string& name) {
    return std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    });
}

std::string random_key(std::mt19937_64& random) {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string key;
    for (int i = 0; i < 32; ++i) key.push_back(digits[random() % 16]);
    return key;
}

}  // namespace

std::string outcome_table_sql(const std::string& table) {
    return "CREATE TABLE " + table +
           " (session text PRIMARY KEY, number bigint NOT NULL, at timestamptz NOT NULL DEFAULT "
           "now()) WITH (fillfactor = 50)";
}

struct PoolCore::Waiter {
    explicit Waiter(const asio::any_io_executor& executor) : timer(executor) {}
    asio::steady_timer timer;
};

Lease::Lease(std::shared_ptr<PoolCore> pool, Target target, std::unique_ptr<Session> session)
    : pool_(std::move(pool)), target_(target), session_(std::move(session)) {
    pool_->lent(session_.get());
}

Lease::~Lease() {
    if (session_) pool_->give_back(target_, std::move(session_));
}

Expected<std::shared_ptr<Pool>> Pool::make(asio::any_io_executor executor, Options options) {
    auto info = parse_conninfo(options.conninfo);
    if (!info) return std::unexpected(info.error());
    const auto invalid = [](std::string why) {
        return std::unexpected(Error{Kind::invalid, "", std::move(why), 0});
    };
    if (options.size == 0) return invalid("size: a pool has at least one connection");
    if (options.connect_timeout <= Duration{} || options.deadline <= Duration{})
        return invalid("connect_timeout and deadline must be longer than nothing");
    if (!plain_name(options.outcome_table))
        return invalid("outcome_table: a name of a-z, 0-9, _ (and . after a schema)");
    options.conninfo.clear();  // it may hold a password; the keywords are kept, in one place
    return std::make_shared<PoolCore>(std::move(executor), std::move(options), *std::move(info));
}

PoolCore::PoolCore(asio::any_io_executor executor, Options options, Conninfo info)
    : executor_(std::move(executor)),
      options_(std::move(options)),
      info_(std::move(info)),
      budget_(options_.budget),
      key_(random_key(random_)) {}

PoolCore::~PoolCore() = default;

void PoolCore::close() {
    closed_ = true;
    for (auto* its : {&primary_, &replica_}) {
        its->open -= its->idle.size();
        its->idle.clear();
        for (const auto& waiter : its->waiting) waiter->timer.cancel();
    }
    for (auto* timer : search_waiters_) timer->cancel();
}

Pool::Counts PoolCore::counts() const {
    auto counts = counts_;
    counts.open = primary_.open + replica_.open;
    return counts;
}

Clock::time_point PoolCore::end_of(const Call& call) const {
    const auto length = call.deadline > Duration{} ? call.deadline : options_.deadline;
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(length);
}

// ------------------------------------------------------------------------- lending and taking back

void PoolCore::wake_one(Side& its) {
    if (its.waiting.empty()) return;
    its.waiting.front()->timer.cancel();
    its.waiting.pop_front();
}

void PoolCore::give_back(Target target, std::unique_ptr<Session> session) {
    auto& its = side(target);
    busy_.erase(session.get());
    if (!session->usable() && target == Target::primary) home_.reset();
    // What comes while it lies idle is seen when it is handed out.
    if (closed_ || !session->idle())
        --its.open;
    else
        its.idle.push_back(std::move(session));
    wake_one(its);
}

void PoolCore::lent(Session* session) {
    busy_[session] = {Clock::now()};
    if (watching_) return;
    watching_ = true;
    asio::co_spawn(
        executor_,
        [](std::shared_ptr<PoolCore> self) -> Task<void> {
            co_await self->watch();
            self->watching_ = false;
        }(shared_from_this()),
        [](const std::exception_ptr& thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
}

// A host without power, or frozen, does not say that it is gone: its kernel may even acknowledge
// what is sent. When an answer is late, others are asked who is the primary now; if that is
// somebody on a newer timeline, waiting for the old one has no sense any more.
Task<void> PoolCore::watch() {
    constexpr auto tick = 250ms;       // how late that is noticed
    constexpr auto patience = 1000ms;  // what takes longer may well be a slow statement...
    auto next = patience;              // ...so each further look waits twice as long
    asio::steady_timer timer(executor_);
    while (!busy_.empty() && !closed_) {
        co_await sleep_until(timer, Clock::now() + tick);
        const auto oldest = std::ranges::min_element(
            busy_, {}, [](const auto& entry) { return entry.second.since; });
        if (oldest == busy_.end() || Clock::now() - oldest->second.since < patience)
            next = patience;
        if (oldest == busy_.end() || Clock::now() - oldest->second.since < next) continue;
        next = std::min(next * 2, std::chrono::milliseconds(16000));
        const auto found = co_await find_primary(Clock::now() + options_.connect_timeout);
        if (!found.session) continue;
        for (const auto& [session, busy] : busy_)
            if (session->primary() && session->timeline() < found.session->timeline())
                session->interrupt();
    }
}

Task<Expected<Lease>> PoolCore::acquire(Target target, Clock::time_point until) {
    const auto failed = [](Kind kind, std::string code, std::string why) {
        return std::unexpected(Error{kind, std::move(code), std::move(why), 0});
    };
    auto& its = side(target);
    for (int tries = 1;; ++tries) {
        if (closed_) co_return failed(Kind::closed, "", "the pool is closed");
        while (!its.idle.empty()) {
            auto session = std::move(its.idle.back());
            its.idle.pop_back();
            const bool right = target == Target::replica || session->timeline() >= newest_timeline_;
            if (right && session->fit())
                co_return Lease(shared_from_this(), target, std::move(session));
            --its.open;
        }
        if (its.open >= options_.size) {
            const auto waiter = std::make_shared<Waiter>(executor_);
            its.waiting.push_back(waiter);
            co_await sleep_until(waiter->timer, until);
            std::erase(its.waiting, waiter);
            if (Clock::now() >= until)
                co_return failed(Kind::unavailable, "",
                                 "all connections of the pool were in use until the deadline");
            continue;
        }
        ++its.open;
        auto found = co_await connect(target, until);
        if (found.session) {
            if (!closed_) co_return Lease(shared_from_this(), target, std::move(found.session));
            found.session.reset();
        }
        --its.open;
        if (closed_) continue;
        wake_one(its);
        if (found.hopeless) co_return failed(Kind::rejected, found.seen.sqlstate, found.message);
        // A replica has a substitute; what to do without one is the caller's.
        if (Clock::now() >= until || target == Target::replica)
            co_return failed(Kind::unavailable, found.seen.sqlstate, found.message);
        // Nobody tells when there is a primary again, so it is asked again and again: jittered,
        // and at most every 250 ms, since what is asked is cheap.
        co_await rest(std::min(tries, 4), until);
    }
}

Task<void> PoolCore::rest(int n, Clock::time_point until) {
    const double drawn = std::uniform_real_distribution<double>(0, 1)(random_);
    const auto length =
        std::chrono::duration_cast<Clock::duration>(pause(options_.backoff, n, drawn));
    asio::steady_timer timer(executor_);
    co_await sleep_until(timer, std::min(until, Clock::now() + length));
}

// ------------------------------------------------------------------------------- finding a server

Task<Search> PoolCore::connect(Target target, Clock::time_point until) {
    const auto soon = std::min(until, Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                         options_.connect_timeout));
    if (target == Target::replica) co_return co_await find_replica(soon);
    if (home_) {
        const auto home = *home_;
        auto opened = co_await Session::open(executor_, info_.keywords, home, soon);
        if (opened.session && is_primary(*opened.session, newest_timeline_)) {
            Search found;
            found.session = std::move(opened.session);
            found.endpoint = home;
            co_return found;
        }
        if (home_ == home) home_.reset();
    }
    if (searching_) {  // one for all: what it finds is home
        asio::steady_timer timer(executor_);
        search_waiters_.insert(&timer);
        co_await sleep_until(timer, soon);
        search_waiters_.erase(&timer);
        Search later;
        later.seen = {.stage = Stage::connect, .lost = true};
        later.message = "no primary was found";
        if (!home_ || closed_) co_return later;
        const auto home = *home_;
        auto opened = co_await Session::open(executor_, info_.keywords, home, soon);
        later.seen = opened.seen;
        later.message = opened.message;
        if (opened.session && is_primary(*opened.session, newest_timeline_))
            later.session = std::move(opened.session);
        co_return later;
    }
    searching_ = true;
    auto found = co_await find_primary(soon);
    searching_ = false;
    for (auto* timer : search_waiters_) timer->cancel();
    co_return found;
}

Task<Search> PoolCore::find_primary(Clock::time_point until) {
    ++counts_.searches;
    auto endpoints = co_await look_up(executor_, info_.hosts, until);
    auto found = co_await search(executor_, info_.keywords, std::move(endpoints), is_primary,
                                 newest_timeline_, until);
    if (found.session && found.session->timeline() >= newest_timeline_) {
        home_ = found.endpoint;
        newest_timeline_ = found.session->timeline();
    }
    co_return found;
}

// One after the other, in an order of chance: all connections to the nearest would leave the other
// replicas idle.
Task<Search> PoolCore::find_replica(Clock::time_point until) {
    auto endpoints = co_await look_up(executor_, info_.hosts, until);
    std::ranges::shuffle(endpoints, random_);
    Search found;
    found.message = "no host has an address";
    for (const auto& endpoint : endpoints) {
        // A replica that takes long to connect to is no help: there is another, or the primary.
        const auto soon = std::min(until, Clock::now() + 500ms);
        std::vector<Endpoint> one{endpoint};
        found = co_await search(executor_, info_.keywords, std::move(one), is_replica, 0, soon);
        if (found.session) co_return found;
    }
    found.hopeless = false;
    co_return found;
}

// ------------------------------------------------------------------------------ single statements

Task<std::optional<Error>> PoolCore::before_repeating(const Seen& seen, const std::string& message,
                                                      int attempts, Clock::time_point until) {
    const auto ends = [&](const char* why) {
        return Error{Kind::unavailable, seen.sqlstate, why + message, attempts};
    };
    if (Clock::now() >= until) co_return ends("not done before the deadline: ");
    if (!budget_.spend()) co_return ends("not repeated, the retry budget is spent: ");
    ++counts_.retries;
    co_await rest(attempts, until);
    if (Clock::now() >= until) co_return ends("not done before the deadline: ");
    co_return std::nullopt;
}

Task<bool> PoolCore::caught_up(Session& session, Lsn lsn, Clock::time_point until) {
    const Parameters wanted{lsn_text(lsn)};
    asio::steady_timer timer(executor_);
    for (auto wait = 1ms;; wait = std::min(wait * 2, std::chrono::milliseconds(20))) {
        const auto answer = co_await session.run(
            "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1::pg_lsn", &wanted, until,
            Stage::alone);
        if (classify(answer.seen) != Action::done) co_return false;
        if (answer.last().value() == "t") co_return true;
        // PostgreSQL before 18 has nothing that waits for a position to be replayed.
        if (Clock::now() + wait >= until) co_return false;
        co_await sleep_until(timer, Clock::now() + wait);
    }
}

Task<Expected<Lease>> PoolCore::acquire_for(const Call& call, Clock::time_point until) {
    if (call.target == Target::replica) {
        const auto patience =
            std::min(until, Clock::now() +
                                std::chrono::duration_cast<Clock::duration>(call.replica_patience));
        auto lease = co_await acquire(Target::replica, until);
        bool good = lease.has_value();
        if (good && call.at_least != 0) good = co_await caught_up(**lease, call.at_least, patience);
        if (good) co_return lease;
    }
    auto lease = co_await acquire(Target::primary, until);
    co_return lease;
}

Task<Expected<Rows>> PoolCore::execute(std::string sql, Parameters parameters, Call call) {
    const auto self = shared_from_this();
    if (call.target == Target::replica && !call.idempotent)
        co_return std::unexpected(Error{Kind::invalid, "", "Target::replica needs idempotent", 0});
    if (call.resolve) {
        Rows rows;
        const Body body = [&](Transaction& transaction) -> Task<Expected<void>> {
            auto answer = co_await transaction.execute(sql, parameters);
            if (!answer) co_return std::unexpected(answer.error());
            rows = *answer;
            co_return Expected<void>{};
        };
        call.resolve = false;
        const auto done = co_await transaction(body, call);
        if (!done) co_return std::unexpected(done.error());
        co_return rows;
    }
    const auto until = end_of(call);
    ++counts_.calls;
    budget_.earn();
    for (int attempts = 1;; ++attempts) {
        Answer answer;
        {
            auto lease = co_await acquire_for(call, until);
            if (!lease) {
                lease.error().attempts = attempts - 1;
                co_return std::unexpected(lease.error());
            }
            answer = co_await (*lease)->run(sql, &parameters, until, Stage::alone);
        }
        answer.seen.idempotent = call.idempotent;
        switch (classify(answer.seen)) {
            case Action::done: co_return answer.last();
            case Action::reject:
                co_return std::unexpected(
                    Error{Kind::rejected, answer.seen.sqlstate, answer.message, attempts});
            case Action::again: break;
            case Action::in_doubt:
                ++counts_.unknown;
                co_return std::unexpected(
                    Error{Kind::unknown, answer.seen.sqlstate,
                          "perhaps done, its answer did not come: " + answer.message, attempts});
            case Action::unconfirmed:
                ++counts_.unknown;
                co_return std::unexpected(
                    Error{Kind::unknown, answer.seen.sqlstate,
                          "done on the primary, perhaps not on any synchronous standby: the wait "
                          "for it was cancelled",
                          attempts});
        }
        auto ends = co_await before_repeating(answer.seen, answer.message, attempts, until);
        if (ends) co_return std::unexpected(*std::move(ends));
    }
}

}  // namespace relevo::client
