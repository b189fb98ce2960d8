// A pool of connections to a cluster's primary, and to its replicas, that finds the primary itself,
// repeats what is safe to repeat, and says what became of the rest.
//
//     auto pool = Pool::make(io.get_executor(), {.conninfo = "host=a,b,c dbname=app user=app"});
//     auto done = co_await (*pool)->transaction([](Transaction& t) -> Task<Expected<void>> {
//         auto taken = co_await t.execute("UPDATE account SET ... WHERE id = $1", {"7"});
//         if (!taken) co_return std::unexpected(taken.error());
//         co_return Expected<void>{};
//     });
//
// What is repeated, until the deadline or the budget ends: what was never sent, and what was surely
// rolled back (a connection lost before COMMIT, 40001, 40P01, 25006, 57P01 before COMMIT). What is
// not: a statement outside a transaction whose answer was lost, unless the call is idempotent. A
// COMMIT whose answer was lost is looked up on the primary of the moment; when that can't tell,
// the error's kind is `unknown`, never a guess. docs/clients.md has the rules.
//
// Everything runs on the executor that is given, which must be of one thread (or a strand). Calls
// may be made side by side; each keeps its pool alive. blocking.h has the face for threads.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "relevo/types.h"

namespace relevo::client {

class Transaction {
public:
    virtual ~Transaction() = default;
    // One statement. After an error the transaction can only end: return the error, and the pool
    // decides whether to run the function again.
    virtual Task<Expected<Rows>> execute(std::string sql, Parameters parameters = {}) = 0;
};

// Runs once an attempt, so it must not do what can't be repeated outside the database. Returning an
// error rolls back and ends the call with that error; so does an exception, which goes on to the
// caller. BEGIN and what belongs to it go with the first statement, in one round trip, and have
// read the clock and a row before it: isolation and read-only are set in Call.
using Body = std::function<Task<Expected<void>>(Transaction&)>;

class Pool {
public:
    static Expected<std::shared_ptr<Pool>> make(boost::asio::any_io_executor executor,
                                                Options options);
    virtual ~Pool() = default;

    // One statement outside a transaction.
    virtual Task<Expected<Rows>> execute(std::string sql, Parameters parameters = {},
                                         Call call = {}) = 0;
    virtual Task<Expected<Receipt>> transaction(Body body, Call call = {}) = 0;

    // No new calls; those that wait end with `closed`, those that run end as they do.
    virtual void close() = 0;

    struct Counts {
        std::uint64_t calls = 0, retries = 0, resolved = 0, unknown = 0, searches = 0;
        std::uint64_t asked = 0;  // the members' REST
        std::size_t open = 0;     // connections at this moment
    };
    virtual Counts counts() const = 0;

    // Why nobody's REST helped when it was last asked (Options::rest), for a log; "": it did, or
    // was not asked. The pool does without it meanwhile.
    virtual std::string rest_problem() const = 0;
};

}  // namespace relevo::client
