#include "ctl/list_view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "cluster/tree.h"

namespace relevo::ctl {
namespace {

using cluster::KeyTree;

// testdata/: tables are wider than code may be. Tests run in the repository's root.
std::string expected(const std::string& name) {
    std::ifstream file("src/ctl/testdata/" + name + ".txt");
    EXPECT_TRUE(file) << name;
    return {std::istreambuf_iterator<char>(file), {}};
}

// A cluster as its keys stand in the DCS.
class Keys {
public:
    Keys() {
        put("initialize", "7400000000000000001");
        put("config", "{}");
        put("status", R"({"optime":1509949656})");
    }
    Keys& put(const std::string& key, const std::string& value) {
        tree_.revision++;
        tree_.keys[key] = {.value = value,
                           .create_revision = tree_.revision,
                           .mod_revision = tree_.revision,
                           .lease = 0};
        return *this;
    }
    Keys& remove(const std::string& key) {
        tree_.keys.erase(key);
        return *this;
    }
    Keys& member(const std::string& name, const std::string& address, const std::string& more) {
        return put("members/" + name, R"({"conn_url":"postgres://)" + address +
                                          R"(/postgres","api_url":"http://)" + name +
                                          R"(:8008/patroni","version":"4.1.4",)" + more + "}");
    }
    Keys& leader(const std::string& name, const std::string& address,
                 const std::string& more = "") {
        put("leader", name);
        return member(
            name, address,
            R"("state":"running","role":"primary","xlog_location":1509949656,"timeline":4)" + more);
    }
    Keys& replica(const std::string& name, const std::string& address,
                  const std::string& more = "") {
        return member(name, address,
                      R"("state":"running","role":"replica","replication_state":"streaming",)"
                      R"("receive_lsn":1509949656,"replay_lsn":1509949656,)"
                      R"("xlog_location":1509949656,"timeline":4)" +
                          more);
    }
    Shown shown(const std::string& name = "orders") const {
        cluster::SnapshotReader reader;
        Shown out{.cluster = name, .snapshot = reader.read(tree_), .settings = {}};
        if (out.snapshot.config)
            out.settings = cluster::read_settings(out.snapshot.config->json).value().settings;
        return out;
    }
    std::string text(ListOptions options = {}) const { return list_text({shown()}, options); }

private:
    KeyTree tree_;
};

// The example of contract 6.3.
Keys contract_example() {
    Keys keys;
    keys.put("config", R"({"synchronous_mode":true,"pause":true})");
    keys.put("sync", R"({"leader":"db-a","quorum":0,"sync_standby":"db-b"})");
    keys.put("failover",
             R"({"leader":"db-a","member":"db-b","scheduled_at":"2031-02-03T04:05:06+00:00"})");
    keys.leader("db-a", "10.1.0.11:5432").replica("db-b", "10.1.0.12:5432");
    keys.member(
        "db-c", "10.1.0.13:5432",
        R"("state":"running","role":"replica","replication_state":"streaming",)"
        R"("receive_lsn":1509949656,"replay_lsn":1506803928,"xlog_location":1509949656,)"
        R"("timeline":4,"pending_restart":true,"pending_restart_reason":{"max_connections":)"
        R"({"old_value":"100","new_value":"200"}},"tags":{"replicatefrom":"db-b"})");
    keys.member("db-d", "10.1.0.14:5432", R"("state":"stopped","role":"replica")");
    return keys;
}

TEST(ListView, showsTheExampleOfTheContract) {
    EXPECT_EQ(contract_example().text(), expected("example"));
}

TEST(ListView, showsTheTopologyAsATree) {
    Keys keys;
    keys.leader("db-b", "10.1.0.12:5432").replica("db-a", "10.1.0.11:5432");
    keys.replica("db-c", "10.1.0.13:5432", R"(,"tags":{"replicatefrom":"db-a"})");
    EXPECT_EQ(keys.text({.extended = false, .format = Format::topology, .colour = false}),
              expected("topology"));
}

TEST(ListView, showsAMemberOfACircleToo) {
    Keys keys;
    keys.leader("a", "h1:5432").replica("b", "h2:5432", R"(,"tags":{"replicatefrom":"c"})");
    keys.replica("c", "h3:5432", R"(,"tags":{"replicatefrom":"b"})");
    keys.replica("d", "h4:5432", R"(,"tags":{"replicatefrom":"nobody"})");
    const auto text = keys.text({.extended = false, .format = Format::topology, .colour = false});
    EXPECT_NE(text.find("| a "), std::string::npos) << text;
    EXPECT_NE(text.find("| + b "), std::string::npos) << text;
    EXPECT_NE(text.find("|   + c "), std::string::npos) << text;
    EXPECT_NE(text.find("| + d "), std::string::npos) << text;
}

TEST(ListView, showsTheListingOfTheAdr) {
    Keys keys;
    keys.leader("pg-node-1", "pg-node-1.internal:5432");
    keys.replica("pg-node-2", "pg-node-2.internal:5432");
    const auto text = keys.text();
    EXPECT_TRUE(text.starts_with("+ Cluster: orders (7400000000000000001) -")) << text;
    EXPECT_NE(text.find("| pg-node-1 | pg-node-1.internal | Leader  | running   |"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("| pg-node-2 | pg-node-2.internal | Replica | streaming |"),
              std::string::npos)
        << text;
}

// Of a quorum that cannot be met: who is missing, and whether writes wait.
TEST(ListView, saysForWhomCommitsWait) {
    Keys keys;
    keys.put("config", R"({"synchronous_mode":"quorum"})");
    keys.put("sync", R"({"leader":"a","quorum":1,"sync_standby":"b,c,d"})");
    keys.leader("a", "h1:5432").replica("b", "h2:5432").replica("c", "h3:5432");
    EXPECT_EQ(keys.text().find("Commits wait"), std::string::npos) << keys.text();
    keys.remove("members/c");
    keys.member("d", "h4:5432", R"("state":"stopped","role":"replica")");
    EXPECT_NE(keys.text().find("| d "), std::string::npos);
    EXPECT_NE(
        keys.text().find(" Commits wait: 2 of 3 synchronous standbys must confirm them, 1 can; "
                         "missing: c, d\n"),
        std::string::npos)
        << keys.text();
}

TEST(ListView, saysForWhomAnElectionWouldWait) {
    Keys keys;
    keys.put("config", R"({"synchronous_mode":"quorum"})");
    keys.put("sync", R"({"leader":"a","quorum":1,"sync_standby":"b,c"})");
    keys.leader("a", "h1:5432").replica("b", "h2:5432");
    EXPECT_NE(keys.text().find(
                  " No failover is possible now: 2 voters must take part, 1 can; missing: c\n"),
              std::string::npos)
        << keys.text();
}

TEST(ListView, saysWhoseCommitsMayBeLost) {
    Keys keys;
    keys.leader("a", "h1:5432").replica("b", "h2:5432");
    keys.put("members/a",
             R"({"conn_url":"postgres://h1:5432/postgres","state":"running","role":"primary",)"
             R"("lowered_synchronous_commit":"off for role app"})");
    EXPECT_NE(
        keys.text().find(" synchronous_commit is off for role app: such commits may be lost\n"),
        std::string::npos)
        << keys.text();
}

TEST(ListView, saysWhoseDiskIsFull) {
    Keys keys;
    keys.leader("a", "h1:5432")
        .replica("b", "h2:5432", R"(,"disk":"hold","disk_note":"WAL: 90.0 MB of 2.0 GB free")")
        .leader("a", "h1:5432");
    EXPECT_NE(keys.text().find(" b: its disk is nearly full: WAL: 90.0 MB of 2.0 GB free\n"),
              std::string::npos)
        << keys.text();
}

TEST(ListView, saysWhoseDataIsDamaged) {
    Keys keys;
    keys.leader("a", "h1:5432")
        .replica("b", "h2:5432", R"(,"corrupted":true,"corruption_note":"1 page checksum")")
        .replica("c", "h3:5432", R"(,"corruption_note":"PostgreSQL wrote")")
        .leader("a", "h1:5432");
    for (const char* line : {" b: its data is damaged: 1 page checksum\n",
                             " c: its data may be damaged: PostgreSQL wrote\n"})
        EXPECT_NE(keys.text().find(line), std::string::npos) << keys.text();
}

TEST(ListView, saysWhatTheArchiveLacksOfTheLeader) {
    Keys keys;
    keys.leader("a", "h1:5432", R"(,"archive_note":"WAL is missing")")
        .replica("b", "h2:5432", R"(,"archive_note":"of when it led")");
    EXPECT_NE(keys.text().find(" The archive: WAL is missing\n"), std::string::npos) << keys.text();
    EXPECT_EQ(keys.text().find("of when it led"), std::string::npos) << keys.text();
}

TEST(ListView, ofAnUninitializedClusterIsAnEmptyTable) {
    Keys keys;
    keys.remove("initialize").remove("config").remove("status");
    EXPECT_EQ(keys.text(), expected("uninitialized"));
    keys.put("initialize", "");
    EXPECT_TRUE(keys.text().starts_with("+ Cluster: orders (initializing) -"));
}

TEST(ListView, withoutALeaderShowsEverybodyAsReplica) {
    Keys keys;
    keys.replica("db-a", "h1:5432").replica("db-b", "h2:5432");
    const auto text = keys.text();
    EXPECT_EQ(text.find("Leader"), std::string::npos);
    EXPECT_NE(text.find("| db-a   | h1   | Replica | streaming |"), std::string::npos) << text;
    const auto tree = keys.text({.extended = false, .format = Format::topology, .colour = false});
    EXPECT_NE(tree.find("| db-a "), std::string::npos) << tree;
}

TEST(ListView, addsThePortWhenItMatters) {
    Keys same;
    same.leader("a", "h:5432").replica("b", "h:5432");
    EXPECT_NE(same.text().find("| h:5432 |"), std::string::npos);
    Keys other;
    other.leader("a", "h1:5432").replica("b", "h2:5433");
    EXPECT_NE(other.text().find("| h1:5432 |"), std::string::npos);
    EXPECT_NE(other.text().find("| h2:5433 |"), std::string::npos);
}

TEST(ListView, hidesALongReasonInTheTableOnly) {
    Keys keys;
    const std::string reason =
        R"(,"pending_restart":true,"pending_restart_reason":)"
        R"({"a":{"old_value":"1","new_value":"2"},"shared_preload_libraries":)"
        R"({"old_value":"","new_value":"pg_stat_statements,auto_explain"}})";
    keys.leader("db-a", "h1:5432").replica("db-b", "h2:5432", reason);
    const auto text = keys.text();
    EXPECT_NE(text.find("| a: 1->2                                       |"), std::string::npos)
        << text;
    EXPECT_NE(text.find("| shared_preload_libraries: [hidden - too long] |"), std::string::npos)
        << text;
    // Several lines: a rule between all rows.
    std::size_t rules = 0;
    for (auto at = text.find("\n+"); at != std::string::npos; at = text.find("\n+", at + 1))
        ++rules;
    EXPECT_EQ(rules, 3U) << text;
    const auto json = keys.text({.extended = false, .format = Format::json, .colour = false});
    EXPECT_NE(json.find(R"(shared_preload_libraries: ->pg_stat_statements,auto_explain)"),
              std::string::npos);
}

TEST(ListView, fillsOnePositionWhereItBelongs) {
    Keys keys;
    keys.leader("db-a", "h1:5432");
    keys.member("db-b", "h2:5432",
                R"("state":"running","role":"replica","timeline":4,)"
                R"("replication_state":"streaming","xlog_location":1509949656)");
    keys.member("db-c", "h3:5432",
                R"("state":"running","role":"replica","timeline":4,"xlog_location":1509949656)");
    const auto tsv = keys.text({.extended = false, .format = Format::tsv, .colour = false});
    EXPECT_NE(tsv.find("streaming\t4\t0/5A0000D8\t0\tunknown\t\n"), std::string::npos) << tsv;
    EXPECT_NE(tsv.find("running\t4\tunknown\t\t0/5A0000D8\t0\n"), std::string::npos) << tsv;
}

TEST(ListView, extendedShowsAllColumns) {
    Keys keys;
    keys.leader("db-a", "h1:5432");
    const auto tsv = keys.text({.extended = true, .format = Format::tsv, .colour = false});
    EXPECT_EQ(tsv,
              "Cluster\tMember\tHost\tRole\tState\tTL\tReceive LSN\tReceive Lag\tReplay LSN\t"
              "Replay Lag\tPending restart\tPending restart reason\tScheduled restart\tTags\n"
              "orders\tdb-a\th1\tLeader\trunning\t4\t\t\t\t\t\t\t\t\n");
}

TEST(ListView, speaksJsonAsPatroniDoes) {
    Keys keys;
    keys.leader("db-a", "h1:5432").replica("db-b", "h2:5432", R"(,"tags":{"clonefrom":true})");
    EXPECT_EQ(keys.text({.extended = false, .format = Format::json, .colour = false}),
              R"([{"Cluster": "orders", "Member": "db-a", "Host": "h1", "Role": "Leader", )"
              R"("State": "running", "TL": 4}, {"Cluster": "orders", "Member": "db-b", )"
              R"("Host": "h2", "Role": "Replica", "State": "streaming", "TL": 4, )"
              R"("Receive LSN": "0/5A0000D8", "Receive Lag": 0, "Replay LSN": "0/5A0000D8", )"
              R"("Replay Lag": 0, "Tags": {"clonefrom": true}}])"
              "\n");
}

TEST(ListView, speaksYaml) {
    Keys keys;
    keys.leader("db-a", "h1:5432");
    EXPECT_EQ(keys.text({.extended = false, .format = Format::yaml, .colour = false}),
              "- Cluster: orders\n  Member: db-a\n  Host: h1\n  Role: Leader\n  State: running\n"
              "  TL: 4\n");
}

TEST(ListView, putsSeveralClustersIntoOneDocument) {
    Keys keys;
    keys.leader("db-a", "h1:5432");
    const ListOptions tsv{.extended = false, .format = Format::tsv, .colour = false};
    const auto text = list_text({keys.shown("one"), keys.shown("two")}, tsv);
    EXPECT_EQ(std::ranges::count(text, '\n'), 3) << text;
    EXPECT_NE(text.find("\ntwo\tdb-a"), std::string::npos);
    const auto pretty = list_text({keys.shown("one"), keys.shown("two")}, {});
    EXPECT_NE(pretty.find("+ Cluster: two ("), std::string::npos);
}

TEST(ListView, showsAScheduledRestart) {
    Keys keys;
    keys.leader("db-a", "h1:5432");
    keys.replica("db-b", "h2:5432",
                 R"(,"scheduled_restart":{"schedule":"2031-02-03T04:05:06+00:00",)"
                 R"("postmaster_start_time":"x","postgres_version":"15.4"})");
    EXPECT_NE(keys.text().find("| 2031-02-03T04:05:06+00:00 if version < 15.4 |"),
              std::string::npos)
        << keys.text();
}

TEST(ListView, coloursOnlyWhenAsked) {
    const auto keys = contract_example();
    EXPECT_EQ(keys.text().find('\x1b'), std::string::npos);
    const auto text = keys.text({.extended = false, .format = Format::pretty, .colour = true});
    EXPECT_NE(text.find("\x1b[1;32mLeader\x1b[0m"), std::string::npos);
    EXPECT_NE(text.find("\x1b[1;31mstopped\x1b[0m"), std::string::npos);
    EXPECT_NE(text.find("\x1b[33m3\x1b[0m"), std::string::npos);
}

TEST(ListView, showsWhoIsMadeAnew) {
    auto keys = contract_example();
    EXPECT_EQ(keys.text().find("anew"), std::string::npos);
    keys.put("rebuild", R"({"member":"db-b","phase":"asked","since":1795694401500,)"
                        R"("kept":".damaged-20261126T120001Z"})");
    EXPECT_NE(keys.text().find(" db-b is being made anew: its data was damaged; the old directory "
                               "is kept as *.damaged-20261126T120001Z\n"),
              std::string::npos)
        << keys.text();
}

}  // namespace
}  // namespace relevo::ctl
