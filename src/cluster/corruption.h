// A rotting disk (docs/adr/0022): what was found damaged in a member's data, as the mark beside the
// data directory keeps it, and the words for it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace relevo::cluster {

// The `corruption` part of the dynamic configuration.
struct CorruptionSettings {
    // A leader whose data is damaged hands over to a member whose data is not known to be.
    bool switchover = true;
    // A replica whose data is damaged is made anew by itself; its old directory is set aside.
    bool rebuild_replica = false;
    // When each standby looks through its own tables and indexes with pg_amcheck: a cron expression
    // as in `backup.schedule`, in local time. Empty: never.
    std::string amcheck;
    bool operator==(const CorruptionSettings&) const = default;
};

// Of pg_stat_database: pages whose checksum did not hold, since the server's statistics began.
struct ChecksumCount {
    std::string database;  // empty: shared objects, which belong to none
    std::uint64_t failures = 0;
    std::optional<WallTime> last;
    bool operator==(const ChecksumCount&) const = default;
};

struct CorruptionFinding {
    // mark: the mark itself cannot be read, so nobody knows what it said.
    enum class What { checksum, backup, mark } what = What::checksum;
    std::string where;  // the database (empty: shared objects); the backup's label; the reason
    std::uint64_t count = 0;  // pages; 0: not told
    WallTime first, last;
    bool operator==(const CorruptionFinding&) const = default;
};
const char* to_string(CorruptionFinding::What what);  // checksum_failures, backup, mark

// The mark's content.
struct Corruption {
    std::vector<CorruptionFinding> found;
    // Failures by database, as last seen, so that none counts twice.
    std::map<std::string, std::uint64_t> seen;
    bool corrupted() const { return !found.empty(); }
    bool operator==(const Corruption&) const = default;
};
std::string to_json(const Corruption& mark);
Result<Corruption> parse_corruption(std::string_view text);

// What the counters say beyond the mark. A counter that is lower than before began anew.
void learn_counts(Corruption& mark, const std::vector<ChecksumCount>& counts, WallTime now);
// A backup of this member's data that has page errors.
void learn_backup(Corruption& mark, const std::string& label, WallTime now);
// An operator's word: found is nothing any more, and what was seen is known.
void forget(Corruption& mark);

// What a member shows.
struct CorruptionReport {
    Corruption mark;
    std::vector<ChecksumCount> counts;  // as last told by the server
    std::string note;                   // what was found and what to do; empty: nothing was found
};
// One paragraph; empty when nothing is found.
std::string corruption_note(const Corruption& mark, std::string_view scope,
                            std::string_view member);

}  // namespace relevo::cluster
