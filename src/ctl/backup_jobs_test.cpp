// `relevoctl backup run`, `schedule` and `expire`, from the words to the text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using testing::HasSubstr;

constexpr const char* asked =
    R"({"id":"j7","what":"incremental","state":"requested","requested_by":"operator",)"
    R"("requested":"2026-05-14T01:00:00+00:00"})";

std::string shown(const std::string& job) {
    return R"({"cluster":"orders","now":"2026-05-14T01:00:50+00:00","timezone":"Europe/Berlin",)"
           R"("from":"prefer-standby","schedule":[{"type":"full","cron":"0 1 * * *",)"
           R"("last":"2026-05-14T01:00:00+00:00","next":"2026-05-15T01:00:00+00:00"}],"job":)" +
           job + "}";
}

std::string job(const std::string& state, const std::string& more = "", const char* id = "j7") {
    return fmt::format(R"({{"id":"{}","what":"incremental","state":"{}","requested_by":"operator",)"
                       R"("member":"db-b"{}}})",
                       id, state, more);
}

constexpr const char* half_way =
    R"(,"attempts":1,"done_bytes":1610612736,"total_bytes":3221225472,"percent":50.00,)"
    R"("elapsed_s":30,"eta_s":30)";

class Backup : public testing::Test, public World {
protected:
    Backup() { three_members(); }
};

TEST_F(Backup, runAsksTheLeader) {
    http.answer("POST db-a /backup", 202, asked);
    EXPECT_EQ(run({"backup", "run", "--type", "incr"}), 0) << terminal.errors;
    EXPECT_EQ(http.sent, std::vector<std::string>{R"(POST db-a /backup {"type":"incr"})"});
    EXPECT_EQ(terminal.output,
              "Success: incremental backup asked for; `relevoctl backup schedule orders` "
              "shows how it goes\n");
}

TEST_F(Backup, runIsRefusedWhileAnotherRuns) {
    http.answer("POST db-a /backup", 409, "full backup runs on db-b: wait for its end");
    EXPECT_EQ(run({"backup", "run"}), 1);
    EXPECT_EQ(terminal.errors, "Error: full backup runs on db-b: wait for its end\n");
}

TEST_F(Backup, runWithWaitShowsWhoRunsItAndEndsWithIt) {
    http.answer("POST db-a /backup", 202, asked);
    http.answer("GET db-a /backup/schedule", 200, shown(asked));
    http.answer("GET db-a /backup/schedule", 200, shown(job("running")));
    http.answer("GET db-b /backup/schedule", 200, shown(job("running", half_way)));
    http.answer(
        "GET db-b /backup/schedule", 200,
        shown(job("done", R"(,"label":"F_I","elapsed_s":61,"result":"nothing to expire")")));
    EXPECT_EQ(run({"backup", "run", "--type", "incr", "--wait"}), 0) << terminal.errors;
    EXPECT_EQ(terminal.output,
              "incremental backup: no member is chosen yet\n"
              "incremental backup on db-b\n"
              "incremental backup on db-b: 50.0%, 1.5 GB of 3.0 GB, about 30 s left\n"
              "incremental backup F_I by db-b in 61 s\n"
              "Success: incremental backup F_I by db-b in 61 s\n"
              "  nothing to expire\n");
}

TEST_F(Backup, onATerminalTheLineIsWrittenOver) {
    terminal.is_terminal = true;
    http.answer("POST db-a /backup", 202, asked);
    http.answer("GET db-a /backup/schedule", 200, shown(job("running", half_way)));
    http.answer("GET db-b /backup/schedule", 200, shown(job("done")));
    EXPECT_EQ(run({"backup", "run", "--wait"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("\r\x1b[Kincremental backup on db-b: 50.0%"));
    EXPECT_THAT(terminal.output, HasSubstr("\r\x1b[KSuccess: "));
}

TEST_F(Backup, anInterruptedOneIsWaitedForAFailedOneIsNot) {
    http.answer("POST db-a /backup", 202, asked);
    http.answer("GET db-a /backup/schedule", 200,
                shown(job("failed", R"(,"interrupted":true,"result":"its runner is gone")")));
    http.answer("GET db-a /backup/schedule", 200,
                shown(job("failed", R"(,"interrupted":false,"result":"no space")")));
    EXPECT_EQ(run({"backup", "run", "--wait"}), 1);
    EXPECT_EQ(terminal.errors, "Error: incremental backup on db-b failed: no space\n");
    EXPECT_THAT(terminal.output, HasSubstr("was interrupted: its runner is gone"));
}

TEST_F(Backup, waitingOutlivesAFailover) {
    http.answer("POST db-a /backup", 202, asked);
    http.answer("GET db-a /backup/schedule", 200, shown(job("running")));
    http.break_off("GET db-b /backup/schedule", ErrorCode::unavailable);
    http.break_off("GET db-a /backup/schedule", ErrorCode::unavailable);
    http.answer("GET db-a /backup/schedule", 200, shown(job("done")));
    EXPECT_EQ(run({"backup", "run", "--wait"}), 0) << terminal.errors;
}

TEST_F(Backup, waitingEndsWhereNobodyAnswersAnyMore) {
    http.answer("POST db-a /backup", 202, asked);
    EXPECT_EQ(run({"backup", "run", "--wait"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("is not known"));
    EXPECT_GE(clock.time, Instant(std::chrono::minutes(2)));
}

TEST_F(Backup, jsonIsTheJobAlone) {
    http.answer("POST db-a /backup", 202, asked);
    http.answer("GET db-a /backup/schedule", 200, shown(job("running")));
    http.answer("GET db-b /backup/schedule", 200, shown(job("done", R"(,"label":"F_I")")));
    EXPECT_EQ(run({"backup", "run", "--wait", "-f", "json"}), 0);
    EXPECT_EQ(terminal.output,
              R"({"id": "j7", "what": "incremental", "state": "done", "requested_by": "operator", )"
              R"("member": "db-b", "label": "F_I"})"
              "\n");
}

TEST_F(Backup, whyNobodyBeginsIsSaid) {
    http.answer("POST db-a /backup", 202, asked);
    auto waiting = shown(asked);
    waiting.insert(waiting.size() - 1, R"(,"waits":"no standby is fit")");
    http.answer("GET db-a /backup/schedule", 200, waiting);
    http.answer("GET db-a /backup/schedule", 200, shown(job("done")));
    EXPECT_EQ(run({"backup", "run", "--wait"}), 0);
    EXPECT_THAT(terminal.output,
                HasSubstr("incremental backup: no member is chosen yet; no standby is fit\n"));
}

TEST_F(Backup, aProofThatNobodyCanMakeIsWaitedForWithoutANameAndSaidOnce) {
    const std::string begun = R"({"id":"j7","what":"proof","requested_by":"operator","state":")";
    http.answer("POST db-a /backup", 202, begun + R"(requested"})");
    auto rests = shown(begun + R"(failed","interrupted":true,"result":"no standby is fit"})");
    rests.insert(rests.size() - 1, R"(,"waits":"no standby is fit")");
    http.answer("GET db-a /backup/schedule", 200, rests);
    http.answer("GET db-a /backup/schedule", 200, shown(begun + R"(done","member":"db-b"})"));
    EXPECT_EQ(run({"backup", "prove", "--wait"}), 0) << terminal.errors;
    EXPECT_THAT(terminal.output,
                HasSubstr("proof of restore was interrupted: no standby is fit\n"));
}

TEST_F(Backup, anotherJobInItsPlaceIsSaid) {
    http.answer("POST db-a /backup", 202, asked);
    http.answer("GET db-a /backup/schedule", 200, shown(job("running", "", "j8")));
    EXPECT_EQ(run({"backup", "run", "--wait"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("another job took its place"));
}

TEST_F(Backup, scheduleIsATableAndTheJob) {
    http.answer("GET db-a /backup/schedule", 200, shown(job("running")));
    http.answer("GET db-b /backup/schedule", 200, shown(job("running", half_way)));
    EXPECT_EQ(run({"backup", "schedule"}), 0) << terminal.errors;
    EXPECT_EQ(terminal.output,
              "+ Cluster: orders (schedule in Europe/Berlin, from prefer-standby) -+\n"
              "| Backup | Schedule  | Was due             | Next                |\n"
              "+--------+-----------+---------------------+---------------------+\n"
              "| full   | 0 1 * * * | 2026-05-14 03:00:00 | 2026-05-15 03:00:00 |\n"
              "+--------+-----------+---------------------+---------------------+\n"
              "Now:      incremental backup on db-b: 50.0%, 1.5 GB of 3.0 GB, about 30 s left "
              "(asked for by an operator)\n");
}

TEST_F(Backup, scheduleOfAnOlderAgent) {
    for (const char* member : {"db-a", "db-b", "db-c"})
        http.answer(fmt::format("GET {} /backup/schedule", member), 501, "no such path");
    EXPECT_EQ(run({"backup", "schedule"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("makes no backups"));
}

TEST_F(Backup, expireDryRunPrintsWhatWouldGo) {
    http.answer("POST db-a /backup/expire", 200, "repo1: expire full backup 20260501-010000F\n");
    EXPECT_EQ(run({"backup", "expire", "--dry-run"}), 0);
    EXPECT_EQ(http.sent, std::vector<std::string>{R"(POST db-a /backup/expire {"dry_run":true})"});
    EXPECT_EQ(terminal.output, "repo1: expire full backup 20260501-010000F\n");
    terminal.output.clear();
    EXPECT_EQ(run({"backup", "expire", "--dry-run", "-f", "json"}), 0);
    EXPECT_EQ(terminal.output, "[\"repo1: expire full backup 20260501-010000F\"]\n");
}

TEST_F(Backup, wordsThatMakeNoCommand) {
    EXPECT_EQ(run({"backup"}), 2);
    EXPECT_EQ(run({"backup", "run", "--type", "some"}), 2);
    EXPECT_EQ(run({"backup", "run", "--help"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("--wait"));
}

TEST_F(Backup, verifyIsAJobAndItsVerdictNamesTheDamage) {
    const auto verify = [](std::string text) {
        const std::string before = "incremental";
        text.replace(text.find(before), before.size(), "verify");
        return text;
    };
    http.answer("POST db-a /backup", 202, verify(asked));
    http.answer("GET db-a /backup/schedule", 200,
                shown(verify(job("failed", R"(,"result":"damaged: file missing 'x'")"))));
    EXPECT_EQ(run({"backup", "verify", "--wait"}), 1);
    EXPECT_EQ(http.sent.front(), R"(POST db-a /backup {"type":"verify"})");
    EXPECT_EQ(terminal.errors, "Error: verify on db-b failed: damaged: file missing 'x'\n");
}

constexpr const char* two_proofs =
    R"({"cluster":"orders","now":"2026-05-14T12:00:00+00:00","schedule":"0 4 * * 0",)"
    R"("next":"2026-05-17T04:00:00+00:00","proofs":[)"
    R"({"id":"p2","begun":"2026-05-14T10:00:00+00:00","member":"db-b","backup":"20260514-010000F",)"
    R"("ok":true,"result":"it restores","bytes":23068672,"restore_ms":9000,"recovery_ms":2500,)"
    R"("checks_ms":600,"took_ms":12100,"restored_to":"0/5000028","newest_age_s":7},)"
    R"({"id":"p1","begun":"2026-05-10T04:00:00+00:00","member":"db-c","ok":false,"step":"room",)"
    R"("result":"room: there is not enough room for /d","took_ms":0}]})";

TEST_F(Backup, proofsAreATableNewestFirst) {
    http.answer("GET db-a /backup/proofs", 200, two_proofs);
    EXPECT_EQ(run({"backup", "proofs"}), 0) << terminal.errors;
    EXPECT_THAT(terminal.output, HasSubstr("| 20260514-010000F | db-b   |"));
    EXPECT_THAT(terminal.output, HasSubstr("| 12.1 s | 0/5000028   | 7 s old            | ok "));
    EXPECT_THAT(terminal.output, HasSubstr("failed: room"));
    EXPECT_LT(terminal.output.find("db-b"), terminal.output.find("db-c"));
    EXPECT_THAT(terminal.output, HasSubstr("the next one is due"));
}

TEST_F(Backup, proofsAsJsonAreAsTheMemberTellsThem) {
    http.answer("GET db-a /backup/proofs", 200, two_proofs);
    EXPECT_EQ(run({"backup", "proofs", "-f", "json"}), 0) << terminal.errors;
    EXPECT_THAT(terminal.output, HasSubstr(R"("took_ms": 12100)"));
}

TEST_F(Backup, proofsSayWhenThereIsNone) {
    http.answer("GET db-a /backup/proofs", 200,
                R"({"cluster":"orders","now":"2026-05-14T12:00:00+00:00","proofs":[]})");
    EXPECT_EQ(run({"backup", "proofs"}), 0) << terminal.errors;
    EXPECT_THAT(terminal.output, HasSubstr("relevoctl backup prove"));
}

TEST_F(Backup, proveIsAJobAndCanBeCancelled) {
    http.answer("POST db-a /backup", 202, asked);
    EXPECT_EQ(run({"backup", "prove"}), 0) << terminal.errors;
    EXPECT_EQ(http.sent.back(), R"(POST db-a /backup {"type":"proof"})");
    http.answer("POST db-a /backup", 202, asked);
    EXPECT_EQ(run({"backup", "prove", "--cancel"}), 0) << terminal.errors;
    EXPECT_EQ(http.sent.back(), R"(POST db-a /backup {"type":"proof","cancel":true})");
}

}  // namespace
}  // namespace relevo::ctl
