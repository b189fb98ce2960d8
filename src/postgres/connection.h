// One connection to a PostgreSQL server through libpq, as coroutines on the loop. Whatever of libpq
// may block (password and certificate files, host names) is done in the thread pool. A call that
// passes its deadline closes the connection: what the server did with the statement is unknown
// then.
//
// Errors: unavailable (no connection, or lost before a statement was sent), denied (28xxx, 42501),
// outcome_unknown (lost or late after sending), failed (the server refused the statement);
// sqlstate() has the code.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "ports/postgres_config.h"
#include "ports/task.h"

namespace relevo::os {
class Blocking;
}

namespace relevo::postgres {

struct ConnectOptions {
    std::string host;  // name, address, or a directory of sockets; empty: libpq's default
    int port = 5432;
    std::string database, user, password, passfile;
    std::map<std::string, std::string>
        options;  // sslmode and other libpq keywords; "hostaddr" is used as it is
    std::string application_name = "relevo";
    std::string server_options;  // "-c statement_timeout=2000 -c search_path=pg_catalog"
    bool replication =
        false;  // replication=yes: query() only, simple protocol, replication commands
};

struct Rows {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<std::string>>> rows;
    std::string tag;  // "SELECT 1"
    // The value in the first row's first column; nothing when there is none or it is NULL.
    std::optional<std::string> value() const;
};

class Connection {
public:
    struct Refused {  // why open() failed, for who must tell "starting" from "wrong password"
        std::string sqlstate;  // empty: no server answered
    };

    // deadline: from now, for name lookup, connecting and authentication together.
    static Task<Result<std::unique_ptr<Connection>>> open(os::Blocking& pool,
                                                          ConnectOptions options, Duration deadline,
                                                          Refused* refused = nullptr);
    virtual ~Connection() = default;

    // One statement with $1, $2 ... (all as text; nullopt is NULL).
    virtual Task<Result<Rows>> query(std::string sql,
                                     std::vector<std::optional<std::string>> parameters,
                                     Duration deadline) = 0;
    // One or more statements separated by ';', in one implicit transaction and one round trip.
    virtual Task<Result<std::vector<Rows>>> script(std::string sql, Duration deadline) = 0;
    Task<Result<Rows>> query(std::string sql,
                             Duration deadline);  // on a replication connection too

    virtual bool usable() const = 0;         // false after a loss or a missed deadline
    virtual int server_version() const = 0;  // 150020
    virtual const std::string& sqlstate()
        const = 0;  // of the last failed call; empty: none from the server
    // A literal with its quotes, an identifier with its quotes, as this server reads them.
    virtual std::string literal(std::string_view text) const = 0;
    virtual std::string identifier(std::string_view text) const = 0;
};

// How to reach the server on this host (contract 2.4): listen address or socket, the superuser's
// account, the heartbeat's options; its commits wait for no standby. `application`: "relevo
// heartbeat" and the like.
ConnectOptions local_options(const ports::PostgresConfig& config, const std::string& application);
// The same for somewhere else: account, database and TLS options; no statement_timeout.
ConnectOptions remote_options(const ports::PostgresConfig& config, const ports::Account& account,
                              const std::string& host, int port, const std::string& application);

}  // namespace relevo::postgres
