// PgBouncer's configuration as text: the user's own file read, what it may not say taken out and
// named, the whole rendered. Pure.
//
// The user's file is read by us and not included by PgBouncer: a second [pgbouncer] section sets
// everything that it does not name back to PgBouncer's defaults (seen with 1.18).
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "ports/pooler.h"

namespace relevo::pgbouncer {

using Settings = std::map<std::string, std::string>;

struct UserIni {
    Settings settings;                                           // [pgbouncer]
    std::vector<std::pair<std::string, std::string>> databases;  // name, connection string
    std::vector<std::pair<std::string, std::string>> users;
};
// Errors: invalid, with the line. %include lines are followed by the caller: `includes` has them.
Result<UserIni> parse_ini(std::string_view text, std::vector<std::string>* includes = nullptr);

struct Database {
    std::string name;  // as clients call it; "*": every other
    ports::Route route = ports::Route::writes;
    std::string dbname;   // on the server; empty: the same
    std::string options;  // more of the connection string: "pool_size=50 user=app"
    bool operator==(const Database&) const = default;
};

// Where a database leads to, as its connection string and SHOW DATABASES have it.
struct Place {
    std::string host;  // or several, with commas: PgBouncer goes round them
    int port = 0;
    bool operator==(const Place&) const = default;
};
// Without anybody to lead to: where nobody listens.
Place place_of(const Database& database, const ports::Routes& routes);

struct IniPlan {
    std::string directory;  // of sockets, process number, log
    std::string listen_host;
    int listen_port = 0, number = 0;  // number: of the process, from 0
    bool reuse_port = false;
    // Directories of all processes by their number, where they pass cancel requests to each other;
    // empty: this PgBouncer cannot (version.h), and refuses a file that says so.
    std::vector<std::string> peers;
    Settings settings;  // from the gateway's own file: they win over the user's
    UserIni user;
    std::set<std::string> kept;  // protected settings that the user's file keeps
    std::vector<Database> databases;
    ports::Routes routes;
    // What the database `marker` is called on its server: by that SHOW DATABASES tells whether this
    // very text was read, to its end. Empty: no such database.
    std::string generation;
};

// Leads nowhere, and is nobody's to connect to.
constexpr const char* marker = "relevo-gateway";

// The settings without which a failover hurts, and what they are.
const Settings& protected_settings();
// Lines for the operator: settings of the user's that are not taken, and why.
std::vector<std::string> overridden(const IniPlan& plan);
// invalid: a value that cannot be written in such a file.
Result<std::string> render(const IniPlan& plan);

}  // namespace relevo::pgbouncer
