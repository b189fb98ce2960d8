#include "agent/poolers.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"

namespace relevo::agent {

using std::chrono::milliseconds;

namespace {

constexpr auto quietly = boost::asio::as_tuple(boost::asio::use_awaitable);
// A gateway polls every 300 ms; one that missed five is gone, and nobody waits for it.
constexpr Duration there_for = milliseconds(1500);
// Between the end of its drain and its answer here.
constexpr Duration answer_takes = milliseconds(300);
constexpr std::size_t gateways_max = 1000;

}  // namespace

Poolers::Poolers(boost::asio::io_context& io, ports::Clock& clock) : clock_(clock), answered_(io) {}

void Poolers::report(const cluster::GatewayReport& report) {
    const auto now = clock_.now();
    if (!gateways_.contains(report.name)) {
        std::erase_if(gateways_,
                      [&](const auto& one) { return now - one.second.seen > there_for; });
        if (gateways_.size() >= gateways_max) return;
        log::info("gateway {} listens", report.name);
    }
    auto& gateway = gateways_[report.name];
    gateway.seen = now;
    // A poll that says nothing of a hold takes nothing back: it may have been on its way before.
    if (report.hold == 0) return;
    gateway.last = report;
    answered_.cancel();
}

Poolers::Outcome Poolers::outcome(std::uint64_t hold) {
    using Said = cluster::GatewayReport::Outcome;
    Outcome out;
    for (const auto& [name, gateway] : gateways_) {
        const auto& said = gateway.last;
        if (said.hold == hold && said.outcome == Said::blocked) {
            out.blocked_at = name;
            out.blockers = said.blockers;
        } else if (said.hold != hold || said.outcome != Said::held) {
            if (clock_.now() - gateway.seen <= there_for) out.silent.push_back(name);
        }
    }
    return out;
}

Task<Poolers::Outcome> Poolers::held(std::uint64_t hold, Duration drain) {
    const Instant end = clock_.now() + drain + answer_takes;
    while (true) {
        auto now = outcome(hold);
        const Duration left = end - clock_.now();
        if (!now.blocked_at.empty() || now.silent.empty() || left <= Duration::zero())
            co_return now;
        // One that is gone is noticed when its time is over.
        answered_.expires_after(
            std::chrono::duration_cast<milliseconds>(std::min<Duration>(left, there_for / 5)));
        co_await answered_.async_wait(quietly);
    }
}

}  // namespace relevo::agent
