// Follows the log that PostgreSQL's collector writes, for what it tells of damage
// (cluster/server_log.h): what is written from the first look on, in the order of the looks.
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
    // directory: another number, another content of data_dir, whose log is begun at its end. have:
    // News::last of what has arrived; what has not (the look came back too late) is told again.
    News look(const std::string& data_dir, unsigned directory, std::uint64_t have, WallTime now);

private:
    struct Place {
        std::string path;
        std::uint64_t inode = 0, position = 0;
        cluster::ServerLog log;
    };
    void begin(const std::string& path, cluster::ServerLog::Kind kind);
    bool read_on();

    std::optional<Place> place_;
    std::optional<WallTime> looked_;  // last
    unsigned directory_ = 0;
    std::deque<std::string> untold_;
    std::uint64_t last_ = 0;
};

}  // namespace relevo::postgres
