// Looks every few seconds at what a primary's archiver has done, for who asks how far the archive
// is behind. Nobody waits for it; without a `backup` section it does nothing.
#pragma once

#include <boost/asio/io_context.hpp>
#include <optional>

#include "agent/group.h"
#include "backup/archive_lag.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/control.h"
#include "ports/postgres.h"

namespace relevo::agent {

class ArchiveWatch {
public:
    ArchiveWatch(boost::asio::io_context& io, ports::Clock& clock, ports::Backup& backup,
                 ports::Postgres& postgres);

    // The view was replaced; cheap. Also begins a look when one is due.
    void see(const ports::View& view);
    // Nothing: this member is no primary, or was not looked at yet.
    const std::optional<cluster::ArchiveStatus>& status() const { return status_; }
    Task<void> stop();

private:
    Task<void> look();

    ports::Clock& clock_;
    ports::Backup& backup_;
    ports::Postgres& postgres_;
    Group tasks_;
    bool stopping_ = false, looking_ = false;
    cluster::Revision serves_ = 0;  // the term under which this member is the primary
    Instant next_{};
    backup::ArchiveLag lag_;
    std::optional<cluster::ArchiveStatus> status_;
};

}  // namespace relevo::agent
