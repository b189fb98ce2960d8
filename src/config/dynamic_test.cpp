#include "config/dynamic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using testing::load_text;
using testing::minimal;
using ::testing::Not;
using ::testing::Pair;

using Gucs = std::vector<std::pair<const std::string, std::string>>;

Effective effective_of(const std::string& local_lines, const std::string& dynamic) {
    const auto local = load_text(minimal + local_lines);
    EXPECT_TRUE(local) << local.error().message;
    if (!local) return {};
    auto result = effective(*local, dynamic);
    EXPECT_TRUE(result) << result.error().message;
    return result ? std::move(*result) : Effective{};
}

TEST(Effective, OfNothingIsTheDefaults) {
    const Effective out = effective_of("", "");
    EXPECT_EQ(out.settings, cluster::Settings{});
    EXPECT_THAT(out.notes, IsEmpty());
    EXPECT_THAT(out.postgres.parameters.base, IsSupersetOf(Gucs{{"max_connections", "100"},
                                                                {"wal_level", "replica"},
                                                                {"listen_addresses", "127.0.0.1"},
                                                                {"port", "5432"},
                                                                {"cluster_name", "demo"},
                                                                {"wal_keep_size", "128MB"}}));
    EXPECT_EQ(out.postgres.connect_host, "pg-1.example");
    EXPECT_EQ(out.postgres.data_dir, "/srv/data");
}

TEST(Effective, OfTheAdrExampleIsWhatItSays) {
    const auto local =
        load({"examples/patroni.yml", {{"REPLICATOR_PASSWORD", "a"}, {"POSTGRES_PASSWORD", "b"}}});
    ASSERT_TRUE(local) << local.error().message;
    const auto out = effective(*local, default_dynamic_json(*local));
    ASSERT_TRUE(out) << out.error().message;
    EXPECT_THAT(out->notes, IsEmpty());
    EXPECT_TRUE(out->settings.use_pg_rewind && out->postgres.use_pg_rewind &&
                out->settings.use_slots);
    EXPECT_THAT(
        out->postgres.parameters.base,
        ElementsAre(Pair("archive_command", "pgbackrest --stanza=main archive-push %p"),
                    Pair("archive_mode", "on"), Pair("cluster_name", "workflow-engine"),
                    Pair("hot_standby", "on"), Pair("listen_addresses", "0.0.0.0"),
                    Pair("max_connections", "200"), Pair("max_locks_per_transaction", "64"),
                    Pair("max_prepared_transactions", "0"), Pair("max_replication_slots", "10"),
                    Pair("max_wal_senders", "10"), Pair("max_wal_size", "4GB"),
                    Pair("max_worker_processes", "8"), Pair("port", "5432"),
                    Pair("track_commit_timestamp", "off"), Pair("wal_keep_size", "1GB"),
                    Pair("wal_level", "replica"), Pair("wal_log_hints", "on")));
}

TEST(Effective, PrefersLocalParametersExceptTheControlledOnes) {
    const Effective out = effective_of(
        "  parameters: {Work_MEM: 8MB, max_connections: 500, PORT: 1, shared_buffers: 1GB}\n",
        R"({"postgresql":{"parameters":{"work_mem":"4MB","Max_Connections":50,"jit":false}}})");
    EXPECT_THAT(out.postgres.parameters.base, IsSupersetOf(Gucs{{"work_mem", "8MB"},
                                                                {"max_connections", "50"},
                                                                {"port", "5432"},
                                                                {"shared_buffers", "1GB"},
                                                                {"jit", "off"}}));
    EXPECT_THAT(out.notes, IsEmpty());
}

TEST(Effective, ReplacesOtherSectionsWhole) {
    const Effective out = effective_of("  pg_hba: [local one]\n  callbacks: {on_start: /l}\n",
                                       R"({"postgresql":{"pg_hba":["d1","d2"],"pg_ident":["i"],)"
                                       R"("callbacks":{"on_stop":"/d"},"pg_ctl_timeout":"2min"}})");
    EXPECT_THAT(out.postgres.pg_hba.base, ElementsAre("local one"));
    EXPECT_THAT(out.postgres.pg_ident.base, ElementsAre("i"));
    EXPECT_THAT(out.postgres.callbacks, ElementsAre(Pair("on_start", "/l")));
    EXPECT_EQ(out.postgres.pg_ctl_timeout, std::chrono::seconds(120));
}

TEST(Effective, IgnoresIdentityFromTheDcsAndUseSlotsFromTheFile) {
    const Effective out =
        effective_of("  use_slots: false\n",
                     R"({"postgresql":{"listen":"6.6.6.6:1","data_dir":"/evil",)"
                     R"("authentication":{"superuser":{"username":"x"}},"pgpass":"/y"}})");
    EXPECT_EQ(out.postgres.port, 5432);
    EXPECT_EQ(out.postgres.data_dir, "/srv/data");
    EXPECT_EQ(out.postgres.superuser.username, "");
    EXPECT_TRUE(out.settings.use_slots && out.postgres.use_slots);
    EXPECT_FALSE(effective_of("", R"({"postgresql":{"use_slots":false}})").settings.use_slots);
}

TEST(Effective, TakesRewindSwitchesFromBoth) {
    const std::string dynamic =
        R"({"postgresql":{"use_pg_rewind":true,"remove_data_directory_on_rewind_failure":"on"}})";
    EXPECT_TRUE(effective_of("", dynamic).settings.use_pg_rewind);
    EXPECT_TRUE(effective_of("", dynamic).settings.remove_data_directory_on_rewind_failure);
    EXPECT_FALSE(effective_of("  use_pg_rewind: false\n", dynamic).settings.use_pg_rewind);
}

TEST(Effective, LeavesSynchronousStandbyNamesToTheAgentInSyncMode) {
    const std::string local =
        "  parameters: {Synchronous_Standby_Names: '*'}\n  parameters_primary: "
        "{synchronous_standby_names: x, a.b: 1}\n";
    const Effective free = effective_of(local, "{}");
    EXPECT_THAT(free.postgres.parameters.base, Contains(Pair("synchronous_standby_names", "*")));
    EXPECT_THAT(*free.postgres.parameters.primary,
                Contains(Pair("synchronous_standby_names", "x")));
    EXPECT_THAT(free.notes, IsEmpty());
    for (const char* mode : {"true", "\"quorum\""}) {
        const Effective out =
            effective_of(local, fmt::format(R"({{"synchronous_mode":{}}})", mode));
        EXPECT_FALSE(out.postgres.parameters.base.contains("synchronous_standby_names"));
        EXPECT_THAT(*out.postgres.parameters.primary, ElementsAre(Pair("a.b", "1")));
        EXPECT_THAT(out.notes,
                    ElementsAre(HasSubstr("synchronous_standby_names is the agent's own")));
        EXPECT_THAT(effective_of("", fmt::format(R"({{"synchronous_mode":{}}})", mode)).notes,
                    IsEmpty());
    }
}

TEST(Effective, KeepsSynchronousCommitAtItsFloor) {
    const auto commit = [](const Effective& e) {
        const auto found = e.postgres.parameters.base.find("synchronous_commit");
        return found == e.postgres.parameters.base.end() ? "-" : found->second;
    };
    const std::string off = "  parameters: {synchronous_commit: off}\n";
    const Effective free = effective_of(off, "{}");
    EXPECT_EQ(commit(free), "off");
    EXPECT_THAT(free.notes, IsEmpty());
    EXPECT_EQ(commit(effective_of("", "{}")), "-");
    // In synchronous mode it is not silent.
    const Effective said = effective_of(off, R"({"synchronous_mode":"quorum"})");
    EXPECT_EQ(commit(said), "off");
    EXPECT_THAT(said.notes, ElementsAre(HasSubstr("synchronous_mode promises nothing to them")));
    const Effective kept = effective_of(off, R"({"synchronous_commit_floor":"on"})");
    EXPECT_EQ(commit(kept), "on");
    EXPECT_THAT(kept.notes, ElementsAre(HasSubstr("below synchronous_commit_floor")));
    // Without a word of ours another file could lower it.
    EXPECT_EQ(commit(effective_of("", R"({"synchronous_commit_floor":"local"})")), "on");
    EXPECT_EQ(commit(effective_of("", R"({"synchronous_commit_floor":"remote_apply"})")),
              "remote_apply");
    const Effective primary = effective_of("  parameters_primary: {synchronous_commit: local}\n",
                                           R"({"synchronous_commit_floor":"remote_write"})");
    EXPECT_THAT(*primary.postgres.parameters.primary,
                ElementsAre(Pair("synchronous_commit", "remote_write")));
}

TEST(Effective, GivesMembersSlotsInSynchronousMode) {
    const char* const without = R"({"postgresql":{"use_slots":false}})";
    EXPECT_FALSE(effective_of("", without).settings.use_slots);
    const Effective out =
        effective_of("", R"({"synchronous_mode":true,"postgresql":{"use_slots":false}})");
    EXPECT_TRUE(out.settings.use_slots);
    EXPECT_TRUE(out.postgres.use_slots);
    EXPECT_THAT(out.notes, ElementsAre(HasSubstr("can count twice")));
}

TEST(Effective, SaysWhatHasNoEffectYet) {
    const auto notes = [](const std::string& dynamic) { return effective_of("", dynamic).notes; };
    EXPECT_THAT(notes("{}"), IsEmpty());
    EXPECT_THAT(notes(R"({"failsafe_mode":true})"), IsEmpty());
    EXPECT_THAT(notes(R"({"standby_cluster":{"host":"10.0.0.9","port":5432}})"),
                ElementsAre(HasSubstr("standby_cluster is not implemented yet")));
    EXPECT_THAT(notes(R"({"slots":{"etl":{"type":"logical","database":"x","plugin":"pgoutput"}}})"),
                ElementsAre(HasSubstr("logical permanent slots are not implemented yet")));
    EXPECT_THAT(notes(R"({"slots":{"archive":{"type":"physical"}}})"), IsEmpty());
    EXPECT_THAT(notes(R"({"disk":{"refuse_writes":false,"switchover":false}})"), IsEmpty());
}

TEST(Effective, KeepsControlledOnesOutOfTheRolesParameters) {
    const Effective out =
        effective_of("  parameters_replica: {Max_Connections: 7, work_mem: 1MB, port: 9}\n",
                     R"({"postgresql":{"parameters_primary":{"wal_level":"minimal","jit":true}}})");
    EXPECT_THAT(*out.postgres.parameters.replica, ElementsAre(Pair("work_mem", "1MB")));
    EXPECT_THAT(*out.postgres.parameters.primary, ElementsAre(Pair("jit", "on")));
    EXPECT_FALSE(out.postgres.parameters.standby_leader);
}

TEST(Effective, MovesRecoverySettingsToRecoveryConf) {
    const Effective out = effective_of(
        "  recovery_conf: {restore_command: own, recovery_target_time: x, primary_conninfo: y}\n",
        R"({"postgresql":{"parameters":{"restore_command":"other","archive_cleanup_command":"c",)"
        R"("recovery_target":"immediate"}}})");
    EXPECT_THAT(out.postgres.recovery_conf,
                ElementsAre(Pair("archive_cleanup_command", "c"), Pair("restore_command", "own")));
    EXPECT_THAT(out.postgres.parameters.base, Not(Contains(Pair("recovery_target", "immediate"))));
}

TEST(Effective, LeavesHbaToItsOwnerWhenAnotherFileIsNamed) {
    const Effective out = effective_of(
        "  pg_hba: [a]\n  pg_ident: [b]\n  parameters: {hba_file: /etc/hba.conf}\n", "");
    EXPECT_THAT(out.postgres.pg_hba.base, IsEmpty());
    EXPECT_THAT(out.postgres.pg_ident.base, ElementsAre("b"));
    EXPECT_THAT(out.notes,
                ElementsAre(HasSubstr("pg_hba is not used: hba_file names another file")));
}

TEST(Effective, NotesWrongValuesAndGoesOn) {
    const Effective out = effective_of("", R"({"ttl":"soon","postgresql":{"pg_ctl_timeout":"x",)"
                                           R"("pg_hba":"y","parameters":{"max_connections":1}}})");
    EXPECT_THAT(out.notes,
                IsSupersetOf({HasSubstr("ttl"), HasSubstr("postgresql.pg_ctl_timeout"),
                              HasSubstr("postgresql.pg_hba"), HasSubstr("max_connections")}));
    EXPECT_EQ(out.settings.ttl, std::chrono::seconds(30));
    EXPECT_EQ(out.postgres.pg_ctl_timeout, std::chrono::seconds(60));
}

TEST(Effective, RefusesWhatCannotBeUsedAsAWhole) {
    const auto local = load_text(minimal);
    ASSERT_TRUE(local);
    for (const char* text :
         {"[]", "nope", "{", "3", R"({"postgresql":[]})", R"({"postgresql":{"parameters":[1]}})",
          R"({"postgresql":{"parameters":"x"}})"})
        EXPECT_FALSE(effective(*local, text)) << text;
    EXPECT_TRUE(effective(*local, R"({"postgresql":null})"));
    EXPECT_TRUE(effective(*local, R"({"postgresql":{"parameters":null}})"));
}

TEST(Effective, FindsMethodsThatTheStandbyClusterNames) {
    const Effective out =
        effective_of("  wal_g: {command: /w}\n",
                     R"({"standby_cluster":{"host":"x","create_replica_methods":["wal_g"]}})");
    EXPECT_EQ(out.postgres.replica_methods.at("wal_g").command, "/w");
}

TEST(Effective, PassesMethodPairsAsPatroniDoes) {
    const Effective out = effective_of(
        "  create_replica_methods: [m, lost]\n  m: {command: /m, no_leader: true, keep_data: 1, x: "
        "~, y: 2.50}\n",
        "");
    EXPECT_THAT(out.postgres.replica_methods.at("m").options,
                ElementsAre(Pair("no_leader", "True"), Pair("keep_data", "1"), Pair("x", "None"),
                            Pair("y", "2.5")));
    EXPECT_THAT(out.notes, ElementsAre(HasSubstr("there is no section postgresql.lost")));
}

TEST(DefaultDynamicJson, IsTheBootstrapSectionAsGiven) {
    EXPECT_EQ(default_dynamic_json(*load_text(minimal)), "{}");
    EXPECT_EQ(
        default_dynamic_json(*load_text(minimal + "bootstrap: {dcs: {ttl: 20, x: [1, on]}}\n")),
        R"({"ttl":20,"x":[1,true]})");
}

}  // namespace
}  // namespace relevo::config
