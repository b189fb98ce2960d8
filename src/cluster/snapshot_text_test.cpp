#include <gtest/gtest.h>

#include "cluster/snapshot.h"

namespace relevo::cluster {
namespace {

TEST(FailoverText, HasOnlyWhatIsAsked) {
    FailoverRequest request;
    EXPECT_EQ(to_json(request), "{}");
    request.member = "pg-2";
    EXPECT_EQ(to_json(request), R"({"member":"pg-2"})");
    request.leader = "pg-1";
    request.scheduled_at_text = "2030-01-01T00:00:00+02:00";
    EXPECT_EQ(to_json(request),
              R"({"leader":"pg-1","member":"pg-2","scheduled_at":"2030-01-01T00:00:00+02:00"})");
    request.scheduled_at_text.clear();
    request.scheduled_at = WallTime(std::chrono::seconds(1893448800));
    EXPECT_EQ(to_json(request),
              R"({"leader":"pg-1","member":"pg-2","scheduled_at":"2029-12-31T22:00:00+00:00"})");
}

TEST(FailoverText, IsReadBack) {
    const auto request = parse_failover(
        R"({"leader":"pg-1","member":"pg-2","scheduled_at":"2030-01-01T00:00:00+02:00","x":1})");
    ASSERT_TRUE(request);
    EXPECT_EQ(request->leader, "pg-1");
    EXPECT_EQ(request->member, "pg-2");
    EXPECT_EQ(request->scheduled_at, WallTime(std::chrono::seconds(1893448800)));
    EXPECT_EQ(request->scheduled_at_text, "2030-01-01T00:00:00+02:00");
    EXPECT_EQ(parse_failover(to_json(*request)).value(), *request);
}

TEST(FailoverText, EmptyInEveryFormAsksForNothing) {
    for (const char* text : {"", " ", "{}", "null", R"({"leader":"","member":""})",
                             R"({"leader":null})", R"({"scheduled_at":""})", ":"}) {
        const auto request = parse_failover(text);
        ASSERT_TRUE(request) << text;
        EXPECT_EQ(*request, FailoverRequest{}) << text;
    }
}

TEST(FailoverText, ReadsTheOldForm) {
    const auto both = parse_failover("pg-1:pg-2");
    ASSERT_TRUE(both);
    EXPECT_EQ(both->leader, "pg-1");
    EXPECT_EQ(both->member, "pg-2");
    EXPECT_EQ(parse_failover(":pg-2")->member, "pg-2");
    EXPECT_EQ(parse_failover("pg-1:")->leader, "pg-1");
}

TEST(FailoverText, RefusesTheRest) {
    for (const char* text :
         {"pg-1", "a:b:c", "[]", "7", "{", R"("a:b")", R"({"leader":7})", R"({"member":["a"]})",
          R"({"scheduled_at":"tomorrow"})", R"({"scheduled_at":"2030-01-01T00:00:00"})",
          R"({"scheduled_at":1893448800})", "\xFF", R"([{"a":1}])"}) {
        EXPECT_FALSE(parse_failover(text)) << text;
    }
}

TEST(SyncText, IsPatronis) {
    SyncState sync;
    EXPECT_EQ(to_json(sync), R"({"leader":null,"quorum":0,"sync_standby":null})");
    sync.leader = "pg-1";
    EXPECT_EQ(to_json(sync), R"({"leader":"pg-1","quorum":0,"sync_standby":null})");
    sync.quorum = 1;
    sync.voters = {"pg-2", "pg-0"};
    EXPECT_EQ(to_json(sync), R"({"leader":"pg-1","quorum":1,"sync_standby":"pg-0,pg-2"})");
}

TEST(SyncText, IsReadWithSortedNames) {
    const auto sync =
        parse_sync(R"({"leader":"pg-1","quorum":1,"sync_standby":"pg-2, pg-0,pg-2,"})");
    ASSERT_TRUE(sync);
    EXPECT_EQ(sync->leader, "pg-1");
    EXPECT_EQ(sync->quorum, 1);
    EXPECT_EQ(sync->voters, (std::vector<MemberName>{"pg-0", "pg-2"}));
    EXPECT_TRUE(sync->active());
    EXPECT_TRUE(sync->names("PG-0"));
    EXPECT_FALSE(sync->names("pg-1"));
    EXPECT_TRUE(sync->names_or_leader("Pg-1"));
    EXPECT_FALSE(sync->names_or_leader("pg-3"));
}

TEST(SyncText, WithoutALeaderNothingCounts) {
    for (const char* text : {"", "null", "{}", R"({"leader":null,"quorum":2,"sync_standby":"a"})",
                             R"({"leader":"","sync_standby":"a"})"}) {
        const auto sync = parse_sync(text);
        ASSERT_TRUE(sync) << text;
        EXPECT_EQ(*sync, SyncState{}) << text;
        EXPECT_FALSE(sync->names_or_leader(""));
    }
}

TEST(SyncText, RefusesTheRest) {
    for (const char* text :
         {"pg-1", "[]", "{", R"({"leader":1})", R"({"leader":"a","quorum":"1"})",
          R"({"leader":"a","quorum":-1})", R"({"leader":"a","quorum":99999999999})",
          R"({"leader":"a","sync_standby":["b"]})"}) {
        EXPECT_FALSE(parse_sync(text)) << text;
    }
}

TEST(StatusText, LeavesOutWhatIsAbsent) {
    EXPECT_EQ(to_json(StatusKey{Lsn{67108960}, {}, {}}), R"({"optime":67108960})");
    EXPECT_EQ(
        to_json(StatusKey{Lsn{67108960}, {{"pg_1", Lsn{5}}, {"pg_0", Lsn{4}}}, {"pg_1", "pg_0"}}),
        R"({"optime":67108960,"slots":{"pg_0":4,"pg_1":5},"retain_slots":["pg_0","pg_1"]})");
}

TEST(StatusText, IsReadBackAlsoAsABareNumber) {
    const StatusKey status{Lsn{~0ULL}, {{"pg_0", Lsn{4}}}, {"pg_0", "pg_1"}};
    EXPECT_EQ(parse_status(to_json(status)), status);
    EXPECT_EQ(parse_status("67108960"), (StatusKey{Lsn{67108960}, {}, {}}));
    EXPECT_EQ(parse_status(R"({"slots":null,"future":[]})"), StatusKey{});
}

TEST(StatusText, RefusesTheRest) {
    for (const char* text :
         {"", "null", "[]", "-1", "1.5", "\"1\"", "1e99999", "18446744073709551616", "{",
          R"({"optime":"5"})", R"({"optime":-5})", R"({"slots":[]})", R"({"slots":{"a":"1"}})",
          R"({"slots":{"a":null}})", R"({"retain_slots":"a"})", R"({"retain_slots":[1]})"}) {
        EXPECT_FALSE(parse_status(text)) << text;
    }
}

TEST(HistoryText, HasThreeToFiveItemsALine) {
    const std::vector<HistoryLine> history = {
        {1, Lsn{67382056}, "no recovery target specified", "2026-01-02T03:04:05.678901+00:00",
         "pg-1"},
        {2, Lsn{67382057}, "r", "2026-01-02T03:04:06+00:00", ""},
        {3, Lsn{67382058}, "r", "", ""},
    };
    const std::string text =
        R"([[1,67382056,"no recovery target specified","2026-01-02T03:04:05.678901+00:00","pg-1"],)"
        R"([2,67382057,"r","2026-01-02T03:04:06+00:00"],[3,67382058,"r"]])";
    EXPECT_EQ(to_json(history), text);
    EXPECT_EQ(parse_history(text), history);
    EXPECT_EQ(to_json(std::vector<HistoryLine>{}), "[]");
    EXPECT_EQ(parse_history("[]"), std::vector<HistoryLine>{});
    EXPECT_TRUE(parse_history(R"([[1,5,"r",null,null]])"));
}

TEST(HistoryText, RefusesTheRest) {
    for (const char* text :
         {"", "{}", "null", "[1]", "[[1,2]]", R"([[1,2,"r","t","m","x"]])", R"([["1",2,"r"]])",
          R"([[0,2,"r"]])", R"([[-1,2,"r"]])", R"([[4294967295,2,"r"]])", R"([[1,-2,"r"]])",
          R"([[1,2,3]])", R"([[1,2,"r",4]])", R"([[1,"0/2","r"]])", "[[1,2,\"r\"]"}) {
        EXPECT_FALSE(parse_history(text)) << text;
    }
}

TEST(HistoryFile, IsReadAsPostgresqlWritesIt) {
    const auto history = parse_history_file(
        "1\t0/40426A8\tno recovery target specified\n\n# a comment\n2\t1/0\tbefore "
        "2000-01-01\textra\r\n3\t1/1\n");
    ASSERT_TRUE(history) << history.error().message;
    EXPECT_EQ(*history,
              (std::vector<HistoryLine>{{1, Lsn{0x40426A8}, "no recovery target specified", "", ""},
                                        {2, Lsn{0x1'0000'0000}, "before 2000-01-01\textra", "", ""},
                                        {3, Lsn{0x1'0000'0001}, "", "", ""}}));
    EXPECT_TRUE(parse_history_file("")->empty());
}

TEST(HistoryFile, RefusesALineThatIsNone) {
    for (const char* text :
         {"x", "1", "1\t", "1\t5\tr", "0\t0/1\tr", "-1\t0/1\tr", "4294967295\t0/1\tr", "\t0/1"}) {
        EXPECT_FALSE(parse_history_file(text)) << text;
    }
}

TEST(FailsafeText, MapsNamesToUrls) {
    const std::map<MemberName, std::string> members = {{"pg-0", "http://10.0.0.1:8008/patroni"},
                                                       {"pg-1", "http://x"}};
    EXPECT_EQ(failsafe_json(members),
              R"({"pg-0":"http://10.0.0.1:8008/patroni","pg-1":"http://x"})");
    EXPECT_EQ(parse_failsafe(failsafe_json(members)), members);
    for (const char* text : {"", "[]", "null", R"({"a":1})", R"({"a":null})"})
        EXPECT_FALSE(parse_failsafe(text));
}

TEST(ConfigText, KeepsTheOrderOfItsKeys) {
    EXPECT_EQ(parse_config(R"({ "ttl": 30, "a": {"z":1, "b":[1, 2]} })"),
              R"({"ttl":30,"a":{"z":1,"b":[1,2]}})");
    EXPECT_FALSE(parse_config("[]"));
    std::string many = "{\"0\":0";
    for (int i = 1; i < 6000; ++i) many += ",\"" + std::to_string(i) + "\":0";
    EXPECT_EQ(parse_config(many + "}").error().message, "too many keys");
}

}  // namespace
}  // namespace relevo::cluster
