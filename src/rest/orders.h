// Request bodies to orders: form is checked here, feasibility by the agent (contract 5.7). Pure.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "base/time.h"
#include "ports/control.h"

namespace relevo::rest {

// Why a request is not taken: an HTTP status and a sentence for who sent it.
struct Refusal {
    int status = 400;
    std::string reason;
};
template <class T>
using Parsed = std::expected<T, Refusal>;

// A JSON object with something in it; its text comes back as it was.
Parsed<std::string> parse_object_body(std::string_view body);

// failover: POST /failover. paused, wall: as the agent sees them now.
Parsed<ports::SwitchoverOrder> parse_switchover(std::string_view body, bool failover, bool paused,
                                                WallTime wall);
// An empty body is an order without conditions.
Parsed<ports::RestartOrder> parse_restart(std::string_view body, bool paused, WallTime wall);

struct ReinitializeOrder {
    bool force = false, from_leader = false;
};
Parsed<ReinitializeOrder> parse_reinitialize(std::string_view body);  // an empty body: neither

// An empty body is a full backup; a body {"type": "full" | "diff" | "incr" | "verify" | "proof"}, a
// proof with "cancel": true.
Parsed<ports::BackupOrder> parse_backup(std::string_view body);
Parsed<ports::BackupOrder> parse_expire(std::string_view body);  // {"dry_run": true}

// {"to": TIME | "to_lsn": LSN | "to_xid": XID | "latest": true | "immediate": true, "exclusive",
// "timeline", "action", "backup", "into", "dry_run"}
Parsed<ports::RestoreOrder> parse_restore(std::string_view body);

Parsed<cluster::Pulse> parse_pulse(std::string_view body);
Parsed<cluster::TailAsk> parse_tail_ask(std::string_view body);

// Of json_nesting(): writing a JSON value recurses, and one request must not end the agent's stack.
inline constexpr std::size_t nesting_max = 64;

// The same JSON with Patroni's separators, ", " and ": ".
std::string spaced(std::string_view json);

}  // namespace relevo::rest
