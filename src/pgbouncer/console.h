// PgBouncer's admin console over its UNIX socket, through libpq: one statement a call, on a
// connection that is kept for the next. Whoever runs PgBouncer is let in without a password, as the
// user "pgbouncer", so the two must be one user.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "ports/task.h"

namespace relevo::pgbouncer {

struct Table {
    std::vector<std::string> columns;
    std::vector<std::vector<std::string>> rows;
    // The row's value in that column; empty: there is none.
    std::string value(std::size_t row, std::string_view column) const;
    std::int64_t number(std::size_t row, std::string_view column) const;  // 0: none
};

class Console {
public:
    // directory: of the socket.
    Console(std::string directory, int port);
    ~Console();
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    // One after the other, each within its deadline. Errors: unavailable (nobody answers there),
    // denied, outcome_unknown (nothing within the deadline, or lost after sending: the connection
    // is closed), failed (PgBouncer refuses, in its words), cancelled (close() was called).
    Task<Result<Table>> ask(std::string statement, Duration deadline);
    // The process at the other end, once it has answered; nothing when it cannot be told.
    std::optional<pid_t> peer() const;
    // What is under way ends with cancelled. PgBouncer still does what it was told (a PAUSE lasts).
    void close();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace relevo::pgbouncer
