#include "postgres/bootstrap.h"

#include <fmt/format.h>

#include <chrono>

#include "base/log.h"
#include "os/blocking.h"
#include "os/file.h"
#include "os/process.h"
#include "postgres/commands.h"
#include "postgres/connection.h"
#include "postgres/corruption.h"
#include "postgres/data_directory.h"
#include "postgres/half_made.h"
#include "postgres/pgpass.h"
#include "postgres/recovery_settings.h"
#include "postgres/voteless.h"

namespace relevo::postgres {

using namespace std::chrono_literals;

namespace {

constexpr Duration statement_patience = 30s;

Status outcome(std::string_view what, const Result<os::Finished>& finished) {
    if (!finished) return within(what, finished.error());
    if (!finished->ok())
        return fail(ErrorCode::failed, fmt::format("{}: {}", what, os::describe(*finished)));
    return {};
}

Status claim_empty_directory(const ports::PostgresConfig& config) {
    if (has_content(config.data_dir) && half_made_by(config.data_dir) != by_bootstrap)
        return fail(
            ErrorCode::conflict,
            fmt::format("{} is not empty: a new cluster is never made over it", config.data_dir));
    RLV_CHECK(wipe(config.data_dir));
    RLV_CHECK(clear_corruption(config.data_dir));
    RLV_CHECK(mark_half_made(config.data_dir, by_bootstrap));
    return ensure_directory(config.data_dir);
}

Task<Status> initdb(os::Blocking& pool, const ports::PostgresConfig& config) {
    std::optional<TemporaryPgpass> password;
    if (!config.superuser.password.empty()) {
        auto made = co_await pool.run(
            [&] { return TemporaryPgpass::make(config, config.superuser.password + "\n"); });
        if (!made) co_return within("keeping the superuser's password for initdb", made.error());
        password = *std::move(made);
    }
    auto arguments = initdb_arguments(config, password ? password->path() : std::string());
    if (!arguments) co_return std::unexpected(arguments.error());
    os::Command command;
    command.arguments = *std::move(arguments);
    command.arguments.insert(command.arguments.begin(), program_path(config, "initdb"));
    command.dies_with_us = true;
    auto finished = co_await os::run(pool, std::move(command));
    co_return outcome("initdb", finished);
}

Task<Status> custom(os::Blocking& pool, const ports::PostgresConfig& config) {
    auto words = bootstrap_command(config);
    if (!words) co_return std::unexpected(words.error());
    os::Command command;
    command.arguments = *std::move(words);
    command.dies_with_us = true;
    auto finished = co_await os::run(pool, std::move(command));
    co_return outcome("bootstrap method " + config.bootstrap.custom->name, finished);
}

// What a restored cluster needs before it starts. Blocking.
Result<BootstrapOverrides> after_restore(const ports::PostgresConfig& config) {
    if (!os::exists(config.data_dir + "/PG_VERSION"))
        return fail(ErrorCode::failed,
                    fmt::format("bootstrap method {} left no data directory in {}",
                                config.bootstrap.method, config.data_dir));
    BootstrapOverrides overrides;
    RLV_CHECK(ConfigFiles(config).restore());
    RLV_CHECK(os::remove_file(config.data_dir + "/promote"));
    overrides.trust_local_only = true;
    // Nobody may read a half-recovered cluster that promotes itself; nor can we tell what kept
    // settings do.
    overrides.hot_standby_off = true;
    overrides.keep_recovery_files = true;
    return overrides;
}

Result<BootstrapOverrides> after_custom(const ports::PostgresConfig& config) {
    const auto& method = *config.bootstrap.custom;
    RLV_TRY(auto overrides, after_restore(config));
    for (const auto& [name, value] : method.recovery_conf) overrides.recovery[name] = value;
    overrides.keep_recovery_files =
        method.keep_existing_recovery_conf && overrides.recovery.empty();
    if (!overrides.keep_recovery_files) RLV_CHECK(remove_signal_files(config.data_dir));
    const auto action = overrides.recovery.find("recovery_target_action");
    overrides.hot_standby_off = overrides.keep_recovery_files ||
                                (action != overrides.recovery.end() && action->second == "promote");
    return overrides;
}

// hba lines of the bootstrap section only count where nothing else rules the file. Where there are
// none at all, initdb's own let nobody in from another host, and the other members could never
// copy: the accounts that they need get in by password.
std::vector<std::string> hba_lines(const ports::PostgresConfig& config, bool is_custom) {
    if (!config.pg_hba.base.empty() || config.parameters.base.contains("hba_file")) return {};
    if (!config.bootstrap.pg_hba.empty() || is_custom) return config.bootstrap.pg_hba;
    std::vector<std::string> lines;
    const auto admit = [&](const std::string& database, const ports::Account& account) {
        if (account.username.empty() || account.password.empty()) return;
        // md5 takes a SCRAM password too, and what a server before 14 makes.
        for (const char* everywhere : {"0.0.0.0/0", "::/0"})
            lines.push_back(fmt::format("host {} {} {} md5", database,
                                        quote_identifier(account.username), everywhere));
    };
    admit("replication", config.replication);
    if (config.use_pg_rewind) admit("all", config.rewind ? *config.rewind : config.superuser);
    if (!lines.empty())
        log::info(
            "no pg_hba is configured: the members' own accounts may connect from everywhere by "
            "password; set "
            "postgresql.pg_hba or bootstrap.pg_hba to say otherwise");
    return lines;
}

enum class Way { initdb, custom, repository, in_place };

Result<BootstrapOverrides> complete(const ports::PostgresConfig& config, Way way) {
    BootstrapOverrides overrides;
    if (way != Way::initdb) {
        RLV_TRY(overrides, way == Way::custom ? after_custom(config) : after_restore(config));
    }
    const ConfigFiles files(config);
    // What is restored in place has had its lines.
    if (way != Way::in_place) RLV_CHECK(files.append_hba(hba_lines(config, way != Way::initdb)));
    RLV_CHECK(files.back_up());
    RLV_CHECK(sync_content(config.data_dir));
    return overrides;
}

// Everything about roles runs without being logged: by the server, by pg_stat_statements, by
// pgaudit. Setting a parameter of an extension that is not loaded does no harm.
constexpr const char* quiet =
    "SET log_statement TO none; SET log_min_duration_statement TO -1; SET log_min_error_statement "
    "TO panic; "
    "SET log_duration TO off; SET log_min_messages TO fatal; SET "
    "\"pg_stat_statements.track_utility\" TO off; "
    "SET \"pgaudit.log\" TO none; SET synchronous_commit TO local; SET statement_timeout TO 0; ";

constexpr const char* loud =
    "RESET log_statement; RESET log_min_duration_statement; RESET log_min_error_statement; RESET "
    "log_duration; "
    "RESET log_min_messages; RESET \"pg_stat_statements.track_utility\"; RESET \"pgaudit.log\"; "
    "RESET statement_timeout";

std::string rewind_grants(const std::string& role) {
    std::string text;
    for (const char* function :
         {"pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)",
          "pg_read_binary_file(text)", "pg_read_binary_file(text, bigint, bigint, boolean)"})
        text += fmt::format("GRANT EXECUTE ON FUNCTION pg_catalog.{} TO {};\n", function,
                            quote_identifier(role));
    return text;
}

Task<Status> quietly(Connection& connection, std::string statements) {
    auto silent = co_await connection.script(quiet, statement_patience);
    if (!silent) co_return within("before setting passwords", silent.error());
    auto done = co_await connection.script(std::move(statements), statement_patience);
    auto reset = co_await connection.script(loud, statement_patience);
    if (!done) {
        // The server's message may quote the statement: only its code goes on.
        co_return fail(done.error().code,
                       fmt::format("making the roles failed (SQLSTATE {}); see the server's "
                                   "own log for what it refused",
                                   connection.sqlstate()));
    }
    if (!reset) co_return within("after setting passwords", reset.error());
    co_return Status();
}

Task<Status> run_post_bootstrap(os::Blocking& pool, const ports::PostgresConfig& config) {
    auto words = shell_split(config.bootstrap.post_bootstrap);
    if (!words || words->empty())
        co_return fail(ErrorCode::invalid,
                       "bootstrap.post_bootstrap is empty or has an open quote");
    const ConnectOptions local = local_options(config, "relevo post_bootstrap");
    words->push_back(make_conninfo({{"user", config.superuser.username},
                                    {"host", local.host},
                                    {"port", std::to_string(config.port)},
                                    {"dbname", config.database}}));
    auto passfile = co_await pool.run([&] {
        const std::string host = local.host.empty() ? "localhost" : local.host;
        return TemporaryPgpass::make(config, pgpass_lines(host, config.port, config.superuser));
    });
    if (!passfile) co_return std::unexpected(passfile.error());
    os::Command command;
    command.arguments = *std::move(words);
    command.environment = {{"PGPASSFILE", passfile->path()},
                           {"PGOPTIONS", "-c synchronous_commit=local -c statement_timeout=0"}};
    auto finished = co_await os::run(pool, std::move(command));
    co_return outcome("bootstrap.post_bootstrap", finished);
}

}  // namespace

Task<Result<BootstrapOverrides>> bootstrap(os::Blocking& pool, const ports::PostgresConfig& config,
                                           const Restorer& restorer,
                                           std::optional<cluster::Restoration> restore) {
    Status claimed = co_await pool.run([&] { return claim_empty_directory(config); });
    if (!claimed) co_return std::unexpected(claimed.error());
    const auto way = restore                               ? Way::in_place
                     : config.bootstrap.method == "initdb" ? Way::initdb
                     : config.bootstrap.origin             ? Way::repository
                                                           : Way::custom;
    const bool restores = way == Way::repository || way == Way::in_place;
    const bool known = way == Way::initdb ||
                       (restores ? restorer != nullptr : config.bootstrap.custom.has_value());
    if (!known)
        co_return fail(ErrorCode::invalid,
                       fmt::format("bootstrap.method is {}, and there is no such section",
                                   config.bootstrap.method));
    // Of a cluster that is being made nothing was acknowledged yet.
    Status voting = co_await pool.run([&] { return clear_voteless(config.data_dir); });
    if (!voting) co_return std::unexpected(voting.error());
    Status made;
    if (way == Way::initdb)
        made = co_await initdb(pool, config);
    else if (way == Way::custom)
        made = co_await custom(pool, config);
    else
        made = co_await restorer(restore);
    if (!made) co_return std::unexpected(made.error());
    auto completed = co_await pool.run([&] { return complete(config, way); });
    if (completed && restore)
        completed->begins = {restore->target.timeline.number, restore->timeline};
    co_return completed;
}

Task<Status> post_bootstrap(os::Blocking& pool, const ports::PostgresConfig& config,
                            Connection& connection, int version, bool with_script) {
    if (!config.superuser.username.empty() && !config.superuser.password.empty()) {
        Status done = co_await quietly(
            connection, role_statement(config.superuser.username, config.superuser.password,
                                       "SUPERUSER LOGIN"));
        if (!done) co_return done;
    }
    if (with_script && !config.bootstrap.post_bootstrap.empty()) {
        Status done = co_await run_post_bootstrap(pool, config);
        if (!done) co_return done;
    }
    std::string statements;
    if (!config.replication.username.empty() &&
        config.replication.username != config.superuser.username)
        statements += role_statement(config.replication.username, config.replication.password,
                                     "REPLICATION LOGIN") +
                      ";\n";
    if (config.rewind && !config.rewind->username.empty() &&
        config.rewind->username != config.superuser.username && version >= 110000)
        statements += role_statement(config.rewind->username, config.rewind->password, "LOGIN") +
                      ";\n" + rewind_grants(config.rewind->username);
    if (statements.empty()) co_return Status();
    Status done = co_await quietly(connection, std::move(statements));
    co_return done;
}

}  // namespace relevo::postgres
