#include "agent/in_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::agent {
namespace {

using cluster::Restoration;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct Asked {
    Asked() {
        now.initialize = "7455512345678901234";
        now.leader.emplace();
        now.leader->name = "pg-1";
        for (const char* name : {"pg-1", "pg-2"}) {
            cluster::MemberRecord member;
            member.name = name;
            member.restores_in_place = true;
            now.members[name] = member;
        }
        view.name = "pg-2";
        view.postgres.system_id = "7455512345678901234";
        choice.backup.label = "20260514-010000F";
        choice.backup.system_id = "7455512345678901234";
    }
    std::string why() const { return why_not_in_place(now, view, choice); }

    cluster::Snapshot now;
    ports::View view;
    backup::RestoreChoice choice;
};

TEST(RoomBeside, WhatIsMissingIsSaidWithWhatHelps) {
    constexpr std::uint64_t more_than_any_disk = 1UL << 60U;
    EXPECT_TRUE(room_beside("/tmp", 1));
    const auto room = room_beside("/tmp", more_than_any_disk);
    ASSERT_FALSE(room);
    EXPECT_EQ(room.error().code, ErrorCode::conflict);
    EXPECT_THAT(room.error().message,
                AllOf(HasSubstr("not enough room beside /tmp"), HasSubstr("--into-new-cluster")));
}

TEST(WhyNotInPlace, AHealthyClusterCanBe) { EXPECT_EQ(Asked().why(), ""); }

TEST(WhyNotInPlace, NotBesideAnotherAndNotPastAKeyThatNobodyCanRead) {
    Asked asked;
    asked.now.restoration.emplace();
    asked.now.restoration->member = "pg-1";
    for (const auto phase : {Restoration::Phase::stopping, Restoration::Phase::restoring}) {
        asked.now.restoration->phase = phase;
        EXPECT_THAT(asked.why(), HasSubstr("by pg-1): wait for it, or end it"));
    }
    asked.now.restoration->phase = Restoration::Phase::unreadable;
    EXPECT_THAT(asked.why(), HasSubstr("repair or remove it"));
    for (const auto phase : {Restoration::Phase::restored, Restoration::Phase::cancelled}) {
        asked.now.restoration->phase = phase;
        EXPECT_EQ(asked.why(), "");
    }
}

TEST(WhyNotInPlace, NotWhereNothingCouldBeStoppedCleanly) {
    Asked asked;
    asked.view.settings.pause = true;
    EXPECT_THAT(asked.why(), HasSubstr("`relevoctl resume` first"));
    asked = {};
    asked.now.leader.reset();
    EXPECT_THAT(asked.why(), HasSubstr("start it first"));
    asked = {};
    asked.now.initialize.reset();
    EXPECT_THAT(asked.why(), HasSubstr("start it first"));
    asked = {};
    asked.now.failover.emplace();
    EXPECT_THAT(asked.why(), HasSubstr("relevoctl flush"));
    asked = {};
    asked.view.settings.standby_cluster.emplace();
    EXPECT_THAT(asked.why(), HasSubstr("standby cluster"));
}

TEST(WhyNotInPlace, NotByAMemberThatMayNotLeadOrIsOfAnotherCluster) {
    Asked asked;
    asked.view.tags.published["nofailover"] = {"true"};
    EXPECT_THAT(asked.why(), HasSubstr("may not lead (nofailover)"));
    asked = {};
    asked.view.postgres.system_id = "7455512345678905678";
    EXPECT_THAT(asked.why(), HasSubstr("belongs to another cluster"));
    asked.view.postgres.system_id.clear();  // it has no data
    EXPECT_EQ(asked.why(), "");
}

TEST(WhyNotInPlace, NotBesideAnAgentThatDoesNotKnowOfIt) {
    Asked asked;
    asked.now.members["pg-1"].restores_in_place = false;
    EXPECT_THAT(asked.why(), HasSubstr("pg-1's agent does not know of restores in place"));
}

TEST(WhyNotInPlace, NotFromAnotherClustersBackup) {
    Asked asked;
    asked.choice.backup.system_id = "7455512345678905678";
    EXPECT_THAT(asked.why(), HasSubstr("--into-new-cluster"));
    asked.choice.backup.system_id.clear();  // an old backup's manifest does not tell
    EXPECT_EQ(asked.why(), "");
}

}  // namespace
}  // namespace relevo::agent
