#include "dns/publisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "dns/update.h"
#include "net/resolve.h"

namespace relevo::dns {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {
constexpr auto again_after = 10s;   // when all is well: an edited zone, a server made anew
constexpr auto retry_after = 1s;    // when it is not; a server that is down is asked no more often
constexpr auto deadline = 2s;       // of one server's turn
constexpr auto remind_after = 60s;  // the same problem in the log
}  // namespace

struct Publisher::State : std::enable_shared_from_this<State> {
    State(asio::io_context& its, asio::thread_pool& threads, const ports::Control& view_of,
          PublisherOptions given)
        : loop(its), pool(threads), control(view_of), options(std::move(given)), ended(its) {
        for (const auto& server : options.servers) turns.emplace_back(server, loop);
        ended.expires_at(asio::steady_timer::time_point::max());
    }

    // A server and what is known of it.
    struct Turn {
        Turn(Server its, asio::io_context& loop) : server(std::move(its)), bell(loop) {}
        Server server;
        asio::steady_timer bell;
        bool rung = false;
        std::string problem;  // the last one; "": none
        Instant said{};
    };

    asio::io_context& loop;
    asio::thread_pool& pool;
    const ports::Control& control;
    PublisherOptions options;
    std::vector<Turn> turns;
    std::optional<Wanted> last;
    asio::steady_timer ended;
    std::size_t running = 0;
    bool stopping = false;

    std::optional<Wanted> wanted() const {
        return to_publish(*control.view(), control.now(), options.names);
    }

    void ring() {
        for (auto& turn : turns) {
            turn.rung = true;
            turn.bell.cancel();
        }
    }

    net::Task<Result<std::set<std::string>>> addresses_of(std::vector<std::string> hosts) {
        std::set<std::string> all;
        for (const auto& host : hosts) {
            RLV_CO_TRY(const auto found, co_await net::resolve(loop, pool, host, deadline));
            for (const auto& address : found)
                if (!address.is_loopback() || net::parse_address(host))
                    all.insert(address.to_string());
        }
        if (all.empty())
            co_return fail(ErrorCode::unavailable,
                           "this host's name has loopback addresses only: set dns.addresses");
        co_return all;
    }

    net::Task<Result<Desired>> desired_of(Wanted wanted) {
        Desired desired{.zone = options.zone,
                        .ttl_s = options.names.ttl_s,
                        .term = wanted.term,
                        .member = wanted.member,
                        .guard = options.names.primary,
                        .names = {}};
        RLV_CO_TRY(auto primary, co_await addresses_of(wanted.primary));
        desired.names.push_back({options.names.primary, std::move(primary)});
        if (options.names.replica.empty()) co_return desired;
        RLV_CO_TRY(auto replicas, co_await addresses_of(wanted.replicas));
        desired.names.push_back({options.names.replica, std::move(replicas)});
        co_return desired;
    }

    net::Task<Result<Done>> update(Server server, Wanted wanted) {
        RLV_CO_TRY(const auto desired, co_await desired_of(wanted));
        const auto until = control.now() + deadline;
        const OpenLink open = [&] {
            const auto left = std::max<Duration>(until - control.now(), 1ms);
            return Link::open(loop, pool, server, left);
        };
        const std::function<bool()> may_write = [this, term = desired.term] {
            const auto now_wanted = this->wanted();
            return now_wanted && now_wanted->term == term;
        };
        co_return co_await bring_up_to_date(open, desired, options.key, may_write);
    }

    void report(Turn& turn, const Wanted& its, const Result<Done>& done) {
        if (done) {
            if (*done == Done::changed || !turn.problem.empty())
                log::info("DNS: {} says that {} is the primary (term {})", to_string(turn.server),
                          its.member, its.term);
            turn.problem.clear();
            return;
        }
        if (done.error().code == ErrorCode::cancelled) return;
        const auto& problem = done.error().message;
        if (problem == turn.problem && control.now() - turn.said < remind_after) return;
        turn.problem = problem;
        turn.said = control.now();
        log::error("DNS: {} is not up to date at {}: {}", options.names.primary,
                   to_string(turn.server), problem);
    }

    net::Task<void> keep(Turn& turn) {
        while (!stopping) {
            turn.rung = false;
            bool well = true;
            if (const auto now_wanted = wanted()) {
                const auto done = co_await update(turn.server, *now_wanted);
                report(turn, *now_wanted, done);
                well = done.has_value();
            }
            if (turn.rung || stopping) continue;
            turn.bell.expires_after(well ? again_after : retry_after);
            boost::system::error_code ignored;
            co_await turn.bell.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
    }

    void start() {
        for (auto& turn : turns) {
            ++running;
            asio::co_spawn(loop, keep(turn),
                           [self = shared_from_this()](const std::exception_ptr& thrown) {
                               if (--self->running == 0) self->ended.cancel();
                               if (thrown) std::rethrow_exception(thrown);
                           });
        }
    }
};

Publisher::Publisher(asio::io_context& loop, asio::thread_pool& pool, const ports::Control& control,
                     PublisherOptions options)
    : state_(std::make_shared<State>(loop, pool, control, std::move(options))) {}

Publisher::~Publisher() = default;

void Publisher::start() { state_->start(); }

void Publisher::changed() {
    auto wanted = state_->wanted();
    if (wanted == state_->last) return;
    state_->last = std::move(wanted);
    state_->ring();
}

net::Task<void> Publisher::stop() {
    state_->stopping = true;
    state_->ring();
    while (state_->running > 0) {
        boost::system::error_code ignored;
        co_await state_->ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
}

}  // namespace relevo::dns
