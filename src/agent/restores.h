// An operator's restore into a directory of its own on this host (docs/adr/0020-restore.md): what
// the repository has is looked at, backup/restore.h chooses, pgBackRest restores, and nothing that
// the cluster does waits for it. One at a time.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>
#include <string>

#include "agent/group.h"
#include "agent/restore_site.h"
#include "backup/restore.h"
#include "os/blocking.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/control.h"

namespace relevo::agent {

class Restores {
public:
    // data_dir: of this member's server, as it is configured now.
    Restores(boost::asio::io_context& io, ports::Clock& clock, ports::Backup& backup,
             os::Blocking pool, std::function<std::string()> data_dir);

    void see(const ports::View& view);  // cheap
    // Ends what runs, and awaits it.
    Task<void> stop();

    // As ports::Control has them. in_place: goes on with one of those when the way is chosen.
    using InPlaceOrder =
        std::function<Task<ports::Reply>(ports::RestoreOrder, backup::RestoreChoice, std::string)>;
    Task<ports::Reply> order(ports::RestoreOrder order, InPlaceOrder in_place = {});
    // in_place: JSON of the record of one in place, to be shown beside; empty: there is none.
    ports::Reply state(const std::string& in_place = {}) const;
    bool goes_on() const { return phase_ == Phase::running; }
    ports::Reply cancel();

private:
    enum class Phase { none, running, done, failed };
    Task<ports::Reply> begin(ports::RestoreOrder order, backup::RestoreAdvice advice,
                             std::string advice_json);
    Task<void> work();
    Task<Status> restore();
    std::string named(std::string advice_json) const;

    ports::Clock& clock_;
    ports::Backup& backup_;
    os::Blocking pool_;
    std::function<std::string()> data_dir_;
    Group tasks_;
    bool stopping_ = false, busy_ = false, cancelled_ = false;

    std::string self_;
    cluster::Timeline timeline_ = 0;  // the cluster's, as far as it is known

    Phase phase_ = Phase::none;
    RestoreSite site_;
    std::optional<backup::RestoreChoice> choice_;
    cluster::BackupProgress progress_;
    WallTime begun_{};
    std::optional<WallTime> ended_;
    std::string result_;
};

}  // namespace relevo::agent
