// The configuration in force: the DCS `config` key with the local file laid over it
// (contract 3.2, 3.3). Pure; called whenever either changes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/settings.h"
#include "config/local.h"
#include "ports/postgres_config.h"

namespace relevo::config {

struct Effective {
    cluster::Settings settings;
    ports::PostgresConfig postgres;
    std::vector<std::string>
        notes;  // wrong or ignored values, a line each, no secrets; each once in the log
    bool operator==(const Effective&) const = default;
};

// dynamic_json: the value of the `config` key; empty reads as {}. Error: it cannot be used as a
// whole (not a JSON object; postgresql or postgresql.parameters is not a mapping): the caller keeps
// what it has. Single wrong values are notes, and their defaults hold.
//
// postgres.parameters.base holds every GUC to be written, lower case, listen_addresses, port and
// cluster_name included; wal_keep_segments has become wal_keep_size. Recovery settings among the
// parameters are moved to recovery_conf. pg_hba and pg_ident are empty when another hba_file or
// ident_file is configured.
Result<Effective> effective(const LocalConfig& local, std::string_view dynamic_json);

// What goes into the `config` key when the cluster is made: bootstrap.dcs as given, or {}.
std::string default_dynamic_json(const LocalConfig& local);

}  // namespace relevo::config
