#include "postgres/connection.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <libpq-fe.h>
#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "os/blocking.h"
#include "os/clock.h"
#include "os/watch.h"
#include "postgres/commands.h"

namespace relevo::postgres {

std::optional<std::string> Rows::value() const {
    if (rows.empty() || rows.front().empty()) return std::nullopt;
    return rows.front().front();
}

namespace {

using Handle = std::shared_ptr<PGconn>;
using Keywords = std::vector<std::pair<std::string, std::string>>;

Handle start(const Keywords& keywords) {
    std::vector<const char*> names, values;
    for (const auto& [name, value] : keywords) {
        names.push_back(name.c_str());
        values.push_back(value.c_str());
    }
    names.push_back(nullptr);
    values.push_back(nullptr);
    Handle handle(::PQconnectStartParams(names.data(), values.data(), 0),
                  [](PGconn* connection) { ::PQfinish(connection); });
    if (handle) {
        ::PQsetNoticeProcessor(handle.get(), [](void*, const char*) {}, nullptr);
        // The only way libpq tells the SQLSTATE of a refused connection is within a verbose
        // message.
        ::PQsetErrorVerbosity(handle.get(), PQERRORS_VERBOSE);
    }
    return handle;
}

bool is_address(const std::string& host) {
    in6_addr ignored{};
    const auto plain = host.substr(0, host.find('%'));
    return ::inet_pton(AF_INET, plain.c_str(), &ignored) == 1 ||
           ::inet_pton(AF_INET6, plain.c_str(), &ignored) == 1;
}

bool is_socket_directory(const std::string& host) {
    return host.starts_with('/') || host.starts_with('@');
}

struct Lookup {
    std::vector<std::pair<std::string, std::string>> found;  // host, address
    std::string problem;
};

// Blocks. Each host of the list with each of its addresses.
Lookup look_up(const std::vector<std::string>& hosts) {
    Lookup result;
    for (const auto& host : hosts) {
        if (is_address(host)) {
            result.found.emplace_back(host, host);
            continue;
        }
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        addrinfo* list = nullptr;
        if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); error != 0) {
            result.problem =
                fmt::format("cannot find the address of {}: {}", host, ::gai_strerror(error));
            continue;
        }
        for (const auto* at = list; at != nullptr; at = at->ai_next) {
            char text[NI_MAXHOST];
            if (::getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0,
                              NI_NUMERICHOST) == 0)
                result.found.emplace_back(host, text);
        }
        ::freeaddrinfo(list);
    }
    return result;
}

// "...FATAL:  57P03: the database system is starting up\nLOCATION: ..." -> the code and the message
// without.
std::string take_sqlstate(std::string& message) {
    std::string code;
    // Behind the first severity. Further on are names, and whoever calls his database
    // "z:  XX001: z", with or without a new line in it, must not choose the code.
    constexpr std::size_t length = 5;
    const auto at = message.find(":  ");
    const auto start = at == std::string::npos ? message.size() : at + 3;
    if (start + length + 2 <= message.size() && message.compare(start + length, 2, ": ") == 0) {
        code = message.substr(start, length);
        const bool plausible = std::ranges::all_of(
            code, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
        if (plausible)
            message.erase(start, length + 2);
        else
            code.clear();
    }
    std::vector<std::string> kept;
    for (auto& line : split(message, '\n'))
        if (!line.starts_with("LOCATION:") && !trim(line).empty()) kept.emplace_back(trim(line));
    message = join(kept, "; ");
    return code;
}

std::string hint_for(const std::string& code, const ConnectOptions& options) {
    if (code == "28P01")
        return fmt::format(" (is the password of user {} in the configuration the server's?)",
                           options.user);
    if (code == "28000") return " (pg_hba.conf must let this user connect from here)";
    if (code == "53300") return " (no connection is left: raise max_connections)";
    return {};
}

ErrorCode code_for(std::string_view sqlstate, ErrorCode otherwise) {
    if (sqlstate.starts_with("28") || sqlstate == "42501") return ErrorCode::denied;
    return otherwise;
}

class LibpqConnection final : public Connection {
public:
    LibpqConnection(Handle handle, bool replication)
        : handle_(std::move(handle)),
          version_(::PQserverVersion(handle_.get())),
          replication_(replication) {
        ::PQsetErrorVerbosity(handle_.get(), PQERRORS_DEFAULT);
        ::PQsetnonblocking(handle_.get(), 1);
    }

    Task<Result<Rows>> query(std::string sql, std::vector<std::optional<std::string>> parameters,
                             Duration deadline) override {
        auto sent = send(sql, parameters);
        if (!sent) co_return std::unexpected(sent.error());
        auto results = co_await results_within(deadline);
        if (!results) co_return std::unexpected(results.error());
        if (results->empty()) co_return Rows{};
        co_return std::move(results->back());
    }

    Task<Result<std::vector<Rows>>> script(std::string sql, Duration deadline) override {
        sqlstate_.clear();
        if (!usable()) co_return fail(ErrorCode::unavailable, "the connection is closed");
        if (::PQsendQuery(handle_.get(), sql.c_str()) != 1) co_return lost(ErrorCode::unavailable);
        auto results = co_await results_within(deadline);
        co_return results;
    }

    bool usable() const override { return handle_ && ::PQstatus(handle_.get()) == CONNECTION_OK; }
    int server_version() const override { return version_; }
    const std::string& sqlstate() const override { return sqlstate_; }
    std::string literal(std::string_view text) const override { return quote_literal(text); }
    std::string identifier(std::string_view text) const override { return quote_identifier(text); }

private:
    Status send(const std::string& sql, const std::vector<std::optional<std::string>>& parameters) {
        sqlstate_.clear();
        if (!usable()) return fail(ErrorCode::unavailable, "the connection is closed");
        int sent = 0;
        if (replication_) {
            // A walsender knows the simple protocol only.
            sent = ::PQsendQuery(handle_.get(), sql.c_str());
        } else {
            std::vector<const char*> values;
            values.reserve(parameters.size());
            for (const auto& value : parameters) values.push_back(value ? value->c_str() : nullptr);
            sent = ::PQsendQueryParams(handle_.get(), sql.c_str(), static_cast<int>(values.size()),
                                       nullptr, values.data(), nullptr, nullptr, 0);
        }
        if (sent != 1) return lost(ErrorCode::unavailable);
        return {};
    }

    std::unexpected<Error> lost(ErrorCode code) {
        std::string message = handle_ ? ::PQerrorMessage(handle_.get()) : "";
        handle_.reset();
        message = trim(message);
        return fail(code, message.empty() ? "the connection to PostgreSQL was lost" : message);
    }

    // False: too late, or the connection is gone.
    Task<bool> ready(os::Direction direction, Instant until) {
        const auto left = until - os::boottime_now();
        if (left <= Duration{}) co_return false;
        const bool ok = co_await os::wait_fd(::PQsocket(handle_.get()), direction, left);
        co_return ok;
    }

    Task<Result<std::vector<Rows>>> results_within(Duration deadline) {
        const auto until = os::boottime_now() + deadline;
        const auto handle = handle_;
        const auto late = [&] {
            handle_.reset();
            return fail(ErrorCode::outcome_unknown,
                        fmt::format("PostgreSQL did not answer within {} ms", to_ms(deadline)));
        };
        for (;;) {
            const int flushed = ::PQflush(handle.get());
            if (flushed < 0) co_return lost(ErrorCode::outcome_unknown);
            if (flushed == 0) break;
            const bool writable = co_await ready(os::Direction::write, until);
            if (!writable) co_return late();
        }
        std::vector<Rows> all;
        std::optional<Error> refused;
        for (;;) {
            while (::PQisBusy(handle.get()) != 0) {
                const bool readable = co_await ready(os::Direction::read, until);
                if (!readable) co_return late();
                if (::PQconsumeInput(handle.get()) != 1) co_return lost(ErrorCode::outcome_unknown);
            }
            const std::unique_ptr<PGresult, void (*)(PGresult*)> result(::PQgetResult(handle.get()),
                                                                        ::PQclear);
            if (!result) break;
            take(result.get(), all, refused);
        }
        if (refused) co_return std::unexpected(*std::move(refused));
        co_return all;
    }

    void take(PGresult* result, std::vector<Rows>& all, std::optional<Error>& refused) {
        const auto status = ::PQresultStatus(result);
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            all.push_back(rows_of(result));
            return;
        }
        if (refused || status == PGRES_EMPTY_QUERY) return;
        const char* code = ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
        sqlstate_ = code ? code : "";
        std::string message = ::PQresultErrorMessage(result);
        message = trim(message);
        // A refusal without a code is libpq's own: the connection broke after sending.
        refused = Error{
            sqlstate_.empty() ? ErrorCode::outcome_unknown : code_for(sqlstate_, ErrorCode::failed),
            message.empty() ? "an answer that is none of a query" : message};
    }

    static Rows rows_of(const PGresult* result) {
        Rows rows;
        const int columns = ::PQnfields(result);
        for (int column = 0; column < columns; ++column)
            rows.columns.emplace_back(::PQfname(result, column));
        for (int row = 0; row < ::PQntuples(result); ++row) {
            auto& values = rows.rows.emplace_back();
            for (int column = 0; column < columns; ++column) {
                if (::PQgetisnull(result, row, column) != 0)
                    values.emplace_back();
                else
                    values.emplace_back(::PQgetvalue(result, row, column));
            }
        }
        // libpq's signature lacks the const; it only reads.
        rows.tag = ::PQcmdStatus(const_cast<PGresult*>(result));
        return rows;
    }

    Handle handle_;
    int version_ = 0;
    bool replication_ = false;
    std::string sqlstate_;
};

void add(Keywords& keywords, const std::string& name, const std::string& value) {
    if (!value.empty()) keywords.emplace_back(name, value);
}

Keywords keywords_of(const ConnectOptions& options) {
    Keywords keywords;
    for (const auto& [name, value] : options.options)
        if (name != "hostaddr") add(keywords, name, value);
    add(keywords, "port", std::to_string(options.port));
    add(keywords, "dbname", options.database);
    add(keywords, "user", options.user);
    add(keywords, "password", options.password);
    add(keywords, "passfile", options.passfile);
    add(keywords, "application_name", options.application_name);
    add(keywords, "options", options.server_options);
    keywords.emplace_back("client_encoding", "UTF8");
    if (options.replication) keywords.emplace_back("replication", "yes");
    return keywords;
}

// Adds host and hostaddr, so that libpq never asks a name server itself.
Task<Status> add_addresses(os::Blocking& pool, const ConnectOptions& options, Keywords& keywords,
                           Duration patience) {
    const auto given = options.options.find("hostaddr");
    const auto hosts = split(options.host, ',');
    const bool local = options.host.empty() || std::ranges::any_of(hosts, is_socket_directory);
    if (local || given != options.options.end()) {
        add(keywords, "host", options.host);
        if (given != options.options.end()) add(keywords, "hostaddr", given->second);
        co_return Status{};
    }
    Lookup lookup;
    if (std::ranges::all_of(hosts, is_address)) {
        for (const auto& host : hosts) lookup.found.emplace_back(host, host);
    } else {
        auto answer = co_await pool.run_within(patience, [hosts] { return look_up(hosts); });
        if (!answer)
            co_return fail(ErrorCode::unavailable,
                           fmt::format("the name server did not tell the address of {} in time",
                                       options.host));
        lookup = *std::move(answer);
    }
    if (lookup.found.empty()) co_return fail(ErrorCode::unavailable, lookup.problem);
    std::vector<std::string> names, addresses;
    for (const auto& [name, address] : lookup.found) {
        names.push_back(name);
        addresses.push_back(address);
    }
    add(keywords, "host", join(names, ","));
    add(keywords, "hostaddr", join(addresses, ","));
    co_return Status{};
}

}  // namespace

Task<Result<std::unique_ptr<Connection>>> Connection::open(os::Blocking& pool,
                                                           ConnectOptions options,
                                                           Duration deadline, Refused* refused) {
    const auto until = os::boottime_now() + deadline;
    const auto where =
        fmt::format("connecting to PostgreSQL at {} port {}",
                    options.host.empty() ? "the local socket" : options.host, options.port);
    const auto late = [&] {
        return fail(ErrorCode::unavailable,
                    fmt::format("{}: no answer within {} ms", where, to_ms(deadline)));
    };
    auto keywords = keywords_of(options);
    auto addressed = co_await add_addresses(pool, options, keywords, deadline);
    if (!addressed) co_return within(where, addressed.error());

    const auto left = [&] { return std::max(until - os::boottime_now(), Duration{1}); };
    auto started = co_await pool.run_within(left(), [keywords] { return start(keywords); });
    if (!started) co_return late();
    const Handle handle = *std::move(started);
    if (!handle) co_return fail(ErrorCode::failed, where + ": out of memory");

    auto state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK && ::PQstatus(handle.get()) != CONNECTION_BAD) {
        const auto direction =
            state == PGRES_POLLING_READING ? os::Direction::read : os::Direction::write;
        const bool ready = co_await os::wait_fd(::PQsocket(handle.get()), direction, left());
        if (!ready) co_return late();
        // A step may read certificates or the password file: not here.
        auto step =
            co_await pool.run_within(left(), [handle] { return ::PQconnectPoll(handle.get()); });
        if (!step) co_return late();
        state = *step;
        if (state == PGRES_POLLING_FAILED) break;
    }
    if (state == PGRES_POLLING_OK)
        co_return std::make_unique<LibpqConnection>(handle, options.replication);
    std::string message = ::PQerrorMessage(handle.get());
    const auto code = take_sqlstate(message);
    if (refused) refused->sqlstate = code;
    co_return fail(code_for(code, ErrorCode::unavailable),
                   fmt::format("{}: {}{}", where, message, hint_for(code, options)));
}

Task<Result<Rows>> Connection::query(std::string sql, Duration deadline) {
    auto rows = co_await query(std::move(sql), {}, deadline);
    co_return rows;
}

namespace {

// The first absolute directory of unix_socket_directories; "" when the parameter is not set
// (libpq's default then); nothing when it holds none.
std::optional<std::string> socket_directory(const ports::PostgresConfig& config) {
    const auto set = config.parameters.base.find("unix_socket_directories");
    if (set == config.parameters.base.end()) return "";
    for (const auto& part : split(set->second, ',')) {
        auto directory = trim(part);
        if (directory.starts_with('"') && directory.ends_with('"') && directory.size() > 1)
            directory = directory.substr(1, directory.size() - 2);
        if (directory.starts_with('/')) return std::string(directory);
    }
    return std::nullopt;
}

void set_local_host(const ports::PostgresConfig& config, ConnectOptions& options) {
    if (config.use_unix_socket) {
        if (const auto directory = socket_directory(config)) {
            options.host = *directory;
            return;
        }
    }
    const auto addresses = split(config.listen_addresses, ',');
    for (const auto& part : addresses) {
        const auto address = trim(part);
        if (address != "*" && address != "localhost" && address != "0.0.0.0" &&
            address != "127.0.0.1")
            continue;
        // Both families of `localhost` without asking anybody for them.
        const bool both = address == "*" || address == "localhost";
        options.host = both ? "localhost,localhost" : "localhost";
        options.options["hostaddr"] = both ? "127.0.0.1,::1" : "127.0.0.1";
        return;
    }
    options.host = trim(addresses.front());
}

}  // namespace

ConnectOptions local_options(const ports::PostgresConfig& config, const std::string& application) {
    ConnectOptions options;
    options.options = config.superuser.options;
    options.port = config.port;
    options.database = config.database;
    options.user = config.superuser.username;
    options.password = config.superuser.password;
    options.application_name = application;
    options.server_options =
        "-c statement_timeout=2000 -c synchronous_commit=local "
        "-c pg_stat_statements.track=none -c search_path=pg_catalog";
    if (!config.krbsrvname.empty()) options.options["krbsrvname"] = config.krbsrvname;
    set_local_host(config, options);
    return options;
}

ConnectOptions remote_options(const ports::PostgresConfig& config, const ports::Account& account,
                              const std::string& host, int port, const std::string& application) {
    ConnectOptions options;
    options.options = account.options;
    options.host = host;
    options.port = port;
    options.database = config.database;
    options.user = account.username;
    options.password = account.password;
    options.application_name = application;
    if (!config.krbsrvname.empty()) options.options["krbsrvname"] = config.krbsrvname;
    return options;
}

}  // namespace relevo::postgres
