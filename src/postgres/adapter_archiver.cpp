// The part of the adapter that asks what the archiver did.
#include <chrono>

#include "base/text.h"
#include "postgres/adapter.h"

namespace relevo::postgres {

namespace {

constexpr Duration patience = std::chrono::seconds(3);

constexpr const char* archiver_sql = R"(
SELECT coalesce(a.last_archived_wal, ''), (extract(epoch FROM a.last_archived_time) * 1e6)::bigint,
       coalesce(a.last_failed_wal, ''), (extract(epoch FROM a.last_failed_time) * 1e6)::bigint,
       pg_current_wal_flush_lsn(),
       (SELECT txid_snapshot_xmax(s) - (SELECT count(*) FROM txid_snapshot_xip(s))
          FROM txid_current_snapshot() AS s),
       (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'),
       (SELECT setting FROM pg_settings WHERE name = 'archive_timeout'),
       (SELECT count(*) FROM pg_ls_dir('pg_wal/archive_status') AS f
         WHERE f ~ '^[0-9A-F]{24}[.]ready$')
  FROM pg_stat_archiver a)";

std::optional<WallTime> moment(const std::optional<std::string>& microseconds) {
    const auto count = parse_decimal(microseconds.value_or(""));
    if (!count) return std::nullopt;
    return WallTime(std::chrono::microseconds(*count));
}

}  // namespace

// Over a connection of its own: before 15 these figures come from a process that may hang, and what
// a failover waits for must not wait for that.
Task<Result<cluster::ArchiverState>> Adapter::archiver() {
    constexpr const char* what = "asking what was archived";
    auto connection = co_await server_.new_connection(patience);
    if (!connection) co_return within(what, connection.error());
    auto rows = co_await (*connection)->query(archiver_sql, patience);
    if (!rows) co_return within(what, rows.error());
    if (rows->rows.size() != 1 || rows->rows[0].size() != 9)
        co_return fail(ErrorCode::failed, "asking what was archived: the server's answer is odd");
    const auto& row = rows->rows[0];
    const auto number = [&](std::size_t at) {
        return parse_decimal(row[at].value_or("")).value_or(0);
    };
    cluster::ArchiverState state;
    state.last_archived = row[0].value_or("");
    state.archived_at = moment(row[1]);
    state.last_failed = row[2].value_or("");
    state.failed_at = moment(row[3]);
    state.written = cluster::parse_lsn(row[4].value_or("")).value_or(cluster::Lsn{});
    state.ended = static_cast<std::uint64_t>(number(5));
    // Before 11 in blocks of 8 kB, since then in bytes.
    state.segment_bytes = static_cast<std::uint64_t>(number(6));
    if (state.segment_bytes < (1U << 20U)) state.segment_bytes *= 8192;
    state.archive_timeout = std::chrono::seconds(number(7));
    state.waiting = static_cast<int>(number(8));
    co_return state;
}

}  // namespace relevo::postgres
