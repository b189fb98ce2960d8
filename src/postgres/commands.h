// The command lines of PostgreSQL's programs and of the operator's scripts, as words. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ports/postgres_config.h"

namespace relevo::postgres {

// "a 'b c' \"d\"" -> a, b c, d, as a shell splits words (no expansion); nothing on an open quote.
std::optional<std::vector<std::string>> shell_split(std::string_view text);

// initdb's arguments without the program. It does not sync: the caller does (sync_content).
// password_file: empty = none. invalid: a forbidden option.
Result<std::vector<std::string>> initdb_arguments(const ports::PostgresConfig& config,
                                                  const std::string& password_file);

// `command` of bootstrap.<method> with scope, data directory and its own options.
Result<std::vector<std::string>> bootstrap_command(const ports::PostgresConfig& config);

// pg_basebackup's arguments without the program; it does not sync either. Forbidden options are
// left out, a sentence each.
std::vector<std::string> basebackup_arguments(const ports::PostgresConfig& config,
                                              const std::string& conninfo,
                                              const std::string& target, int version,
                                              std::vector<std::string>& warnings);

// A custom replica method's words; conninfo is empty without a source.
Result<std::vector<std::string>> replica_method_command(const ports::PostgresConfig& config,
                                                        const ports::ReplicaMethod& method,
                                                        const std::string& conninfo);

// archive_command and its like: %p, %f, %r, %% replaced as PostgreSQL does.
std::string expand_wal_command(std::string_view command, std::string_view path,
                               std::string_view file, std::string_view last_restart = {});

// 'it''s' for SQL, E'' where a backslash needs it; "na""me".
std::string quote_literal(std::string_view text);
std::string quote_identifier(std::string_view text);

// One DO block that makes the role or changes the one that is there; a password only when not
// empty.
std::string role_statement(const std::string& user, const std::string& password,
                           std::string_view options);

}  // namespace relevo::postgres
