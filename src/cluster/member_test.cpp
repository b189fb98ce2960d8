#include "cluster/member.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

MemberRecord parsed(std::string_view text) {
    auto member = parse_member("pg-1", text);
    EXPECT_TRUE(member) << text << ": " << member.error().message;
    return member.value_or(MemberRecord{});
}

MemberRecord full_member() {
    MemberRecord member;
    member.name = "pg-1";
    member.conn_url = "postgres://10.0.0.2:5432/postgres";
    member.api_url = "http://10.0.0.2:8008/patroni";
    member.proxy_url = "postgres://10.0.0.9:6432/postgres";
    member.state = State::running;
    member.role = Role::replica;
    member.version = compatible_version;
    member.relevo = "0.1.0";
    member.checkpoint_after_promote = false;
    member.tags.published = {{"clonefrom", {"true"}}, {"priority", {"3"}}, {"zone", {"\"a\""}}};
    member.pending_restart = true;
    member.pending_restart_reason["max_connections"] = {"100", "200"};
    member.xlog_location = Lsn{67108960};
    member.replay_lsn = Lsn{67108960};
    member.receive_lsn = Lsn{67108961};
    member.replication_state = "streaming";
    member.timeline = 1;
    member.scheduled_restart = ScheduledRestart{
        "2030-01-01T00:00:00+00:00", "2026-01-02 03:04:05+00:00", "replica", "15.3", "60", true};
    member.pause = true;
    member.wal_tail = WalTail{7, Lsn{67108962}};
    member.disk = DiskState::hold;
    member.disk_note = "WAL: 90.0 MB of 2.0 GB free";
    member.refuses_writes = true;
    member.corrupted = true;
    member.corruption_note = "1 page checksum in database app did not match";
    member.archive_note = "WAL is missing";
    return member;
}

TEST(MemberJson, IsPatronisInItsOrder) {
    MemberRecord member = full_member();
    member.proxy_url.clear();
    member.relevo.clear();
    member.checkpoint_after_promote.reset();
    member.tags.published = {{"clonefrom", {"true"}}};
    member.pending_restart = false;
    member.pending_restart_reason.clear();
    member.receive_lsn = Lsn{67108960};
    member.scheduled_restart.reset();
    member.pause = false;
    member.wal_tail.reset();
    member.disk = DiskState::ok;
    member.disk_note.clear();
    member.refuses_writes = false;
    member.corrupted = false;
    member.corruption_note.clear();
    member.archive_note.clear();
    EXPECT_EQ(to_json(member),
              R"({"conn_url":"postgres://10.0.0.2:5432/postgres",)"
              R"("api_url":"http://10.0.0.2:8008/patroni",)"
              R"("state":"running","role":"replica","version":"4.1.4","tags":{"clonefrom":true},)"
              R"("xlog_location":67108960,"replay_lsn":67108960,"receive_lsn":67108960,)"
              R"("replication_state":"streaming","timeline":1})");
}

TEST(MemberJson, WritesEveryFieldInOrder) {
    EXPECT_EQ(
        to_json(full_member()),
        R"({"conn_url":"postgres://10.0.0.2:5432/postgres",)"
        R"("api_url":"http://10.0.0.2:8008/patroni",)"
        R"("state":"running","role":"replica","version":"4.1.4","relevo":"0.1.0",)"
        R"("proxy_url":"postgres://10.0.0.9:6432/postgres","checkpoint_after_promote":false,)"
        R"("tags":{"clonefrom":true,"priority":3,"zone":"a"},"pending_restart":true,)"
        R"("pending_restart_reason":{"max_connections":{"old_value":"100","new_value":"200"}},)"
        R"("xlog_location":67108960,"replay_lsn":67108960,"receive_lsn":67108961,)"
        R"("replication_state":"streaming","timeline":1,)"
        R"("scheduled_restart":{"schedule":"2030-01-01T00:00:00+00:00",)"
        R"("postmaster_start_time":"2026-01-02 03:04:05+00:00","role":"replica",)"
        R"("postgres_version":"15.3","restart_pending":true,"timeout":60},"pause":true,)"
        R"("wal_tail":{"timeline":7,"end":67108962},)"
        R"("disk":"hold","disk_note":"WAL: 90.0 MB of 2.0 GB free","refuses_writes":true,)"
        R"("corrupted":true,"corruption_note":"1 page checksum in database app did not match",)"
        R"("archive_note":"WAL is missing"})");
}

TEST(MemberJson, ReadsBackWhatItWrites) {
    EXPECT_EQ(parsed(to_json(full_member())), full_member());
    MemberRecord bare;
    bare.name = "pg-1";
    EXPECT_EQ(parsed(to_json(bare)), bare);
}

TEST(MemberJson, OnlyAsciiLeavesTheProgram) {
    MemberRecord member;
    member.tags.published["zone"] = {"\"Zürich\""};
    member.replication_state = "bad \xFF byte";
    const std::string text = to_json(member);
    EXPECT_NE(text.find(R"("Z\u00fcrich")"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("bad \ufffd byte")"), std::string::npos) << text;
}

TEST(ParseMember, KeepsStatesThatAreNotOurs) {
    const MemberRecord member = parsed(R"({"state":"dancing","role":"replica"})");
    EXPECT_EQ(member.state, State::unknown);
    EXPECT_EQ(member.state_text, "dancing");
    EXPECT_NE(to_json(member).find(R"("state":"dancing")"), std::string::npos);
}

TEST(ParseMember, AcceptsOldAndUnknownThings) {
    EXPECT_EQ(parsed(R"({"role":"master","state":"running"})").role, Role::primary);
    EXPECT_EQ(parsed(R"({"role":"admiral"})").role, Role::uninitialized);
    EXPECT_EQ(parsed(R"({"future":{"a":[1]},"state":"running"})").state, State::running);
    EXPECT_TRUE(parsed(R"({"tags":null,"timeline":null,"api_url":null})").tags.published.empty());
    EXPECT_EQ(parsed("{}").role, Role::uninitialized);
    EXPECT_EQ(parsed(R"({"scheduled_restart":{}})").scheduled_restart, std::nullopt);
    EXPECT_TRUE(parsed(R"({"scheduled_restart":{"schedule":"x","restart_pending":""}})")
                    .scheduled_restart->restart_pending);
    EXPECT_EQ(parsed(R"({"pending_restart_reason":{"port":{"old_value":1,"new_value":null}}})")
                  .pending_restart_reason.at("port")
                  .old_value,
              "1");
}

TEST(ParseMember, AcceptsTheConnectionUrlOfOldAgents) {
    const MemberRecord member = parsed(
        "postgres://u:p@10.0.0.1:5433/postgres?application_name=http%3A%2F%2F10.0.0.1:8008/"
        "patroni&x=y");
    EXPECT_EQ(member.conn_url, "postgres://u:p@10.0.0.1:5433/postgres");
    EXPECT_EQ(member.api_url, "http://10.0.0.1:8008/patroni");
    EXPECT_EQ(member.host(), "10.0.0.1");
    EXPECT_EQ(member.port(), 5433);
    EXPECT_EQ(member.state, State::unknown);
    EXPECT_EQ(parsed("postgres://h/db").api_url, "");
    EXPECT_EQ(parsed("postgres://h/db?application_name=a%2").api_url, "a%2");
}

TEST(ParseMember, NamesTheFieldThatIsWrong) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({"state":5})", "state"},
        {R"({"role":[]})", "role"},
        {R"({"conn_url":{}})", "conn_url"},
        {R"({"timeline":"1"})", "timeline"},
        {R"({"timeline":4294967296})", "timeline"},
        {R"({"timeline":-1})", "timeline"},
        {R"({"xlog_location":1.5})", "xlog_location"},
        {R"({"xlog_location":18446744073709551616})", "xlog_location"},
        {R"({"replay_lsn":"0/1"})", "replay_lsn"},
        {R"({"tags":[1]})", "tags"},
        {R"({"pause":"yes"})", "pause"},
        {R"({"pending_restart":1})", "pending_restart"},
        {R"({"checkpoint_after_promote":0})", "checkpoint_after_promote"},
        {R"({"pending_restart_reason":{"a":1}})", "pending_restart_reason"},
        {R"({"pending_restart_reason":{"a":{"old_value":[]}}})", "pending_restart_reason"},
        {R"({"scheduled_restart":"now"})", "scheduled_restart"},
        {R"({"scheduled_restart":{"schedule":1}})", "scheduled_restart"},
    };
    for (const auto& [text, field] : cases) {
        const auto member = parse_member("pg-1", text);
        ASSERT_FALSE(member) << text;
        EXPECT_EQ(member.error().code, ErrorCode::invalid);
        EXPECT_NE(member.error().message.find(field), std::string::npos) << member.error().message;
    }
}

TEST(ParseMember, RefusesWhatIsNoObjectWithoutRepeatingIt) {
    const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
    for (const std::string& text :
         {std::string(), std::string("secret"), std::string("[]"), std::string("5"),
          std::string("null"), std::string("{\"state\":\"running\""),
          std::string("{\"state\":\"\xFF\"}"), std::string("{} {}"),
          std::string("{\"timeline\":1e999}"), deep, "{\"a\":" + deep + "}"}) {
        const auto member = parse_member("pg-1", text);
        ASSERT_FALSE(member) << text.substr(0, 40);
        EXPECT_EQ(member.error().message.find("secret"), std::string::npos);
    }
}

TEST(MemberAddress, IsReadFromEveryFormOfUrl) {
    struct Case {
        const char* url;
        const char* host;
        int port;
    };
    for (const Case& c : {
             Case{"postgres://10.0.0.2:5433/postgres", "10.0.0.2", 5433},
             Case{"postgres://db.example.com/postgres", "db.example.com", 5432},
             Case{"postgres://[fd00::1]:5433/postgres", "fd00::1", 5433},
             Case{"postgres://[fd00::1]/postgres", "fd00::1", 5432},
             Case{"postgres://user:p%40ss@host:6000/db?x=1", "host", 6000},
             Case{"postgres://host:0/db", "host", 5432},
             Case{"postgres://host:99999/db", "host", 5432},
             Case{"postgres://host", "host", 5432},
             Case{"postgres://[fd00::1", "", 5432},
             Case{"10.0.0.2:5433", "", 5432},
             Case{"", "", 5432},
         }) {
        MemberRecord member;
        member.conn_url = c.url;
        EXPECT_EQ(member.host(), c.host) << c.url;
        EXPECT_EQ(member.port(), c.port) << c.url;
    }
}

TEST(Role, RoundTrips) {
    for (const Role role : {Role::primary, Role::replica, Role::standby_leader, Role::demoted,
                            Role::uninitialized, Role::promoted}) {
        EXPECT_EQ(parse_role(to_string(role)), role);
    }
    EXPECT_EQ(parse_role("Primary"), std::nullopt);
}

TEST(State, RoundTripsAndHasPatronisMetricNumber) {
    for (int i = 0; i <= static_cast<int>(State::unknown); ++i) {
        const auto state = static_cast<State>(i);
        EXPECT_EQ(parse_state(to_string(state)), state);
        EXPECT_EQ(metric_number(state), state == State::unknown ? -1 : i);
    }
    EXPECT_STREQ(to_string(State::bootstrap_starting), "starting after custom bootstrap");
    EXPECT_EQ(metric_number(State::crashed), 14);
}

Tags tags(std::map<std::string, TagValue> published) { return Tags{std::move(published)}; }

TEST(Tags, AFlagIsTrueInEachOfPatronisWords) {
    for (const char* yes : {"true", "\"on\"", "\"Yes\"", "1", "\"1\""}) {
        EXPECT_TRUE(tags({{"nostream", {yes}}}).nostream()) << yes;
    }
    for (const char* no : {"false", "0", "null", "\"maybe\"", "{}", "2", "not json"}) {
        EXPECT_FALSE(tags({{"nostream", {no}}}).nostream()) << no;
    }
    EXPECT_FALSE(tags({}).noloadbalance());
    EXPECT_TRUE(tags({{"noloadbalance", {"true"}}}).noloadbalance());
    EXPECT_TRUE(tags({{"clonefrom", {"true"}}}).clonefrom());
}

TEST(Tags, NofailoverWinsOverThePriority) {
    struct Case {
        std::map<std::string, TagValue> published;
        bool nofailover;
        int priority;
    };
    for (const Case& c : {
             Case{{}, false, 1},
             Case{{{"failover_priority", {"3"}}}, false, 3},
             Case{{{"failover_priority", {"\"2\""}}}, false, 2},
             Case{{{"failover_priority", {"0"}}}, true, 0},
             Case{{{"failover_priority", {"-1"}}}, true, 0},
             Case{{{"failover_priority", {"\"high\""}}}, false, 1},
             Case{{{"nofailover", {"true"}}}, true, 0},
             Case{{{"nofailover", {"true"}}, {"failover_priority", {"5"}}}, true, 0},
             Case{{{"nofailover", {"false"}}, {"failover_priority", {"5"}}}, false, 5},
             Case{{{"nofailover", {"false"}}, {"failover_priority", {"0"}}}, false, 0},
         }) {
        EXPECT_EQ(tags(c.published).nofailover(), c.nofailover);
        EXPECT_EQ(tags(c.published).failover_priority(), c.priority);
    }
}

TEST(Tags, NosyncWinsOverThePriority) {
    EXPECT_EQ(tags({}).sync_priority(), 1);
    EXPECT_TRUE(tags({{"sync_priority", {"0"}}}).nosync());
    EXPECT_TRUE(tags({{"nosync", {"true"}}, {"sync_priority", {"7"}}}).nosync());
    EXPECT_EQ(tags({{"nosync", {"true"}}, {"sync_priority", {"7"}}}).sync_priority(), 0);
    EXPECT_EQ(tags({{"sync_priority", {"7"}}}).sync_priority(), 7);
}

TEST(Tags, TextIsAStringsContentOrTheJson) {
    const Tags some = tags({{"replicatefrom", {"\"pg-\\u00e9\""}},
                            {"n", {"3"}},
                            {"m", {"{\"a\":1}"}},
                            {"z", {"null"}}});
    EXPECT_EQ(some.replicatefrom(), "pg-é");
    EXPECT_EQ(some.text("n"), "3");
    EXPECT_EQ(some.text("m"), "{\"a\":1}");
    EXPECT_EQ(some.text("z"), std::nullopt);
    EXPECT_EQ(some.text("none"), std::nullopt);
    EXPECT_EQ(tags({}).replicatefrom(), "");
}

TEST(SlotName, IsPatronisForEveryMemberName) {
    EXPECT_EQ(slot_name("pg-1"), "pg_1");
    EXPECT_EQ(slot_name("PG.Node-1_x"), "pg_node_1_x");
    EXPECT_EQ(slot_name("a b"), "au0032b");
    EXPECT_EQ(slot_name("é"), "u0233");
    EXPECT_EQ(slot_name("É"), "u0233");
    EXPECT_EQ(slot_name("Я"), "u1103");
    EXPECT_EQ(slot_name("×"), "u0215");
    EXPECT_EQ(slot_name("日"), "u26085");
    EXPECT_EQ(slot_name("😀"), "u128512");
    EXPECT_EQ(slot_name("a\xFF"), "au65533");
    EXPECT_EQ(slot_name("\xE6\x97"), "u65533u65533");
    EXPECT_EQ(slot_name(""), "");
    EXPECT_EQ(slot_name(std::string(80, 'A')), std::string(63, 'a'));
    EXPECT_EQ(slot_name(std::string(62, 'a') + " b"), std::string(62, 'a') + "u");
}

// What members mostly write has a reader of its own; a blank leaves the same to the general one.
TEST(MemberRecord, ThePlainReaderAgreesWithTheGeneralOne) {
    const std::string most =
        R"("conn_url":"postgres://h:1/d","state":"running","role":"replica","version":"4.1.4")";
    for (const std::string& fields : {most,
                                      most + R"(,"xlog_location":0,"timeline":3,"pause":true)",
                                      most + R"(,"xlog_location":007)",
                                      most + R"(,"xlog_location":-1)",
                                      most + R"(,"xlog_location":9999999999999999999)",
                                      most + R"(,"timeline":4294967296)",
                                      most + R"(,"timeline":"3")",
                                      most + R"(,"pause":tru)",
                                      most + R"(,"pause":null)",
                                      most + R"(,"state":"dancing")",
                                      most + R"(,"state":"dancing","state":"stopped")",
                                      most + R"(,"relevo":"a\nb")",
                                      most + ",\"relevo\":\"\xC3\xA4\"",
                                      most + ",\"relevo\":\"\xC3\"",
                                      most + R"(,"tags":{"nosync":true})",
                                      most + R"(,"tags":{"a":1,"b":"x","c":false},"pause":true)",
                                      most + R"(,"tags":{})",
                                      most + R"(,"tags":{"a":1},"tags":{"b":01})",
                                      most + R"(,"tags":{"a":1},"tags":{"b":2})",
                                      most + R"(,"tags":{"a":{"b":1}})",
                                      most + R"(,"tags":{"a":1)",
                                      most + R"(,"tags":{"a":1}})",
                                      most + R"(,"other":{"a":1})",
                                      most + R"(,"of another version":[1])",
                                      most + ",",
                                      most + R"(,"relevo")",
                                      most + R"(,"relevo":)",
                                      most + R"(,"relevo":"1"}{)",
                                      std::string()}) {
        const auto plain = parse_member("m", "{" + fields + "}");
        const auto general = parse_member("m", " {" + fields + "}");
        ASSERT_EQ(plain.has_value(), general.has_value()) << fields;
        if (plain) EXPECT_EQ(*plain, *general) << fields;
    }
}

TEST(MemberJson, KeepsWhatOnlyOursTell) {
    MemberRecord record;
    record.name = "a";
    record.admission = "why";
    record.lowered_commits = "off for role app";
    record.leaves_votes = true;
    record.voteless = true;
    record.restores_in_place = true;
    const auto text = to_json(record);
    const auto read = parse_member("a", text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(read->lowered_commits, "off for role app");
    EXPECT_TRUE(read->leaves_votes);
    EXPECT_TRUE(read->voteless);
    EXPECT_TRUE(read->restores_in_place);
    EXPECT_EQ(to_json(*read), text);
    EXPECT_EQ(to_json(MemberRecord{}).find("leaves_votes"), std::string::npos);
}

}  // namespace
}  // namespace relevo::cluster
