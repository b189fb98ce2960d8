#include <algorithm>
#include <utility>

#include "client/pool_core.h"

namespace relevo::client {

using namespace std::chrono_literals;

namespace {

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

Expected<Checked> check(Options options) {
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
    if (options.rest.refresh <= Duration{})
        return invalid("rest.refresh must be longer than nothing");
    auto way = check_rest(options.rest);
    if (!way) return std::unexpected(way.error());
    options.conninfo.clear();
    return Checked{std::move(options), *std::move(info), *std::move(way)};
}

namespace {

class AsioPool final : public Pool {
public:
    AsioPool(ByAsio by, Checked checked)
        : core_(std::make_shared<PoolCore<ByAsio>>(std::move(by), std::move(checked))) {}
    Task<Expected<Rows>> execute(std::string sql, Parameters parameters, Call call) override {
        return core_->execute(std::move(sql), std::move(parameters), call);
    }
    Task<Expected<Receipt>> transaction(Body body, Call call) override {
        return core_->transaction(std::move(body), call);
    }
    void close() override { core_->close(); }
    Counts counts() const override { return core_->counts(); }
    std::string rest_problem() const override { return core_->rest_problem(); }

private:
    std::shared_ptr<PoolCore<ByAsio>> core_;
};

}  // namespace

Expected<std::shared_ptr<Pool>> Pool::make(boost::asio::any_io_executor executor, Options options) {
    auto checked = check(std::move(options));
    if (!checked) return std::unexpected(checked.error());
    return std::make_shared<AsioPool>(ByAsio{std::move(executor)}, *std::move(checked));
}

template <class By>
PoolCore<By>::PoolCore(By by, Checked checked)
    : by_(std::move(by)),
      options_(std::move(checked.options)),
      info_(std::move(checked.info)),
      way_(std::move(checked.way)),
      budget_(options_.budget),
      key_(random_key(random_)) {}

template <class By>
void PoolCore<By>::close() {
    std::vector<std::unique_ptr<Session>> ended;  // without the lock: it says goodbye
    const Guard lock(mutex_);
    closed_ = true;
    for (auto* its : {&primary_, &replica_}) {
        its->open -= its->idle.size();
        std::ranges::move(its->idle, std::back_inserter(ended));
        its->idle.clear();
        for (const auto& waiter : its->waiting) waiter->wake();
    }
    for (const auto& waiter : search_waiters_) waiter->wake();
}

template <class By>
Pool::Counts PoolCore<By>::counts() const {
    const Guard lock(mutex_);
    auto counts = counts_;
    counts.open = primary_.open + replica_.open;
    return counts;
}

template <class By>
void PoolCore<By>::count(std::uint64_t Pool::Counts::* what) {
    const Guard lock(mutex_);
    ++(counts_.*what);
}

template <class By>
bool PoolCore<By>::is_closed() {
    const Guard lock(mutex_);
    return closed_;
}

template <class By>
Clock::time_point PoolCore<By>::end_of(const Call& call, Clock::time_point began) const {
    const auto length = call.deadline > Duration{} ? call.deadline : options_.deadline;
    return began + std::chrono::duration_cast<Clock::duration>(length);
}

template <class By>
auto PoolCore<By>::rest(int n, Clock::time_point until) -> Task<void> {
    const auto drawn = [&] {
        const Guard lock(mutex_);
        return std::uniform_real_distribution<double>(0, 1)(random_);
    }();
    const auto length =
        std::chrono::duration_cast<Clock::duration>(pause(options_.backoff, n, drawn));
    co_await by_.sleep_until(std::min(until, Clock::now() + length));
}

// ------------------------------------------------------------------------------ single statements

template <class By>
auto PoolCore<By>::before_repeating(const Seen& seen, const std::string& message, int attempts,
                                    Clock::time_point until) -> Task<std::optional<Error>> {
    const auto ends = [&](const char* why) {
        return Error{Kind::unavailable, seen.sqlstate, why + message, attempts};
    };
    if (Clock::now() >= until) co_return ends("not done before the deadline: ");
    const bool may = [&] {
        const Guard lock(mutex_);
        if (!budget_.spend()) return false;
        ++counts_.retries;
        return true;
    }();
    if (!may) co_return ends("not repeated, the retry budget is spent: ");
    co_await rest(attempts, until);
    if (Clock::now() >= until) co_return ends("not done before the deadline: ");
    co_return std::nullopt;
}

template <class By>
auto PoolCore<By>::caught_up(Session& session, Lsn lsn, Clock::time_point until) -> Task<bool> {
    const Parameters wanted{lsn_text(lsn)};
    for (auto wait = 1ms;; wait = std::min(wait * 2, std::chrono::milliseconds(20))) {
        const auto answer = co_await session.run(
            "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1::pg_lsn", &wanted, until,
            Stage::alone);
        if (classify(answer.seen) != Action::done) co_return false;
        if (answer.last().value() == "t") co_return true;
        // PostgreSQL before 18 has nothing that waits for a position to be replayed.
        if (Clock::now() + wait >= until) co_return false;
        co_await by_.sleep_until(Clock::now() + wait);
    }
}

template <class By>
auto PoolCore<By>::acquire_for(const Call& call, Clock::time_point until) -> Task<Expected<Lease>> {
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

template <class By>
auto PoolCore<By>::execute(std::string sql, Parameters parameters, Call call)
    -> Task<Expected<Rows>> {
    [[maybe_unused]] const auto self = kept();
    if (call.target == Target::replica && !call.idempotent)
        co_return std::unexpected(Error{Kind::invalid, "", "Target::replica needs idempotent", 0});
    if (call.resolve) {
        Rows rows;
        // It is run to its end before this call goes on.
        // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
        const Body body = [&](typename By::Transaction& transaction) -> Task<Expected<void>> {
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
    const auto began = Clock::now(), until = end_of(call, began);
    for (int attempts = 1;; ++attempts) {
        Answer answer;
        {
            auto lease = at_hand(call, attempts, began);
            if (!lease) {
                auto waited = co_await acquire_for(call, until);
                if (!waited) {
                    waited.error().attempts = attempts - 1;
                    co_return std::unexpected(std::move(waited.error()));
                }
                lease.emplace(*std::move(waited));
            }
            answer = co_await (*lease)->run(sql, &parameters, until, Stage::alone);
        }
        answer.seen.idempotent = call.idempotent;
        switch (classify(answer.seen)) {
            case Action::done: co_return answer.take_last();
            case Action::reject:
                co_return std::unexpected(
                    Error{Kind::rejected, answer.seen.sqlstate, answer.message, attempts});
            case Action::again: break;
            case Action::in_doubt:
                count(&Pool::Counts::unknown);
                co_return std::unexpected(
                    Error{Kind::unknown, answer.seen.sqlstate,
                          "perhaps done, its answer did not come: " + answer.message, attempts});
            case Action::unconfirmed:
                count(&Pool::Counts::unknown);
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

template class PoolCore<ByAsio>;
template class PoolCore<ByThread>;

}  // namespace relevo::client
