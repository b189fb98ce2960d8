// A disk that fails (docs/adr/0022): what the answers to probes, and their absence, come to. Pure:
// the agent probes and tells the time.
#pragma once

#include <optional>
#include <string>

#include "cluster/disk.h"

namespace relevo::cluster {

// What became of one page that was to be written and synced.
struct ProbeAnswer {
    enum class What {
        written,
        refused,  // by the disk or by its file system
        // Nothing that says how the disk is:
        full,     // no room, or over a quota: docs/adr/0018 sees that
        absent,   // there is no directory (yet)
        unknown,  // this agent may not write there, or lacks a descriptor or memory
    };
    What what = What::absent;
    Duration took{};
    std::string why;  // when refused or unknown: what was done to which file, and the error
    bool operator==(const ProbeAnswer&) const = default;
};

// One disk.
//
// It has failed with its second refusal within `failed_after`: one alone may be a path to the
// storage that was lost while another took over. It is well again when a page got through and none
// was refused for `failed_after`. One success is not enough for that. After a failed fsync Linux
// takes the page for clean and reports the error once, so the next probe may succeed by luck: it
// says that this page is on the disk now, not that the next one will be. What PostgreSQL wrote is
// no reason to wait: it ends itself when a sync fails, and replays.
//
// It has failed, too, when it was silent for `failed_after`. What ends that is one page, written in
// less than that time: a disk that is on its way again has lost nothing. An answer that came too
// late is none; else a disk that takes 11 s for each page would be well every 11 s.
class DiskHealth {
public:
    // In the order of time; at: when the answer was known. True: it is worth little before the next
    // probe has come back, which should follow soon.
    bool answered(const DiskSettings& settings, Instant at, const ProbeAnswer& answer);
    // A probe is under way, and nothing was heard for so long more.
    void silent(const DiskSettings& settings, Duration more);

    // False: no probe has come back, nor been silent for too long.
    bool known() const { return known_ || failed(); }
    bool failed() const { return by_errors_ || by_silence_; }
    // For people, while it has failed.
    std::string why() const;
    const std::optional<PageWritten>& written() const { return written_; }

private:
    bool known_ = false, by_errors_ = false, by_silence_ = false;
    std::optional<Instant> refused_;  // last; forgotten once it counts no more
    std::string error_;
    Duration silence_{};               // of the probe that is under way
    std::chrono::seconds too_long_{};  // what by_silence_ was measured by
    std::optional<PageWritten> written_;
};

}  // namespace relevo::cluster
