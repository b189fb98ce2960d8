#include "cluster/backup_proof.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

ProofRecord proof(int number, bool ok) {
    ProofRecord out;
    out.id = "p" + std::to_string(number);
    out.begun = parse_iso("2026-05-14T01:00:00Z")->time + std::chrono::hours(number);
    out.member = "pg-1";
    out.backup = "20260514-010000F";
    out.ok = ok;
    return out;
}

TEST(Proofs, AreReadAsTheyWereWritten) {
    auto one = proof(1, false);
    one.due = one.begun;
    one.step = "check";
    one.result = "the check says f";
    one.unchecked = "no amcheck";
    one.bytes = 23'000'000;
    one.restore_ms = 1200;
    one.recovery_ms = 300;
    one.checks_ms = 40;
    one.restored_to = Lsn{0x5000028};
    one.newest = one.begun - std::chrono::seconds(7);
    EXPECT_EQ(one.newest_age(), std::chrono::seconds(7));
    EXPECT_EQ(one.took_ms(), 1540);
    const std::vector all{one, proof(2, true)};
    const auto read = parse_proofs(to_json(all));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, all);
}

TEST(Proofs, ATransactionFromTheFutureIsOfNow) {
    auto one = proof(1, true);
    EXPECT_FALSE(one.newest_age());
    one.newest = one.begun + std::chrono::seconds(3);
    EXPECT_EQ(one.newest_age(), std::chrono::seconds(0));
}

TEST(Proofs, ADozenAreKeptAndTheLastGoodOne) {
    std::vector<ProofRecord> all;
    for (int i = 0; i < 3; ++i) all = with_proof(std::move(all), proof(i, true));
    for (int i = 3; i < 40; ++i) all = with_proof(std::move(all), proof(i, false));
    ASSERT_EQ(all.size(), 12U);
    EXPECT_EQ(all.front().id, "p2");
    EXPECT_EQ(last_good(all), &all.front());
    EXPECT_EQ(all[1].id, "p29");
    EXPECT_EQ(all.back().id, "p39");
    all = with_proof(std::move(all), proof(40, true));
    EXPECT_EQ(all.front().id, "p29");
    // However long a sentence is.
    for (auto& one : all) one.result.assign(5000, 'x');
    EXPECT_LT(to_json(all).size(), 16'384U);
}

TEST(Proofs, WhatIsNoListIsRefused) {
    for (const char* text :
         {"", "[]", "{}", R"({"proofs":{}})", R"({"proofs":[7]})", R"({"proofs":[{}]})",
          R"({"proofs":[{"begun":"2026-05-14T01:00:00Z","restore_ms":-1}]})",
          R"({"proofs":[{"begun":"soon"}]})"})
        EXPECT_FALSE(parse_proofs(text)) << text;
    EXPECT_EQ(last_good({}), nullptr);
}

}  // namespace
}  // namespace relevo::cluster
