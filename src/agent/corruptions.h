// Watches what PostgreSQL and pgBackRest find damaged in this member's data (docs/adr/0022): asks
// the server's counters every few seconds, looks once at each backup that was made here, keeps what
// is found beside the data directory, and says so once for each finding. It decides nothing: the
// core hears of it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/group.h"
#include "cluster/backup.h"
#include "cluster/corruption.h"
#include "core/event.h"
#include "os/turn.h"
#include "ports/control.h"
#include "ports/postgres.h"

namespace relevo::agent {

class Corruptions {
public:
    struct Parts {
        using Look = ports::Postgres::CorruptionLook;
        // Postgres::look_for_corruption and forget_corruption
        std::function<Task<Result<Look>>(cluster::CorruptionNews)> look;
        std::function<Task<Status>()> forget;
        std::string scope, name;  // of this member, for what people are told
        // That this run of the agent made here; empty: none. An older one may be of other data: of
        // a directory that was made anew since, or of a host that had this name.
        std::function<std::string()> last_backup;
        std::function<Task<Result<cluster::Repository>>()> repository;
        std::function<cluster::AmcheckState()> amcheck;     // to be shown beside
        std::function<void()> looked;                       // report() was replaced
        std::function<void(core::CorruptionSeen)> changed;  // only when that changes
        // Between looks: one short query on a connection that is there. A page that has been
        // damaged for days is no more so for five seconds; whoever waits for the alarm after a test
        // should not wait long.
        std::chrono::milliseconds every{5000};
    };
    Corruptions(boost::asio::io_context& io, Parts parts);

    void start();
    void ask_stop();  // no new look begins
    Task<void> stop();

    // What a look through the data found: kept by the next look, or by one after it.
    void found(cluster::CorruptionNews::Relation relation);
    void look_soon();

    // DELETE /corruption.
    Task<ports::Reply> forget();

    // As last looked; null before that.
    std::shared_ptr<const cluster::CorruptionReport> report() const { return report_; }

private:
    Task<void> watch();
    Task<void> look();
    Task<std::string> damaged_backup();
    void take(ports::Postgres::CorruptionLook look);

    Parts parts_;
    Group tasks_;
    boost::asio::steady_timer alarm_;
    os::Turn turn_;  // a look that began before an operator's word must not undo it
    bool stopping_ = false;
    std::string checked_backup_;
    std::vector<cluster::CorruptionNews::Relation> relations_;  // that are not kept yet
    std::string complained_;
    std::shared_ptr<const cluster::CorruptionReport> report_;
};

}  // namespace relevo::agent
