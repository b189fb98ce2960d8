#include "cluster/keys.h"

#include <gtest/gtest.h>

namespace relevo::cluster::keys {
namespace {

using What = Compare::What;

Compare created(std::string key, Revision revision) {
    return {std::move(key), What::create_revision, revision, {}};
}
Compare modified(std::string key, Revision revision) {
    return {std::move(key), What::mod_revision, revision, {}};
}
Compare valued(std::string key, std::string value) {
    return {std::move(key), What::value, 0, std::move(value)};
}
Write put(std::string key, std::string value) {
    return {Write::What::put, std::move(key), std::move(value), false};
}
Write leased(std::string key, std::string value) {
    return {Write::What::put, std::move(key), std::move(value), true};
}
Write removed(std::string key) { return {Write::What::remove, std::move(key), {}, false}; }

TEST(Keys, HavePatronisPaths) {
    EXPECT_EQ(member("pg-1"), "members/pg-1");
    EXPECT_EQ(base_path("service", "batman"), "/service/batman/");
    EXPECT_EQ(base_path("/service/", "batman"), "/service/batman/");
    EXPECT_EQ(base_path("//a//b/", "/batman/"), "/a/b/batman/");
    EXPECT_EQ(base_path("", "batman"), "/batman/");
}

TEST(AcquireLeader, OnlyWhenThereIsNone) {
    EXPECT_EQ(acquire_leader("pg-1", std::nullopt, std::nullopt, 0),
              (Txn{{created("leader", 0), created("restore", 0), created("sync", 0)},
                   {leased("leader", "pg-1")}}));
    EXPECT_EQ(acquire_leader("pg-1", std::nullopt, std::nullopt, 8),
              (Txn{{created("leader", 0), created("restore", 0), modified("sync", 8)},
                   {leased("leader", "pg-1")}}));
    // Nobody led by an older view, and meanwhile the cluster stopped for a restore in place.
    EXPECT_EQ(acquire_leader("pg-1", std::nullopt, std::nullopt, 8, 12),
              (Txn{{created("leader", 0), modified("restore", 12), modified("sync", 8)},
                   {leased("leader", "pg-1")}}));
}

TEST(AcquireLeader, TakesTheTimelineOfItsPromotionAlong) {
    EXPECT_EQ(acquire_leader("pg-1", TimelineGrant{4, 0, 0, 0, Lsn{77}, 3}, std::nullopt, 0),
              (Txn{{created("leader", 0), created("restore", 0), created("timeline", 0),
                    created("sync", 0)},
                   {put("timeline", R"({"timeline":4,"from":77,"from_timeline":3})"),
                    leased("leader", "pg-1")}}));
    EXPECT_EQ(put_timeline({5, 3, 4, 12, {}, 0}, 7),
              (Txn{{created("leader", 7), modified("timeline", 12)},
                   {put("timeline", R"({"timeline":5,"line":3,"settled":4})")}}));
}

TEST(PutTimeline, TellsWhereTheLineIsInTheSameBreath) {
    TimelineGrant grant{5, 5, 5, 12, {}, 0};
    grant.status = StatusKey{Lsn{99}, {}, {}};
    EXPECT_EQ(put_timeline(grant, 7),
              (Txn{{created("leader", 7), modified("timeline", 12)},
                   {put("timeline", R"({"timeline":5,"line":5,"settled":5})"),
                    put("status", R"({"optime":99})")}}));
    grant.known = 0;
    EXPECT_EQ(acquire_leader("pg-1", grant, std::nullopt, 0),
              (Txn{{created("leader", 0), created("restore", 0), created("timeline", 0),
                    created("sync", 0)},
                   {put("timeline", R"({"timeline":5,"line":5,"settled":5})"),
                    put("status", R"({"optime":99})"), leased("leader", "pg-1")}}));
}

TEST(AcquireLeader, ChangesTheSyncKeyInTheSameBreath) {
    SyncState sync;
    sync.leader = "pg-1";
    sync.voters = {"pg-1", "pg-2"};
    sync.quorum = 1;
    sync.mod_revision = 9;
    EXPECT_EQ(acquire_leader("pg-1", std::nullopt, sync, 9),
              (Txn{{created("leader", 0), created("restore", 0), modified("sync", 9)},
                   {put("sync", R"({"leader":"pg-1","quorum":1,"sync_standby":"pg-1,pg-2"})"),
                    leased("leader", "pg-1")}}));
}

TEST(RewriteLeader, OnlyUnderOurTermAndName) {
    EXPECT_EQ(rewrite_leader("pg-1", 7),
              (Txn{{created("leader", 7), valued("leader", "pg-1")}, {leased("leader", "pg-1")}}));
}

TEST(ReleaseLeader, OnlyOurTermAndTheStatusWithIt) {
    EXPECT_EQ(release_leader(7, std::nullopt), (Txn{{created("leader", 7)}, {removed("leader")}}));
    EXPECT_EQ(release_leader(7, StatusKey{Lsn{5}, {}, {}}),
              (Txn{{created("leader", 7)}, {put("status", R"({"optime":5})"), removed("leader")}}));
}

TEST(Initialize, IsClaimedOnceAndNeverTakenFromACluster) {
    EXPECT_EQ(claim_initialize(), (Txn{{created("initialize", 0)}, {leased("initialize", "")}}));
    EXPECT_EQ(put_initialize("7711188255317205645", 0),
              (Txn{{created("initialize", 0)}, {put("initialize", "7711188255317205645")}}));
    EXPECT_EQ(put_initialize("7711188255317205645", 9),
              (Txn{{modified("initialize", 9)}, {put("initialize", "7711188255317205645")}}));
    EXPECT_EQ(cancel_initialize(5), (Txn{{modified("initialize", 5), valued("initialize", "")},
                                         {removed("initialize")}}));
}

TEST(FinishBootstrap, WritesIdConfigAndLeaderTogetherWhileTheClaimStands) {
    const std::vector<Compare> guards = {created("leader", 0), modified("initialize", 5),
                                         modified("sync", 6)};
    EXPECT_EQ(
        finish_bootstrap("pg-1", "1234567890", "{}", 5, 6),
        (Txn{guards,
             {put("initialize", "1234567890"), put("config", "{}"), leased("leader", "pg-1")}}));
    EXPECT_EQ(finish_bootstrap("pg-1", "1234567890", "", 5, 6),
              (Txn{guards, {put("initialize", "1234567890"), leased("leader", "pg-1")}}));
}

TEST(PutMember, IsUnderTheLeaseAndUnguarded) {
    MemberRecord record;
    record.name = "pg-1";
    EXPECT_EQ(put_member(record), (Txn{{}, {leased("members/pg-1", to_json(record))}}));
}

TEST(TheLeadersNotes, AreOnlyWrittenWhileItsTermLasts) {
    EXPECT_EQ(put_status(StatusKey{Lsn{5}, {{"pg_1", Lsn{4}}}, {}}, 7),
              (Txn{{created("leader", 7)}, {put("status", R"({"optime":5,"slots":{"pg_1":4}})")}}));
    EXPECT_EQ(put_optime(Lsn{67108960}, 7),
              (Txn{{created("leader", 7)}, {put("optime/leader", "67108960")}}));
    EXPECT_EQ(put_history({}, 7), (Txn{{created("leader", 7)}, {put("history", "[]")}}));
    EXPECT_EQ(put_failsafe({{"pg-0", "http://h/patroni"}}, 7),
              (Txn{{created("leader", 7)}, {put("failsafe", R"({"pg-0":"http://h/patroni"})")}}));
}

TEST(PutConfig, IsGuardedByWhatTheCallerKnew) {
    EXPECT_EQ(put_config_if_absent("{}"), (Txn{{created("config", 0)}, {put("config", "{}")}}));
    EXPECT_EQ(put_config("{}", std::nullopt), (Txn{{}, {put("config", "{}")}}));
    EXPECT_EQ(put_config("{}", 9), (Txn{{modified("config", 9)}, {put("config", "{}")}}));
    EXPECT_EQ(put_config("{}", 0), (Txn{{created("config", 0)}, {put("config", "{}")}}));
}

TEST(Failover, IsWrittenAndResetButNeverRemoved) {
    FailoverRequest request;
    request.leader = "a";
    request.member = "b";
    EXPECT_EQ(put_failover(request, std::nullopt),
              (Txn{{}, {put("failover", R"({"leader":"a","member":"b"})")}}));
    EXPECT_EQ(put_failover(request, 3), (Txn{{modified("failover", 3)},
                                             {put("failover", R"({"leader":"a","member":"b"})")}}));
    EXPECT_EQ(put_failover(request, 0),
              (Txn{{created("failover", 0)}, {put("failover", R"({"leader":"a","member":"b"})")}}));
    EXPECT_EQ(clear_failover(3), (Txn{{modified("failover", 3)}, {put("failover", "{}")}}));
    FailoverRequest asked;
    asked.leader = "a";
    asked.member = "b";
    EXPECT_EQ(ask_handover(asked, 0, 7).compares,
              (std::vector<Compare>{{"failover", Compare::What::create_revision, 0, {}},
                                    {"leader", Compare::What::create_revision, 7, {}}}));
    EXPECT_EQ(clear_failover(std::nullopt), (Txn{{}, {put("failover", "{}")}}));
}

TEST(Sync, IsWrittenByTheLeaderOverWhatItKnew) {
    SyncState state;
    state.leader = "a";
    state.voters = {"b"};
    const std::string text = R"({"leader":"a","quorum":0,"sync_standby":"b"})";
    EXPECT_EQ(put_sync(state, 4, 7),
              (Txn{{modified("sync", 4), created("leader", 7)}, {put("sync", text)}}));
    EXPECT_EQ(put_sync(state, 0, 7),
              (Txn{{created("sync", 0), created("leader", 7)}, {put("sync", text)}}));
    EXPECT_EQ(remove_sync(4, 7),
              (Txn{{modified("sync", 4), created("leader", 7)}, {removed("sync")}}));
}

TEST(Backup, IsWrittenOverWhatWasRead) {
    BackupJob job;
    job.id = "j";
    job.requested = std::chrono::sys_days{std::chrono::year{2026} / 5 / 14};
    const auto text = to_json(job);
    EXPECT_EQ(put_backup(job, 0, std::nullopt),
              (Txn{{created("backup", 0)}, {put("backup", text)}}));
    EXPECT_EQ(put_backup(job, 9, 4),
              (Txn{{modified("backup", 9), created("leader", 4)}, {put("backup", text)}}));
}

TEST(RemoveCluster, TakesEverythingBelowTheBase) {
    EXPECT_EQ(remove_cluster(), (Txn{{}, {{Write::What::remove_prefix, "", {}, false}}}));
}

}  // namespace
}  // namespace relevo::cluster::keys
