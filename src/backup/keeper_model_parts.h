// For keeper_model_test.cpp only: the dice of a schedule, and what the model (keeper_model.h) is
// made of.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "backup/keeper.h"

namespace relevo::backup::model {

using cluster::JobWhat;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Dice {
public:
    explicit Dice(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 77) {}
    std::uint64_t below(std::uint64_t end) {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
        z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
        return (z ^ (z >> 31U)) % end;
    }
    bool chance(unsigned one_in) { return below(one_in) == 0; }
    Duration upto(Duration most) {
        return Duration(
            static_cast<std::int64_t>(below(static_cast<std::uint64_t>(most.count()) + 1)));
    }

private:
    std::uint64_t state_;
};

// A rule that is left out, to see that its absence is noticed.
enum class Bug { none, never_ends, hears_the_watch, buries_at_once };

// Who can make proofs: a member that the policies agree on; none, as each member's own
// configuration names another one; none any more, as all hosts but one are lost while one is asked
// for or goes on.
enum class Provers { some, none_agreed, none_left };

inline constexpr seconds ttl{10};
inline constexpr Duration tick = milliseconds(100);
inline constexpr Duration faults_for = std::chrono::minutes(8);
inline constexpr Duration calm_for = std::chrono::minutes(24);
inline const WallTime epoch = std::chrono::sys_days{std::chrono::year{2026} / 5 / 14};

// pgBackRest on one host.
struct Process {
    int host = 0;
    std::string token;
    JobWhat what{};
    Instant ends_at{};
    bool will_succeed = true;
    bool told = false;         // to end
    bool frozen_once = false;  // its host stood still: no lease covers the moments after that
    WallTime begun{};
    std::optional<WallTime> due;
};

struct Agent {
    int number = 0;
    MemberName name;
    bool up = true;
    bool lost = false;  // its host, for good
    int life = 0;       // messages for an earlier one reach nobody
    Instant frozen_until{}, cut_until{};
    cluster::LeaseId lease = 0;
    Instant lease_kept{};  // when the newest call that kept it began
    Instant keep_at{};     // next
    Duration wall_off{};

    Mind mind;
    Look look;
    cluster::Revision look_revision = 0;
    bool busy = false;  // a write or a read is under way
    bool must_read = true;
    Instant read_at{}, decide_at{}, busy_since{};
    std::optional<Run> run;
    std::optional<Listing> listing;
    bool listing_busy = false;
    Instant list_again{};
};

}  // namespace relevo::backup::model
