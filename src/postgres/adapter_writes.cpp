// The part of the adapter that keeps a primary from writing while its disk is full
// (docs/adr/0018). PostgreSQL has no switch for it but default_transaction_read_only, which every
// session may set off for itself: so those that have written all the same are ended.
#include <fmt/core.h>

#include <chrono>
#include <utility>

#include "base/text.h"
#include "postgres/adapter.h"

namespace relevo::postgres {

using namespace std::chrono_literals;

namespace {

constexpr Duration short_patience = 3s;
constexpr const char* only_reads = "default_transaction_read_only";

// Not whoever has committed and waits for a standby: he needs no more room, and would hear that his
// commit is in doubt. Nor superusers, the agent among them: somebody must be able to make room.
constexpr const char* end_writers = R"(
SELECT count(pg_terminate_backend(a.pid))
  FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
 WHERE a.backend_type = 'client backend' AND a.backend_xid IS NOT NULL AND NOT r.rolsuper
   AND a.wait_event IS DISTINCT FROM 'SyncRep' AND a.pid <> pg_backend_pid())";

}  // namespace

// Then it is the operator's, and stays.
bool Adapter::configured_read_only() const {
    const auto on = [](const Parameters& parameters) {
        const auto at = parameters.find(only_reads);
        return at != parameters.end() && parse_bool(at->second).value_or(false);
    };
    const auto& all = config_().parameters;
    return on(all.base) || (all.primary && on(*all.primary));
}

// changed: reloaded even where the file was written before, and the reload failed.
Task<Status> Adapter::tell_refusal(Connection& connection, bool changed) {
    auto request = co_await running_request(true);
    if (!request) co_return std::unexpected(request.error());
    auto written = co_await write_durably(*request);
    if (!written) co_return std::unexpected(written.error());
    if (!written->any() && !changed) co_return Status{};
    co_return co_await reload(connection);
}

Task<Status> Adapter::refuse_writes(bool on) {
    const auto turn = co_await writing_.take();
    if (!server_.alive() || in_recovery_ || version_ == 0)
        co_return fail(ErrorCode::unavailable, "no primary runs here");
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return std::unexpected(connection.error());
    const bool before = std::exchange(refuses_writes_, on);
    auto told = co_await tell_refusal(**connection, on != before);
    if (!told) {
        // Until it is known to have ended it goes on: it is tried again.
        refuses_writes_ = before || on;
        co_return told;
    }
    // A session that is made after the reload shows what all others go by from their next
    // transaction on.
    auto fresh = co_await server_.new_connection(short_patience);
    if (!fresh) co_return std::unexpected(fresh.error());
    auto shown = co_await (*fresh)->query(fmt::format("SHOW {}", only_reads), short_patience);
    if (!shown) co_return std::unexpected(shown.error());
    const bool refuses = parse_bool(shown->value().value_or("")).value_or(false);
    if (on && !refuses)
        co_return fail(ErrorCode::failed,
                       fmt::format("{} stays off: take it out where it is set (ALTER SYSTEM RESET "
                                   "{}, or ALTER ROLE of the agent's user)",
                                   only_reads, only_reads));
    if (!on) co_return Status{};
    auto ended = co_await (*fresh)->query(end_writers, short_patience);
    if (!ended) co_return within("ending the transactions that write", ended.error());
    co_return Status{};
}

}  // namespace relevo::postgres
