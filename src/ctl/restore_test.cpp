// `relevoctl restore`, from the words to the text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* window =
    R"("windows":[{"backup":"20260514-010000F","from":"2026-05-14T01:00:10+00:00",)"
    R"("from_lsn":"0/5000100","until":"2026-05-14T09:58:30+00:00","until_lsn":"0/28000000",)"
    R"("timeline":2,"last_segment":"000000020000000000000027"}])";

std::string plan() {
    return fmt::format(
        R"({{"member":"db-b","plan":{{"target":"2026-05-14 09:00:00+00",)"
        R"("backup":{{"label":"20260514-010000F","type":"full",)"
        R"("stopped":"2026-05-14T01:00:10+00:00","timeline":1,"database_bytes":24326963,)"
        R"("repository":1}},"timeline":"2","recovery":{{"first_segment":)"
        R"("000000010000000000000005","last_segment":"000000020000000000000027","segments":35}},)"
        R"("notes":["look twice"],{}}}}})",
        window);
}

std::string problem() {
    return fmt::format(
        R"({{"member":"db-b","plan":{{"target":"x","problem":"x is too early",{}}}}})", window);
}

std::string state(const char* word, const std::string& more = "") {
    return fmt::format(R"({{"member":"db-b","state":"{}","into":"/srv/new","backup":"F",)"
                       R"("target":"the end of the archive","timeline":"2",)"
                       R"("begun":"2026-05-14T10:00:00+00:00","elapsed_s":7{}}})",
                       word, more);
}

class Restore : public testing::Test, public World {
protected:
    Restore() { three_members(); }
};

TEST_F(Restore, WithoutADirectoryTheWayIsShown) {
    http.answer("POST db-b /restore", 200, plan());
    EXPECT_EQ(run({"restore", "--to", "2026-05-14 09:00+00"}), 0) << terminal.errors;
    EXPECT_THAT(http.sent, ElementsAre(R"(POST db-b /restore {"to":"2026-05-14 09:00+00"})"));
    EXPECT_EQ(terminal.output,
              "Restore of cluster orders to 2026-05-14 09:00:00+00, by db-b\n"
              "  Backup:    20260514-010000F, full, ended 2026-05-14 01:00:10+00 (timeline 1, "
              "23.2 MB)\n"
              "  Recovery:  along timeline 2; the archive has 35 segments from "
              "000000010000000000000005 to 000000020000000000000027\n"
              "  Reachable: from 2026-05-14 01:00:10+00 (the end of backup 20260514-010000F) to "
              "2026-05-14 09:58:30+00 (000000020000000000000027, timeline 2)\n"
              "  Note:      look twice\n"
              "Nothing was restored: --into-new-cluster DIR does it\n");
}

TEST_F(Restore, WhatCannotBeReachedIsAnErrorWithWhatCan) {
    http.answer("POST db-b /restore", 412, problem());
    EXPECT_EQ(run({"restore", "--to-lsn", "0/5", "--into-new-cluster", "/srv/new"}), 1);
    EXPECT_EQ(terminal.errors, "Error: db-b: x is too early\n");
    http.answers.clear();
    http.answer("POST db-b /restore", 200, problem());
    EXPECT_EQ(run({"restore", "--to-lsn", "0/5", "--dry-run"}), 1);
    EXPECT_THAT(terminal.output, HasSubstr("Reachable: from"));
    EXPECT_THAT(terminal.errors, HasSubstr("Error: x is too early\n"));
}

TEST_F(Restore, ARestoreIsWaitedForAndTheNextStepsAreSaid) {
    http.answer("POST db-b /restore", 202, state("running"));
    http.answer("GET db-b /restore", 200,
                state("running", R"(,"percent":50.00,"done_bytes":1024,"total_bytes":2048)"));
    http.answer("GET db-b /restore", 200, state("done"));
    EXPECT_EQ(run({"restore", "--latest", "--into-new-cluster", "/srv/new", "--exclusive"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("exclusive"));
    EXPECT_EQ(run({"restore", "--latest", "--into-new-cluster", "/srv/new", "--timeline", "2",
                   "--backup", "F"}),
              0)
        << terminal.errors;
    EXPECT_EQ(http.sent[0], R"(POST db-b /restore {"latest":true,"timeline":"2","backup":"F",)"
                            R"("into":"/srv/new"})");
    EXPECT_THAT(terminal.output,
                AllOf(HasSubstr("Success: restore of the end of the archive (backup F) into "
                                "/srv/new on db-b is done, in 7 s\n"),
                      HasSubstr("pg_ctl -D /srv/new"), HasSubstr("scope: orders-restored"),
                      HasSubstr("RESET archive_mode")));
}

TEST_F(Restore, OneThatFailsIsAnError) {
    http.answer("POST db-b /restore", 202, state("running"));
    http.answer("GET db-b /restore", 200, state("failed", R"(,"result":"the disk is full")"));
    EXPECT_EQ(run({"restore", "--latest", "--into-new-cluster", "/srv/new"}), 1);
    EXPECT_EQ(terminal.errors,
              "Error: restore of the end of the archive (backup F) into /srv/new on db-b failed "
              "after 7 s: the disk is full\n");
}

TEST_F(Restore, AnAgentThatWasRestartedMeanwhileKnowsNothingOfIt) {
    http.answer("POST db-b /restore", 202, state("running"));
    http.break_off("GET db-b /restore", ErrorCode::unavailable);
    http.answer("GET db-b /restore", 200, R"({"member":"db-b","state":"none"})");
    EXPECT_EQ(run({"restore", "--latest", "--into-new-cluster", "/srv/new"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("marked as half made"));
}

TEST_F(Restore, AMemberWithoutARepositoryLetsTheNextOneDoIt) {
    http.answer("POST db-b /restore", 404, "no section `backup`");
    http.answer("POST db-c /restore", 501, "there is no POST for this path");
    http.answer("POST db-a /restore", 200, plan());
    EXPECT_EQ(run({"restore", "--latest"}), 0) << terminal.errors;
    EXPECT_EQ(http.sent.size(), 3U);
    http.answers.erase("POST db-a /restore");
    EXPECT_EQ(run({"restore", "--latest"}), 1);
    EXPECT_THAT(terminal.errors,
                AllOf(HasSubstr("no member can restore"), HasSubstr("db-b: no section `backup`"),
                      HasSubstr("db-c: its agent restores nothing")));
}

TEST_F(Restore, AnAnswerThatDoesNotComeIsNotAskedForElsewhere) {
    http.break_off("POST db-b /restore", ErrorCode::outcome_unknown);
    EXPECT_EQ(run({"restore", "--latest", "--into-new-cluster", "/srv/new"}), 1);
    EXPECT_EQ(http.sent.size(), 1U);
    EXPECT_THAT(terminal.errors, HasSubstr("--status"));
}

TEST_F(Restore, ANamedMemberDoesIt) {
    http.answer("POST db-c /restore", 202, state("running"));
    EXPECT_EQ(run({"restore", "--latest", "--into-new-cluster", "/srv/new", "--member", "db-c",
                   "--no-wait"}),
              0)
        << terminal.errors;
    EXPECT_THAT(terminal.output, HasSubstr("relevoctl restore --status orders"));
    EXPECT_EQ(run({"restore", "--latest", "--member", "db-x"}), 1);
}

TEST_F(Restore, StatusAndCancelAskEverybody) {
    http.answer("GET db-a /restore", 200, R"({"member":"db-a","state":"none"})");
    http.answer("GET db-b /restore", 200,
                state("running", R"(,"percent":50.00,"eta_s":40,"done_bytes":5)"));
    http.answer("GET db-c /restore", 200, R"({"state":"running","patroni":{}})");
    EXPECT_EQ(run({"restore", "--status"}), 0);
    EXPECT_EQ(terminal.output,
              "restore of the end of the archive (backup F) into /srv/new on db-b: 50.0%, 5 B, "
              "about 40 s left\n"
              "db-a restored nothing yet\n");
    EXPECT_THAT(terminal.errors, HasSubstr("db-c: it restores nothing"));
    http.answer("DELETE db-b /restore", 200, "the restore into /srv/new is ended");
    for (const char* other : {"DELETE db-a /restore", "DELETE db-c /restore"})
        http.answer(other, 404, "no restore goes on here");
    terminal.output.clear();
    EXPECT_EQ(run({"restore", "--cancel"}), 0);
    EXPECT_EQ(terminal.output, "db-b: the restore into /srv/new is ended\n");
    http.answers["DELETE db-b /restore"].clear();
    http.answer("DELETE db-b /restore", 404, "no restore goes on here");
    EXPECT_EQ(run({"restore", "--cancel"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("no restore goes on"));
}

TEST_F(Restore, WordsThatMakeNoRestoreReachNobody) {
    EXPECT_EQ(run({"restore"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("no target is given"));
    EXPECT_EQ(run({"restore", "--to", "2026-05-14 10:00"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("zone"));
    EXPECT_EQ(run({"restore", "--latest", "--to-xid", "735"}), 1);
    EXPECT_EQ(run({"restore", "--latest", "--into-new-cluster", "new"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("absolute path"));
    EXPECT_TRUE(http.sent.empty());
    EXPECT_EQ(run({"restore", "--help"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("--to-lsn"));
}

TEST_F(Restore, JsonIsWhatTheMemberSaid) {
    http.answer("POST db-b /restore", 200, plan());
    EXPECT_EQ(run({"restore", "--latest", "-f", "json"}), 0);
    EXPECT_THAT(terminal.output, AllOf(testing::StartsWith(R"({"member": "db-b", "plan": )"),
                                       HasSubstr(R"("label": "20260514-010000F")")));
}

std::string in_place_plan() {
    auto text = plan();
    text.insert(text.rfind('}'), R"(,"in_place":{"leader":"db-a",)"
                                 R"("aside":"/srv/data.before_restore_<id>",)"
                                 R"("stops":["db-a","db-b","db-c"]})");
    return text;
}

TEST_F(Restore, InPlaceADryRunSaysWhatWouldBeStoppedAndKept) {
    http.answer("POST db-b /restore", 200, in_place_plan());
    EXPECT_EQ(run({"restore", "--latest", "--in-place", "--dry-run"}), 0) << terminal.errors;
    EXPECT_THAT(
        http.sent,
        ElementsAre(R"(POST db-b /restore {"latest":true,"in_place":true,"dry_run":true})"));
    EXPECT_THAT(terminal.output, AllOf(HasSubstr("Stops:     db-a, db-b, db-c (leader: db-a)"),
                                       HasSubstr("db-b's data directory becomes "
                                                 "/srv/data.before_restore_<id>"),
                                       HasSubstr("this was a dry run")));
}

TEST_F(Restore, InPlaceNothingBeginsWithoutAYes) {
    http.answer("POST db-b /restore", 200, in_place_plan());
    terminal.typed = {"n"};
    EXPECT_EQ(run({"restore", "--latest", "--in-place"}), 1);
    ASSERT_EQ(terminal.questions.size(), 1U);
    EXPECT_THAT(terminal.questions.front(),
                HasSubstr("Are you sure you want to replace the data of cluster "
                          "orders by what it was at 2026-05-14 09:00:00+00?"));
    EXPECT_EQ(http.sent.size(), 1U);
}

TEST_F(Restore, InPlaceWhatAMemberRefusesIsSaid) {
    http.answer("POST db-b /restore", 409, "db-c's agent does not know of restores in place");
    EXPECT_EQ(run({"restore", "--latest", "--in-place", "--force"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("db-b: db-c's agent does not know"));
    EXPECT_EQ(run({"restore", "--latest", "--in-place", "--into-new-cluster", "/srv/x"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("name one of them"));
}

}  // namespace
}  // namespace relevo::ctl
