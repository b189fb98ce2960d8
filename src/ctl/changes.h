// The members' journals put together: one change of leader after the other, each with its cause and
// where its time went. Pure: entries in, values out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/journal.h"

namespace relevo::ctl {

// In milliseconds; absent: that step was not made, or nobody who could be asked saw it.
struct Shares {
    std::optional<std::int64_t> detect;   // first sign -> the key is gone
    std::optional<std::int64_t> seal;     // -> the next leader had sealed itself
    std::optional<std::int64_t> take;     // -> it has the key
    std::optional<std::int64_t> promote;  // -> it is promoted
    std::optional<std::int64_t> total;    // first sign -> promoted, else -> key taken
};

struct Change {
    cluster::MemberName before, after;  // before is empty when nobody who was asked knew it
    cluster::Revision term_before = 0, term = 0;
    cluster::Timeline timeline = 0;  // that the new leader writes; 0: not known
    WallTime first_sign;             // of the old leader's end, as of the earliest entry
    std::string cause;
    Shares shares;
    std::vector<cluster::JournalEntry> entries;  // in the order of time
};

// Of all members' entries, in any order, their times comparable. Oldest change first. A cluster's
// first leader is no change, nor is a leader that was there before anything was recorded.
std::vector<Change> changes_of_leader(std::vector<cluster::JournalEntry> entries);

}  // namespace relevo::ctl
