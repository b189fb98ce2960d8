// The part of the adapter that finds, and takes back, a synchronous_commit that was set for
// sessions to come.
#include <fmt/core.h>

#include <chrono>

#include "postgres/adapter.h"
#include "postgres/commands.h"

namespace relevo::postgres {

using namespace std::chrono_literals;

namespace {

constexpr Duration short_patience = 3s;

// The file that has the last word for the whole server, and every entry of ALTER ROLE and ALTER
// DATABASE. The agent's own sessions bring theirs with them, so the files are read.
constexpr const char* settings_sql = R"(
SELECT * FROM (SELECT setting, '' AS role, '' AS database, sourcefile
                 FROM pg_file_settings
                WHERE lower(name) = 'synchronous_commit' AND error IS NULL
                ORDER BY seqno DESC LIMIT 1) of_server
UNION ALL
SELECT o.option_value, coalesce(r.rolname, ''), coalesce(d.datname, ''), ''
  FROM pg_db_role_setting s
  LEFT JOIN pg_roles r ON r.oid = s.setrole
  LEFT JOIN pg_database d ON d.oid = s.setdatabase
 CROSS JOIN LATERAL pg_options_to_table(s.setconfig) o
 WHERE lower(o.option_name) = 'synchronous_commit'
   AND (s.setrole = 0 OR r.oid IS NOT NULL) AND (s.setdatabase = 0 OR d.oid IS NOT NULL)
 ORDER BY 4 DESC, 2, 3)";

std::string reset_statement(const cluster::CommitSetting& setting) {
    constexpr const char* reset = "RESET synchronous_commit";
    if (!setting.file.empty()) return fmt::format("ALTER SYSTEM {}", reset);
    if (setting.role.empty() && !setting.database.empty())
        return fmt::format("ALTER DATABASE {} {}", quote_identifier(setting.database), reset);
    const std::string whose = setting.role.empty() ? "ALL" : quote_identifier(setting.role);
    const std::string where =
        setting.database.empty() ? "" : " IN DATABASE " + quote_identifier(setting.database);
    return fmt::format("ALTER ROLE {}{} {}", whose, where, reset);
}

}  // namespace

Task<Result<std::vector<cluster::CommitSetting>>> Adapter::commit_settings() {
    constexpr const char* what = "looking for synchronous_commit";
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return within(what, connection.error());
    auto rows = co_await (*connection)->query(settings_sql, short_patience);
    if (!rows) co_return within(what, rows.error());
    std::vector<cluster::CommitSetting> found;
    for (const auto& row : rows->rows) {
        const auto level = cluster::parse_commit_level(row[0].value_or(""));
        if (level)
            found.push_back(
                {*level, row[1].value_or(""), row[2].value_or(""), row[3].value_or("")});
    }
    co_return found;
}

Task<Status> Adapter::reset_commit_setting(cluster::CommitSetting setting) {
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return std::unexpected(connection.error());
    auto done = co_await (*connection)->query(reset_statement(setting), short_patience);
    if (done && !setting.file.empty())
        done = co_await (*connection)->query("SELECT pg_reload_conf()", short_patience);
    if (!done) co_return std::unexpected(done.error());
    co_return Status{};
}

}  // namespace relevo::postgres
