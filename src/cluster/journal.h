// What a member noticed, promised, counted and chose when the leader changed: one entry each, told
// by the agent (GET /journal), kept in a file beside the data directory, read by relevoctl explain.
// Ours alone. No secrets: names, positions, revisions, and sentences that the log has too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/member.h"
#include "cluster/tree.h"

namespace relevo::cluster {

// In the order in which a takeover goes, which ends_a_term() and begins_a_term() go by. Their text
// in JSON is their name here.
enum class JournalKind {
    // How a leader ends.
    ordered,        // an operator's request in the DCS
    suspects,       // about: the leader; ms: for how long it was silent
    hears_again,    // about: the leader
    silent_in_dcs,  // about: the leader, whose sign of life in the DCS stands still too
    asked,          // one answer about the leader; about: who was asked; answer
    deposed,        // this member took the key away; about: the leader
    not_deposed,    // somebody was faster, or it is not known
    crashed,        // PostgreSQL here ended unasked
    kills,          // PostgreSQL here, at once
    killed,
    handover,  // a stage of a switchover, at the leader
    released,  // this member gave its key back
    gone,      // the view shows nobody leading; about: who led
    lost,      // this member had the key and has it no more
    sealing,   // stops receiving
    sealed,    // lsn: all it has
    counted,   // one answer in a race; about: who was asked; answer, lsn, timeline, revision
    waits,     // why it does not take the key
    not_taken,
    // How the next one begins.
    took,  // term is the new one
    promotes,
    promoted,
    not_promoted,
    names,   // synchronous_standby_names were set
    serves,  // seen as a primary under its key for the first time
    leader,  // the view shows a leader; about: who
    follows,
    // At any time.
    dcs_silent,  // neither read nor renewed
    dcs_answers,
    backed,  // its voters' word stands in for the lease
    action,  // start, stop, rewind, copy, ...: begun, done or failed
    note,    // a sentence of the log about the lead
    agent,   // the agent began or ends
};
const char* to_string(JournalKind kind);
// A change of leader is told by what ends one term and what begins the next.
bool ends_a_term(JournalKind kind);
bool begins_a_term(JournalKind kind);

struct JournalEntry {
    std::uint64_t sequence = 0;  // grows within a member, also over a restart of its agent
    WallTime wall;
    Instant mono;
    MemberName member;  // whose journal this is
    // The leader key's create revision as this member knew it; between two leaders that of the
    // last, or the revision of the first view, when it knew none.
    Revision term = 0;
    JournalKind kind{};
    std::string text;  // for people, without the member's own name
    // Where the kind has them; zero or empty: not given.
    MemberName about;
    std::string answer;  // sealed, suspects, receiving, primary, voteless, silent, ...
    Lsn lsn;
    Timeline timeline = 0;
    Revision revision = 0;
    std::int64_t ms = -1;  // -1: not given
    bool operator==(const JournalEntry&) const = default;
};

// One line of JSON without a line end, and back. Texts are cut at a length that nobody misses, and
// hold no control characters, whoever wrote them: they are shown on a terminal.
std::string to_json(const JournalEntry& entry);
Result<JournalEntry> parse_journal_entry(std::string_view line);

// What an agent answers to GET /journal, oldest first.
struct Journal {
    MemberName member;
    WallTime wall;  // the member's clocks when it answered
    Instant mono;
    std::vector<JournalEntry> entries;
    int unreadable = 0;  // entries that this program does not understand: left out
};
// From entries as to_json() wrote them.
std::string journal_json(const MemberName& member, WallTime wall, Instant mono,
                         const std::vector<std::string_view>& entries);
Result<Journal> parse_journal(std::string_view text);

}  // namespace relevo::cluster
