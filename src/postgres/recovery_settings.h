// How a standby follows: the settings of the contract's 7.8, and whether the running server has
// them. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cluster/postgres_plan.h"
#include "ports/postgres_config.h"

namespace relevo::postgres {

struct RecoverySettings {
    std::map<std::string, std::string>
        values;  // GUC -> value; an empty primary_conninfo follows nobody
    bool operator==(const RecoverySettings&) const = default;
};

// Recovery to the end of the newest timeline, said so that no file included before says otherwise.
std::map<std::string, std::string> no_recovery_target();

// pgpass_file: what write_pgpass wrote (absolute); empty: no password is needed.
RecoverySettings recovery_settings(const ports::PostgresConfig& config,
                                   const std::optional<cluster::Upstream>& upstream, int version,
                                   const std::string& pgpass_file);

// libpq's conninfo of a physical replication connection to upstream.
std::string primary_conninfo(const ports::PostgresConfig& config, const cluster::Upstream& upstream,
                             int version, const std::string& pgpass_file);

// "key=value key='va lue'", in the given order; values quoted where needed. Entries without value
// are left out.
std::string make_conninfo(const std::vector<std::pair<std::string, std::string>>& pairs);
// The other way; nothing when it cannot be read. Does not read URIs.
std::optional<std::map<std::string, std::string>> parse_conninfo(std::string_view text);

// The options of an account that this version of libpq understands, defaults included (sslmode
// prefer, gssencmode prefer from 12, channel_binding prefer from 13, sslnegotiation postgres from
// 17).
std::vector<std::pair<std::string, std::string>> account_options(const ports::Account& account,
                                                                 int version);

// What it takes for a running standby to get from `actual` (pg_settings' values) to `wanted`. What
// is not wanted is tolerated, since an included file may set it; that our own file no longer does
// is seen when it is written.
enum class RecoveryChange { nothing, reload, restart };
RecoveryChange compare_recovery(const std::map<std::string, std::string>& wanted,
                                const std::map<std::string, std::string>& actual, int version);

}  // namespace relevo::postgres
