// A look through all tables and B-tree indexes of a running server, a standby or a primary, for
// damage that no checksum shows (docs/adr/0022): with the functions of the extension amcheck, which
// only read. Needs PostgreSQL 14.
//
// Slow on purpose: one connection, one relation after the other, tables in pieces, and after each
// piece as long a pause.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ports/postgres.h"
#include "postgres/connection.h"

namespace relevo::postgres {

// What every connection of such a look needs: nothing waits for it for long, it writes nothing, and
// its statement ends when we do.
inline constexpr const char* amcheck_options =
    "-c statement_timeout=0 -c lock_timeout=1000 -c client_connection_check_interval=1000 "
    "-c idle_session_timeout=0 -c default_transaction_read_only=on -c search_path=pg_catalog";

class Amcheck {
public:
    using Opened = Result<std::unique_ptr<Connection>>;
    // With amcheck_options.
    using Connect = std::function<Task<Opened>(std::string database, Connection::Refused* refused)>;
    // of_data: CorruptionNews has it.
    Amcheck(Connect connect, ports::Postgres::AmcheckPlan plan, unsigned of_data);

    // maintenance: a database to ask for the others' names. Once. May be cancelled; it must not
    // outlive this.
    Task<Status> run(std::string maintenance);

private:
    struct Relation {
        std::string oid, where;
        bool index = false;
    };
    // Of one piece.
    struct Verdict {
        enum class What { good, damaged, gone, left_out, lost } what = What::good;
        std::uint64_t reports = 0;
        std::string words{};
    };
    using Check = std::function<Task<Verdict>()>;

    Task<Result<std::vector<std::string>>> databases(const std::string& maintenance);
    Task<Opened> open(const std::string& database);
    Task<Status> look_into(const std::string& database, bool shared_too);
    // Which functions there are, and what there is to look at.
    Task<Verdict> read_catalog(const std::string& database, bool shared_too,
                               std::vector<Relation>& list);
    Task<Status> look_at(const Relation& relation);
    Task<Verdict> check_table(const Relation& relation);
    Task<Verdict> check_index(const Relation& relation);
    Task<Verdict> check_blocks(const Relation& relation, std::uint64_t from, std::uint64_t to);
    Task<Verdict> twice(Check check);
    Verdict judge(const Error& error) const;
    Task<bool> is_gone(const Relation& relation);
    Task<Result<Rows>> ask(std::string sql, std::vector<std::optional<std::string>> parameters);
    Task<void> rest();
    void damaged(const std::string& where, const Verdict& verdict);
    void leave_out(const std::string& where, const std::string& why);
    void tell_of_databases() const;

    Connect connect_;
    ports::Postgres::AmcheckPlan plan_;
    unsigned of_data_;
    cluster::AmcheckRun run_;
    std::unique_ptr<Connection> connection_;
    std::string table_check_, index_check_;  // quoted names; empty: not there
    std::vector<std::string> without_;  // databases that lack the extension, or have an old one
    std::uint64_t piece_ = 0;           // blocks of a table in one statement
    Duration last_{};                   // how long the last statement took
    Duration owed_{};                   // of pauses
};

}  // namespace relevo::postgres
