// A filling disk (docs/adr/0018): what is measured, what it is judged to be, and when it will be
// full. Pure: the agent measures and tells the time.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace relevo::cluster {

// hold: so little is left that PostgreSQL would soon fail to write, which for WAL is a PANIC.
// failed: it takes no writes at all, with an error or without an answer (docs/adr/0022). Each is
// worse than the one before.
enum class DiskState { ok, warning, hold, failed };
const char* to_string(DiskState state);
// Nobody should write there who can do without: hold or worse.
constexpr bool unfit(DiskState state) { return state >= DiskState::hold; }
std::optional<DiskState> parse_disk_state(std::string_view text);

// The `disk` part of the dynamic configuration. A limit is the smaller of bytes and percent, and
// at least a few WAL segments; 0 for either switches it off. See limits() for both.
struct DiskSettings {
    std::uint64_t warning_free = std::uint64_t{20} << 30U;
    int warning_percent = 15;
    std::chrono::minutes warning_left{30};  // 0: no warning by forecast
    std::uint64_t hold_free = std::uint64_t{2} << 30U;
    int hold_percent = 5;
    std::chrono::seconds hold_left{15};  // only when below the warning's limit already
    // In hold: the lead goes to a member with room; where there is none, writes are refused.
    bool switchover = true, refuse_writes = true;
    // Room that is kept for the way out of a full disk: four segments of WAL. 0: none.
    std::uint64_t ballast = std::uint64_t{64} << 20U;
    // A page is written and synced this often where data and WAL are: an idle server's disk fails
    // unseen. 0: never.
    std::chrono::seconds probe_every{2};
    // The disk of which no answer came for so long has failed; one that answers with an error has
    // when the next probe is refused as well.
    std::chrono::seconds failed_after{10};
    bool operator==(const DiskSettings&) const = default;
};
struct DiskLimits {  // bytes free
    std::uint64_t warning = 0, hold = 0;
};
DiskLimits limits(const DiskSettings& settings, std::uint64_t total);

// How fast room vanishes, from what was free now and then.
class DiskForecast {
public:
    // In the order of time.
    void add(Instant at, std::uint64_t free);
    void forget();  // another disk is looked at from now on

    // Bytes a second that vanish, as of the last sample; 0: none, or not known yet.
    // Over minutes, from the least that was free earlier to the least that was free lately: what
    // comes and goes (recycled WAL, temporary files, a checkpoint's saw-tooth) is no trend, nor is
    // a burst that has ended.
    double trend() const;
    // Over the last seconds: a burst counts as what it is.
    double pace() const;

private:
    struct Sample {
        Instant at;
        std::uint64_t free = 0;
    };
    std::deque<Sample> lows_;    // the least of each bucket, over the whole window
    std::deque<Sample> latest_;  // all of the last seconds
    Instant bucket_{};           // when the newest bucket began
};

struct DiskJudgement {
    DiskState state = DiskState::ok;
    std::optional<std::chrono::seconds> left;  // nothing: it does not fill
    bool operator==(const DiskJudgement&) const = default;
};
// With hysteresis: a state is left only when there is clearly more than what it began at.
DiskJudgement judge(const DiskSettings& settings, DiskState before, std::uint64_t total,
                    std::uint64_t free, const DiskForecast& forecast);

// How long until the next look: so short that the fastest disk does not get from here past the
// limit of hold unseen, within reason.
Duration look_again_after(const DiskSettings& settings, std::uint64_t total, std::uint64_t free);

// The last page that a probe got onto a disk.
struct PageWritten {
    Instant at;       // when it was known
    Duration took{};  // with its fdatasync
    bool operator==(const PageWritten&) const = default;
};

// One file system that matters, and what of ours is on it.
struct DiskPlace {
    std::string what;  // "data", "WAL", "data and WAL", "archive spool"
    std::uint64_t total = 0, free = 0;
    DiskState state = DiskState::ok;
    std::optional<std::chrono::seconds> left;
    std::uint64_t device = 0;            // by which it is told from the others
    bool vital = true;                   // without it PostgreSQL cannot write
    std::optional<PageWritten> written;  // nothing: not probed, or none came through yet
    bool operator==(const DiskPlace&) const = default;
};

// What a member shows of its disks, as last measured.
struct DiskReport {
    DiskState state = DiskState::ok;  // the worst of those without which PostgreSQL cannot write
    std::vector<DiskPlace> places;
    Instant measured{};
    std::uint64_t ballast = 0;  // bytes kept back; 0: none, or it was given
    std::string note;           // what to do, for people; empty while all is well
    bool operator==(const DiskReport&) const = default;
};

// How long ago a page of one of its places was written, when it was measured `age` ago.
inline Duration written_ago(const PageWritten& page, const DiskReport& report, Duration age) {
    return report.measured + age - page.at;
}

// "1.5 GB", as people and PostgreSQL count: 1024.
std::string size_text(std::uint64_t bytes);
// "3 min", "40 s", "5 h": how long, roughly.
std::string left_text(std::chrono::seconds left);
// "WAL: 300.0 MB of 2.0 GB free, full in about 3 min"
std::string describe(const DiskPlace& place);

}  // namespace relevo::cluster
