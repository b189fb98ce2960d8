// Follows the log that PostgreSQL's collector writes, for what it tells of damage
// (cluster/server_log.h), in the order of the looks: all of a log that is made from the time
// given on, and of an older one what is written from the first look on.
// Without the collector (logging_collector = off) there is nothing to follow: what the server
// writes goes where the agent's own output goes.
//
// Blocking, for a disk may hang: in a thread that nobody joins. One look at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "cluster/server_log.h"

namespace relevo::postgres {

class LogFollower {
public:
    struct News {
        std::vector<std::string> messages;
        std::uint64_t last = 0;  // the number of the last one ever
    };
    struct Data {
        std::string directory;
        unsigned number = 0;  // another one: another content
        WallTime since{};     // no server of another member has written here from then on
    };
    // have: News::last of what has arrived; what has not (the look came back too late) is told
    // again.
    News look(const Data& data, std::uint64_t have, WallTime now);

private:
    struct Place {
        std::string path;
        std::uint64_t inode = 0, position = 0;
        cluster::ServerLog log;
    };
    void begin(const std::string& path, cluster::ServerLog::Kind kind, WallTime new_from);
    bool read_on();

    std::optional<Place> place_;
    std::optional<unsigned> directory_;
    WallTime seen_to_{};  // the last look
    std::deque<std::string> untold_;
    std::uint64_t last_ = 0;
};

}  // namespace relevo::postgres
