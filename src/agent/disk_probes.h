// Probes the disks of a member (docs/adr/0022): a page is written and synced every
// `disk.probe_every`, on each file system by a thread of its own that may hang without harm to
// anybody, so that a dead disk does not hide how the other one is. Never two at once on one disk.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/group.h"
#include "cluster/disk_health.h"
#include "os/aside.h"
#include "ports/clock.h"

namespace relevo::agent {

class DiskProbes {
public:
    // Where a page may be written, the best place first; the next one when we may not there.
    using Paths = std::vector<std::string>;
    // One probe; blocks. In a thread that may outlive all else: it must own what it uses.
    using Probe = std::function<cluster::ProbeAnswer(const Paths&)>;
    struct Parts {
        ports::Clock& clock;
        std::function<cluster::DiskSettings()> settings;
        Probe probe;
        std::function<void()> heard;  // a probe came back, or has not for a while
    };
    DiskProbes(boost::asio::io_context& io, Parts parts);

    // These from now on, by device. What is known of the others is forgotten.
    void watch(const std::map<std::uint64_t, Paths>& disks);
    // The next probe of each waits for nothing.
    void probe_now();
    // Waits no longer than a moment for a probe that hangs.
    Task<void> stop();

    // Null: not watched.
    const cluster::DiskHealth* health(std::uint64_t device) const;

private:
    struct Lane;
    Task<void> run(std::shared_ptr<Lane> lane);
    Task<Duration> probe(Lane& lane);
    Duration take(Lane& lane, const cluster::ProbeAnswer& answer);

    boost::asio::io_context& io_;
    Parts parts_;
    Group tasks_;
    std::map<std::uint64_t, std::shared_ptr<Lane>> lanes_;
};

// The real one.
cluster::ProbeAnswer probe_one_of(const DiskProbes::Paths& paths);

}  // namespace relevo::agent
