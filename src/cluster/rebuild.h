// A damaged replica that is made anew by itself (docs/adr/0022), as the key `rebuild` in the DCS
// tells it: one member at a time, which says so there before it stops anything. The key stays when
// it is over: who was made anew lately, or failed to be, is not begun with again at once. Ours
// alone. No secrets in it. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "cluster/member.h"
#include "cluster/tree.h"

namespace relevo::cluster {

struct Rebuild {
    enum class Phase {
        asked,      // it has the turn: nobody else begins
        done,       // the member was made anew
        failed,     // it was not: the old data is in its place again
        withdrawn,  // nothing was stopped
        unreadable  // the key holds what nobody could read: nobody begins before it is repaired
    };
    // The newest try of a member.
    struct Try {
        WallTime begun{};  // by that member's clock, to the millisecond
        int failed = 0;    // tries in a row that came to nothing; one that goes on is counted too
        bool operator==(const Try&) const = default;
    };
    MemberName member;
    Phase phase = Phase::unreadable;
    WallTime since{};                    // when it was asked for, by that member's clock
    std::string kept;                    // what the old directory is called: this behind its name
    std::string note;                    // for people
    std::map<MemberName, Try> previous;  // of each member that ever had the turn
    Revision revision = 0;               // mod revision of the key, as read; not in the text

    bool goes_on() const { return phase == Phase::asked; }
    bool operator==(const Rebuild&) const = default;
};

const char* to_string(Rebuild::Phase phase);

std::string to_json(const Rebuild& rebuild);  // compact, one line
// invalid: it is not one.
Result<Rebuild> parse_rebuild(std::string_view text);

// What a member writes to have the turn. Its revision is that of `last`: it holds only while the
// key is so.
Rebuild claim_rebuild(const std::optional<Rebuild>& last, const MemberName& member, WallTime now);
// The end of that: done or failed.
Rebuild ended_rebuild(Rebuild claim, bool done, std::string note);
// Nothing was stopped: as if it had not been asked for. before: the member's entry until then.
Rebuild withdrawn_rebuild(Rebuild claim, const std::optional<Rebuild::Try>& before,
                          std::string note);

// When this member may have the turn again; nullopt: at once. A day after the last time that it
// was made anew, since what damages the new copy too is no page but a disk. Ten minutes after one
// that failed, three times; then a day.
inline constexpr int rebuild_tries = 3;
std::optional<WallTime> rebuild_after(const Rebuild& last, const MemberName& member);

// What an old data directory is called while it is kept: this behind its own name.
inline constexpr const char* damaged_prefix = ".damaged-";
std::string damaged_suffix(WallTime now);  // ".damaged-20261126T201530Z"
bool is_damaged_suffix(std::string_view text);

// For people, one line; empty: there is nothing to say any more. now: what is done is told for a
// day.
std::string describe(const Rebuild& rebuild, WallTime now);

}  // namespace relevo::cluster
