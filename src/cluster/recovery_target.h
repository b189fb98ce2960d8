// How far a restored cluster recovers, and what it does then: PostgreSQL's recovery_target_*. Plain
// values and the words for them, as an operator gives them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"

namespace relevo::cluster {

// latest: to the end of what the archive has. immediate: no further than the backup needs to be
// consistent.
enum class TargetKind { latest, immediate, time, lsn, xid };

// What PostgreSQL does at the target. Without a target (latest) it always promotes.
enum class TargetAction { promote, pause, shutdown };

// Which way recovery takes where timelines part (recovery_target_timeline).
struct TargetTimeline {
    enum class Way { latest, current, numbered };
    Way way = Way::latest;
    Timeline number = 0;  // of numbered
    bool operator==(const TargetTimeline&) const = default;
};

struct RecoveryTarget {
    TargetKind kind = TargetKind::latest;
    WallTime time{};        // of time
    Lsn lsn;                // of lsn
    std::uint64_t xid = 0;  // of xid; PostgreSQL looks at the lower 32 bits, as txid_current()'s
    // What was committed at the target itself is there. Counts for time, lsn and xid.
    bool inclusive = true;
    TargetTimeline timeline;
    TargetAction action = TargetAction::promote;
    bool operator==(const RecoveryTarget&) const = default;
};

// Strict: the whole text, and nothing that could be meant in two ways. Each error is one sentence
// that says what is expected. A time must name its zone ("2026-05-14 10:00+00"): an operator, a
// server and a member are seldom in the same one, and the wrong hour loses data.
Result<RecoveryTarget> target_at_time(std::string_view text);
Result<RecoveryTarget> target_at_lsn(std::string_view text);
Result<RecoveryTarget> target_at_xid(std::string_view text);
Result<TargetTimeline> parse_target_timeline(std::string_view text);  // latest, current, or 3
Result<TargetAction> parse_target_action(std::string_view text);      // promote, pause, shutdown

// As an order, a command line or a configuration gives it; empty and false: not given. One target,
// and no more, is wanted.
struct TargetWords {
    std::string time, lsn, xid;
    bool latest = false, immediate = false;
    bool exclusive = false;
    std::string timeline, action;
};
Result<RecoveryTarget> target_of(const TargetWords& words);

const char* to_string(TargetAction action);
std::string to_string(const TargetTimeline& timeline);
// As PostgreSQL's and pgBackRest's settings have it: "2026-05-14 10:00:00.5+00", "0/4000060",
// "1234"; empty for latest and immediate.
std::string value_text(const RecoveryTarget& target);
// "the end of the archive", "2026-05-14 10:00:00+00", "LSN 0/4000060", "just before transaction
// 12".
std::string describe(const RecoveryTarget& target);
// "2026-05-14 10:00:00.5+00": for people and for PostgreSQL.
std::string time_text(WallTime time);

}  // namespace relevo::cluster
