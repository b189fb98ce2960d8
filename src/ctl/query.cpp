#include "ctl/query.h"

#include <fmt/core.h>

#include "base/text.h"
#include "ctl/dialogue.h"
#include "ctl/table.h"

namespace relevo::ctl {
namespace {

// postgres://10.0.0.2:5432/postgres?... -> postgres
std::string database_of(const std::string& conn_url) {
    const auto host = conn_url.find("://");
    const auto slash = host == std::string::npos ? host : conn_url.find('/', host + 3);
    if (slash == std::string::npos) return "postgres";
    const auto name = conn_url.substr(slash + 1, conn_url.find('?', slash) - slash - 1);
    return name.empty() ? "postgres" : name;
}

Result<std::string> statement_of(Context& context, const QueryCommand& command) {
    if (command.statement.has_value() == command.file.has_value())
        return fail(ErrorCode::invalid, "give the SQL with --command, or its file with --file");
    if (command.statement) return *command.statement;
    return context.desk.read_file(*command.file);
}

void print(Context& context, const QueryCommand& command, const SqlTable& result) {
    Records records{.names = result.columns, .rows = {}};
    Table table;
    for (const auto& name : result.columns) table.columns.push_back({name, Align::left});
    for (const auto& row : result.rows) {
        records.rows.emplace_back();
        table.rows.emplace_back();
        for (const auto& value : row) {
            records.rows.back().push_back(text_field(value));
            table.rows.back().push_back({value, Tone::plain});
        }
    }
    switch (command.format) {
        case Format::json: return context.terminal.out(to_json_line(records));
        case Format::yaml: return context.terminal.out(to_yaml_list(records));
        case Format::tsv: return context.terminal.out(to_tsv(records, command.delimiter));
        case Format::pretty:
        case Format::topology: return context.terminal.out(draw(table, context.terminal.colour()));
    }
}

// A row like any other, so that a watched query tells what happened when.
Exit print_error(Context& context, const QueryCommand& command, const std::string& message,
                 const std::string& sqlstate) {
    const auto when = local_text(context.clock.wall(), context.clock);
    print(context, command,
          {.columns = {"timestamp", "error", "sqlstate"},
           .rows = {{when, std::string(trim(message)), sqlstate}}});
    return Exit::failed;
}

Outcome query_once(Context& context, const QueryCommand& command, const std::string& statement,
                   const std::optional<std::string>& password) {
    RLV_TRY(const auto loaded, load(context, command.cluster));
    const auto member = one_member(context, loaded, command.member, command.role);
    if (!member && member.error().code == ErrorCode::invalid)
        return std::unexpected(member.error());
    if (!member) return print_error(context, command, member.error().message, "");
    const SqlTarget target{
        .host = (*member)->host(),
        .port = fmt::format("{}", (*member)->port()),
        .user = command.user,
        .database = command.database.empty() ? database_of((*member)->conn_url) : command.database,
        .password = password};
    const auto result = context.sql.run(target, statement);
    if (!result)
        return print_error(context, command, result.error().message, result.error().sqlstate);
    if (!result->columns.empty()) print(context, command, *result);
    return Exit::ok;
}

}  // namespace

Outcome query(Context& context, const QueryCommand& command) {
    RLV_TRY(const auto statement, statement_of(context, command));
    std::optional<std::string> password;
    if (command.ask_password) {
        password = context.terminal.ask_hidden("Password: ");
        if (!password) return fail(ErrorCode::cancelled, "Aborted!");
    }
    return watching(context, command.watch,
                    [&] { return query_once(context, command, statement, password); });
}

}  // namespace relevo::ctl
