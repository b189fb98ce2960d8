// Password files for libpq (0600, atomic): the one of postgresql.pgpass, which the standby's
// receiver and pg_basebackup read, and short-lived ones for other users. Blocking: call in the
// thread pool.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/postgres_plan.h"
#include "ports/postgres_config.h"

namespace relevo::postgres {

// host:port:*:user:password lines for each host of a comma-separated list; ':' and '\' are escaped.
// A directory of sockets also gets a line for localhost, which is what libpq looks up for it.
std::string pgpass_lines(const std::string& hosts, int port, const ports::Account& account);

// Writes postgresql.pgpass for the replication account at upstream when it has a password. The path
// to name in passfile, or empty when no password is configured.
Result<std::string> write_pgpass(const ports::PostgresConfig& config,
                                 const cluster::Upstream& upstream);

// A file beside postgresql.pgpass that is removed with this object.
class TemporaryPgpass {
public:
    TemporaryPgpass() = default;
    static Result<TemporaryPgpass> make(const ports::PostgresConfig& config,
                                        const std::string& content);
    TemporaryPgpass(TemporaryPgpass&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    TemporaryPgpass& operator=(TemporaryPgpass&& other) noexcept;
    ~TemporaryPgpass();
    const std::string& path() const { return path_; }

private:
    explicit TemporaryPgpass(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

}  // namespace relevo::postgres
