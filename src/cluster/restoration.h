// A restore in place of the cluster's own data, as the key `restore` in the DCS tells it: who
// restores what, and how far it is. Ours alone; docs/adr/0020-restore.md has its phases, who ends
// each, and what a crash leaves. The record stays when it is over: a member that was away goes by
// it when it comes back. No secrets in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"
#include "cluster/member.h"
#include "cluster/recovery_target.h"
#include "cluster/tree.h"

namespace relevo::cluster {

struct Restoration {
    enum class Phase {
        stopping,   // asked for: the leader stops, and gives its key back
        restoring,  // nobody leads and nobody may: the member of the record restores
        restored,   // for good: the restored data is the cluster's
        cancelled,  // for good: the old data is
        unreadable  // the key holds what nobody could read: a ground to wait, never to act
    };
    // Never used twice in one cluster; part of a directory's name.
    std::string id;
    Phase phase = Phase::unreadable;
    MemberName member;  // who restores, and leads then
    std::string backup;
    int repository = 0;     // as BackupRecord has it
    RecoveryTarget target;  // its timeline is a number
    // That the restored cluster begins, above every other that was given out; 0: not given yet.
    // Data of it, or above, is of the restored cluster, and data below is from before.
    Timeline timeline = 0;
    // The one before it that came about: what was from before that still is. Empty and 0: none.
    std::string last_id;
    Timeline last_timeline = 0;
    std::optional<WallTime> asked;
    std::string problem;    // of cancelled: why, for people
    Revision revision = 0;  // mod revision of the key, as read; not in the text

    bool goes_on() const { return phase == Phase::stopping || phase == Phase::restoring; }
    // Data below this timeline is from before the restore in place that came about last; 0: there
    // was none. And its id.
    Timeline floor() const { return phase == Phase::restored ? timeline : last_timeline; }
    const std::string& floor_id() const { return phase == Phase::restored ? id : last_id; }
    bool operator==(const Restoration&) const = default;
};

const char* to_string(Restoration::Phase phase);

std::string to_json(const Restoration& restoration);  // compact, one line
// invalid: it is not one, also when an id could not be part of a name.
Result<Restoration> parse_restoration(std::string_view text);

// What a new one is to know of the one whose place it takes: its revision too.
void follow_upon(Restoration& next, const std::optional<Restoration>& last);

// "20261126-121530250-pg-1": of letters, digits and - alone, at most 80 bytes; another each
// millisecond.
std::string restoration_id(WallTime now, std::string_view member);
// What an old data directory is called while it is kept: this behind its own name.
std::string aside_suffix(std::string_view id);  // ".before_restore_<id>"

}  // namespace relevo::cluster
