// What librelevo's calls take and give. Nothing here talks to a server.
//
// Errors are values. The one question that matters to an application after a failure is whether the
// work was done, so that is what an Error's kind says.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct pg_result;  // libpq's PGresult

namespace relevo::client {

using Duration = std::chrono::nanoseconds;
using Lsn = std::uint64_t;  // a position in the WAL; 0: none

template <class T>
using Task = boost::asio::awaitable<T>;

enum class Kind {
    rejected,     // refused for a reason of its own (a constraint, a syntax error), or given up by
                  // the transaction's function; nothing was done. Asking again gives the same.
    unavailable,  // nothing was done: the deadline or the retry budget ended first
    unknown,      // perhaps done, perhaps not, and it could not be found out
    invalid,      // the options or arguments make no sense; nothing was tried
    closed        // the pool was closed; nothing was done
};
const char* to_string(Kind kind);

struct Error {
    Kind kind{};
    std::string sqlstate;  // PostgreSQL's, of the last failure; "" when it has none
    std::string message;   // for people; never contains the connection string's secrets
    int attempts = 0;      // how often it was begun
};

template <class T>
using Expected = std::expected<T, Error>;

// A parameter ($1, $2, ...) as text; nullopt is NULL.
using Value = std::optional<std::string>;
using Parameters = std::vector<Value>;

// One result. Cheap to copy; the texts live as long as any copy does.
class Rows {
public:
    Rows() = default;
    explicit Rows(std::shared_ptr<const pg_result> result) : result_(std::move(result)) {}

    int size() const;     // rows
    int columns() const;  // columns
    std::string_view name(int column) const;
    // nullopt: NULL, or outside the result.
    std::optional<std::string_view> value(int row = 0, int column = 0) const;
    std::string_view tag() const;  // "INSERT 0 1"
    long affected() const;         // rows inserted, updated or deleted

private:
    std::shared_ptr<const pg_result> result_;
};

enum class Target {
    primary,
    replica  // a standby; the primary when none can be reached or none has caught up in time
};

enum class Isolation { read_committed, repeatable_read, serializable };

// How one call is to be made.
struct Call {
    Duration deadline{};  // over everything, retries included; 0: the pool's
    // execute: may be done twice without harm, so it is repeated even when the answer was lost.
    // Set it for everything that only reads.
    bool idempotent = false;
    // execute: wrap the statement in a transaction, so that a lost answer is resolved. Three round
    // trips in place of one.
    bool resolve = false;
    bool read_only = false;  // transaction: BEGIN READ ONLY; nothing to resolve then
    // transaction: Receipt::lsn is wanted, for reading one's own writes from a replica.
    bool want_lsn = false;
    Isolation isolation = Isolation::read_committed;
    Target target = Target::primary;  // replica needs read_only or idempotent
    // On a replica: what it must have replayed. With the Receipt of one's own write this is "read
    // your writes".
    Lsn at_least = 0;
    // How long to wait for that before the primary is asked instead.
    Duration replica_patience = std::chrono::milliseconds(200);
};

// A transaction that is committed.
struct Receipt {
    Lsn lsn = 0;            // what a replica must have replayed to show it; 0 for a read-only one
    int attempts = 1;       // how often it was begun
    bool resolved = false;  // COMMIT's answer was lost and found out afterwards
};

// Full jitter: the n-th pause is drawn from [0, min(longest, first * 2^(n-1))].
struct Backoff {
    Duration first = std::chrono::milliseconds(20);
    Duration longest = std::chrono::seconds(1);
};

// Retries that all callers of a pool share: each call pays in `earned`, each repetition costs one.
// Without it a server that is down to half its strength gets several times its load.
struct Budget {
    double saved = 100;  // at the beginning, and at most
    double earned = 0.2;
};

// The members' REST API (Patroni's), where the pool may ask who the primary is and which replicas
// are fit to be read from. It knows members that the connection string does not name, and how far
// behind each is. What it says is a hint: a primary is one that says so itself. Only GET is sent.
//
// Who answers here decides where connections go: use https with a ca_file, or sslmode=verify-full
// in the connection string, where the network is not to be trusted.
struct Rest {
    // "https://pg-1:8008", "http://10.0.0.2" (the port is 8008 then): best all members, they are
    // asked at once. Empty: nobody is asked.
    std::vector<std::string> urls{};
    std::string ca_file{};                // PEM, for https; "": the system's authorities
    std::string cert_file{}, key_file{};  // a client certificate, where one is asked for
    // A replica that is further behind is not read from: bytes of WAL. And one that does not
    // stream, is on another timeline, or is tagged noloadbalance.
    std::uint64_t replica_lag_max = std::uint64_t{16} * 1024 * 1024;
    // How old an answer may be that replicas are chosen by. The primary is asked for when it is
    // looked for, and not otherwise.
    Duration refresh = std::chrono::seconds(2);
};

struct Options {
    // libpq's, a URI or keywords; several hosts are asked at once, target_session_attrs is left to
    // the pool. What it does not say about keepalives and tcp_user_timeout is set so that a host
    // without power is noticed after about five seconds.
    std::string conninfo{};
    std::size_t size = 8;  // connections to the primary at most; as many to replicas
    Duration connect_timeout = std::chrono::seconds(2);
    Duration deadline = std::chrono::seconds(30);
    // How long a lost COMMIT is asked for, beyond the call's deadline where need be.
    Duration resolve_for = std::chrono::seconds(15);
    Backoff backoff{};
    Budget budget{};
    // Where each connection notes its newest transaction (create it with outcome_table_sql). With
    // it a lost COMMIT is found out across any number of failovers; without it one that went
    // through a crash may be reported as unknown. "": none.
    std::string outcome_table{};
    // Asked first when a server is looked for; the connection string's hosts serve when it does not
    // help.
    Rest rest{};
};

// CREATE TABLE for Options::outcome_table.
std::string outcome_table_sql(const std::string& table);

}  // namespace relevo::client
