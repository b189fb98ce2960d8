// The Prometheus text (contract 5.8): names and values are Patroni's, so that its dashboards work.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cluster/publish.h"

namespace relevo::cluster {
namespace {

std::string escaped(std::string_view label) {
    std::string out;
    for (const char c : label) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') out += '\\';
        out += c;
    }
    return out;
}

// 4.1.4 -> 040104
std::string version_digits(std::string_view version) {
    std::string out;
    for (const std::string& part : split(version, '.')) out += fmt::format("{:0>2}", part);
    return out;
}

// Seconds since the epoch with their fraction; 0 when unknown.
std::string epoch(std::optional<WallTime> time) {
    if (!time) return "0";
    const auto us = time->time_since_epoch().count();
    return fmt::format("{}.{:06}", us / 1'000'000, us % 1'000'000);
}

class Page {
public:
    explicit Page(const StatusInput& input)
        : labels_(fmt::format("{{scope=\"{}\",name=\"{}\"}}", escaped(input.scope),
                              escaped(input.name))) {}

    void gauge(const char* name, const char* help, const std::string& value) {
        metric(name, help, "gauge", value);
    }
    void gauge(const char* name, const char* help, bool value) {
        gauge(name, help, value ? "1" : "0");
    }
    void gauge(const char* name, const char* help, const char* value) {
        gauge(name, help, std::string(value));
    }
    void number(const char* name, const char* help, std::int64_t value) {
        gauge(name, help, std::to_string(value));
    }
    void counter(const char* name, const char* help, Lsn value) {
        metric(name, help, "counter", std::to_string(value.value));
    }
    // One for each of several things, under one more label.
    using Values = std::vector<std::pair<std::string, std::string>>;
    void gauge_of(const char* name, const char* help, const char* label, const Values& values) {
        several(name, help, "gauge", label, values);
    }
    void counter_of(const char* name, const char* help, const char* label, const Values& values) {
        several(name, help, "counter", label, values);
    }
    void comment(std::string_view text) { out_ += fmt::format("# {}\n", text); }
    std::string take() { return std::move(out_); }

private:
    void several(const char* name, const char* help, const char* type, const char* label,
                 const Values& values) {
        out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
        const std::string_view common(labels_.data(), labels_.size() - 1);  // up to the brace
        for (const auto& [what, value] : values)
            out_ += fmt::format("{}{},{}=\"{}\"}} {}\n", name, common, label, escaped(what), value);
    }
    void metric(const char* name, const char* help, const char* type, const std::string& value) {
        out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n{}{} {}\n", name, help, name, type, name,
                            labels_, value);
    }

    std::string labels_;
    std::string out_;
};

void add_role(Page& page, const StatusInput& input) {
    const Role role = shown_role(input);
    const SyncMode duty = sync_duty(input);
    page.gauge("patroni_primary", "1 if this member is the primary, 0 otherwise.",
               role == Role::primary);
    page.gauge("patroni_standby_leader", "1 if this member leads a standby cluster, 0 otherwise.",
               role == Role::standby_leader);
    page.gauge("patroni_replica", "1 if this member is a replica, 0 otherwise.",
               role == Role::replica);
    page.gauge("patroni_sync_standby", "1 if this member is a synchronous standby, 0 otherwise.",
               duty == SyncMode::on);
    page.gauge("patroni_quorum_standby", "1 if this member is a quorum standby, 0 otherwise.",
               duty == SyncMode::quorum);
}

void add_positions(Page& page, const StatusInput& input) {
    const LocalPostgres& postgres = input.postgres;
    const bool answers = postgres.server == Server::running;
    const bool standby = answers && postgres.in_recovery;
    const Lsn received = postgres.receive ? postgres.receive : postgres.replay;
    page.counter("patroni_xlog_location",
                 "Current WAL position of the primary in bytes, 0 on a replica.",
                 answers && !standby ? postgres.wal : Lsn{});
    page.counter("patroni_xlog_received_location",
                 "WAL position received by this replica in bytes, 0 on the primary.",
                 standby ? received : Lsn{});
    page.counter("patroni_xlog_replayed_location",
                 "WAL position replayed by this replica in bytes, 0 on the primary.",
                 standby ? postgres.replay : Lsn{});
    page.gauge(
        "patroni_xlog_replayed_timestamp",
        "Time of the last transaction replayed by this replica, in seconds since the epoch, or 0.",
        epoch(standby ? postgres.replayed_at : std::nullopt));
    page.gauge("patroni_xlog_paused", "1 if replay is paused on this replica, 0 otherwise.",
               standby && postgres.replay_paused);
    if (!answers) return;
    page.gauge("patroni_postgres_streaming",
               "1 if this replica streams from its upstream, 0 otherwise.",
               standby && postgres.replication_state == "streaming");
    page.gauge("patroni_postgres_in_archive_recovery",
               "1 if this replica replays from the archive, 0 otherwise.",
               standby && postgres.replication_state == "in archive recovery");
}

void add_server(Page& page, const StatusInput& input) {
    const LocalPostgres& postgres = input.postgres;
    const bool answers = postgres.server == Server::running;
    page.number("patroni_postgres_server_version", "Version number of the PostgreSQL server, or 0.",
                answers ? postgres.version : 0);
    page.gauge("patroni_cluster_unlocked",
               "1 if the cluster has no leader or it is not known, 0 otherwise.",
               input.snapshot == nullptr || input.snapshot->unlocked());
    page.gauge("patroni_failsafe_mode_is_active",
               "1 if the primary runs on without the DCS, 0 otherwise.", input.failsafe_active);
    page.gauge("patroni_failsafe_mode_enabled", "1 if failsafe_mode is on, 0 otherwise.",
               input.settings.failsafe_mode);
    page.gauge("patroni_failsafe_member", "1 if this member is in the failsafe key, 0 otherwise.",
               input.snapshot != nullptr && input.snapshot->failsafe.contains(input.name));
    page.number("patroni_postgres_timeline", "Timeline of the running server, or 0.",
                answers ? std::int64_t{postgres.timeline} : 0);
    const auto seen = input.dcs_last_seen
                          ? std::chrono::floor<std::chrono::seconds>(*input.dcs_last_seen)
                          : std::chrono::sys_seconds{};
    page.number("patroni_dcs_last_seen",
                "Time of the last successful read of the DCS, in seconds since the epoch.",
                seen.time_since_epoch().count());
    page.gauge("patroni_pending_restart",
               "1 if PostgreSQL waits for a restart to apply settings, 0 otherwise.",
               postgres.pending_restart);
    page.gauge(
        "relevo_clients_kept_out",
        "1 if clients have long been kept out of this primary since it started, 0 otherwise.",
        !input.admission.empty());
    page.number("relevo_lowered_synchronous_commit",
                "Roles, databases and files that set synchronous_commit too low for what "
                "synchronous_mode or synchronous_commit_floor promises.",
                static_cast<std::int64_t>(input.lowered_commits.size()));
    page.gauge("relevo_refuses_writes",
               "1 if this primary refuses writes because its disk is nearly full, 0 otherwise.",
               postgres.refuses_writes);
    page.gauge("patroni_is_paused", "1 if automatic failover is paused, 0 otherwise.",
               input.settings.pause);
}

void add_probes(Page& page, const DiskReport& report, Duration age) {
    Page::Values took, ago;
    for (const DiskPlace& place : report.places) {
        if (!place.written) continue;
        took.emplace_back(place.what, fmt::format("{:.6f}", to_s(place.written->took)));
        ago.emplace_back(place.what,
                         fmt::format("{:.1f}", to_s(written_ago(*place.written, report, age))));
    }
    page.gauge_of("relevo_disk_probe_seconds",
                  "How long the last page took that was written and synced there to see whether "
                  "the disk takes writes.",
                  "place", took);
    page.gauge_of(
        "relevo_disk_probe_age_seconds",
        "How long ago that was: it grows when the disk answers with errors or not at all.", "place",
        ago);
}

void add_disk(Page& page, const DiskReport& report, Duration age) {
    const auto all = [&](const char* name, const char* help, const auto& value) {
        std::vector<std::pair<std::string, std::string>> values;
        values.reserve(report.places.size());
        for (const DiskPlace& place : report.places) values.emplace_back(place.what, value(place));
        page.gauge_of(name, help, "place", values);
    };
    all("relevo_disk_total_bytes", "Size of the file system.",
        [](const DiskPlace& place) { return std::to_string(place.total); });
    all("relevo_disk_free_bytes", "What a user without privileges may still write there.",
        [](const DiskPlace& place) { return std::to_string(place.free); });
    all("relevo_disk_minutes_left",
        "Minutes until it is full, as it has filled lately; +Inf while it does not fill.",
        [](const DiskPlace& place) {
            constexpr double a_minute = 60;
            return place.left
                       ? fmt::format("{:.1f}", static_cast<double>(place.left->count()) / a_minute)
                       : std::string("+Inf");
        });
    page.number("relevo_disk_state",
                "0 ok, 1 warning, 2 hold (so little that writes must stop), 3 failed.",
                static_cast<std::int64_t>(report.state));
    page.gauge("relevo_disk_failed",
               "1 if a disk takes no writes, with an error or without an answer; 0 otherwise.",
               report.state == DiskState::failed);
    add_probes(page, report, age);
    page.number("relevo_disk_ballast_bytes",
                "Kept back on the file system of WAL for the way out of a full disk.",
                static_cast<std::int64_t>(report.ballast));
    page.number("relevo_disk_age_seconds",
                "How long ago that was measured: it grows when the disk does not answer.",
                std::chrono::duration_cast<std::chrono::seconds>(age).count());
}

// Only where backups are configured: without them there is nothing to alarm about.
void add_backups(Page& page, const StatusInput& input) {
    if (input.archive) {
        const auto& archive = *input.archive;
        const auto missing = archive.missing_since ? std::max(WallTime::duration{},
                                                              input.now - *archive.missing_since)
                                                   : WallTime::duration{};
        page.gauge("relevo_archive_missing_seconds",
                   "Age of the oldest transaction that the backup repository has not, or 0.",
                   fmt::format("{:.3f}", std::chrono::duration<double>(missing).count()));
        page.number("relevo_archive_waiting_segments",
                    "Complete WAL segments that are not in the backup repository.",
                    archive.waiting);
        page.gauge("relevo_archive_last_time",
                   "When the last WAL file reached the backup repository, in seconds since the "
                   "epoch, or 0.",
                   epoch(archive.archived_at));
        page.gauge("relevo_archive_failing", "1 if archive_command failed last, 0 otherwise.",
                   !archive.failing.empty());
        page.gauge("relevo_archive_queue_full",
                   "1 if so much WAL waits that the oldest is dropped, 0 otherwise.",
                   archive.queue_full);
        page.number("relevo_archive_missing_segments",
                    "WAL segments that are missing in the backup repository behind the newest "
                    "backup: what came after them needs a new one.",
                    archive.hole ? static_cast<std::int64_t>(archive.hole->segments) : 0);
    }
    if (!input.backups) return;
    page.gauge("relevo_backup_last_time",
               "When the newest backup ended, in seconds since the epoch, or 0.",
               epoch(input.backups->newest));
    page.gauge("relevo_backup_last_full_time",
               "When the newest full backup ended, in seconds since the epoch, or 0.",
               epoch(input.backups->newest_full));
}

// Of the cluster's backups; every member that has them configured knows.
void add_proofs(Page& page, const StatusInput& input) {
    if (!input.proofs) return;
    const auto* good = last_good(*input.proofs);
    page.gauge("relevo_backup_proof_last_good_time",
               "When the last good proof of restore began, in seconds since the epoch, or 0.",
               epoch(good != nullptr ? std::optional(good->begun) : std::nullopt));
    if (input.proofs->empty()) return;
    const auto& last = input.proofs->back();
    page.gauge("relevo_backup_proof_ok", "1 if the last proof of restore was good, 0 otherwise.",
               last.ok);
    if (good == nullptr) return;
    page.gauge("relevo_backup_proof_seconds",
               "How long the last good proof took from restore to the last check (measured RTO).",
               fmt::format("{:.3f}", static_cast<double>(good->took_ms()) / 1000));
    if (const auto age = good->newest_age())
        page.number("relevo_backup_proof_newest_age_seconds",
                    "Age of the newest transaction in it when it began (measured RPO).",
                    age->count());
}

// Nothing before the first look since the agent was started: a leader has none.
void add_amcheck(Page& page, const AmcheckState& state) {
    if (!state.run) return;
    page.gauge("relevo_amcheck_running", "1 while this member looks through its data.",
               !state.run->ended);
    page.number("relevo_amcheck_relations_checked",
                "Tables and indexes looked through by the look that goes on, or else the last one.",
                static_cast<std::int64_t>(state.run->relations));
    page.number("relevo_amcheck_relations_left_out",
                "Tables and indexes that it could not look at.",
                static_cast<std::int64_t>(state.run->left_out));
    if (!state.complete) return;
    page.gauge("relevo_amcheck_last_run_timestamp_seconds",
               "When the last look that came to its end did, in seconds since the epoch.",
               epoch(state.complete->ended));
    page.gauge("relevo_amcheck_duration_seconds", "How long that look took.",
               fmt::format("{:.3f}", std::chrono::duration<double>(state.complete->took).count()));
}

void add_corruption(Page& page, const CorruptionReport& report) {
    page.gauge("relevo_data_corrupted",
               "1 if this member's data is known to be damaged, 0 otherwise.",
               report.mark.corrupted());
    Page::Values values;
    for (const auto& one : report.counts)
        values.emplace_back(one.database.empty() ? "shared objects" : one.database,
                            std::to_string(one.failures));
    page.counter_of("relevo_checksum_failures_total",
                    "Pages whose checksum did not hold, as PostgreSQL counts them.", "database",
                    values);
    page.gauge("relevo_data_damage_logged",
               "1 if the server log tells of damage that nobody confirmed, 0 otherwise.",
               !report.mark.logged.empty());
    add_amcheck(page, report.amcheck);
}

void add_state(Page& page, const StatusInput& input) {
    const bool answers = input.postgres.server == Server::running;
    const State state = !answers && input.state == State::running ? State::unknown : input.state;
    page.number("patroni_postgres_state", "State of PostgreSQL as a number, see the list.",
                metric_number(state));
    page.comment(
        "Values: 0 initdb, 1 initdb_failed, 2 custom_bootstrap, 3 custom_bootstrap_failed, "
        "4 creating_replica, 5 running, 6 starting, 7 bootstrap_starting, 8 start_failed, 9 "
        "restarting, "
        "10 restart_failed, 11 stopping, 12 stopped, 13 stop_failed, 14 crashed, -1 unknown");
    page.number("patroni_failover_priority",
                "Priority of this member in a failover, 0 when it must not lead.",
                input.tags.failover_priority());
}

}  // namespace

std::string metrics_text(const StatusInput& input) {
    Page page(input);
    const bool answers = input.postgres.server == Server::running;
    page.gauge("patroni_version",
               "Version of Patroni that this agent is compatible with, without points.",
               version_digits(compatible_version));
    page.gauge("patroni_postgres_running", "1 if PostgreSQL answers, 0 otherwise.", answers);
    const auto started = answers ? parse_iso(input.postgres.postmaster_start_time) : std::nullopt;
    page.gauge("patroni_postmaster_start_time",
               "Start of PostgreSQL in seconds since the epoch, or 0.",
               epoch(started ? std::optional(started->time) : std::nullopt));
    add_role(page, input);
    add_positions(page, input);
    add_server(page, input);
    if (input.disk != nullptr) add_disk(page, *input.disk, input.disk_age);
    if (input.corruption != nullptr) add_corruption(page, *input.corruption);
    add_state(page, input);
    add_backups(page, input);
    add_proofs(page, input);
    return page.take();
}

}  // namespace relevo::cluster
