#include "ctl/sql.h"

#include <libpq-fe.h>

#include <memory>

namespace relevo::ctl {
namespace {

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Answer = std::unique_ptr<PGresult, decltype(&PQclear)>;

constexpr const char* connect_timeout_s = "10";

Connection connect(const SqlTarget& target) {
    std::vector<const char*> names, values;
    const auto add = [&](const char* name, const char* value) {
        names.push_back(name);
        values.push_back(value);
    };
    const auto add_text = [&](const char* name, const std::string& value) {
        if (!value.empty()) add(name, value.c_str());
    };
    add_text("host", target.host);
    add_text("port", target.port);
    add_text("user", target.user);
    add_text("dbname", target.database);
    if (target.password) add("password", target.password->c_str());
    add("connect_timeout", connect_timeout_s);
    add("fallback_application_name", "relevoctl");
    add(nullptr, nullptr);
    return {PQconnectdbParams(names.data(), values.data(), 0), &PQfinish};
}

SqlTable table_of(const PGresult* answer) {
    SqlTable table;
    for (int column = 0; column < PQnfields(answer); ++column)
        table.columns.emplace_back(PQfname(answer, column));
    for (int row = 0; row < PQntuples(answer); ++row) {
        auto& cells = table.rows.emplace_back();
        for (int column = 0; column < PQnfields(answer); ++column)
            cells.emplace_back(PQgetvalue(answer, row, column));
    }
    return table;
}

}  // namespace

std::expected<SqlTable, SqlError> LibpqSql::run(const SqlTarget& target,
                                                const std::string& statement) {
    const auto connection = connect(target);
    if (PQstatus(connection.get()) != CONNECTION_OK)
        return std::unexpected(SqlError{"", PQerrorMessage(connection.get())});
    const Answer answer(PQexec(connection.get(), statement.c_str()), &PQclear);
    switch (PQresultStatus(answer.get())) {
        case PGRES_TUPLES_OK:
        case PGRES_SINGLE_TUPLE: return table_of(answer.get());
        case PGRES_COMMAND_OK:
        case PGRES_EMPTY_QUERY: return SqlTable{};
        case PGRES_COPY_IN:
        case PGRES_COPY_OUT:
        case PGRES_COPY_BOTH:
            return std::unexpected(
                SqlError{"0A000", "COPY from or to the client is not supported"});
        case PGRES_BAD_RESPONSE:
        case PGRES_NONFATAL_ERROR:
        case PGRES_FATAL_ERROR:
        case PGRES_PIPELINE_SYNC:
        case PGRES_PIPELINE_ABORTED: break;
    }
    const char* state = PQresultErrorField(answer.get(), PG_DIAG_SQLSTATE);
    return std::unexpected(
        SqlError{state != nullptr ? state : "", PQerrorMessage(connection.get())});
}

}  // namespace relevo::ctl
