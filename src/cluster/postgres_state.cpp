#include "cluster/postgres_state.h"

#include <algorithm>

namespace relevo::cluster {

Lsn LocalPostgres::position() const {
    if (primary()) return wal;
    // Not running, or a standby. What pg_control knows is a lower bound: it counts while nothing
    // else does.
    Lsn furthest = std::max(receive, replay);
    if (server != Server::running) {
        furthest = std::max(furthest, wal);
        if (control)
            furthest = std::max({furthest, control->checkpoint, control->min_recovery_end});
    }
    return furthest;
}

bool LocalPostgres::stopped_in_recovery() const {
    return server == Server::stopped && control &&
           (control->state == ControlState::shut_down_in_recovery ||
            control->state == ControlState::in_archive_recovery);
}

}  // namespace relevo::cluster
