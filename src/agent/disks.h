// Watches the file systems of the data directory, of WAL and of the archive spool: measures them
// (docs/adr/0018) in a thread that may hang without harm to anybody, has those of data and WAL
// probed (docs/adr/0022), judges them, and says so once for each change. What it decides is nothing
// but that: the core hears of it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/disk_look.h"
#include "agent/disk_probes.h"
#include "agent/group.h"
#include "cluster/disk.h"
#include "cluster/settings.h"
#include "core/event.h"
#include "os/aside.h"
#include "ports/clock.h"
#include "ports/control.h"

namespace relevo::agent {

class Disks {
public:
    struct Parts {
        ports::Clock& clock;
        std::function<DiskAsk()> where;
        std::function<cluster::DiskSettings()> settings;
        std::function<std::string()> wal_keep_size;
        std::function<std::shared_ptr<const ports::View>()> view;
        std::function<void()> measured;  // report() was replaced; called often, so it must be cheap
        std::function<void(core::DiskSeen)>
            changed;  // how it stands: at first, and when that changes
        // In threads that may outlive all else: they must own what they use.
        std::function<DiskSeen(const DiskAsk&)> look = look_at_disks;
        DiskProbes::Probe probe = probe_one_of;
    };
    Disks(boost::asio::io_context& io, Parts parts);

    void start();
    // Ends the watch; no longer than one look is waited for.
    Task<void> stop();

    // Something happened that a disk may be the reason of, or that a look was waited for: all are
    // measured and probed at once.
    void look_now();
    // Before what needs room on a disk that has little: the ballast is given back. Waits no longer
    // than a moment for a disk that is dead.
    Task<void> make_way();

    // As last measured; null before that.
    std::shared_ptr<const cluster::DiskReport> report() const { return report_; }

private:
    struct Tracked {  // one file system
        cluster::DiskForecast forecast;
        cluster::DiskState state = cluster::DiskState::ok;
    };
    Task<void> watch();
    void wake();
    Task<std::optional<DiskSeen>> look();
    DiskAsk ask();
    void complain(const DiskSeen& seen);
    void measure(const DiskSeen& seen, Instant at);
    void watch_probes(const DiskSeen& seen);
    // What was measured and what the probes say, together.
    Task<void> conclude();
    cluster::DiskReport combined() const;
    bool failed(const cluster::DiskPlace& place) const;
    bool looks_hang(std::uint64_t device) const;
    bool all_known(const cluster::DiskReport& report) const;
    Task<std::string> note_for(const cluster::DiskReport& report);
    std::string failed_note(const cluster::DiskReport& report) const;
    void tell(const cluster::DiskReport& report, cluster::DiskState before);
    void note_silence();
    void heard();
    Duration pause() const;

    Parts parts_;
    Group tasks_;
    boost::asio::steady_timer alarm_;
    os::Aside aside_, way_;
    DiskProbes probes_;
    bool stopping_ = false, silent_ = false;
    bool soon_ = false;                              // the next look waits for nothing
    Instant asked_{};                                // when the last look began
    Duration silence_{};                             // of the look that is under way
    std::shared_ptr<std::atomic<bool>> past_vital_;  // that look's
    std::string problem_, ballast_problem_;          // as they were last complained of
    std::map<std::uint64_t, Tracked> by_;            // by device
    std::map<std::uint64_t, DiskProbes::Paths> probed_;
    cluster::DiskReport measured_;  // without what the probes say
    std::shared_ptr<const cluster::DiskReport> report_;
};

}  // namespace relevo::agent
