#include "cluster/snapshot.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

// A store that counts revisions as etcd does.
class Store {
public:
    void put(const std::string& key, std::string value, LeaseId lease = 0) {
        ++tree_.revision;
        KeyValue& entry = tree_.keys[key];
        if (entry.create_revision == 0) entry.create_revision = tree_.revision;
        entry.mod_revision = tree_.revision;
        entry.value = std::move(value);
        entry.lease = lease;
    }
    void remove(const std::string& key) {
        ++tree_.revision;
        tree_.keys.erase(key);
    }
    const KeyTree& tree() const { return tree_; }
    Revision revision() const { return tree_.revision; }

private:
    KeyTree tree_;
};

const char* const good_member =
    R"({"conn_url":"postgres://10.0.0.1:5432/postgres","state":"running","role":"primary"})";

Store full_store() {
    Store store;
    store.put("initialize", "7711188255317205645");
    store.put("config", R"({ "ttl": 30 })");
    store.put("leader", "pg-1", 77);
    store.put("members/pg-1", good_member, 77);
    store.put("members/pg-2", R"({"state":"running","role":"replica"})", 78);
    store.put("status", R"({"optime":67108960,"slots":{"pg_2":5}})");
    store.put("failover", R"({"leader":"pg-1","member":"pg-2"})");
    store.put("sync", R"({"leader":"pg-1","quorum":0,"sync_standby":"pg-2"})");
    store.put("history", R"([[1,5,"r"]])");
    store.put("timeline", R"({"timeline":2})");
    store.put("failsafe", R"({"pg-1":"http://10.0.0.1:8008/patroni"})");
    return store;
}

TEST(Snapshot, OfAnEmptyTreeIsAnEmptyCluster) {
    SnapshotReader reader;
    const Snapshot snapshot = reader.read(KeyTree{});
    EXPECT_TRUE(snapshot.unlocked());
    EXPECT_FALSE(snapshot.initialize);
    EXPECT_FALSE(snapshot.initialized());
    EXPECT_FALSE(snapshot.config);
    EXPECT_FALSE(snapshot.failover);
    EXPECT_FALSE(snapshot.has_status);
    EXPECT_EQ(snapshot.timeline(), 0U);
    EXPECT_EQ(snapshot.leader_member(), nullptr);
    EXPECT_TRUE(reader.take_problems().empty());
}

TEST(Snapshot, HoldsEveryKeyWithItsRevisions) {
    const Store store = full_store();
    SnapshotReader reader;
    const Snapshot snapshot = reader.read(store.tree());
    EXPECT_TRUE(reader.take_problems().empty());
    EXPECT_EQ(snapshot.revision, store.revision());
    EXPECT_EQ(snapshot.initialize, "7711188255317205645");
    EXPECT_EQ(snapshot.initialize_revision, 1);
    EXPECT_TRUE(snapshot.initialized());
    EXPECT_EQ(snapshot.config, (ConfigKey{R"({"ttl":30})", 2}));
    EXPECT_EQ(snapshot.leader, (LeaderKey{"pg-1", 3, 3, 77}));
    EXPECT_TRUE(snapshot.led_by("pg-1"));
    ASSERT_NE(snapshot.leader_member(), nullptr);
    EXPECT_EQ(snapshot.leader_member()->lease, 77);
    EXPECT_EQ(snapshot.leader_member()->mod_revision, 4);
    EXPECT_EQ(snapshot.leader_member()->name, "pg-1");
    EXPECT_EQ(snapshot.members.size(), 2U);
    EXPECT_TRUE(snapshot.has_status);
    EXPECT_EQ(snapshot.status.optime, Lsn{67108960});
    EXPECT_EQ(snapshot.failover->member, "pg-2");
    EXPECT_EQ(snapshot.failover->mod_revision, 7);
    EXPECT_EQ(snapshot.failover_revision, 7);
    EXPECT_EQ(snapshot.sync.leader, "pg-1");
    EXPECT_EQ(snapshot.sync.mod_revision, 8);
    EXPECT_EQ(snapshot.timeline(), 2U);
    EXPECT_EQ(snapshot.failsafe.at("pg-1"), "http://10.0.0.1:8008/patroni");
}

TEST(Snapshot, IsTheSameWhenReadAgain) {
    const Store store = full_store();
    SnapshotReader reader;
    const Snapshot first = reader.read(store.tree());
    const Snapshot again = reader.read(store.tree());
    EXPECT_EQ(again.members, first.members);
    EXPECT_EQ(again.config, first.config);
    EXPECT_EQ(again.leader, first.leader);
    EXPECT_EQ(again.failover, first.failover);
    EXPECT_EQ(again.failover_revision, first.failover_revision);
    EXPECT_EQ(again.sync, first.sync);
    EXPECT_EQ(again.status, first.status);
    EXPECT_EQ(again.history, first.history);
    EXPECT_EQ(again.failsafe, first.failsafe);
    EXPECT_EQ(again.initialize, first.initialize);
}

TEST(Snapshot, ForgetsWhatWasRemoved) {
    Store store = full_store();
    SnapshotReader reader;
    reader.read(store.tree());
    for (const char* key : {"initialize", "config", "leader", "members/pg-2", "status", "failover",
                            "sync", "history", "timeline", "failsafe"}) {
        store.remove(key);
    }
    const Snapshot snapshot = reader.read(store.tree());
    EXPECT_FALSE(snapshot.initialize);
    EXPECT_EQ(snapshot.initialize_revision, 0);
    EXPECT_FALSE(snapshot.config);
    EXPECT_TRUE(snapshot.unlocked());
    EXPECT_EQ(snapshot.members.size(), 1U);
    EXPECT_FALSE(snapshot.has_status);
    EXPECT_EQ(snapshot.status, StatusKey{});
    EXPECT_FALSE(snapshot.failover);
    EXPECT_EQ(snapshot.failover_revision, 0);
    EXPECT_EQ(snapshot.sync, SyncState{});
    EXPECT_FALSE(snapshot.history);
    EXPECT_EQ(snapshot.granted, TimelineKey{});
    EXPECT_TRUE(snapshot.failsafe.empty());
    EXPECT_TRUE(reader.take_problems().empty());
}

TEST(Snapshot, CountsMembersOnlyDirectlyBelowTheirKey) {
    Store store;
    store.put("members/pg-1", good_member);
    store.put("members/", good_member);
    store.put("members/pg-1/x", "not json");
    store.put("membersx", "not json");
    SnapshotReader reader;
    EXPECT_EQ(reader.read(store.tree()).members.size(), 1U);
    EXPECT_TRUE(reader.take_problems().empty());
}

TEST(Snapshot, IsUnlockedByAnEmptyLeaderKeyAndKeepsALeaderThatIsNoMember) {
    Store store;
    store.put("leader", "");
    SnapshotReader reader;
    EXPECT_TRUE(reader.read(store.tree()).unlocked());
    store.put("leader", "pg-9");
    const Snapshot snapshot = reader.read(store.tree());
    EXPECT_TRUE(snapshot.led_by("pg-9"));
    EXPECT_EQ(snapshot.leader_member(), nullptr);
}

TEST(Snapshot, KnowsTheTermOfAKeyThatWasPutAgain) {
    Store store;
    store.put("leader", "pg-1", 5);
    store.put("leader", "pg-1", 6);
    SnapshotReader reader;
    EXPECT_EQ(reader.read(store.tree()).leader, (LeaderKey{"pg-1", 1, 2, 6}));
}

TEST(Snapshot, FailoverThatAsksForNothingKeepsItsRevision) {
    Store store;
    store.put("failover", "{}");
    SnapshotReader reader;
    const Snapshot snapshot = reader.read(store.tree());
    EXPECT_FALSE(snapshot.failover);
    EXPECT_EQ(snapshot.failover_revision, 1);
    store.put("failover", R"({"scheduled_at":"2030-01-01T00:00:00Z"})");
    EXPECT_FALSE(reader.read(store.tree()).failover);
}

TEST(Snapshot, TakesTheOldPositionKeyOnlyWithoutStatus) {
    Store store;
    store.put("optime/leader", "100");
    SnapshotReader reader;
    EXPECT_EQ(reader.read(store.tree()).status.optime, Lsn{100});
    store.put("status", "200");
    EXPECT_EQ(reader.read(store.tree()).status.optime, Lsn{200});
    store.remove("status");
    EXPECT_EQ(reader.read(store.tree()).status.optime, Lsn{100});
    store.put("optime/leader", "junk");
    const Snapshot snapshot = reader.read(store.tree());
    EXPECT_TRUE(snapshot.has_status);
    EXPECT_EQ(snapshot.status.optime, Lsn{100});
    EXPECT_EQ(reader.take_problems().size(), 1U);
}

TEST(Snapshot, GrantedTimelineKeepsItsRevisionAlsoWhenItCannotBeRead) {
    Store store;
    SnapshotReader reader;
    EXPECT_EQ(reader.read(store.tree()).granted, TimelineKey{});
    store.put("timeline",
              R"({"timeline":12,"line":11,"settled":11,"from":83886080,"from_timeline":11})");
    const auto first = reader.read(store.tree()).granted;
    EXPECT_EQ(first.number, 12U);
    EXPECT_EQ(first.from, Lsn{83886080});
    EXPECT_EQ(first.from_timeline, 11U);
    EXPECT_EQ(first.line, 11U);
    EXPECT_GT(first.mod_revision, 0);
    store.put("timeline", "12");
    const auto broken = reader.read(store.tree()).granted;
    EXPECT_EQ(broken.number, 12U);
    EXPECT_EQ(broken.line, 11U);
    EXPECT_GT(broken.mod_revision, first.mod_revision);
    EXPECT_EQ(reader.take_problems().size(), 1U);
}

TEST(Snapshot, TimelineFollowsTheHistory) {
    Store store;
    SnapshotReader reader;
    EXPECT_EQ(reader.read(store.tree()).timeline(), 0U);
    store.put("history", "[]");
    EXPECT_EQ(reader.read(store.tree()).timeline(), 1U);
    store.put("history", R"([[1,5,"r"],[2,6,"r","t","m"]])");
    EXPECT_EQ(reader.read(store.tree()).timeline(), 3U);
}

const std::string& deep() {
    static const std::string text = std::string(200'000, '[') + std::string(200'000, ']');
    return text;
}

std::vector<std::string> garbage() {
    return {"junk",
            "{",
            "[",
            "[}",
            "\xFF\xFE",
            "{\"a\":\"\xC3\x28\"}",
            "\"",
            "1e400",
            "-",
            "nul",
            "{\"a\":1,}",
            deep(),
            "{\"a\":" + deep() + "}",
            std::string("\0\1", 2),
            "tru",
            "{]",
            "// x",
            "NaN",
            "Infinity",
            "{\"a\" 1}",
            "[1,2"};
}

struct KeyCase {
    const char* key;
    std::vector<std::string> also_bad;
};

std::vector<KeyCase> key_cases() {
    return {
        {"initialize", {"123", "12345678901x", "-1234567890"}},
        {"config", {"[]", "7", "null", "\"x\""}},
        {"members/pg-1", {"[]", "7", "null", R"({"state":1})", R"({"timeline":99999999999})"}},
        {"status", {"[]", "null", "-7", R"({"optime":"x"})", R"({"optime":99999999999999999999})"}},
        {"failover", {"[]", "7", "\"x\"", R"({"leader":1})", R"({"scheduled_at":"soon"})"}},
        {"sync", {"[]", "7", "\"x\"", R"({"leader":1})", R"({"leader":"a","quorum":1e99})"}},
        {"history", {"{}", "7", "null", "[[]]", R"([["x",1,"r"]])"}},
        {"timeline",
         {"[]", "7", "null", R"({"timeline":0})", R"({"timeline":4294967295})", R"({"line":1})",
          R"({"timeline":2,"line":1})", R"({"timeline":2,"line":0,"settled":1})",
          R"({"timeline":2,"from":7})", R"({"timeline":2,"from":-7,"from_timeline":1})",
          R"({"timeline":2,"from":"0/7","from_timeline":1})"}},
        {"failsafe", {"[]", "7", "null", R"({"a":{}})"}},
    };
}

void expect_same_values(const Snapshot& a, const Snapshot& b, const std::string& where) {
    EXPECT_EQ(a.initialize, b.initialize) << where;
    ASSERT_EQ(a.config.has_value(), b.config.has_value()) << where;
    if (a.config) EXPECT_EQ(a.config->json, b.config->json) << where;
    EXPECT_EQ(a.leader, b.leader) << where;
    ASSERT_EQ(a.members.size(), b.members.size()) << where;
    for (const auto& [name, member] : a.members) {
        MemberRecord other = *b.member(name);
        other.mod_revision = member.mod_revision;
        EXPECT_EQ(member, other) << where;
    }
    EXPECT_EQ(a.status, b.status) << where;
    EXPECT_EQ(a.failover, b.failover) << where;
    EXPECT_EQ(a.sync.leader, b.sync.leader) << where;
    EXPECT_EQ(a.sync.voters, b.sync.voters) << where;
    EXPECT_FALSE(b.sync.unreadable) << where;
    EXPECT_EQ(a.history, b.history) << where;
    EXPECT_EQ(a.granted.number, b.granted.number) << where;
    EXPECT_EQ(a.failsafe, b.failsafe) << where;
}

TEST(AMalformedKey, KeepsItsLastGoodValueAndIsReportedOncePerRevision) {
    for (const KeyCase& c : key_cases()) {
        std::vector<std::string> bad_values = garbage();
        bad_values.insert(bad_values.end(), c.also_bad.begin(), c.also_bad.end());
        for (const std::string& bad : bad_values) {
            const std::string where = std::string(c.key) + " = " + bad.substr(0, 30);
            Store store = full_store();
            SnapshotReader reader;
            const Snapshot good = reader.read(store.tree());
            const LeaseId lease = store.tree().keys.at(c.key).lease;

            store.put(c.key, bad, lease);
            expect_same_values(good, reader.read(store.tree()), where);
            const auto problems = reader.take_problems();
            ASSERT_EQ(problems.size(), 1U) << where;
            EXPECT_EQ(problems[0].key, c.key);
            EXPECT_NE(problems[0].what.find("last good value"), std::string::npos)
                << problems[0].what;
            EXPECT_EQ(problems[0].what.find("junk"), std::string::npos)
                << "values stay out of the log";

            store.put("members/pg-2", R"({"state":"running","role":"replica"})",
                      78);  // something else changed
            expect_same_values(good, reader.read(store.tree()), where);
            EXPECT_TRUE(reader.take_problems().empty()) << where << ": reported twice";

            store.put(c.key, bad, lease);  // written again: a new revision
            reader.read(store.tree());
            EXPECT_EQ(reader.take_problems().size(), 1U) << where;
        }
    }
}

TEST(AMalformedKey, IsReadAgainWhenItIsRepaired) {
    const Store good = full_store();
    for (const KeyCase& c : key_cases()) {
        Store store = full_store();
        SnapshotReader reader;
        const Snapshot before = reader.read(store.tree());
        const KeyValue original = good.tree().keys.at(c.key);
        store.put(c.key, "\xFF", original.lease);
        reader.read(store.tree());
        reader.take_problems();
        store.put(c.key, original.value, original.lease);
        Snapshot after = reader.read(store.tree());
        EXPECT_TRUE(reader.take_problems().empty()) << c.key;
        if (after.failover) after.failover->mod_revision = before.failover->mod_revision;
        expect_same_values(before, after, c.key);
    }
}

TEST(AMalformedKey, CarriesItsOwnRevisionSoThatItCanBeOverwritten) {
    Store store = full_store();
    SnapshotReader reader;
    reader.read(store.tree());
    for (const char* key : {"config", "failover", "sync", "initialize", "members/pg-1"})
        store.put(key, "\xFF");
    const Snapshot snapshot = reader.read(store.tree());
    const auto revision = [&](const char* key) { return store.tree().keys.at(key).mod_revision; };
    EXPECT_EQ(snapshot.config->mod_revision, revision("config"));
    EXPECT_EQ(snapshot.failover_revision, revision("failover"));
    EXPECT_EQ(snapshot.sync.mod_revision, revision("sync"));
    EXPECT_EQ(snapshot.initialize_revision, revision("initialize"));
    EXPECT_EQ(snapshot.member("pg-1")->mod_revision, revision("members/pg-1"));
}

TEST(AMalformedKey, WithoutALastGoodValueIsAsIfAbsentButNeverFreeToTake) {
    Store store;
    for (const KeyCase& c : key_cases()) store.put(c.key, "\xFF");
    SnapshotReader reader;
    for (int round = 0; round < 2; ++round) {
        const Snapshot snapshot = reader.read(store.tree());
        EXPECT_EQ(reader.take_problems().size(), round == 0 ? key_cases().size() : 0U);
        EXPECT_TRUE(snapshot.initialize.has_value()) << "nobody may bootstrap over it";
        EXPECT_FALSE(snapshot.initialized());
        EXPECT_FALSE(snapshot.config);
        EXPECT_TRUE(snapshot.members.empty());
        EXPECT_FALSE(snapshot.has_status);
        EXPECT_FALSE(snapshot.failover);
        EXPECT_TRUE(snapshot.sync.unreadable) << "whether there are voters is not known";
        EXPECT_FALSE(snapshot.history);
        EXPECT_TRUE(snapshot.failsafe.empty());
    }
    store.put("sync", "{}");
    EXPECT_FALSE(reader.read(store.tree()).sync.unreadable);
}

TEST(AMalformedKey, DoesNotBringBackWhatWasRemovedInBetween) {
    Store store = full_store();
    SnapshotReader reader;
    reader.read(store.tree());
    for (const char* key : {"failover", "sync"}) {
        store.remove(key);
        reader.read(store.tree());
        store.put(key, "junk");
    }
    const Snapshot snapshot = reader.read(store.tree());
    EXPECT_FALSE(snapshot.failover);
    EXPECT_FALSE(snapshot.sync.active());
}

}  // namespace
}  // namespace relevo::cluster
