// How the pool finds a server, and how it notices that there is a newer primary. All of it runs on
// Asio, on the pool's executor or on the thread of the Background (by_thread.h).
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <type_traits>
#include <utility>

#include "client/pool_core.h"

namespace relevo::client {

using namespace std::chrono_literals;

namespace {

bool is_primary(const SessionFacts& session, std::uint32_t timeline_at_least) {
    return session.primary && session.timeline >= timeline_at_least;
}

bool is_replica(const SessionFacts& session, std::uint32_t) { return !session.primary; }

// A server that is named twice is asked once.
std::vector<Endpoint> distinct(std::vector<Endpoint> endpoints) {
    std::vector<Endpoint> once;
    for (auto& endpoint : endpoints) {
        const auto same = [&](const Endpoint& other) {
            return other.port == endpoint.port &&
                   (endpoint.address.empty() ? other.host == endpoint.host
                                             : other.address == endpoint.address);
        };
        if (std::ranges::none_of(once, same)) once.push_back(std::move(endpoint));
    }
    return once;
}

}  // namespace

template <class By>
auto PoolCore<By>::adopt(std::unique_ptr<client::Session<ByAsio>> opened) const
    -> std::unique_ptr<Session> {
    if constexpr (std::is_same_v<By, ByAsio>) {
        return opened;
    } else {
        if (!opened) return nullptr;
        auto* connection = opened->release();
        SessionFacts facts = std::move(*opened);
        return std::make_unique<Session>(by_, std::move(facts), connection);
    }
}

template <class By>
void PoolCore<By>::forget_home() {
    const Guard lock(mutex_);
    home_.reset();
}

// One search for all: it ends, however that may be, and then those that wait for it are told.
template <class By>
class PoolCore<By>::Searching {
public:
    explicit Searching(PoolCore& pool) : pool_(pool) {}
    Searching(const Searching&) = delete;
    Searching& operator=(const Searching&) = delete;
    ~Searching() {
        const Guard lock(pool_.mutex_);
        pool_.searching_ = false;
        for (const auto& waiter : pool_.search_waiters_) waiter->wake();
        pool_.search_waiters_.clear();
    }

private:
    PoolCore& pool_;
};

template <class By>
auto PoolCore<By>::connect(Target target, Clock::time_point until) -> Task<Found> {
    const auto soon = std::min(until, Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                         options_.connect_timeout));
    if (target == Target::replica) co_return co_await by_.elsewhere(find_replica(soon));
    const auto home = [&] {
        const Guard lock(mutex_);
        return home_;
    }();
    if (home) {
        auto found = co_await by_.elsewhere(open_home(*home, soon));
        if (found.session) co_return found;
    }
    const auto waiter = [&]() -> std::shared_ptr<Waiter> {
        const Guard lock(mutex_);
        if (home && home_ == home) home_.reset();
        if (!std::exchange(searching_, true)) return nullptr;
        return search_waiters_.emplace_back(std::make_shared<Waiter>(by_));
    }();
    if (waiter) co_return co_await wait_for_search(waiter, soon);
    const Searching searching(*this);
    auto found = co_await by_.elsewhere(find_primary(soon));
    co_return found;
}

// What it finds is home.
template <class By>
auto PoolCore<By>::wait_for_search(std::shared_ptr<Waiter> waiter, Clock::time_point until)
    -> Task<Found> {
    co_await waiter->wait(until);
    const auto home = [&]() -> std::optional<Endpoint> {
        const Guard lock(mutex_);
        std::erase(search_waiters_, waiter);
        if (closed_) return std::nullopt;
        return home_;
    }();
    if (home) {
        auto found = co_await by_.elsewhere(open_home(*home, until));
        co_return found;
    }
    Found none;
    none.seen = {.stage = Stage::connect, .lost = true};
    none.message = "no primary was found";
    co_return none;
}

template <class By>
auto PoolCore<By>::open_home(Endpoint home, Clock::time_point until) -> AsioTask<Found> {
    auto opened = co_await open_session(by_.executor, info_.keywords, home, until);
    Found found;
    found.seen = std::move(opened.seen);
    found.message = std::move(opened.message);
    const auto newest = [&] {
        const Guard lock(mutex_);
        return newest_timeline_;
    }();
    if (opened.session && is_primary(*opened.session, newest))
        found.session = adopt(std::move(opened.session));
    co_return found;
}

template <class By>
auto PoolCore<By>::search_primary(Clock::time_point until) -> AsioTask<Search> {
    const auto newest = [&] {
        const Guard lock(mutex_);
        ++counts_.searches;
        return newest_timeline_;
    }();
    auto hosts = info_.hosts;
    Search found;
    if (const auto told = co_await ask_now(until)) {
        if (const auto* leader = leader_of(*told, newest)) {
            // One that is frozen, or whose address is of no use from here, must leave time for the
            // others.
            const auto now = Clock::now();
            const auto soon = std::min(now + 500ms, now + (until - now) / 2);
            std::vector<Endpoint> one{leader->endpoint};
            auto endpoints = co_await look_up(by_.executor, std::move(one), soon);
            found = co_await search(by_.executor, info_.keywords, std::move(endpoints), is_primary,
                                    newest, soon);
        }
        for (const auto& member : *told) hosts.push_back(member.endpoint);
    }
    if (!found.session) {
        auto endpoints = distinct(co_await look_up(by_.executor, std::move(hosts), until));
        found = co_await search(by_.executor, info_.keywords, std::move(endpoints), is_primary,
                                newest, until);
    }
    const Guard lock(mutex_);
    if (!found.session && !rest_problem_.empty()) found.message += "; " + rest_problem_;
    if (found.session && found.session->timeline >= newest_timeline_) {
        home_ = found.endpoint;
        newest_timeline_ = found.session->timeline;
    }
    co_return found;
}

template <class By>
auto PoolCore<By>::find_primary(Clock::time_point until) -> AsioTask<Found> {
    auto found = co_await search_primary(until);
    co_return Found{adopt(std::move(found.session)), found.hopeless, std::move(found.seen),
                    std::move(found.message)};
}

// One after the other, in an order of chance: all connections to the nearest would leave the other
// replicas idle.
template <class By>
auto PoolCore<By>::try_replicas(std::vector<Endpoint> hosts, Clock::time_point until)
    -> AsioTask<Found> {
    auto endpoints = co_await look_up(by_.executor, std::move(hosts), until);
    {
        const Guard lock(mutex_);
        std::ranges::shuffle(endpoints, random_);
    }
    Found last;
    last.message = "no host has an address";
    for (const auto& endpoint : endpoints) {
        // A replica that takes long to connect to is no help: there is another, or the primary.
        const auto soon = std::min(until, Clock::now() + 500ms);
        std::vector<Endpoint> one{endpoint};
        auto found =
            co_await search(by_.executor, info_.keywords, std::move(one), is_replica, 0, soon);
        last = Found{adopt(std::move(found.session)), false, std::move(found.seen),
                     std::move(found.message)};
        last.where = endpoint;
        if (last.session) break;
    }
    co_return last;
}

// Where the members' REST answers, it says which replicas are fit. Only when none of those can be
// reached from here (it may know them by addresses of another network) the hosts are asked.
template <class By>
auto PoolCore<By>::find_replica(Clock::time_point until) -> AsioTask<Found> {
    if (const auto told = co_await told_lately(until)) {
        std::vector<Endpoint> fit;
        for (const auto& member : *told)
            if (readable(*told, member, options_.rest.replica_lag_max))
                fit.push_back(member.endpoint);
        Found found;
        found.message = "by the members' REST no replica is fit to be read from";
        if (fit.empty()) co_return found;
        found = co_await try_replicas(std::move(fit), until);
        if (found.session) {
            const auto at = std::ranges::find_if(*told, [&](const Member& member) {
                return member.endpoint.host == found.where.host &&
                       member.endpoint.port == found.where.port;
            });
            if (at != told->end()) found.session->member = at->name;
            co_return found;
        }
    }
    auto found = co_await try_replicas(info_.hosts, until);
    co_return found;
}

// ------------------------------------------------------------------------------ late answers

template <class By>
void PoolCore<By>::begin_watch() {
    boost::asio::co_spawn(
        by_.executor,
        [](std::shared_ptr<PoolCore> self) -> AsioTask<void> {
            co_await self->watch();
        }(this->shared_from_this()),
        [](const std::exception_ptr& thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
}

template <class By>
std::optional<Clock::time_point> PoolCore<By>::oldest_lent() {
    const Guard lock(mutex_);
    std::optional<Clock::time_point> oldest;
    for (const auto* session : lent_)
        if (!oldest || session->lent_since < *oldest) oldest = session->lent_since;
    if (!oldest) watching_ = false;  // whoever is lent one after this begins again
    return oldest;
}

template <class By>
void PoolCore<By>::interrupt_before(std::uint32_t timeline) {
    const Guard lock(mutex_);
    for (auto* session : lent_)
        if (session->primary && session->timeline < timeline) session->interrupt();
}

// A host without power, or frozen, does not say that it is gone: its kernel may even acknowledge
// what is sent. When an answer is late, others are asked who is the primary now; if that is
// somebody on a newer timeline, waiting for the old one has no sense any more.
template <class By>
auto PoolCore<By>::watch() -> AsioTask<void> {
    constexpr auto tick = 250ms;       // how late that is noticed
    constexpr auto patience = 1000ms;  // what takes longer may well be a slow statement...
    auto next = patience;              // ...so each further look waits twice as long
    const ByAsio by{by_.executor};
    while (const auto oldest = oldest_lent()) {
        const auto late = Clock::now() - *oldest;
        if (late < patience) next = patience;
        if (late >= next) {
            next = std::min(next * 2, std::chrono::milliseconds(16000));
            auto found = co_await search_primary(Clock::now() + options_.connect_timeout);
            if (found.session) interrupt_before(found.session->timeline);
        }
        co_await by.sleep_until(Clock::now() + tick);
    }
}

template class PoolCore<ByAsio>;
template class PoolCore<ByThread>;

}  // namespace relevo::client
