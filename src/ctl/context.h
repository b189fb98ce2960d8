// What a command needs of the world, each as a small interface: the real ones are in real_context.h
// and terminal.h, the scripted ones in fake_context.h. Everything here blocks: the command line
// does one thing at a time, and the operator waits for it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/tree.h"
#include "ctl/table.h"

namespace relevo::ctl {

// One cluster's keys. Reads are linearizable. Errors: as ports/dcs.h.
class Store {
public:
    virtual ~Store() = default;
    virtual Result<cluster::KeyTree> read() = 0;
    virtual Result<cluster::TxnResult> commit(const cluster::Txn& txn) = 0;
};

struct HttpAnswer {
    int status = 0;
    std::string body;
};

// Requests to members' agents, with the configured credentials. Any HTTP answer is an answer;
// unavailable: nothing was sent; outcome_unknown: it may have been received.
class Http {
public:
    virtual ~Http() = default;
    virtual Result<HttpAnswer> send(const std::string& method, const std::string& url,
                                    const std::string& body, Duration deadline) = 0;
};

struct SqlTarget {
    std::string host, port, user, database;  // empty: libpq's default
    std::optional<std::string> password;     // absent: PGPASSWORD, .pgpass
};

struct SqlTable {
    std::vector<std::string> columns;  // empty: the statement returned no rows
    std::vector<std::vector<std::string>> rows;
};

struct SqlError {
    std::string sqlstate;  // empty: no connection
    std::string message;
};

class Sql {
public:
    virtual ~Sql() = default;
    virtual std::expected<SqlTable, SqlError> run(const SqlTarget& target,
                                                  const std::string& statement) = 0;
};

class Clock {
public:
    virtual ~Clock() = default;
    virtual Instant now() = 0;
    virtual WallTime wall() = 0;
    virtual void sleep(Duration time) = 0;
    // What the operator's zone adds to UTC at that calendar time.
    virtual std::chrono::seconds zone_offset(WallTime at) = 0;
};

// The operator. Texts are written as they are; callers end their lines.
class Terminal {
public:
    virtual ~Terminal() = default;
    virtual void out(std::string_view text) = 0;
    virtual void err(std::string_view text) = 0;
    // One line, without its newline. nullopt: end of input.
    virtual std::optional<std::string> ask(std::string_view prompt) = 0;
    virtual std::optional<std::string> ask_hidden(std::string_view prompt) = 0;
    virtual bool interactive() = 0;  // stdout is a terminal
    virtual bool colour() = 0;       // and may be coloured
    virtual void clear() = 0;        // the screen; nothing where there is none
};

// Files and programs at the operator's side.
class Desk {
public:
    virtual ~Desk() = default;
    virtual Result<std::string> read_file(const std::string& path) = 0;  // "-": standard input
    // Opens the text in $EDITOR; what is there when it closes.
    virtual Result<std::string> edit(const std::string& name, const std::string& text) = 0;
    // Shows a long text through $PAGER, only called on a terminal.
    virtual Status page(const std::string& text) = 0;
    virtual std::size_t pick(std::size_t count) = 0;  // at random, below count
};

struct Context {
    Terminal& terminal;
    Clock& clock;
    Http& http;
    Sql& sql;
    Desk& desk;
    // The keys of one cluster; made when first asked for.
    std::function<Result<Store*>(const std::string& scope)> store;
    std::string scope;  // of the configuration; empty: none
};

// How a command ended when it did not end in an Error. `failed` exits 0 as Patroni does (a member
// answered with an error, the text says so), or 1 under --strict.
enum class Exit { ok, failed };
using Outcome = Result<Exit>;

}  // namespace relevo::ctl
