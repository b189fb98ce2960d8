// Pure: what became of a transaction whose COMMIT was sent and never answered.
//
// Each transaction that writes begins with a mark: a WAL record with its transaction id, so that
// the id, the record's end and where that was are known before anything can be lost. The COMMIT
// record, if there is one, lies behind the mark. Three facts do the rest.
//
//  - As long as the server has not gone through a recovery since, pg_xact_status tells the truth
//    about our id. A recovery, also one that follows the crash of a single process, shows in
//    pg_last_wal_replay_lsn, which stays what it was at the recovery's end; a clean restart shows
//    in the start time.
//  - If that position lies before the mark, neither mark nor COMMIT are in this server's history:
//    not committed.
//  - If our COMMIT is in this server's history, our id is ours there and its status is committed.
//    So every other status, also "in the future" and "in progress", means: not committed.
//
// What is left is `committed` after a recovery. An id that was given out and not yet flushed is
// given out again after a crash, so the status may be a stranger's. It is ours when the mark was
// seen to be flushed before the crash and the timeline is still that of the same server, or the
// history says that it was left behind the mark. Otherwise the note in the outcome table tells;
// without one nobody can, and the answer is `unknown`.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "relevo/types.h"

namespace relevo::client {

// One life of a server's memory: it ends with a restart, and with a crash of any of its processes.
struct Life {
    std::string system_id;
    std::uint32_t timeline = 0;
    std::string started;  // pg_postmaster_start_time()
    Lsn recovered = 0;    // pg_last_wal_replay_lsn(); 0: it started without a recovery
    bool operator==(const Life&) const = default;
};

struct Mark {
    Life life;
    std::string server;       // address and port
    std::string xid;          // pg_current_xact_id()
    Lsn end = 0;              // of the record that carries it
    bool flushed = false;     // seen on disk during this life
    std::string session;      // our key in the outcome table; "": there is none
    std::int64_t number = 0;  // what we wrote there
};

enum class XactStatus { committed, aborted, in_progress, future, too_old };

// What a writable server says.
struct Evidence {
    Life life;
    std::string server;
    XactStatus status{};
    // Where the mark's timeline was left, from the history file; 0: not known, or not allowed.
    Lsn left_at = 0;
    // The outcome table's number for our session; 0: no row. nullopt: no table, or not read.
    std::optional<std::int64_t> noted;
};

enum class Verdict {
    committed,
    aborted,
    wait,   // our backend still works on it: ask again
    stale,  // not the server to ask: another cluster, or a timeline before ours
    unknown
};
const char* to_string(Verdict verdict);

Verdict judge(const Mark& mark, const Evidence& evidence);

// "1/A0000028"; nullopt when it is none.
std::optional<Lsn> parse_lsn(std::string_view text);
std::string lsn_text(Lsn lsn);
// The timeline of a WAL file's name, 00000003000000010000002A.
std::optional<std::uint32_t> timeline_of(std::string_view wal_file);
// From a history file: where `timeline` was left. 0: it is not in it.
Lsn left_at(std::string_view history, std::uint32_t timeline);

}  // namespace relevo::client
