// Pure: what may be done after what came (or did not come) of one message to a server.
//
// The rule behind the table: repeat only what is known not to have happened. A server's ERROR means
// that the statement, and the transaction with it, was rolled back. FATAL, PANIC and a connection
// that broke mean the same only as long as nothing was sent that could have committed.
#pragma once

#include <random>
#include <string>
#include <string_view>

#include "relevo/types.h"

namespace relevo::client {

enum class Stage {
    connect,    // no session yet
    begin,      // BEGIN and the mark
    statement,  // inside a transaction
    commit,     // COMMIT was to be sent, or was
    alone       // a statement outside a transaction: its own COMMIT
};

struct Seen {
    Stage stage{};
    bool sent = true;        // false: surely no byte of it left
    bool lost = false;       // no ReadyForQuery came
    std::string sqlstate{};  // of an ErrorResponse, else ""
    bool refused = false;    // an ErrorResponse came
    bool fatal = false;      // of severity FATAL or PANIC
    // The server warned that it stopped waiting for the synchronous standby.
    bool unconfirmed = false;
    bool rolled_back = false;  // COMMIT was answered with ROLLBACK
    bool idempotent = false;   // the caller allows doing it twice
};

enum class Action {
    done,
    reject,    // the caller's error; nothing was done
    again,     // nothing was done, or it may be done twice: after a pause, on a new session if lost
    in_doubt,  // perhaps committed: find out
    unconfirmed  // committed there, perhaps not on any standby: unknown
};
const char* to_string(Action action);

Action classify(const Seen& seen);

// The pause before the n-th repetition (n >= 1); `drawn` is uniform in [0, 1).
Duration pause(const Backoff& backoff, int n, double drawn);

class RetryBudget {
public:
    explicit RetryBudget(Budget budget) : budget_(budget), tokens_(budget.saved) {}
    void earn();
    bool spend();  // false: none left

private:
    Budget budget_;
    double tokens_;
};

}  // namespace relevo::client
