// A crashed primary's WAL on its way to the successor (docs/adr/0009): given here, taken there.
#include <fmt/core.h>

#include <utility>

#include "agent/agent.h"
#include "base/text.h"
#include "net/proof.h"

namespace relevo::agent {
namespace {

std::string message(const cluster::TailAsk& ask) {
    return fmt::format("{} {} {}", ask.from, ask.timeline, to_string(ask.at));
}

}  // namespace

// Whoever knows the replication account's password may read all WAL anyway. Where it has none, what
// guards the REST API must do.
std::string Agent::tail_proof(const cluster::TailAsk& ask) {
    const auto& password = parts_.configuration.postgres().replication.password;
    if (password.empty()) return {};
    const auto known = password + " " + ask.system_id;
    if (std::exchange(proof_key_of_, known) != known)
        proof_key_ = net::proof_key(password, "wal", ask.system_id);
    return net::proof_of(proof_key_, message(ask));
}

// Only what the core offers, and only for as long: it withdraws it before anything works on the
// data directory again. So what was read while it stood was read of a dead server.
Task<Result<std::string>> Agent::wal_tail(cluster::TailAsk ask) {
    const auto offered = [this]() -> std::optional<cluster::WalTail> {
        return state_.tail ? std::optional(state_.tail->wal) : std::nullopt;
    };
    // First: whose key the proof is made with must not be for the asker to choose.
    const std::string id = state_.pg ? state_.pg->system_id : std::string();
    if (ask.system_id != id)
        co_return fail(ErrorCode::conflict,
                       fmt::format("{} has WAL of system identifier {}, not of {}",
                                   state_.self.name, id, ask.system_id));
    const auto expected = tail_proof(ask);
    if (expected.empty() ? !ask.guarded : !equal_in_constant_time(ask.proof, expected))
        co_return fail(ErrorCode::denied,
                       expected.empty()
                           ? "Access is denied: WAL is given to members only, and neither a "
                             "password of the replication account nor restapi.authentication "
                             "shows who is one"
                           : "Access is denied: WAL is given to whoever proves to know the "
                             "replication account's password, which this is not");
    const auto tail = offered();
    const std::string none = state_.self.name + " has no WAL of a crashed primary to give";
    if (!tail) co_return fail(ErrorCode::not_found, none);
    if (ask.timeline != tail->timeline)
        co_return fail(ErrorCode::conflict,
                       fmt::format("{} has WAL of timeline {}, not of {}", state_.self.name,
                                   tail->timeline, ask.timeline));
    auto pages = co_await parts_.postgres.read_wal_tail(ask.timeline, ask.at);
    if (!pages) co_return pages;
    if (offered() != tail) co_return fail(ErrorCode::not_found, none);
    co_return pages;
}

// Piece by piece; what has arrived stays, and is told, also when the rest does not.
Task<core::EffectDone> Agent::take_tail(core::TakeTail effect) {
    const Instant until = now() + effect.deadline;
    core::EffectDone done;
    core::TailTaken taken{effect.at};
    const auto broken = [&](Error why) {
        done.error = std::move(why);
        done.payload = taken;
        return done;
    };
    cluster::TailAsk ask{state_.self.name,
                         state_.pg ? state_.pg->system_id : std::string(),
                         effect.tail.timeline,
                         effect.at,
                         {}};
    for (;;) {
        const Duration left = until - now();
        if (left <= Duration::zero())
            co_return broken(Error{ErrorCode::unavailable,
                                   fmt::format("not all of it came within wal_tail_timeout, {} ms",
                                               to_ms(effect.deadline))});
        ask.proof = tail_proof(ask);
        auto pages = co_await parts_.peers.wal_tail(effect.member, ask, left);
        if (!pages) co_return broken(pages.error());
        if (pages->empty()) break;
        const bool last = pages->size() < cluster::tail_piece_bytes;
        const auto written = co_await parts_.postgres.write_wal_tail(ask.timeline, ask.at,
                                                                     taken.end, *std::move(pages));
        if (!written) co_return broken(written.error());
        if (*written <= ask.at)
            co_return broken(Error{ErrorCode::conflict, "it sends the same WAL again"});
        taken.end = std::max(taken.end, *written);
        ask.at = *written;
        if (last) break;
    }
    done.payload = taken;
    co_return done;
}

}  // namespace relevo::agent
