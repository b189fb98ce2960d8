#include "cluster/restoration.h"

#include <gtest/gtest.h>

#include "cluster/keys.h"
#include "cluster/snapshot.h"

namespace relevo::cluster {
namespace {

using Phase = Restoration::Phase;

TargetWords latest() {
    TargetWords words;
    words.latest = true;
    return words;
}
TargetWords at_lsn(std::string lsn) {
    TargetWords words;
    words.lsn = std::move(lsn);
    return words;
}

Restoration sample(TargetWords words = latest()) {
    Restoration r;
    r.id = "20261126-121530-pg-2";
    r.phase = Phase::restoring;
    r.member = "pg.2";
    r.backup = "20261126-064509F";
    r.repository = 1;
    words.timeline = "3";
    r.target = *target_of(words);
    r.timeline = 7;
    r.asked = parse_iso("2026-11-26 12:15:30.25+00:00")->time;
    return r;
}

TEST(Restoration, ComesBackAsItWasWritten) {
    TargetWords time, exclusive, immediate;
    time.time = "2026-11-26 06:45:15.466336+00";
    exclusive.xid = "735";
    exclusive.exclusive = true;
    immediate.immediate = true;
    for (const auto& words : {time, exclusive, immediate, latest(), at_lsn("0/4000060")}) {
        const auto written = sample(words);
        const auto read = parse_restoration(to_json(written));
        ASSERT_TRUE(read) << to_json(written);
        EXPECT_EQ(*read, written) << to_json(written);
    }
    EXPECT_EQ(to_json(sample(at_lsn("0/4000060"))),
              R"({"id":"20261126-121530-pg-2","phase":"restoring","member":"pg.2",)"
              R"("backup":"20261126-064509F","repository":1,"to_lsn":"0/4000060",)"
              R"("target_timeline":3,"timeline":7,"asked":"2026-11-26T12:15:30.250000+00:00"})");
}

TEST(Restoration, WhatCannotBeOneIsRefused) {
    const auto good = to_json(sample());
    const auto with = [&](std::string_view what, std::string_view instead) {
        auto text = good;
        text.replace(text.find(what), what.size(), instead);
        return parse_restoration(text);
    };
    EXPECT_TRUE(parse_restoration(good));
    for (const auto* id : {R"("../x")", R"("")", R"("a b")", R"("a/b")", R"("a.b")", "7"})
        EXPECT_FALSE(with(R"("20261126-121530-pg-2")", id)) << id;
    EXPECT_FALSE(with(R"("restoring")", R"("resting")"));
    EXPECT_FALSE(with(R"("pg.2")", R"("")"));
    EXPECT_FALSE(with(R"("target_timeline":3,)", ""));
    EXPECT_FALSE(with(R"("latest":true,)", ""));
    EXPECT_FALSE(with(R"("latest":true)", R"("latest":true,"to_lsn":"0/1")"));
    auto without = sample();
    without.phase = Phase::restored;
    EXPECT_TRUE(parse_restoration(to_json(without)));
    without.timeline = 0;
    EXPECT_FALSE(parse_restoration(to_json(without)));
    without = sample();
    without.last_id = "x";
    EXPECT_FALSE(parse_restoration(to_json(without)));
}

TEST(Restoration, KnowsWhatIsFromBeforeTheOneBeforeIt) {
    auto first = sample();
    EXPECT_EQ(first.floor(), 0U);
    first.phase = Phase::restored;
    first.revision = 12;
    EXPECT_EQ(first.floor(), 7U);
    auto second = sample();
    second.id = "another";
    second.timeline = 9;
    follow_upon(second, first);
    EXPECT_EQ(second.floor(), 7U);
    EXPECT_EQ(second.floor_id(), "20261126-121530-pg-2");
    EXPECT_EQ(second.revision, 12);
    second.phase = Phase::cancelled;
    const auto read = parse_restoration(to_json(second));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->floor_id(), "20261126-121530-pg-2");
    auto third = sample();
    follow_upon(third, *read);
    EXPECT_EQ(third.floor(), 7U) << "of the last that came about";
    second.phase = Phase::restored;
    EXPECT_EQ(second.floor(), 9U);
}

TEST(Restoration, NamesADirectoryThatNothingElseIsCalled) {
    const auto now = parse_iso("2026-11-26 12:15:30.25+00:00")->time;
    EXPECT_EQ(restoration_id(now, "pg.2/ä"), "20261126-121530250-pg-2---");
    EXPECT_EQ(aside_suffix("20261126-121530-pg-2"), ".before_restore_20261126-121530-pg-2");
}

TEST(Restoration, ThatCannotBeReadIsThereAllTheSame) {
    KeyTree tree;
    tree.revision = 9;
    tree.keys[keys::restore] = {"{}", 8, 8, 0};
    SnapshotReader reader;
    const auto first = reader.read(tree);
    ASSERT_TRUE(first.restoration);
    EXPECT_EQ(first.restoration->phase, Phase::unreadable);
    EXPECT_EQ(first.restoration->revision, 8);
    EXPECT_EQ(reader.take_problems().size(), 1U);
    // Once a good one was read it stands in.
    tree.keys[keys::restore] = {to_json(sample()), 8, 10, 0};
    EXPECT_EQ(reader.read(tree).restoration->phase, Phase::restoring);
    tree.keys[keys::restore] = {"nonsense", 8, 11, 0};
    const auto last = reader.read(tree);
    EXPECT_EQ(last.restoration->phase, Phase::restoring);
    EXPECT_EQ(last.restoration->revision, 11);
    tree.keys.clear();
    EXPECT_FALSE(reader.read(tree).restoration);
}

Compare has(std::string key, Compare::What what, Revision revision, std::string value = {}) {
    return {std::move(key), what, revision, std::move(value)};
}

TEST(RestoreKeys, EachWriteIsBoundToTheRecordAsItWasRead) {
    using What = Compare::What;
    auto r = sample();
    r.revision = 5;
    const keys::TimelineGrant grant{7, 7, 7, 4, {}, 0};
    const auto record = has("restore", What::mod_revision, 5);
    const auto nobody = has("leader", What::create_revision, 0);
    const auto leads = has("leader", What::create_revision, 3);
    const auto ours = has("initialize", What::value, 0, "7711188255317205645");
    EXPECT_EQ(keys::ask_restore(r, 3, "7711188255317205645").compares,
              (std::vector{record, leads, ours}));
    EXPECT_EQ(keys::give_way(r, 3, {}).compares, (std::vector{leads, record}));
    EXPECT_EQ(keys::grant_restore(r, grant).compares,
              (std::vector{nobody, record, has("timeline", What::mod_revision, 4)}));
    EXPECT_EQ(keys::finish_restore("pg.2", r, grant, "7711188255317205645").compares,
              (std::vector{nobody, record, ours, has("timeline", What::mod_revision, 4)}));
    EXPECT_EQ(keys::cancel_restore(r, false).compares, (std::vector{record}));
    EXPECT_EQ(keys::cancel_restore(r, true).compares, (std::vector{record, nobody}));
    r.revision = 0;
    EXPECT_EQ(keys::cancel_restore(r, false).compares,
              (std::vector{has("restore", What::create_revision, 0)}));
}

TEST(RestoreKeys, TheSwapLeavesNothingOfTheOldClusterButWhatItIs) {
    const auto r = sample();
    std::vector<std::string> removed;
    for (const auto& write : keys::finish_restore("pg.2", r, {7, 7, 7, 4, {}, 0}, "7711").writes)
        if (write.what == Write::What::remove) removed.push_back(write.key);
    EXPECT_EQ(removed,
              (std::vector<std::string>{"sync", "status", "optime/leader", "history", "failsafe"}));
}

}  // namespace
}  // namespace relevo::cluster
