// The status JSON (contract 5.5).
#include "cluster/corruption_json.h"
#include "cluster/member_json.h"
#include "cluster/publish.h"

namespace relevo::cluster {
namespace {

using json::Ordered;

// "2026-01-02 03:04:05.987194+00:00": how PostgreSQL's times look to a Python program.
std::string blank_iso(WallTime time) {
    std::string text = to_iso(time);
    if (const std::size_t at = text.find('T'); at != std::string::npos) text[at] = ' ';
    return text;
}

Ordered xlog_json(const LocalPostgres& postgres) {
    if (!postgres.in_recovery) return {{"location", postgres.wal.value}};
    const Lsn received = postgres.receive ? postgres.receive : postgres.replay;
    Ordered out = {{"received_location", received.value},
                   {"replayed_location", postgres.replay.value}};
    out["replayed_timestamp"] =
        postgres.replayed_at ? Ordered(blank_iso(*postgres.replayed_at)) : Ordered();
    out["paused"] = postgres.replay_paused;
    return out;
}

Ordered sender_json(const Sender& sender) {
    Ordered out = {{"usename", sender.user}, {"application_name", sender.application_name}};
    // A walsender on a Unix socket has no address.
    out["client_addr"] = sender.client_addr.empty() ? Ordered() : Ordered(sender.client_addr);
    out["state"] = sender.state;
    out["sync_state"] = sender.sync_state;
    out["sync_priority"] = sender.sync_priority;
    return out;
}

Ordered copy_json(const CopyProgress& copy) {
    Ordered out = {{"method", copy.method}, {"done_bytes", copy.done_bytes}};
    if (copy.total_bytes != 0) out["total_bytes"] = copy.total_bytes;
    if (copy.percent) out["percent"] = *copy.percent;
    return out;
}

// What is only known while the server answers.
void add_server(Ordered& out, const StatusInput& input) {
    const LocalPostgres& postgres = input.postgres;
    out["server_version"] = postgres.version;
    out["xlog"] = xlog_json(postgres);
    if (postgres.timeline != 0) out["timeline"] = postgres.timeline;
    switch (sync_duty(input)) {
        case SyncMode::on: out["sync_standby"] = true; break;
        case SyncMode::quorum: out["quorum_standby"] = true; break;
        case SyncMode::off: break;
    }
    // A position that is told as final is one, and of the server that stands here now.
    if (input.sealed != 0 && postgres.in_recovery && !postgres.receiving && postgres.received_all)
        out["sealed"] = input.sealed;
    if (postgres.in_recovery && !postgres.replication_state.empty()) {
        out["replication_state"] = postgres.replication_state;
    }
    for (const Sender& sender : postgres.senders) out["replication"].push_back(sender_json(sender));
}

void add_cluster(Ordered& out, const StatusInput& input) {
    if (input.settings.pause) out["pause"] = true;
    if (input.snapshot == nullptr || input.snapshot->unlocked()) out["cluster_unlocked"] = true;
    if (input.failsafe_active) out["failsafe_mode_is_active"] = true;
    out["dcs_last_seen"] = input.dcs_last_seen
                               ? std::chrono::floor<std::chrono::seconds>(*input.dcs_last_seen)
                                     .time_since_epoch()
                                     .count()
                               : 0;
    if (!input.tags.published.empty()) out["tags"] = tags_json(input.tags);
}

std::int64_t whole_seconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

Ordered disk_json(const DiskReport& report, Duration age) {
    Ordered out = {{"state", to_string(report.state)}};
    // The measuring hangs when the disk does: then its age is the news.
    out["age"] = whole_seconds(age);
    out["places"] = Ordered::array();
    for (const DiskPlace& place : report.places) {
        Ordered one = {{"name", place.what},
                       {"state", to_string(place.state)},
                       {"total", place.total},
                       {"free", place.free}};
        if (place.left) one["seconds_left"] = place.left->count();
        if (place.written)
            one["probe"] = {{"ms", to_ms(place.written->took)},
                            {"age", whole_seconds(written_ago(*place.written, report, age))}};
        out["places"].push_back(std::move(one));
    }
    if (report.ballast > 0) out["ballast"] = report.ballast;
    if (!report.note.empty()) out["note"] = report.note;
    return out;
}

Ordered corruption_json(const CorruptionReport& report) {
    Ordered out = {{"note", report.note}};
    out["found"] = findings_json(report.mark.found);
    if (!report.mark.logged.empty()) out["log"] = findings_json(report.mark.logged);
    return out;
}

Ordered amcheck_json(const AmcheckRun& run) {
    Ordered out = {{"running", !run.ended.has_value()},
                   {"begun", to_iso(run.begun)},
                   {"databases", run.databases},
                   {"relations", run.relations},
                   {"damaged", run.damaged},
                   {"left_out", run.left_out}};
    if (run.ended)
        out["ended"] = to_iso(*run.ended);
    else
        json::set_text(out, "now", run.now);
    json::set_text(out, "left_out_first", run.left_out_first);
    json::set_text(out, "given_up", run.given_up);
    return out;
}

void add_corruption(Ordered& out, const CorruptionReport& report) {
    out["corrupted"] = report.mark.corrupted();
    if (!report.note.empty()) out["corruption"] = corruption_json(report);
    if (report.amcheck.run) out["amcheck"] = amcheck_json(*report.amcheck.run);
}

// Of this member, as the key `rebuild` tells it.
void add_rebuild(Ordered& out, const StatusInput& input) {
    if (input.snapshot == nullptr || !input.snapshot->rebuild) return;
    const auto& r = *input.snapshot->rebuild;
    if (r.member != input.name || r.phase == Rebuild::Phase::withdrawn) return;
    Ordered one = {{"phase", to_string(r.phase)}, {"since", to_iso(r.since)}, {"kept", r.kept}};
    if (!r.note.empty()) one["note"] = r.note;
    out["rebuild"] = std::move(one);
}

void add_member(Ordered& out, const StatusInput& input) {
    const LocalPostgres& postgres = input.postgres;
    if (!postgres.system_id.empty()) out["database_system_identifier"] = postgres.system_id;
    if (postgres.pending_restart) out["pending_restart"] = true;
    if (!postgres.pending_restart_reason.empty()) {
        out["pending_restart_reason"] =
            pending_restart_reason_json(postgres.pending_restart_reason);
    }
    if (input.scheduled_restart) {
        out["scheduled_restart"] = scheduled_restart_json(*input.scheduled_restart, false);
    }
    if (input.watchdog_failed) out["watchdog_failed"] = true;
    if (postgres.voteless) out["voteless"] = true;
    if (!input.admission.empty()) out["admission"] = input.admission;
    if (!input.lowered_commits.empty())
        out["lowered_synchronous_commit"] = describe(input.lowered_commits);
    if (input.copy) out["copy"] = copy_json(*input.copy);
    if (input.suspects != 0) out["suspects"] = input.suspects;
    if (input.tail)
        out["wal_tail"] = {{"timeline", input.tail->timeline}, {"end", input.tail->end.value}};
    if (input.disk != nullptr) out["disk"] = disk_json(*input.disk, input.disk_age);
    if (postgres.refuses_writes) out["refuses_writes"] = true;
    if (input.corruption != nullptr) add_corruption(out, *input.corruption);
    add_rebuild(out, input);
    constexpr std::uint64_t queue_worth_telling = 2;
    if (input.logger_queue_size > queue_worth_telling) {
        out["logger_queue_size"] = input.logger_queue_size;
        out["logger_records_lost"] = input.logger_records_lost;
    }
}

}  // namespace

std::string status_json(const StatusInput& input) {
    const bool answers = input.postgres.server == Server::running;
    Ordered out = Ordered::object();
    // A server that was thought to run and does not answer: nobody knows.
    out["state"] =
        to_string(!answers && input.state == State::running ? State::unknown : input.state);
    if (answers && !input.postgres.postmaster_start_time.empty()) {
        out["postmaster_start_time"] = input.postgres.postmaster_start_time;
    }
    out["role"] = to_string(shown_role(input));
    if (answers) add_server(out, input);
    add_cluster(out, input);
    add_member(out, input);
    Ordered& agent = out["patroni"] = {{"version", compatible_version}};
    agent["scope"] = input.scope;
    agent["name"] = input.name;
    if (!input.relevo_version.empty()) agent["relevo"] = input.relevo_version;
    return json::spaced(out);
}

}  // namespace relevo::cluster
