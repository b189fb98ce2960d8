// What must hold for any bytes a stranger sends as a query or a body. Run by the mutation test
// always, and by libFuzzer where the build says -DRELEVO_FUZZ=ON.
#pragma once

#include <string>
#include <string_view>

#include "base/assert.h"
#include "rest/health.h"
#include "rest/orders.h"
#include "rest/peer_client.h"

namespace relevo::rest::testing {

template <class T>
void check_refusal(const Parsed<T>& parsed) {
    if (parsed) return;
    const auto& [status, reason] = parsed.error();
    RLV_ASSERT(status == 400 || status == 422 || status == 500);
    RLV_ASSERT(!reason.empty() && reason.size() < 1000);
    for (const char c : reason) RLV_ASSERT(static_cast<unsigned char>(c) < 0x80 && c != '\0');
}

inline void fuzz_one(std::string_view bytes) {
    const WallTime now{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
    for (const bool paused : {false, true}) {
        const auto switchover = parse_switchover(bytes, false, paused, now);
        check_refusal(switchover);
        RLV_ASSERT(!switchover ||
                   (!switchover->leader.empty() && switchover->leader != switchover->candidate));
        const auto failover = parse_switchover(bytes, true, paused, now);
        check_refusal(failover);
        RLV_ASSERT(!failover || !failover->candidate.empty());
        const auto restart = parse_restart(bytes, paused, now);
        check_refusal(restart);
        RLV_ASSERT(!restart || !restart->timeout || *restart->timeout > Duration{0});
        RLV_ASSERT(!restart || !restart->schedule || *restart->schedule >= now);
    }
    check_refusal(parse_reinitialize(bytes));
    check_refusal(parse_object_body(bytes));
    const auto pulse = parse_pulse(bytes);
    check_refusal(pulse);
    RLV_ASSERT(!pulse || (!pulse->from.empty() && pulse->follows >= 0));
    const auto backup = parse_backup(bytes);
    check_refusal(backup);
    RLV_ASSERT(!backup || (backup->what != cluster::JobWhat::expire && !backup->dry_run));
    check_refusal(parse_expire(bytes));
    const auto restore = parse_restore(bytes);
    check_refusal(restore);
    RLV_ASSERT(!restore || !describe(restore->target).empty());
    const auto tail = parse_tail_ask(bytes);
    check_refusal(tail);
    RLV_ASSERT(!tail || (!tail->from.empty() && tail->timeline > 0 && tail->at));
    (void)parse_peer_status(bytes);
    (void)parse_pulse_answer(bytes);
    // Spacing what is spaced changes nothing.
    const auto once = spaced(bytes);
    RLV_ASSERT(spaced(once) == once);

    const auto query = net::parse_query(bytes);
    std::size_t decoded = 0;
    for (const auto& item : query) decoded += item.name.size() + item.value.size();
    RLV_ASSERT(decoded <= bytes.size());
    const ports::View nothing;
    const auto code = health_code(bytes, query, nothing, Instant{});
    RLV_ASSERT(code == 503);  // nobody leads and nothing runs: no bytes may make it 200
    RLV_ASSERT(readiness_code(query, nothing, Instant{}) == 503);
}

}  // namespace relevo::rest::testing
