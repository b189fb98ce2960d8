// Is anybody at home? A new connection just far enough that the postmaster had to accept it, fork,
// and say something: no password, no query. A server that answers its old connections may still
// fail this one.
#pragma once

#include <string>

#include "base/time.h"
#include "ports/task.h"
#include "postgres/connection.h"

namespace relevo::postgres {

struct ProbeAnswer {
    enum class Kind {
        accepting,  // asks for a password, lets us in, or refuses this user: it serves
        starting,   // 57P03: the database system is starting up, shutting down, in recovery
        refused,    // nobody listens there
        silent,     // no answer in time
    } kind = Kind::silent;
    std::string sqlstate;
    std::string message;  // the server's, or why there is none
};

Task<ProbeAnswer> probe(os::Blocking& pool, ConnectOptions where, Duration patience);

// The SQLSTATE and message of an ErrorResponse's body. Pure.
ProbeAnswer read_refusal(std::string_view body);

}  // namespace relevo::postgres
