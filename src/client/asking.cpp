// What the members' REST says, asked when a server is looked for and, while replicas are read from,
// as often as Rest::refresh says. Whoever can't be asked, or says nothing of use, costs little time
// and nothing else: there are the connection string's hosts.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <utility>

#include "client/pool_core.h"

namespace relevo::client {

using namespace std::chrono_literals;

namespace {

// An answer takes a few milliseconds; a member that needs longer is of less use than the time.
constexpr auto rest_patience = 500ms;

}  // namespace

template <class By>
std::string PoolCore<By>::rest_problem() const {
    const Guard lock(mutex_);
    return rest_problem_;
}

template <class By>
bool PoolCore<By>::told_long_ago(Clock::time_point now) const {
    return !way_.urls.empty() && (!told_at_ || now - *told_at_ >= options_.rest.refresh);
}

template <class By>
bool PoolCore<By>::fit_to_read(const Session& session) const {
    if (!told_ || session.member.empty()) return true;
    return readable(*told_, session.member, options_.rest.replica_lag_max);
}

// While it lives others need not ask.
template <class By>
class PoolCore<By>::Asking {
public:
    explicit Asking(PoolCore& pool) : pool_(pool) {
        const Guard lock(pool_.mutex_);
        pool_.asking_ = true;
    }
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;
    ~Asking() {
        const Guard lock(pool_.mutex_);
        pool_.asking_ = false;
    }

private:
    PoolCore& pool_;
};

template <class By>
auto PoolCore<By>::ask_now(Clock::time_point until) -> AsioTask<Told> {
    const auto now = Clock::now();
    const auto soon = std::min(now + rest_patience, now + (until - now) / 2);
    {
        const Guard lock(mutex_);
        if (way_.urls.empty() || soon <= now) co_return nullptr;
        // None of them answered a moment ago: the time is better spent on the hosts.
        if (!told_ && told_at_ && now - *told_at_ < options_.rest.refresh) co_return nullptr;
        ++counts_.asked;
    }
    auto asked = co_await ask_members(by_.executor, way_, soon);
    const Guard lock(mutex_);
    told_ = asked.members ? std::make_shared<const Members>(*std::move(asked.members)) : nullptr;
    told_at_ = Clock::now();
    rest_problem_ = told_ ? "" : std::move(asked.problem);
    co_return told_;
}

// Good enough for choosing a replica. Who finds that somebody asks already takes what there is;
// where there is nothing, or it has just been found wrong, each asks.
template <class By>
auto PoolCore<By>::told_lately(Clock::time_point until) -> AsioTask<Told> {
    {
        const Guard lock(mutex_);
        if (!told_long_ago(Clock::now()) || (asking_ && told_at_)) co_return told_;
    }
    const Asking asking(*this);
    auto told = co_await ask_now(until);
    co_return told;
}

template <class By>
void PoolCore<By>::begin_asking() {
    boost::asio::co_spawn(
        by_.executor,
        [](std::shared_ptr<PoolCore> self) -> AsioTask<void> {
            co_await self->told_lately(Clock::now() + 2 * rest_patience);
        }(this->shared_from_this()),
        [](const std::exception_ptr& thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
}

template class PoolCore<ByAsio>;
template class PoolCore<ByThread>;

}  // namespace relevo::client
