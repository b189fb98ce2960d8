#include "cluster/publish.h"

#include <gtest/gtest.h>

#include <set>

#include "base/text.h"

namespace relevo::cluster {
namespace {

MemberRecord member(const std::string& name, Role role) {
    MemberRecord record;
    record.name = name;
    record.conn_url = "postgres://10.0.0.1:5432/postgres";
    record.api_url = "http://10.0.0.1:8008/patroni";
    record.state = State::running;
    record.role = role;
    record.timeline = 5;
    return record;
}

// pg-0 leads, pg-1 streams right behind it, pg-2 is stopped.
Snapshot cluster() {
    Snapshot snapshot;
    snapshot.leader = LeaderKey{"pg-0", 3, 3, 7};
    snapshot.status.optime = Lsn{0x4000060};
    snapshot.members["pg-0"] = member("pg-0", Role::primary);
    snapshot.members["pg-0"].xlog_location = Lsn{0x4000060};
    MemberRecord standby = member("pg-1", Role::replica);
    standby.replication_state = "streaming";
    standby.receive_lsn = Lsn{0x4000060};
    standby.replay_lsn = Lsn{0x4000000};
    standby.xlog_location = Lsn{0x5000000};
    snapshot.members["pg-1"] = standby;
    MemberRecord stopped = member("pg-2", Role::replica);
    stopped.state = State::stopped;
    stopped.timeline = 0;
    snapshot.members["pg-2"] = stopped;
    return snapshot;
}

Settings with_mode(SyncMode mode) {
    Settings settings;
    settings.synchronous_mode = mode;
    return settings;
}

TEST(MemberRows, TellLeaderReplicaStateAndLags) {
    const auto rows = member_rows(cluster(), Settings{});
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0].name, "pg-0");
    EXPECT_EQ(rows[0].role, ShownRole::leader);
    EXPECT_EQ(rows[0].state, "running");
    EXPECT_TRUE(rows[0].holds_lock);
    EXPECT_EQ(rows[0].generic, ShownPosition{});
    EXPECT_EQ(rows[1].role, ShownRole::replica);
    EXPECT_EQ(rows[1].state, "streaming");
    EXPECT_EQ(rows[1].receive, (ShownPosition{Lsn{0x4000060}, 0}));
    EXPECT_EQ(rows[1].replay, (ShownPosition{Lsn{0x4000000}, 0x60}));
    EXPECT_EQ(rows[1].generic, (ShownPosition{Lsn{0x5000000}, 0})) << "ahead is no lag";
    EXPECT_EQ(rows[2].state, "stopped");
    EXPECT_EQ(rows[2].generic, ShownPosition{});
    EXPECT_EQ(rows[2].host, "10.0.0.1");
    EXPECT_EQ(rows[2].port, 5432);
}

TEST(MemberRows, SyncRolesNeedTheKeyAndTheMode) {
    Snapshot snapshot = cluster();
    snapshot.sync.leader = "pg-0";
    snapshot.sync.voters = {"PG-1"};
    EXPECT_EQ(member_rows(snapshot, with_mode(SyncMode::off))[1].role, ShownRole::replica);
    EXPECT_EQ(member_rows(snapshot, with_mode(SyncMode::on))[1].role, ShownRole::sync_standby);
    EXPECT_EQ(member_rows(snapshot, with_mode(SyncMode::quorum))[1].role,
              ShownRole::quorum_standby);
    EXPECT_EQ(member_rows(snapshot, with_mode(SyncMode::on))[2].role, ShownRole::replica);
    snapshot.sync.leader.clear();
    EXPECT_EQ(member_rows(snapshot, with_mode(SyncMode::on))[1].role, ShownRole::replica);
}

TEST(MemberRows, AStandbyLeaderShowsItsOwnReplication) {
    Snapshot snapshot = cluster();
    snapshot.members["pg-0"].replication_state = "in archive recovery";
    EXPECT_EQ(member_rows(snapshot, Settings{})[0].state, "running");
    Settings settings;
    settings.standby_cluster = StandbyCluster{};
    const MemberRow row = member_rows(snapshot, settings)[0];
    EXPECT_EQ(row.role, ShownRole::standby_leader);
    EXPECT_EQ(row.state, "in archive recovery");
    EXPECT_TRUE(row.holds_lock);
}

TEST(MemberRows, ShowWhatIsUnknownAsUnknown) {
    Snapshot snapshot;
    MemberRecord record;
    record.name = "pg-9";
    record.state_text = "dancing";
    snapshot.members["pg-9"] = record;
    const MemberRow row = member_rows(snapshot, Settings{})[0];
    EXPECT_EQ(row.state, "dancing");
    EXPECT_EQ(row.host, "");
    EXPECT_EQ(row.port, 0);
    EXPECT_EQ(row.role, ShownRole::replica);
}

TEST(ClusterJson, LooksAsPatronisDoes) {
    Snapshot snapshot = cluster();
    snapshot.members["pg-0"].tags.published["clonefrom"] = {"true"};
    snapshot.members.erase("pg-1");
    snapshot.members["pg-2"].pending_restart = true;
    snapshot.members["pg-2"].pending_restart_reason["port"] = {"1", "2"};
    snapshot.failover = FailoverRequest{};
    snapshot.failover->leader = "pg-0";
    snapshot.failover->member = "pg-2";
    snapshot.failover->scheduled_at = WallTime{};
    snapshot.failover->scheduled_at_text = "2030-01-01T00:00:00+02:00";
    Settings settings;
    settings.pause = true;
    EXPECT_EQ(cluster_json("batman", snapshot, settings),
              R"({"members": [{"name": "pg-0", "role": "leader", "state": "running", )"
              R"("api_url": "http://10.0.0.1:8008/patroni", "host": "10.0.0.1", "port": 5432, )"
              R"("timeline": 5, "tags": {"clonefrom": true}}, )"
              R"({"name": "pg-2", "role": "replica", "state": "stopped", )"
              R"("api_url": "http://10.0.0.1:8008/patroni", "host": "10.0.0.1", "port": 5432, )"
              R"("pending_restart": true, )"
              R"("pending_restart_reason": {"port": {"old_value": "1", "new_value": "2"}}, )"
              R"("receive_lag": "unknown", "receive_lsn": "unknown", "replay_lag": "unknown", )"
              R"("replay_lsn": "unknown", "lag": "unknown", "lsn": "unknown"}], "pause": true, )"
              R"("scheduled_switchover": {"at": "2030-01-01T00:00:00+02:00", "from": "pg-0", )"
              R"("to": "pg-2"}, "scope": "batman"})");
}

TEST(ClusterJson, ShowsPositionsOfAReplica) {
    const std::string text = cluster_json("batman", cluster(), Settings{});
    EXPECT_NE(
        text.find(
            R"("timeline": 5, "receive_lag": 0, "receive_lsn": "0/4000060", "replay_lag": 96, )"
            R"("replay_lsn": "0/4000000", "lag": 0, "lsn": "0/5000000"})"),
        std::string::npos)
        << text;
    EXPECT_EQ(text.find("pause"), std::string::npos);
    EXPECT_EQ(text.find("scheduled_switchover"), std::string::npos);
    EXPECT_EQ(cluster_json("batman", Snapshot{}, Settings{}),
              R"({"members": [], "scope": "batman"})");
}

TEST(ClusterJson, AnUnscheduledSwitchoverIsNotShown) {
    Snapshot snapshot = cluster();
    snapshot.failover = FailoverRequest{};
    snapshot.failover->member = "pg-1";
    EXPECT_EQ(cluster_json("b", snapshot, Settings{}).find("scheduled"), std::string::npos);
}

LocalPostgres primary() {
    LocalPostgres postgres;
    postgres.server = Server::running;
    postgres.in_recovery = false;
    postgres.system_id = "7711188255317205645";
    postgres.version = 150020;
    postgres.timeline = 1;
    postgres.wal = Lsn{24470760};
    postgres.postmaster_start_time = "2026-01-02 03:04:05.987194+00:00";
    Sender sender;
    sender.user = "replicator";
    sender.application_name = "pg-1";
    sender.client_addr = "10.0.0.2";
    sender.state = "streaming";
    sender.sync_state = "async";
    postgres.senders.push_back(sender);
    return postgres;
}

LocalPostgres standby() {
    LocalPostgres postgres = primary();
    postgres.in_recovery = true;
    postgres.senders.clear();
    postgres.receive = Lsn{67108960};
    postgres.replay = Lsn{67108959};
    postgres.replication_state = "streaming";
    return postgres;
}

StatusInput input(LocalPostgres postgres, Role role, const Snapshot* snapshot) {
    StatusInput in;
    in.scope = "batman";
    in.name = "pg-0";
    in.snapshot = snapshot;
    in.postgres = std::move(postgres);
    in.state = State::running;
    in.role = role;
    in.dcs_last_seen = WallTime(std::chrono::seconds(1795400956));
    return in;
}

TEST(StatusJson, OfAPrimaryIsPatronisByteForByte) {
    const Snapshot snapshot = cluster();
    StatusInput in = input(primary(), Role::primary, &snapshot);
    in.tags.published["clonefrom"] = {"true"};
    EXPECT_EQ(
        status_json(in),
        R"({"state": "running", "postmaster_start_time": "2026-01-02 03:04:05.987194+00:00", )"
        R"("role": "primary", "server_version": 150020, "xlog": {"location": 24470760}, )"
        R"("timeline": 1, )"
        R"("replication": [{"usename": "replicator", "application_name": "pg-1", )"
        R"("client_addr": "10.0.0.2", )"
        R"("state": "streaming", "sync_state": "async", "sync_priority": 0}], )"
        R"("dcs_last_seen": 1795400956, )"
        R"("tags": {"clonefrom": true}, "database_system_identifier": "7711188255317205645", )"
        R"("patroni": {"version": "4.1.4", "scope": "batman", "name": "pg-0"}})");
}

TEST(StatusJson, TellsASealOnlyWithAPositionThatIsFinal) {
    const Snapshot snapshot = cluster();
    StatusInput in = input(standby(), Role::replica, &snapshot);
    const auto sealed = [&in] { return status_json(in).contains(R"("sealed": 4711, )"); };
    in.postgres.received_all = true;
    EXPECT_FALSE(status_json(in).contains("sealed"));
    in.sealed = 4711;
    EXPECT_TRUE(sealed());
    in.postgres.receiving = true;
    EXPECT_FALSE(sealed());
    in.postgres.receiving = false;
    in.postgres.received_all = false;
    EXPECT_FALSE(sealed());
    in.postgres.received_all = true;
    in.postgres.server = Server::hung;
    EXPECT_FALSE(sealed());
    in.postgres.server = Server::running;
    in.postgres.in_recovery = false;
    EXPECT_FALSE(sealed());
}

TEST(StatusJson, TellsAMemberWithoutAVote) {
    const Snapshot snapshot = cluster();
    StatusInput in = input(standby(), Role::replica, &snapshot);
    EXPECT_FALSE(status_json(in).contains("voteless"));
    in.postgres.voteless = true;
    EXPECT_TRUE(status_json(in).contains(R"("voteless": true, )"));
    in.postgres.server = Server::stopped;
    EXPECT_TRUE(status_json(in).contains(R"("voteless": true, )"));
}

TEST(StatusJson, OfAReplicaShowsWhatItReceivedAndReplayed) {
    Snapshot snapshot = cluster();
    StatusInput in = input(standby(), Role::replica, &snapshot);
    in.relevo_version = "0.1.0";
    EXPECT_EQ(
        status_json(in),
        R"({"state": "running", "postmaster_start_time": "2026-01-02 03:04:05.987194+00:00", )"
        R"("role": "replica", "server_version": 150020, "xlog": {"received_location": 67108960, )"
        R"("replayed_location": 67108959, "replayed_timestamp": null, "paused": false}, )"
        R"("timeline": 1, )"
        R"("replication_state": "streaming", "dcs_last_seen": 1795400956, )"
        R"("database_system_identifier": "7711188255317205645", )"
        R"("patroni": {"version": "4.1.4", "scope": "batman", "name": "pg-0", )"
        R"("relevo": "0.1.0"}})");
    in.postgres.replayed_at = WallTime(std::chrono::microseconds(1767323045678901));
    in.postgres.receive = Lsn{};
    const std::string text = status_json(in);
    EXPECT_NE(text.find(R"("replayed_timestamp": "2026-01-02 03:04:05.678901+00:00")"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find(R"("received_location": 67108959)"), std::string::npos)
        << "falls back to the replayed one";
}

TEST(StatusJson, OfAServerThatDoesNotAnswerIsShort) {
    LocalPostgres postgres = primary();
    postgres.server = Server::hung;
    StatusInput in = input(postgres, Role::replica, nullptr);
    in.dcs_last_seen.reset();
    EXPECT_EQ(status_json(in),
              R"({"state": "unknown", "role": "replica", "cluster_unlocked": true, )"
              R"("dcs_last_seen": 0, "database_system_identifier": "7711188255317205645", )"
              R"("patroni": {"version": "4.1.4", "scope": "batman", "name": "pg-0"}})");
    in.state = State::starting;
    EXPECT_TRUE(status_json(in).starts_with(R"({"state": "starting", "role")"));
}

TEST(StatusJson, TheServersOwnRoleWins) {
    const Snapshot snapshot = cluster();
    EXPECT_EQ(shown_role(input(primary(), Role::replica, &snapshot)), Role::primary);
    EXPECT_EQ(shown_role(input(standby(), Role::primary, &snapshot)), Role::replica);
    EXPECT_EQ(shown_role(input(standby(), Role::standby_leader, &snapshot)), Role::standby_leader);
}

TEST(StatusJson, FlagsAppearOnlyWhenTheyHold) {
    Snapshot snapshot = cluster();
    snapshot.sync.leader = "pg-9";
    snapshot.sync.voters = {"pg-0"};
    StatusInput in = input(standby(), Role::replica, &snapshot);
    const std::string before = status_json(in);
    for (const char* flag : {"sync_standby", "quorum_standby", "pause\"", "cluster_unlocked",
                             "failsafe_mode_is_active", "pending_restart", "scheduled_restart",
                             "watchdog_failed", "logger_"}) {
        EXPECT_EQ(before.find(flag), std::string::npos) << flag;
    }
    snapshot.leader.reset();
    in.settings.synchronous_mode = SyncMode::on;
    in.settings.pause = true;
    in.failsafe_active = true;
    in.watchdog_failed = true;
    in.logger_queue_size = 3;
    in.postgres.pending_restart = true;
    in.postgres.pending_restart_reason["port"] = {"1", "2"};
    in.scheduled_restart =
        ScheduledRestart{"2030-01-01T00:00:00+00:00", "hidden", "replica", "", "", true};
    EXPECT_NE(
        status_json(in).find(
            R"("timeline": 1, "sync_standby": true, "replication_state": "streaming", )"
            R"("pause": true, )"
            R"("cluster_unlocked": true, "failsafe_mode_is_active": true, )"
            R"("dcs_last_seen": 1795400956, )"
            R"("database_system_identifier": "7711188255317205645", "pending_restart": true, )"
            R"("pending_restart_reason": {"port": {"old_value": "1", "new_value": "2"}}, )"
            R"("scheduled_restart": {"schedule": "2030-01-01T00:00:00+00:00", "role": "replica", )"
            R"("restart_pending": true}, "watchdog_failed": true, "logger_queue_size": 3, )"
            R"("logger_records_lost": 0, "patroni")"),
        std::string::npos)
        << status_json(in);
    in.settings.synchronous_mode = SyncMode::quorum;
    EXPECT_NE(status_json(in).find(R"("quorum_standby": true)"), std::string::npos);
}

TEST(StatusJson, TellsHowFarACopyIs) {
    const Snapshot snapshot = cluster();
    StatusInput in = input({}, Role::replica, &snapshot);
    in.copy = CopyProgress{
        .method = "pgbackrest", .done_bytes = 500, .total_bytes = 2000, .percent = 25.0};
    EXPECT_NE(status_json(in).find(R"("copy": {"method": "pgbackrest", "done_bytes": 500, )"
                                   R"("total_bytes": 2000, "percent": 25.0})"),
              std::string::npos)
        << status_json(in);
    in.copy = CopyProgress{
        .method = "mine", .done_bytes = 500, .total_bytes = 0, .percent = std::nullopt};
    EXPECT_NE(status_json(in).find(R"("copy": {"method": "mine", "done_bytes": 500})"),
              std::string::npos);
}

std::string metric(const StatusInput& in, const std::string& name) {
    const std::string prefix = name + "{scope=\"batman\",name=\"pg-0\"} ";
    for (const std::string& line : split(metrics_text(in), '\n')) {
        if (line.starts_with(prefix)) return line.substr(prefix.size());
    }
    return "absent";
}

TEST(Metrics, EachHasHelpTypeAndOneValue) {
    const Snapshot snapshot = cluster();
    const std::vector<std::string> lines =
        split(metrics_text(input(standby(), Role::replica, &snapshot)), '\n');
    ASSERT_EQ(lines.back(), "") << "the text ends with a line end";
    std::set<std::string> names;
    for (std::size_t i = 0; i + 1 < lines.size(); i += 3) {
        if (lines[i].starts_with("# Values:")) ++i;
        ASSERT_LT(i + 2, lines.size());
        const std::string name = lines[i + 2].substr(0, lines[i + 2].find('{'));
        EXPECT_TRUE(lines[i].starts_with("# HELP " + name + " ")) << lines[i];
        EXPECT_TRUE(lines[i + 1] == "# TYPE " + name + " gauge" ||
                    lines[i + 1] == "# TYPE " + name + " counter")
            << lines[i + 1];
        EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
    }
    EXPECT_EQ(names.size(), 29U);
}

TEST(Metrics, OfAPrimary) {
    const Snapshot snapshot = cluster();
    const StatusInput in = input(primary(), Role::primary, &snapshot);
    for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
             {"patroni_version", "040104"},
             {"patroni_postgres_running", "1"},
             {"patroni_postmaster_start_time", "1767323045.987194"},
             {"patroni_primary", "1"},
             {"patroni_replica", "0"},
             {"patroni_standby_leader", "0"},
             {"patroni_xlog_location", "24470760"},
             {"patroni_xlog_received_location", "0"},
             {"patroni_xlog_replayed_location", "0"},
             {"patroni_xlog_replayed_timestamp", "0"},
             {"patroni_xlog_paused", "0"},
             {"patroni_postgres_streaming", "0"},
             {"patroni_postgres_in_archive_recovery", "0"},
             {"patroni_postgres_server_version", "150020"},
             {"patroni_cluster_unlocked", "0"},
             {"patroni_failsafe_mode_is_active", "0"},
             {"patroni_failsafe_member", "0"},
             {"patroni_postgres_timeline", "1"},
             {"patroni_dcs_last_seen", "1795400956"},
             {"patroni_pending_restart", "0"},
             {"patroni_is_paused", "0"},
             {"patroni_postgres_state", "5"},
             {"patroni_failover_priority", "1"},
         }) {
        EXPECT_EQ(metric(in, name), value) << name;
    }
}

TEST(Metrics, OfAReplica) {
    Snapshot snapshot = cluster();
    snapshot.sync.leader = "pg-9";
    snapshot.sync.voters = {"pg-0"};
    snapshot.failsafe["pg-0"] = "http://x";
    StatusInput in = input(standby(), Role::replica, &snapshot);
    in.settings.synchronous_mode = SyncMode::quorum;
    in.settings.failsafe_mode = true;
    in.settings.pause = true;
    in.tags.published["nofailover"] = {"true"};
    in.postgres.replayed_at = WallTime(std::chrono::microseconds(1767323045000001));
    in.postgres.replay_paused = true;
    in.postgres.pending_restart = true;
    for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
             {"patroni_primary", "0"},
             {"patroni_replica", "1"},
             {"patroni_sync_standby", "0"},
             {"patroni_quorum_standby", "1"},
             {"patroni_xlog_location", "0"},
             {"patroni_xlog_received_location", "67108960"},
             {"patroni_xlog_replayed_location", "67108959"},
             {"patroni_xlog_replayed_timestamp", "1767323045.000001"},
             {"patroni_xlog_paused", "1"},
             {"patroni_postgres_streaming", "1"},
             {"patroni_failsafe_mode_enabled", "1"},
             {"patroni_failsafe_member", "1"},
             {"patroni_pending_restart", "1"},
             {"patroni_is_paused", "1"},
             {"patroni_failover_priority", "0"},
         }) {
        EXPECT_EQ(metric(in, name), value) << name;
    }
}

TEST(Metrics, OfADeadServer) {
    StatusInput in = input(LocalPostgres{}, Role::demoted, nullptr);
    EXPECT_EQ(metric(in, "patroni_postgres_running"), "0");
    EXPECT_EQ(metric(in, "patroni_postmaster_start_time"), "0");
    EXPECT_EQ(metric(in, "patroni_postgres_streaming"), "absent");
    EXPECT_EQ(metric(in, "patroni_postgres_server_version"), "0");
    EXPECT_EQ(metric(in, "patroni_cluster_unlocked"), "1");
    EXPECT_EQ(metric(in, "patroni_postgres_state"), "-1");
    EXPECT_EQ(metric(in, "patroni_primary"), "0");
    in.state = State::crashed;
    EXPECT_EQ(metric(in, "patroni_postgres_state"), "14");
}

DiskReport filling_disk() {
    DiskReport report;
    report.state = DiskState::warning;
    report.measured = Instant(std::chrono::seconds(100));
    DiskPlace data, wal;
    data.what = "data";
    data.total = 1000;
    data.free = 900;
    wal.what = "WAL";
    wal.total = 100;
    wal.free = 9;
    wal.state = DiskState::warning;
    wal.left = std::chrono::seconds(90);
    report.places = {data, wal};
    report.note = "do this";
    return report;
}

TEST(Metrics, TellOfEachDisk) {
    const auto report = filling_disk();
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    EXPECT_EQ(metrics_text(in).find("relevo_disk"), std::string::npos);
    in.disk = &report;
    in.disk_age = std::chrono::seconds(70);
    const auto text = metrics_text(in);
    for (const char* line :
         {"relevo_disk_free_bytes{scope=\"batman\",name=\"pg-0\",place=\"WAL\"} 9\n",
          "place=\"data\"} 900\n",
          "relevo_disk_minutes_left{scope=\"batman\",name=\"pg-0\",place=\"data\"} +Inf\n",
          "place=\"WAL\"} 1.5\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << text;
    EXPECT_EQ(metric(in, "relevo_disk_state"), "1");
    EXPECT_EQ(metric(in, "relevo_disk_age_seconds"), "70");
}

// The page was written after the look.
DiskReport probed_disk() {
    auto report = filling_disk();
    report.state = DiskState::failed;
    report.places.resize(1);
    report.places[0].state = DiskState::failed;
    report.places[0].written = {Instant(std::chrono::seconds(103)),
                                std::chrono::microseconds(2500)};
    return report;
}

TEST(Metrics, TellOfADiskThatFails) {
    auto report = filling_disk();
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    in.disk = &report;
    EXPECT_EQ(metric(in, "relevo_disk_failed"), "0");
    EXPECT_EQ(metrics_text(in).find("relevo_disk_probe_seconds{"), std::string::npos);
    report = probed_disk();
    in.disk_age = std::chrono::seconds(15);
    EXPECT_EQ(metric(in, "relevo_disk_failed"), "1");
    EXPECT_EQ(metric(in, "relevo_disk_state"), "3");
    const auto text = metrics_text(in);
    for (const char* line :
         {"relevo_disk_probe_seconds{scope=\"batman\",name=\"pg-0\",place=\"data\"} 0.002500\n",
          "relevo_disk_probe_age_seconds{scope=\"batman\",name=\"pg-0\",place=\"data\"} 12.0\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

TEST(StatusJson, TellsOfADiskThatFails) {
    const auto report = probed_disk();
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    in.disk = &report;
    in.disk_age = std::chrono::seconds(15);
    EXPECT_NE(status_json(in).find(
                  R"("disk": {"state": "failed", "age": 15, "places": [{"name": "data", )"
                  R"("state": "failed", "total": 1000, "free": 900, )"
                  R"("probe": {"ms": 2, "age": 12}}], "note": "do this"})"),
              std::string::npos)
        << status_json(in);
}

TEST(StatusJson, TellsOfEachDisk) {
    const auto report = filling_disk();
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    in.disk = &report;
    EXPECT_NE(status_json(in).find(
                  R"("disk": {"state": "warning", "age": 0, "places": [{"name": "data", )"
                  R"("state": "ok", "total": 1000, "free": 900}, {"name": "WAL", )"
                  R"("state": "warning", "total": 100, "free": 9, "seconds_left": 90}], )"
                  R"("note": "do this"})"),
              std::string::npos)
        << status_json(in);
}

TEST(Metrics, OfBackupsAreThereOnlyWhereTheyAreKnown) {
    const Snapshot snapshot = cluster();
    StatusInput in = input(primary(), Role::primary, &snapshot);
    EXPECT_EQ(metric(in, "relevo_archive_missing_seconds"), "absent");
    EXPECT_EQ(metric(in, "relevo_backup_last_time"), "absent");
    in.now = WallTime(std::chrono::seconds(1000));
    in.archive = ArchiveStatus{};
    in.backups = BackupTimes{};
    EXPECT_EQ(metric(in, "relevo_archive_missing_seconds"), "0.000");
    EXPECT_EQ(metric(in, "relevo_backup_last_time"), "0");
    in.archive->missing_since = WallTime(std::chrono::milliseconds(987'500));
    in.archive->waiting = 2;
    in.archive->failing = "000000010000000000000001";
    in.backups->newest = WallTime(std::chrono::seconds(900));
    EXPECT_EQ(metric(in, "relevo_archive_missing_seconds"), "12.500");
    EXPECT_EQ(metric(in, "relevo_archive_waiting_segments"), "2");
    EXPECT_EQ(metric(in, "relevo_archive_failing"), "1");
    EXPECT_EQ(metric(in, "relevo_archive_queue_full"), "0");
    EXPECT_EQ(metric(in, "relevo_archive_missing_segments"), "0");
    in.archive->queue_full = true;
    in.archive->hole =
        ArchiveHole{.after = "A", .first = "5", .last = "9", .segments = 4, .since = {}};
    EXPECT_EQ(metric(in, "relevo_archive_queue_full"), "1");
    EXPECT_EQ(metric(in, "relevo_archive_missing_segments"), "4");
    EXPECT_EQ(metric(in, "relevo_backup_last_time"), "900.000000");
    EXPECT_EQ(metric(in, "relevo_backup_last_full_time"), "0");
}

CorruptionReport damaged() {
    CorruptionReport report;
    report.counts = {{"", 1, {}}, {"app", 3, {}}};
    learn_counts(report.mark, {{"app", 3, {}}}, WallTime{});
    report.note = "do this";
    return report;
}

TEST(Metrics, TellOfDamage) {
    CorruptionReport report;
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    EXPECT_EQ(metrics_text(in).find("relevo_data_corrupted"), std::string::npos) << "not known";
    in.corruption = &report;
    EXPECT_EQ(metric(in, "relevo_data_corrupted"), "0");
    report = damaged();
    EXPECT_EQ(metric(in, "relevo_data_corrupted"), "1");
    const auto text = metrics_text(in);
    for (const char* line :
         {"# TYPE relevo_checksum_failures_total counter\n", "database=\"shared objects\"} 1\n",
          "relevo_checksum_failures_total{scope=\"batman\",name=\"pg-0\",database=\"app\"} 3\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

CorruptionReport looked_through() {
    CorruptionReport report;
    report.amcheck.run.emplace();
    report.amcheck.run->relations = 132;
    report.amcheck.run->now = "app.public.t";
    return report;
}

TEST(Metrics, TellOfALookThroughTheData) {
    CorruptionReport report;
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    in.corruption = &report;
    EXPECT_EQ(metrics_text(in).find("relevo_amcheck"), std::string::npos) << "a leader has none";
    report = looked_through();
    EXPECT_EQ(metric(in, "relevo_amcheck_running"), "1");
    EXPECT_EQ(metric(in, "relevo_amcheck_relations_checked"), "132");
    EXPECT_EQ(metrics_text(in).find("last_run"), std::string::npos);
    report.amcheck.run->ended = WallTime{std::chrono::seconds(900)};
    report.amcheck.run->took = std::chrono::milliseconds(1500);
    report.amcheck.complete = report.amcheck.run;
    EXPECT_EQ(metric(in, "relevo_amcheck_running"), "0");
    EXPECT_EQ(metric(in, "relevo_amcheck_last_run_timestamp_seconds"), "900.000000");
    EXPECT_EQ(metric(in, "relevo_amcheck_duration_seconds"), "1.500");
    EXPECT_EQ(metric(in, "relevo_data_damage_logged"), "0");
    learn_log(report.mark, "invalid page", WallTime{});
    EXPECT_EQ(metric(in, "relevo_data_damage_logged"), "1");
    EXPECT_EQ(metric(in, "relevo_data_corrupted"), "0");
}

TEST(StatusJson, TellsOfALookThroughTheData) {
    auto report = looked_through();
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    in.corruption = &report;
    EXPECT_NE(status_json(in).find(
                  R"("amcheck": {"running": true, "begun": "1970-01-01T00:00:00+00:00", )"
                  R"("databases": 0, "relations": 132, "damaged": 0, "left_out": 0, )"
                  R"("now": "app.public.t"})"),
              std::string::npos)
        << status_json(in);
}

TEST(StatusJson, TellsOfDamageOnlyWhereThereIsSome) {
    CorruptionReport report;
    StatusInput in = input(LocalPostgres{}, Role::replica, nullptr);
    in.corruption = &report;
    EXPECT_EQ(status_json(in).find("corruption"), std::string::npos);
    EXPECT_NE(status_json(in).find(R"("corrupted": false)"), std::string::npos);
    report = damaged();
    EXPECT_NE(status_json(in).find(
                  R"("corruption": {"note": "do this", "found": [{"what": "checksum_failures", )"
                  R"("where": "app", "count": 3, "first": "1970-01-01T00:00:00+00:00")"),
              std::string::npos)
        << status_json(in);
}

TEST(StatusJson, TellsThatThisMemberIsMadeAnew) {
    Snapshot snapshot;
    snapshot.rebuild =
        claim_rebuild(std::nullopt, "pg-0", WallTime(std::chrono::seconds(1'795'694'401)));
    StatusInput in = input(LocalPostgres{}, Role::replica, &snapshot);
    in.name = "pg-0";
    EXPECT_NE(status_json(in).find(
                  R"("rebuild": {"phase": "asked", "since": "2026-11-26T12:00:01+00:00", )"
                  R"("kept": ".damaged-20261126T120001Z"})"),
              std::string::npos)
        << status_json(in);
    in.name = "pg-1";
    EXPECT_EQ(status_json(in).find("rebuild"), std::string::npos) << "another one";
    in.name = "pg-0";
    snapshot.rebuild = withdrawn_rebuild(*snapshot.rebuild, {}, "paused");
    EXPECT_EQ(status_json(in).find("rebuild"), std::string::npos) << "nothing was stopped";
}

TEST(Metrics, LabelsAreEscaped) {
    StatusInput in;
    in.scope = "a\"b\\c\nd";
    EXPECT_NE(metrics_text(in).find(R"({scope="a\"b\\c\nd",name=""})"), std::string::npos);
}

TEST(ShownRole, HasAWordForTheApiAndOneForTheList) {
    EXPECT_STREQ(to_string(ShownRole::quorum_standby), "quorum_standby");
    EXPECT_STREQ(to_column_text(ShownRole::quorum_standby), "Quorum Standby");
    EXPECT_STREQ(to_string(ShownRole::leader), "leader");
    EXPECT_STREQ(to_column_text(ShownRole::standby_leader), "Standby Leader");
}

}  // namespace
}  // namespace relevo::cluster
