// The script that a running server is asked, and how its answer is read.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "postgres/observer.h"
#include "postgres/recovery_settings.h"

namespace relevo::postgres {

namespace {

// The statements give everything as text or bool; the columns' names are used to read it.

// Before anything else: positions that are read after the receiver was gone, and after replay had
// come to the end, are the last ones. A receiver that is still being started has no process yet,
// and the startup process waits for it.
constexpr std::string_view receiving_statement = R"(
SELECT coalesce(bool_or(backend_type = 'startup' AND wait_event IN
                        ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream', 'RecoveryWalAll')),
                false) AS at_end,
       coalesce(bool_or(backend_type = 'walreceiver' OR wait_event = 'RecoveryWalStream'), false)
           OR EXISTS (SELECT 1 FROM pg_stat_wal_receiver) AS receiving
  FROM pg_stat_activity
 WHERE pg_is_in_recovery() AND backend_type IN ('startup', 'walreceiver');)";

constexpr std::string_view server_statement = R"(
SELECT r.recovering,
       (SELECT system_identifier FROM pg_control_system()) AS system_id,
       CASE WHEN NOT r.recovering THEN pg_current_wal_flush_lsn() END AS flush,
       CASE WHEN NOT r.recovering
            THEN ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int8
            END AS wal_timeline,
       CASE WHEN r.recovering THEN pg_last_wal_receive_lsn() END AS receive,
       CASE WHEN r.recovering THEN pg_last_wal_replay_lsn() END AS replay,
       CASE WHEN r.recovering THEN pg_is_wal_replay_paused() ELSE false END AS paused,
       (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8 AS replayed_us,
       to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
           || '+00:00' AS started,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
       (SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS recovery_timeline,
       current_setting('server_version_num') AS version,
       current_setting('restore_command', true) AS restore_command,
       current_setting('primary_conninfo', true) AS primary_conninfo,
       current_setting('primary_slot_name', true) AS primary_slot_name,
       current_setting('synchronous_standby_names') AS synchronous_standby_names,
       current_setting('default_transaction_read_only') = 'on' AS only_reads,
       CASE WHEN current_setting('default_transaction_read_only') = 'on'
            THEN (SELECT sourcefile FROM pg_settings WHERE name = 'default_transaction_read_only')
            END AS only_reads_by,
       current_setting('config_file') AS config_file,
       current_setting('hba_file') AS hba_file,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_size,
       EXISTS (SELECT 1 FROM pg_settings WHERE pending_restart) AS pending_restart
  FROM (SELECT pg_is_in_recovery() AS recovering) r;)";

constexpr std::string_view receiver_statement = R"(
SELECT status, received_tli, written_lsn, latest_end_lsn, sender_host, sender_port, slot_name
  FROM pg_stat_wal_receiver;)";

constexpr std::string_view senders_statement = R"(
SELECT usename, application_name, host(client_addr) AS client_addr, state, sync_state,
       sync_priority, sent_lsn, write_lsn, flush_lsn, replay_lsn, pid
  FROM pg_stat_replication ORDER BY application_name, pid;)";

constexpr std::string_view slots_statement = R"(
SELECT slot_name, slot_type, database, plugin, active, restart_lsn, confirmed_flush_lsn,
       xmin IS NOT NULL AS has_xmin, coalesce(wal_status = 'lost', false) AS lost
  FROM pg_replication_slots ORDER BY slot_name)";

// A row by its columns' names.
class Row {
public:
    Row(const Rows& rows, std::size_t number)
        : columns_(rows.columns), values_(rows.rows[number]) {}
    std::string text(std::string_view name) const {
        const auto found = std::ranges::find(columns_, name);
        if (found == columns_.end()) return {};
        const auto& value = values_[static_cast<std::size_t>(found - columns_.begin())];
        return value.value_or("");
    }
    bool flag(std::string_view name) const { return text(name) == "t"; }
    std::int64_t number(std::string_view name) const {
        return parse_decimal(text(name)).value_or(0);
    }
    cluster::Lsn lsn(std::string_view name) const {
        return cluster::parse_lsn(text(name)).value_or(cluster::Lsn{});
    }
    cluster::Timeline timeline(std::string_view name) const {
        return static_cast<cluster::Timeline>(number(name));
    }

private:
    const std::vector<std::string>& columns_;
    const std::vector<std::optional<std::string>>& values_;
};

void read_server(const Row& row, cluster::LocalPostgres& into, ServerFacts& facts) {
    into.in_recovery = row.flag("recovering");
    into.system_id = row.text("system_id");
    into.version = static_cast<int>(row.number("version"));
    into.wal = row.lsn("flush");
    into.receive = row.lsn("receive");
    into.replay = row.lsn("replay");
    into.replay_paused = row.flag("paused");
    if (!row.text("replayed_us").empty())
        into.replayed_at = WallTime(std::chrono::microseconds(row.number("replayed_us")));
    into.postmaster_start_time = row.text("started");
    into.pending_restart = row.flag("pending_restart");
    const auto checkpoint = row.timeline("checkpoint_timeline");
    if (into.in_recovery) {
        // Without a receiver the timeline received last is not to be had from SQL. pg_control
        // follows it at restart points only; the observer asks pg_wal.
        into.timeline = std::max(checkpoint, row.timeline("recovery_timeline"));
    } else {
        into.timeline = row.timeline("wal_timeline");
        into.checkpoint_after_promote = checkpoint == into.timeline;
    }
    facts.config_file = row.text("config_file");
    facts.hba_file = row.text("hba_file");
    into.sync_names = row.text("synchronous_standby_names");
    into.refuses_writes = !into.in_recovery && row.flag("only_reads");
    facts.read_only_by = row.text("only_reads_by");
    facts.segment_size = static_cast<std::uint64_t>(row.number("segment_size"));
    if (!into.in_recovery) return;
    if (!row.text("restore_command").empty()) into.replication_state = "in archive recovery";
    into.slot_name = row.text("primary_slot_name");
    const auto conninfo = parse_conninfo(row.text("primary_conninfo"));
    if (!conninfo) return;
    const auto get = [&](const char* name) {
        const auto found = conninfo->find(name);
        return found == conninfo->end() ? std::string() : found->second;
    };
    into.upstream_host = get("host");
    into.upstream_port = static_cast<int>(parse_decimal(get("port")).value_or(5432));
}

void read_receiver(const Row& row, cluster::LocalPostgres& into, ServerFacts& facts) {
    // The live one: it may have been started with other settings than those of now.
    if (row.text("status") == "streaming") into.replication_state = "streaming";
    // Written is as good as received: the receiver flushes what it wrote before it ends.
    into.receive = std::max(into.receive, row.lsn("written_lsn"));
    into.latest_end = row.lsn("latest_end_lsn");
    if (const auto timeline = row.timeline("received_tli"); timeline > 0) {
        into.timeline = timeline;
        facts.timeline_received = true;
    }
    if (!row.text("sender_host").empty()) {
        into.upstream_host = row.text("sender_host");
        into.upstream_port = static_cast<int>(row.number("sender_port"));
    }
    into.slot_name = row.text("slot_name");
}

}  // namespace

std::string observing_script() {
    return fmt::format("{}{}{}{}{}", receiving_statement, server_statement, receiver_statement,
                       senders_statement, slots_statement);
}

Status read_observation(const std::vector<Rows>& answer, cluster::LocalPostgres& into,
                        ServerFacts& facts) {
    if (answer.size() != 5 || answer[0].rows.size() != 1 || answer[1].rows.size() != 1)
        return fail(ErrorCode::failed, "the server's answer about itself is incomplete");
    read_server(Row(answer[1], 0), into, facts);
    if (into.in_recovery) {
        const Row receiving(answer[0], 0);
        into.receiving = receiving.flag("receiving");
        // Streaming is only asked for once all that is here was replayed.
        into.received_all = receiving.flag("at_end") || into.receive;
    }
    if (!answer[2].rows.empty() && into.in_recovery) read_receiver(Row(answer[2], 0), into, facts);
    for (std::size_t i = 0; i < answer[3].rows.size(); ++i) {
        const Row row(answer[3], i);
        into.senders.push_back({row.text("usename"), row.text("application_name"),
                                row.text("client_addr"), row.text("state"), row.text("sync_state"),
                                static_cast<int>(row.number("sync_priority")), row.lsn("sent_lsn"),
                                row.lsn("write_lsn"), row.lsn("flush_lsn"), row.lsn("replay_lsn"),
                                static_cast<int>(row.number("pid"))});
    }
    for (std::size_t i = 0; i < answer[4].rows.size(); ++i) {
        const Row row(answer[4], i);
        into.slots.push_back({row.text("slot_name"), row.text("slot_type"), row.text("database"),
                              row.text("plugin"), row.flag("active"), row.lsn("restart_lsn"),
                              row.lsn("confirmed_flush_lsn"), row.flag("has_xmin"),
                              row.flag("lost")});
    }
    return {};
}

std::vector<cluster::HistoryLine> parse_history(std::string_view text) {
    std::vector<cluster::HistoryLine> lines;
    for (const auto& line : split(text, '\n')) {
        const auto fields = split(trim(line), '\t');
        if (fields.size() < 2) continue;
        const auto timeline = parse_decimal(trim(fields[0]));
        const auto lsn = cluster::parse_lsn(trim(fields[1]));
        if (!timeline || !lsn) continue;
        lines.push_back({static_cast<cluster::Timeline>(*timeline), *lsn,
                         fields.size() > 2 ? std::string(trim(fields[2])) : "", "", ""});
    }
    return lines;
}

}  // namespace relevo::postgres
