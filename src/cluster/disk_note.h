// What an operator is told of a disk that fills: how it stands, what holds WAL there, and what to
// do next; and of one that fails. Pure text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/disk.h"
#include "cluster/postgres_state.h"

namespace relevo::cluster {

// What keeps PostgreSQL from recycling WAL.
struct WalHolders {
    struct HoldingSlot {
        std::string name;
        std::uint64_t bytes = 0;  // from its restart_lsn to the end of WAL
        bool active = false;
        bool operator==(const HoldingSlot&) const = default;
    };
    std::vector<HoldingSlot>
        slots;                    // by bytes, the most first; without those that hold next to none
    std::uint64_t wal_bytes = 0;  // all of pg_wal; 0: not known
    std::uint64_t queue_segments = 0, queue_bytes = 0;  // that the archiver has not done
    std::string wal_keep_size;                          // as it is configured; empty: not
};

// Of the slots of this server, as they were last seen.
std::vector<WalHolders::HoldingSlot> holding_slots(const LocalPostgres& postgres);

// A disk that takes no writes.
struct FailedPlace {
    std::string what;  // DiskPlace's
    std::string why;   // DiskHealth's
    bool operator==(const FailedPlace&) const = default;
};
// One paragraph, with what to do. scope, member: whose disk it is.
std::string failed_note(const std::vector<FailedPlace>& places, std::string_view scope,
                        std::string_view member);

// One paragraph; empty when the places are all right.
std::string disk_note(const std::vector<DiskPlace>& places, const WalHolders& holders);

}  // namespace relevo::cluster
