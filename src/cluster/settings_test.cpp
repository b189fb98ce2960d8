#include "cluster/settings.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using std::chrono::seconds;

ReadSettings read(std::string_view json) {
    auto settings = read_settings(json);
    EXPECT_TRUE(settings) << json << ": " << settings.error().message;
    return settings.value_or(ReadSettings{});
}
Settings clean(std::string_view json) {
    const ReadSettings all = read(json);
    EXPECT_TRUE(all.notes.empty()) << json << ": " << all.notes.front();
    return all.settings;
}
// Exactly one note, about this key; the settings are otherwise the defaults.
void expect_noted(std::string_view json, std::string_view key) {
    const ReadSettings all = read(json);
    ASSERT_EQ(all.notes.size(), 1U) << json;
    EXPECT_TRUE(all.notes[0].starts_with(key)) << all.notes[0];
}

TEST(ReadSettings, AnEmptyObjectIsTheDefaults) { EXPECT_EQ(clean("{}"), Settings{}); }

TEST(ReadSettings, NullIsTheDefaultToo) {
    EXPECT_EQ(clean(R"({"ttl":null,"synchronous_mode":null,"standby_cluster":null,"slots":null,)"
                    R"("postgresql":null})"),
              Settings{});
}

TEST(ReadSettings, ReadsEveryKey) {
    const Settings s =
        clean(R"({"ttl":20,"loop_wait":5,"retry_timeout":6,"maximum_lag_on_failover":2048,
        "maximum_lag_on_syncnode":4096,"check_timeline":true,"max_timelines_history":7,
        "primary_start_timeout":0,"primary_stop_timeout":30,"primary_race_backoff":2,
        "synchronous_mode":"quorum","synchronous_mode_strict":"on","synchronous_node_count":2,
        "failsafe_mode":1,"pause":true,"member_slots_ttl":"1h","unknown":{"kept":1},
        "postgresql":{"use_slots":false,"use_pg_rewind":true,
                      "remove_data_directory_on_rewind_failure":"yes",
                      "remove_data_directory_on_diverged_timelines":"true",
                      "parameters":{"port":1}}})");
    EXPECT_EQ(s.ttl, seconds(20));
    EXPECT_EQ(s.loop_wait, seconds(5));
    EXPECT_EQ(s.retry_timeout, seconds(6));
    EXPECT_EQ(s.maximum_lag_on_failover, 2048U);
    EXPECT_EQ(s.maximum_lag_on_syncnode, 4096);
    EXPECT_TRUE(s.check_timeline);
    EXPECT_EQ(s.max_timelines_history, 7);
    EXPECT_EQ(s.primary_start_timeout, seconds(0));
    EXPECT_EQ(s.primary_stop_timeout, seconds(30));
    EXPECT_EQ(s.primary_race_backoff, seconds(2));
    EXPECT_EQ(s.synchronous_mode, SyncMode::quorum);
    EXPECT_TRUE(s.synchronous_mode_strict);
    EXPECT_EQ(s.synchronous_node_count, 2);
    EXPECT_TRUE(s.failsafe_mode);
    EXPECT_TRUE(s.pause);
    EXPECT_EQ(s.member_slots_ttl, seconds(3600));
    EXPECT_FALSE(s.use_slots);
    EXPECT_TRUE(s.use_pg_rewind);
    EXPECT_TRUE(s.remove_data_directory_on_rewind_failure);
    EXPECT_TRUE(s.remove_data_directory_on_diverged_timelines);
}

TEST(ReadSettings, ReadsTheLimitsOfADisk) {
    const auto disk = clean(R"({"disk":{"warning_free":"50GB","warning_percent":20,
        "warning_left":"2h","hold_free":1048576,"hold_percent":3,"hold_left":"30s",
        "switchover":false,"refuse_writes":"off","ballast":"128MB",
        "probe_every":5,"failed_after":"1min"}})")
                          .disk;
    EXPECT_EQ(disk.warning_free, std::uint64_t{50} << 30U);
    EXPECT_EQ(disk.warning_percent, 20);
    EXPECT_EQ(disk.warning_left, std::chrono::minutes(120));
    EXPECT_EQ(disk.hold_free, 1048576U);
    EXPECT_EQ(disk.hold_percent, 3);
    EXPECT_EQ(disk.hold_left, seconds(30));
    EXPECT_FALSE(disk.switchover);
    EXPECT_FALSE(disk.refuse_writes);
    EXPECT_EQ(disk.ballast, std::uint64_t{128} << 20U);
    EXPECT_EQ(disk.probe_every, std::chrono::seconds(5));
    EXPECT_EQ(disk.failed_after, std::chrono::seconds(60));
}

TEST(ReadSettings, LimitsOfADiskThatMakeNoSenseAreRefusedAndTheDefaultsUsed) {
    EXPECT_EQ(read(R"({"disk":{"hold_percent":50}})").settings.disk, DiskSettings{});
    EXPECT_NE(newly_refused("{}", R"({"disk":{"hold_percent":50}})"), "");
    expect_noted(R"({"disk":7})", "disk");
    expect_noted(R"({"disk":{"hold_free":"much"}})", "disk.hold_free");
    expect_noted(R"({"disk":{"failed_after":0}})", "disk.failed_after");
    expect_noted(R"({"disk":{"warning_percent":101}})", "disk.warning_percent");
}

TEST(ReadSettings, ReadsWhatDamagedDataCauses) {
    EXPECT_TRUE(clean("{}").corruption.switchover);
    EXPECT_FALSE(clean(R"({"corruption":{"switchover":false}})").corruption.switchover);
    expect_noted(R"({"corruption":true})", "corruption");
    expect_noted(R"({"corruption":{"switchover":"perhaps"}})", "corruption.switchover");
    EXPECT_FALSE(clean("{}").corruption.rebuild_replica);
    const auto set = clean(R"({"corruption":{"rebuild_replica":true,"amcheck":"0 3 * * sun"}})");
    EXPECT_TRUE(set.corruption.rebuild_replica);
    EXPECT_EQ(set.corruption.amcheck, "0 3 * * sun");
    expect_noted(R"({"corruption":{"amcheck":"0 3 * *"}})", "corruption.amcheck");
    EXPECT_EQ(read(R"({"corruption":{"amcheck":"0 3 * *"}})").settings.corruption.amcheck, "");
}

TEST(ReadSettings, TextsOfNumbersAreNumbers) {
    const Settings s = clean(R"({"ttl":"30","loop_wait":"0xa","retry_timeout":9.6})");
    EXPECT_EQ(s.ttl, seconds(30));
    EXPECT_EQ(s.loop_wait, seconds(10));
    EXPECT_EQ(s.retry_timeout, seconds(10));
}

TEST(ReadSettings, OldNamesCountOnlyWithoutTheNewOnes) {
    EXPECT_EQ(clean(R"({"master_start_timeout":60,"master_stop_timeout":6})").primary_start_timeout,
              seconds(60));
    EXPECT_EQ(clean(R"({"master_stop_timeout":6})").primary_stop_timeout, seconds(6));
    EXPECT_EQ(
        clean(R"({"master_start_timeout":60,"primary_start_timeout":70})").primary_start_timeout,
        seconds(70));
}

TEST(ReadSettings, OurFloorsAreLowerThanPatronis) {
    const Settings s = clean(R"({"ttl":3,"loop_wait":1,"retry_timeout":1})");
    EXPECT_EQ(s.ttl, seconds(3));
    EXPECT_EQ(s.loop_wait, seconds(1));
    EXPECT_EQ(s.retry_timeout, seconds(1));
}

TEST(ReadSettings, BelowTheFloorIsTheFloorWithANote) {
    const ReadSettings all = read(R"({"ttl":2,"loop_wait":0,"retry_timeout":-5})");
    EXPECT_EQ(all.settings.ttl, seconds(3));
    EXPECT_EQ(all.settings.loop_wait, seconds(1));
    EXPECT_EQ(all.settings.retry_timeout, seconds(1));
    EXPECT_EQ(all.notes,
              (std::vector<std::string>{"ttl: 2 is below the minimum, using 3",
                                        "loop_wait: 0 is below the minimum, using 1",
                                        "retry_timeout: -5 is below the minimum, using 1"}));
}

struct FitCase {
    int ttl, loop_wait, retry_timeout;
    int loop_wait_used, retry_timeout_used;
};

TEST(ReadSettings, LoopWaitAndRetryTimeoutFitIntoTheTtl) {
    for (const FitCase& c : {
             FitCase{30, 10, 10, 10, 10},
             FitCase{30, 11, 10, 10, 10},
             FitCase{20, 10, 10, 1, 9},
             FitCase{21, 10, 10, 1, 10},
             FitCase{22, 10, 10, 2, 10},
             FitCase{3, 10, 10, 1, 1},
             FitCase{3, 1, 2, 1, 1},
             FitCase{4, 3, 1, 2, 1},
             FitCase{30, 2, 29, 1, 14},
         }) {
        const ReadSettings all = read(
            "{\"ttl\":" + std::to_string(c.ttl) + ",\"loop_wait\":" + std::to_string(c.loop_wait) +
            ",\"retry_timeout\":" + std::to_string(c.retry_timeout) + "}");
        EXPECT_EQ(all.settings.loop_wait, seconds(c.loop_wait_used)) << c.ttl << " " << c.loop_wait;
        EXPECT_EQ(all.settings.retry_timeout, seconds(c.retry_timeout_used))
            << c.ttl << " " << c.loop_wait;
        const bool adjusted =
            c.loop_wait != c.loop_wait_used || c.retry_timeout != c.retry_timeout_used;
        ASSERT_EQ(all.notes.size(), adjusted ? 1U : 0U);
        if (adjusted)
            EXPECT_NE(all.notes[0].find("loop_wait + 2*retry_timeout <= ttl"), std::string::npos);
    }
}

TEST(ReadSettings, AWrongValueIsNamedAndItsDefaultUsed) {
    for (const auto& [json, key] : std::initializer_list<std::pair<const char*, const char*>>{
             {R"({"ttl":"soon"})", "ttl:"},
             {R"({"ttl":"30s"})", "ttl:"},
             {R"({"ttl":[30]})", "ttl:"},
             {R"({"ttl":true})", "ttl:"},
             {R"({"ttl":1e300})", "ttl:"},
             {R"({"ttl":99999999999})", "ttl:"},
             {R"({"loop_wait":{}})", "loop_wait:"},
             {R"({"maximum_lag_on_failover":"1MB"})", "maximum_lag_on_failover:"},
             {R"({"maximum_lag_on_failover":18446744073709551615})", "maximum_lag_on_failover:"},
             {R"({"max_timelines_history":3000000000})", "max_timelines_history:"},
             {R"({"check_timeline":"maybe"})", "check_timeline:"},
             {R"({"check_timeline":[]})", "check_timeline:"},
             {R"({"pause":2})", "pause:"},
             {R"({"synchronous_mode":"most"})", "synchronous_mode:"},
             {R"({"synchronous_mode":{"on":1}})", "synchronous_mode:"},
             {R"({"synchronous_node_count":"many"})", "synchronous_node_count:"},
             {R"({"member_slots_ttl":"1 fortnight"})", "member_slots_ttl:"},
             {R"({"standby_cluster":"pg-0"})", "standby_cluster:"},
             {R"({"slots":[]})", "slots:"},
             {R"({"slots":{"Bad-Name":null}})", "slots.Bad-Name:"},
             {R"({"slots":{"a":"physical"}})", "slots.a:"},
             {R"({"slots":{"a":{"type":"magical"}}})", "slots.a:"},
             {R"({"slots":{"a":{"type":"logical","database":"d"}}})", "slots.a:"},
             {R"({"ignore_slots":{"name":"a"}})", "ignore_slots:"},
             {R"({"ignore_slots":["a"]})", "ignore_slots:"},
             {R"({"postgresql":7})", "postgresql:"},
             {R"({"postgresql":{"use_slots":"perhaps"}})", "postgresql.use_slots:"},
         }) {
        expect_noted(json, key);
        EXPECT_EQ(read(json).settings, Settings{}) << json;
    }
}

TEST(ReadSettings, LagLimitsHaveFloors) {
    EXPECT_EQ(read(R"({"maximum_lag_on_failover":-1})").settings.maximum_lag_on_failover, 0U);
    EXPECT_EQ(read(R"({"maximum_lag_on_syncnode":-7})").settings.maximum_lag_on_syncnode, -1);
}

TEST(ReadSettings, SynchronousModeKnowsItsThreeWords) {
    for (const char* on : {R"({"synchronous_mode":true})", R"({"synchronous_mode":"on"})"}) {
        EXPECT_EQ(clean(on).synchronous_mode, SyncMode::on);
    }
    EXPECT_EQ(clean(R"({"synchronous_mode":"Quorum"})").synchronous_mode, SyncMode::quorum);
    EXPECT_EQ(clean(R"({"synchronous_mode":"off"})").synchronous_mode, SyncMode::off);
    EXPECT_EQ(clean(R"({"synchronous_node_count":0})").synchronous_node_count, 0);
    EXPECT_EQ(read(R"({"synchronous_node_count":0,"synchronous_mode_strict":true})")
                  .settings.synchronous_node_count,
              1);
}

TEST(ReadSettings, AStandbyClusterNeedsASourceAndHasNoSynchronousMode) {
    EXPECT_EQ(clean(R"({"standby_cluster":{}})").standby_cluster, std::nullopt);
    EXPECT_EQ(clean(R"({"standby_cluster":{"primary_slot_name":"s"}})").standby_cluster,
              std::nullopt);
    const Settings s = clean(R"({"synchronous_mode":true,"synchronous_mode_strict":true,
        "standby_cluster":{"host":"10.0.0.1","port":5433,"primary_slot_name":"s",
        "restore_command":"r",
        "create_replica_methods":["wal_e","basebackup"],"archive_cleanup_command":"c",
        "recovery_min_apply_delay":"5min"}})");
    ASSERT_TRUE(s.standby_cluster);
    EXPECT_EQ(*s.standby_cluster,
              (StandbyCluster{"10.0.0.1", "5433", "s", "r", "c", "5min", {"wal_e", "basebackup"}}));
    EXPECT_EQ(s.synchronous_mode, SyncMode::off);
    EXPECT_FALSE(s.synchronous_mode_strict);
    EXPECT_TRUE(clean(R"({"standby_cluster":{"port":5433}})").standby_cluster);
    expect_noted(R"({"standby_cluster":{"host":"h","create_replica_methods":[1]}})",
                 "standby_cluster.create_replica_methods:");
    expect_noted(R"({"standby_cluster":{"host":["h"],"port":1}})", "standby_cluster.host:");
}

TEST(ReadSettings, SlotsHaveThreeNamesAndTwoTypes) {
    const Settings s =
        clean(R"({"slots":{"p":{"type":"physical","cluster_type":"primary"},"q":null,"r":{},"s":0,
        "l":{"type":"logical","database":"db","plugin":"pgoutput"},
        "m":{"database":"db","plugin":"x"}}})");
    EXPECT_EQ(s.slots.size(), 6U);
    EXPECT_EQ(s.slots.at("p"), (PermanentSlot{false, "", "", "primary"}));
    EXPECT_EQ(s.slots.at("q"), PermanentSlot{});
    EXPECT_EQ(s.slots.at("r"), PermanentSlot{});
    EXPECT_EQ(s.slots.at("s"), PermanentSlot{});
    EXPECT_EQ(s.slots.at("l"), (PermanentSlot{true, "db", "pgoutput", ""}));
    EXPECT_TRUE(s.slots.at("m").logical);
    const Settings aliased = clean(
        R"({"slots":{"a":0},"permanent_slots":{"b":0},"permanent_replication_slots":{"c":0}})");
    EXPECT_EQ(aliased.slots.size(), 1U);
    EXPECT_TRUE(aliased.slots.contains("c"));
}

TEST(ReadSettings, IgnoreSlotsKeepOnlyTheGivenProperties) {
    const Settings s =
        clean(R"({"ignore_slots":[{"name":"a","type":"logical"},{"plugin":"x","database":null}]})");
    ASSERT_EQ(s.ignore_slots.size(), 2U);
    EXPECT_EQ(s.ignore_slots[0], (IgnoreSlot{"a", "logical", std::nullopt, std::nullopt}));
    EXPECT_EQ(s.ignore_slots[1], (IgnoreSlot{std::nullopt, std::nullopt, std::nullopt, "x"}));
    // As in Patroni, what names nothing protects all slots; that is worth a word.
    expect_noted(R"({"ignore_slots":[{}]})", "ignore_slots:");
    EXPECT_EQ(read(R"({"ignore_slots":[{}]})").settings.ignore_slots.size(), 1U);
}

TEST(ReadSettings, OnlyAnObjectIsAConfiguration) {
    for (const char* json : {"", "[]", "7", "null", "{", "{\"ttl\":30", "ttl: 30"}) {
        EXPECT_FALSE(read_settings(json)) << json;
    }
}

struct PatchCase {
    const char* before;
    const char* patch;
    const char* after;
};

TEST(ReadSettings, TheFloorOfSynchronousCommitIsOffUnlessSet) {
    EXPECT_EQ(clean("{}").synchronous_commit_floor, CommitLevel::off);
    EXPECT_EQ(clean("{}").commit_level_wanted(), CommitLevel::off);
    for (const char* on : {"\"on\"", "true", "1", "\"yes\""})
        EXPECT_EQ(clean(std::string(R"({"synchronous_commit_floor":)") + on + "}")
                      .synchronous_commit_floor,
                  CommitLevel::on)
            << on;
    EXPECT_EQ(clean(R"({"synchronous_mode":"quorum"})").commit_level_wanted(), CommitLevel::on);
    EXPECT_EQ(clean(R"({"synchronous_mode":true,"synchronous_commit_floor":"local"})")
                  .commit_level_wanted(),
              CommitLevel::on);
    EXPECT_EQ(clean(R"({"synchronous_mode":true,"synchronous_commit_floor":"remote_apply"})")
                  .commit_level_wanted(),
              CommitLevel::remote_apply);
}

TEST(NewlyRefused, NamesTheValueAndItsBounds) {
    const auto why = [](std::string_view json) { return newly_refused({}, json); };
    EXPECT_EQ(why(R"({"suspect_after":199})"), "suspect_after: 199 is below the minimum of 200ms");
    EXPECT_EQ(why(R"({"suspect_after":"199ms"})"),
              "suspect_after: 199 is below the minimum of 200ms");
    EXPECT_EQ(why(R"({"ttl":20,"suspect_after":"21s"})"),
              "suspect_after: 21000 ms is longer than ttl (20 s), after which the leader key is "
              "free anyway");
    EXPECT_NE(why(R"({"suspect_after":"soon"})"), "");
    EXPECT_NE(why(R"({"suspect_after":[]})"), "");
    EXPECT_NE(why(R"({"wal_tail_timeout":"-1s"})"), "");
    EXPECT_NE(why(R"({"synchronous_mode":"qorum"})"), "");
    EXPECT_EQ(why(R"({"synchronous_commit_floor":"full"})"),
              "synchronous_commit_floor: must be off, local, remote_write, on or remote_apply");
    for (const char* good : {R"({})", R"({"suspect_after":200})", R"({"suspect_after":"30s"})",
                             R"({"ttl":20,"suspect_after":"20s"})", R"({"suspect_after":null})",
                             R"({"synchronous_mode":"quorum"})"})
        EXPECT_EQ(why(good), "") << good;
    EXPECT_EQ(why(R"({"ttl":1,"loop_wait":"x"})"), "") << "Patroni adjusts";
}

TEST(NewlyRefused, LeavesAloneWhatWasThereBefore) {
    EXPECT_EQ(newly_refused(R"({"suspect_after":100})", R"({"suspect_after":100,"pause":true})"),
              "");
    EXPECT_NE(newly_refused(R"({"suspect_after":100})", R"({"suspect_after":120})"), "");
    EXPECT_NE(
        newly_refused(R"({"ttl":30,"suspect_after":"25s"})", R"({"ttl":20,"suspect_after":"25s"})"),
        "")
        << "a ttl that is shorter than it";
}

TEST(PatchJson, MergesAsPatroniDoes) {
    for (const PatchCase& c : {
             PatchCase{R"({"ttl":30,"loop_wait":10})", R"({"ttl":20})",
                       R"({"ttl":20,"loop_wait":10})"},
             PatchCase{R"({"ttl":30})", R"({"ttl":"30"})", R"({"ttl":30})"},
             PatchCase{R"({"a":true})", R"({"a":"True"})", R"({"a":true})"},
             PatchCase{R"({"a":true})", R"({"a":"true"})", R"({"a":"true"})"},
             PatchCase{R"({"ttl":30,"b":1})", R"({"ttl":null})", R"({"b":1})"},
             PatchCase{R"({"b":1})", R"({"ttl":null})", R"({"b":1})"},
             PatchCase{R"({"p":{"x":1,"y":2}})", R"({"p":{"y":null,"z":3}})",
                       R"({"p":{"x":1,"z":3}})"},
             PatchCase{R"({"p":1})", R"({"p":{"x":null}})", R"({"p":{"x":null}})"},
             PatchCase{R"({"p":{"x":1}})", R"({"p":5})", R"({"p":5})"},
             PatchCase{R"({})", R"({"p":{"x":null}})", R"({"p":{"x":null}})"},
             PatchCase{R"({"l":[1,2]})", R"({"l":[3]})", R"({"l":[3]})"},
             PatchCase{R"({"z":1,"a":2})", R"({"m":3,"z":4})", R"({"z":4,"a":2,"m":3})"},
             PatchCase{R"({"z":1})", R"({})", R"({"z":1})"},
         }) {
        const auto after = patch_json(c.before, c.patch);
        ASSERT_TRUE(after) << c.before;
        EXPECT_EQ(*after, c.after) << c.before << " + " << c.patch;
    }
}

TEST(PatchJson, SaysWhichSideIsNoObject) {
    EXPECT_EQ(patch_json("[]", "{}").error().message,
              "the stored configuration: a JSON object is expected, not a list");
    EXPECT_EQ(patch_json("{}", "7").error().message,
              "the patch: a JSON object is expected, not a number");
    EXPECT_EQ(patch_json("{}", "{").error().message, "the patch: not valid JSON");
    const std::string deep = std::string(1000, '[') + std::string(1000, ']');
    EXPECT_EQ(patch_json("{}", "{\"a\":" + deep + "}").error().message,
              "the patch: nested too deeply");
}

}  // namespace
}  // namespace relevo::cluster
