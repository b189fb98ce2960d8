// What came of proving that a backup restores, as the key `proofs` in the DCS remembers it: the
// last dozen, and the last good one if that is older. Written together with the end of the job that
// made it (docs/adr/0021-proof-of-restore.md). No secrets: `result` is a sentence that the log has
// too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/member.h"

namespace relevo::cluster {

inline constexpr const char* proofs_key = "proofs";

struct ProofRecord {
    std::string id;               // of its job
    WallTime begun{};             // by the clock of the host it was made on
    std::optional<WallTime> due;  // the instant of the schedule that it is for
    MemberName member;            // on whose host
    std::string backup;           // its label; empty: it did not come so far
    bool ok = false;
    std::string step;         // at which it failed: repository, restore, recovery, ...
    std::string result;       // a sentence for people
    std::string unchecked;    // what was not looked at, and why; empty: nothing was left out
    std::uint64_t bytes = 0;  // what was restored
    // How long each took; absent: it did not come so far. Their sum is what a restore takes here.
    std::optional<std::int64_t> restore_ms, recovery_ms, checks_ms;
    Lsn restored_to;                 // the end of the last record that was replayed; 0: not known
    std::optional<WallTime> newest;  // when the newest transaction in it was committed

    // How old that was when the proof began: what would have been lost. Never below 0: clocks of
    // hosts differ.
    std::optional<std::chrono::seconds> newest_age() const;
    std::int64_t took_ms() const;
    bool operator==(const ProofRecord&) const = default;
};

// Oldest first. Compact, one line, at most a few KiB.
std::string to_json(const std::vector<ProofRecord>& proofs);
Result<std::vector<ProofRecord>> parse_proofs(std::string_view text);

// With one more, and without those that are too old to be kept.
std::vector<ProofRecord> with_proof(std::vector<ProofRecord> proofs, ProofRecord next);

// The newest that was good; null: there is none.
const ProofRecord* last_good(const std::vector<ProofRecord>& proofs);

}  // namespace relevo::cluster
