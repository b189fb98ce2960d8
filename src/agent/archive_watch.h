// Looks every few seconds at what a primary's archiver has done, for who asks how far the archive
// is behind; and into the repository when something may be missing there: at the beginning, after
// archive_command failed or as much WAL waits as may (backup.archive_queue), while a hole is open,
// and when a backup has ended. What it says it has seen, each time anew: nothing is remembered over
// a restart or a failover. Nobody waits for it; without a `backup` section it does nothing.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/group.h"
#include "backup/archive_hole.h"
#include "backup/archive_lag.h"
#include "backup/keeper.h"
#include "core/event.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/control.h"

namespace relevo::agent {

class ArchiveWatch {
public:
    struct Parts {
        ports::Clock& clock;
        ports::Backup& backup;
        std::function<Task<Result<cluster::ArchiverState>>()> archiver;
        std::function<void(std::optional<backup::HoleBehind>)> hole;  // as the last look found it
        std::function<void(core::ArchiveSeen)> changed;               // only when that changes
        std::function<void()> answers;  // archive_command failed before, and does so no more
    };
    ArchiveWatch(boost::asio::io_context& io, Parts parts);

    // The view was replaced; cheap. Also begins a look when one is due.
    void see(const ports::View& view);
    void repository_ready();  // and what the last primary left is in it
    void look_soon();         // what the repository holds may be more now
    // Nothing: this member is no primary, or was not looked at yet.
    const std::optional<cluster::ArchiveStatus>& status() const { return status_; }
    Task<void> stop();

private:
    void begin(cluster::Revision term);
    Task<void> look();
    Task<void> look_into_repository();
    Task<Result<backup::HoleLook>> find();
    void see_queue(const cluster::ArchiverState& seen);
    void see_hole(std::optional<cluster::ArchiveHole> hole);
    void compose();
    void tell();
    bool drops() const;
    std::string remedy() const;

    Parts parts_;
    Group tasks_;
    bool stopping_ = false, looking_ = false;
    cluster::Revision serves_ = 0;  // the term under which this member is the primary
    cluster::Timeline timeline_ = 0;
    std::string system_id_;
    std::vector<cluster::HistoryLine> history_;
    Instant next_{};
    backup::ArchiveLag lag_;
    std::optional<cluster::ArchiveStatus> status_;

    // The repository. `doubts_` counts what may have made a hole; up to `settled_` of it was looked
    // at since.
    std::uint64_t doubts_ = 0, settled_ = 0;
    bool asking_ = false, soon_ = false;
    Instant ask_at_{};
    Duration pause_{};  // after a look that failed
    // While it shows the same hole all of it is listed again then, and ever more rarely.
    Instant list_at_{};
    Duration list_pause_{};
    std::string believed_;
    bool ready_ = false, failing_ = false, queue_full_ = false, may_have_dropped_ = false;
    std::optional<cluster::ArchiveHole> hole_;
    Instant found_{};
    std::string told_;
};

}  // namespace relevo::agent
