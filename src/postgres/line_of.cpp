#include "postgres/line_of.h"

#include <fmt/format.h>

#include <chrono>

#include "base/text.h"
#include "postgres/connection.h"

namespace relevo::postgres {

namespace {
constexpr Duration patience = std::chrono::seconds(5);
}

Task<Result<cluster::WalLine>> line_of(Connection& replication) {
    constexpr const char* doing = "asking a server for its timeline";
    auto identity = co_await replication.query("IDENTIFY_SYSTEM", patience);
    if (!identity) co_return within(doing, identity.error());
    if (identity->rows.empty() || identity->rows[0].size() < 3)
        co_return fail(ErrorCode::failed, fmt::format("{}: its answer is odd", doing));
    const auto& row = identity->rows[0];
    cluster::WalLine line;
    line.system_id = row[0].value_or("");
    line.timeline = static_cast<cluster::Timeline>(parse_decimal(row[1].value_or("")).value_or(0));
    line.end = cluster::parse_lsn(row[2].value_or("")).value_or(cluster::Lsn{});
    if (line.timeline <= 1) co_return line;
    auto history =
        co_await replication.query(fmt::format("TIMELINE_HISTORY {}", line.timeline), patience);
    if (!history) co_return within("asking a server for its timeline's history", history.error());
    if (history->rows.empty() || history->rows[0].size() < 2)
        co_return fail(ErrorCode::failed, "asking a server for its history: its answer is odd");
    auto lines = cluster::parse_history_file(history->rows[0][1].value_or(""));
    if (!lines) co_return within("reading a server's history", lines.error());
    line.history = *std::move(lines);
    co_return line;
}

}  // namespace relevo::postgres
