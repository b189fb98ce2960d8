#include "cluster/rebuild.h"

#include <gtest/gtest.h>

#include "cluster/keys.h"
#include "cluster/snapshot.h"

namespace relevo::cluster {
namespace {

using namespace std::chrono_literals;
using Phase = Rebuild::Phase;

const WallTime noon{std::chrono::sys_days{std::chrono::year{2026} / 11 / 26} + 12h};

TEST(Rebuild, ComesBackAsItWasWritten) {
    const auto claim = claim_rebuild(std::nullopt, "pg-2", noon + 1500ms);
    EXPECT_EQ(to_json(claim), R"({"member":"pg-2","phase":"asked","since":1795694401500,)"
                              R"("kept":".damaged-20261126T120001Z",)"
                              R"("previous":{"pg-2":{"begun":1795694401500,"failed":1}}})");
    for (const auto& written :
         {claim, ended_rebuild(claim, true, ""), ended_rebuild(claim, false, "pg_basebackup: no"),
          withdrawn_rebuild(claim, Rebuild::Try{noon - 48h, 0}, "the setting is off")}) {
        const auto read = parse_rebuild(to_json(written));
        ASSERT_TRUE(read) << to_json(written) << read.error().message;
        EXPECT_EQ(*read, written) << to_json(written);
    }
}

TEST(Rebuild, WhatCannotBeOneIsRefused) {
    const auto good = to_json(claim_rebuild(std::nullopt, "pg-2", noon));
    const auto with = [&](std::string_view what, std::string_view instead) {
        auto text = good;
        text.replace(text.find(what), what.size(), instead);
        const auto read = parse_rebuild(text);
        return read ? std::string() : read.error().message;
    };
    EXPECT_EQ(with("\"pg-2\"", "\"\""), "member must be a name");
    EXPECT_EQ(with("asked", "wanted"), "phase is none that is known");
    EXPECT_EQ(with(".damaged-", "/../"), "kept must be like .damaged-20261126T201530Z");
    EXPECT_NE(with("\"since\":1", "\"since\":-1"), "");
    EXPECT_NE(with("\"since\":1795694400000,", ""), "");
    EXPECT_NE(with("\"begun\":1795694400000", "\"begun\":99999999999999999"), "");
    EXPECT_NE(with("{\"begun\"", "[{\"begun\""), "");
    EXPECT_NE(with("\"failed\":1", "\"failed\":-1"), "");
    for (const auto* text : {"", "[]", "{}", "null", "{\"member\":\"pg-2\"}"})
        EXPECT_FALSE(parse_rebuild(text)) << text;
}

TEST(Rebuild, OnceADayAndThreeTries) {
    std::optional<Rebuild> key;
    const auto next = [&](WallTime at, bool done) {
        key = ended_rebuild(claim_rebuild(key, "pg-2", at), done, done ? "" : "no");
        return *rebuild_after(*key, "pg-2");
    };
    EXPECT_EQ(next(noon, false), noon + 10min);
    EXPECT_EQ(next(noon + 10min, false), noon + 20min);
    EXPECT_EQ(next(noon + 20min, false), noon + 20min + 24h);
    EXPECT_EQ(next(noon + 25h, false), noon + 25h + 10min) << "counted anew";
    EXPECT_EQ(next(noon + 26h, true), noon + 50h);
    EXPECT_FALSE(rebuild_after(*key, "pg-3"));
    // What was withdrawn does not count.
    const auto before = key->previous.at("pg-2");
    key = withdrawn_rebuild(claim_rebuild(key, "pg-2", noon + 60h), before, "paused");
    EXPECT_EQ(*rebuild_after(*key, "pg-2"), noon + 50h);
    key = withdrawn_rebuild(claim_rebuild(key, "pg-3", noon + 60h), std::nullopt, "paused");
    EXPECT_FALSE(rebuild_after(*key, "pg-3"));
}

// An agent that ended in the midst of it has tried.
TEST(Rebuild, ATryThatGoesOnIsCounted) {
    auto key = claim_rebuild(std::nullopt, "pg-2", noon);
    key = claim_rebuild(key, "pg-2", noon + 1h);
    EXPECT_EQ(key.previous.at("pg-2").failed, 2);
}

TEST(Rebuild, IsToldToPeople) {
    const auto claim = claim_rebuild(std::nullopt, "pg-2", noon);
    EXPECT_EQ(describe(claim, noon),
              "pg-2 is being made anew: its data was damaged; the old directory is kept as "
              "*.damaged-20261126T120000Z");
    EXPECT_EQ(describe(ended_rebuild(claim, false, "no room"), noon + 99h),
              "pg-2 was not made anew: no room");
    EXPECT_NE(describe(ended_rebuild(claim, true, ""), noon + 1h), "");
    EXPECT_EQ(describe(ended_rebuild(claim, true, ""), noon + 25h), "");
    EXPECT_EQ(describe(withdrawn_rebuild(claim, {}, "paused"), noon), "");
}

// One that nobody can read keeps everybody from beginning, whatever was there before.
TEST(Rebuild, TheKeyIsReadOrStopsEverybody) {
    SnapshotReader reader;
    KeyTree tree;
    EXPECT_FALSE(reader.read(tree).rebuild);
    tree.keys["rebuild"] = {to_json(claim_rebuild(std::nullopt, "pg-2", noon)), 3, 5, 0};
    const auto good = reader.read(tree).rebuild;
    ASSERT_TRUE(good);
    EXPECT_TRUE(good->goes_on());
    EXPECT_EQ(good->revision, 5);
    tree.keys["rebuild"] = {"nothing", 3, 6, 0};
    for (int again = 0; again < 2; ++again) {
        const auto bad = reader.read(tree).rebuild;
        ASSERT_TRUE(bad);
        EXPECT_EQ(bad->phase, Phase::unreadable);
        EXPECT_EQ(bad->revision, 6);
    }
    EXPECT_EQ(reader.take_problems().size(), 1U) << "told once";
}

TEST(Rebuild, IsWrittenOnlyWhileTheKeyIsAsItWasRead) {
    auto claim = claim_rebuild(std::nullopt, "pg-2", noon);
    const auto first = keys::claim_rebuild(claim, 7);
    ASSERT_EQ(first.compares.size(), 2U);
    EXPECT_EQ(first.compares[0], (Compare{"rebuild", Compare::What::create_revision, 0, {}}));
    EXPECT_EQ(first.compares[1], (Compare{"leader", Compare::What::create_revision, 7, {}}));
    claim.revision = 12;
    const auto end = keys::end_rebuild(ended_rebuild(claim, true, ""), std::nullopt);
    ASSERT_EQ(end.compares.size(), 1U);
    EXPECT_EQ(end.compares[0], (Compare{"rebuild", Compare::What::mod_revision, 12, {}}));
    EXPECT_EQ(keys::end_rebuild(claim, 7).compares.size(), 2U);
}

}  // namespace
}  // namespace relevo::cluster
