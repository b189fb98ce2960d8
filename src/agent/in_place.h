// A restore in place of the cluster (docs/adr/0020-restore.md), as far as it is not the core's:
// what an operator asks of the member that is to do it, and pgBackRest's part of it when the core
// says so. Everything between goes by the record in the DCS.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/configuration.h"
#include "backup/restore.h"
#include "os/blocking.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/control.h"
#include "ports/dcs.h"

namespace relevo::agent {

// The work on this host, called by the adapter of PostgreSQL. It outlives both.
class InPlaceWork {
public:
    InPlaceWork(ports::Backup& backup, const Configuration& conf) : backup_(backup), conf_(conf) {}
    // Into the data directory, which is empty, by the section `backup`.
    Task<Status> restore(cluster::Restoration record);
    const std::optional<cluster::BackupProgress>& progress() const { return progress_; }

private:
    ports::Backup& backup_;
    const Configuration& conf_;
    std::optional<cluster::BackupProgress> progress_;  // while it goes on
};

// Whether the new data has room beside the old directory, which stays; conflict: it has not.
Status room_beside(const std::string& data_dir, std::uint64_t needed_bytes);

// Why the cluster is not restored in place by the member of the view; empty: it can be. now: the
// DCS, just read. Room is not looked at.
std::string why_not_in_place(const cluster::Snapshot& now, const ports::View& view,
                             const backup::RestoreChoice& choice);

class InPlace {
public:
    struct Parts {
        ports::Clock& clock;
        ports::Dcs& dcs;
        ports::Backup& backup;
        os::Blocking pool;
        std::function<std::string()> data_dir;
        const InPlaceWork* work = nullptr;  // null: nothing is shown of it
    };
    explicit InPlace(Parts parts) : parts_(std::move(parts)) {}

    // As ports::Control has restore() and cancel_restore(); 409: why the cluster is not restored.
    // What the repository has was looked at and chosen.
    Task<ports::Reply> order(ports::RestoreOrder order, backup::RestoreChoice choice,
                             std::string plan_json, std::shared_ptr<const ports::View> view);
    Task<ports::Reply> cancel();
    // The record and how far the work on this host is, as JSON; empty: there never was one.
    std::string shown(const cluster::Snapshot* snapshot) const;

private:
    Task<Result<cluster::Snapshot>> look();

    Parts parts_;
};

}  // namespace relevo::agent
