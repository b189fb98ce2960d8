// What the room needs to know of this member: plain values, made in bin/ out of the configuration.
#pragma once

#include <string>

#include "ports/backup_config.h"

namespace relevo::pgbackrest {

struct Settings {
    ports::BackupConfig config;
    std::string directory;       // ours alone, beside the data directory
    std::string file;            // what pgBackRest reads: config.config, or ours in the directory
    std::string gate;            // restore_command answers while it is there
    std::string data_dir;        // of this member's server
    int port = 5432;             // its unix socket's
    std::string socket_dir;      // empty: libpq's default
    std::string user, password;  // the superuser account; empty password: peer, trust, .pgpass
    std::string database = "postgres";
    bool operator==(const Settings&) const = default;

    bool renders() const { return config.config.empty(); }
};

}  // namespace relevo::pgbackrest
