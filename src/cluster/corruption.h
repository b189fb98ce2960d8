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
    // When each standby looks through its own tables and indexes (amcheck.h): a cron expression as
    // in `backup.schedule`, in that section's time zone (UTC where none is set). Empty: never.
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
    enum class What { checksum, backup, amcheck, mark, log } what = What::checksum;
    // The database (empty: shared objects); the backup's label; database.schema.relation; the
    // reason; what the server log says.
    std::string where;
    std::uint64_t count = 0;  // pages, reports, lines; 0: not told
    WallTime first, last;
    bool operator==(const CorruptionFinding&) const = default;
};
const char* to_string(CorruptionFinding::What what);  // checksum_failures, backup, ...

// The mark's content.
struct Corruption {
    std::vector<CorruptionFinding> found;
    // What the server log says of damage: told to people, and no ground for anything, since some of
    // what stands there is whatever a client wants (docs/adr/0022).
    std::vector<CorruptionFinding> logged;
    // Failures by database, as last seen, so that none counts twice.
    std::map<std::string, std::uint64_t> seen;
    bool corrupted() const { return !found.empty(); }
    bool operator==(const Corruption&) const = default;
};
std::string to_json(const Corruption& mark);
Result<Corruption> parse_corruption(std::string_view text);

// What others than the server's counters found, to be kept.
struct CorruptionNews {
    std::string backup;  // the label of one of this data that has page errors; empty: none
    // By a look through the data.
    struct Relation {
        std::string where;  // database.schema.name; database alone: its catalog
        std::uint64_t reports = 0;
        std::string words;   // the first report
        unsigned of_data{};  // AmcheckPlan has it: of what stood there then
    };
    std::vector<Relation> relations;
};

// What the counters say beyond the mark. A counter that is lower than before began anew.
void learn_counts(Corruption& mark, const std::vector<ChecksumCount>& counts, WallTime now);
// A backup of this member's data that has page errors.
void learn_backup(Corruption& mark, const std::string& label, WallTime now);
// A relation in which a look through this member's data found damage, and how many reports of it.
void learn_amcheck(Corruption& mark, const std::string& where, std::uint64_t reports, WallTime now);
// A line of the server log. The same one counts once in a minute.
void learn_log(Corruption& mark, const std::string& where, WallTime now);
// Nothing was found but by amcheck: a bug's damage, or a changed collation's, comes with the
// leader's WAL as well.
bool perhaps_replicated(const Corruption& mark);
// An operator's word: found is nothing any more, and what was seen is known.
void forget(Corruption& mark);

// A look through a member's own data: one that goes on, or has ended.
struct AmcheckRun {
    WallTime begun;
    std::optional<WallTime> ended;  // nothing: it goes on
    Duration took{};
    std::uint64_t databases = 0, relations = 0;  // looked through by now
    std::uint64_t damaged = 0;                   // of these relations
    std::uint64_t left_out = 0;                  // relations that could not be looked at
    std::string left_out_first;                  // the first of them, and why
    std::string now;                             // the relation that it is at
    std::string given_up;                        // why it ended before its time; empty: it did not
    bool operator==(const AmcheckRun&) const = default;
};
struct AmcheckState {
    std::optional<AmcheckRun> run;       // that goes on, or the last one
    std::optional<AmcheckRun> complete;  // the last one that came to its end
};
// "132 relations of 2 databases in 4 min 3 s, nothing found"
std::string describe(const AmcheckRun& run);

// What a member shows.
struct CorruptionReport {
    Corruption mark;
    std::vector<ChecksumCount> counts;  // as last told by the server
    std::string note;                   // what was found and what to do; empty: nothing was found
    AmcheckState amcheck;               // since the agent was started
};
// One paragraph; empty when nothing is found. Where there is no more than lines of the server log,
// it is about these.
std::string corruption_note(const Corruption& mark, std::string_view scope,
                            std::string_view member);

}  // namespace relevo::cluster
