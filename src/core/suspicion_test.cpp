#include "core/suspicion.h"

#include <gtest/gtest.h>

#include <optional>

namespace relevo::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A leader and whoever listens to it, 50 ms at a time.
class SuspicionTest : public testing::Test {
protected:
    Suspicion listener;
    Instant now{seconds(1000)};
    bool agent = true, postgres = true, dcs = false;

    void SetUp() override {
        listener.set_patience(milliseconds(500), seconds(30));
        listener.listen(7, now);
    }
    void pass(Duration time) {
        for (const Instant end = now + time; now < end;) {
            now += milliseconds(50);
            const auto due = listener.tick(now);
            if (due.pulse && agent) listener.heard(now);
            if (due.probe && postgres) listener.connected(now);
            if (dcs) listener.seen_in_dcs(now);
        }
    }
    // How long from now until it is suspected.
    std::optional<Duration> until_suspected(Duration within) {
        const Instant began = now;
        while (now < began + within) {
            pass(milliseconds(50));
            if (listener.suspects()) return now - began;
        }
        return std::nullopt;
    }
};

TEST_F(SuspicionTest, ADeadHostIsSuspectedAfterSuspectAfter) {
    pass(seconds(2));
    ASSERT_FALSE(listener.suspects());
    agent = postgres = false;
    const auto took = until_suspected(seconds(5));
    ASSERT_TRUE(took);
    EXPECT_GE(*took, milliseconds(450));
    EXPECT_LE(*took, milliseconds(600));
}

TEST_F(SuspicionTest, ALivingPostgresUnderADeadAgentIsNoDeadLeader) {
    pass(seconds(2));
    agent = false;
    EXPECT_FALSE(until_suspected(seconds(60)));
}

TEST_F(SuspicionTest, APostgresThatDiesUnderADeadAgentIsNoticed) {
    pass(seconds(2));
    agent = false;
    pass(seconds(20));
    postgres = false;
    const auto took = until_suspected(seconds(5));
    ASSERT_TRUE(took);
    EXPECT_LE(*took, milliseconds(600));
}

TEST_F(SuspicionTest, ALivingAgentIsEnough) {
    pass(seconds(2));
    postgres = false;
    EXPECT_FALSE(until_suspected(seconds(60)));
}

TEST_F(SuspicionTest, OnePulseClearsIt) {
    pass(seconds(2));
    agent = postgres = false;
    ASSERT_TRUE(until_suspected(seconds(5)));
    agent = true;
    pass(milliseconds(150));
    EXPECT_FALSE(listener.suspects());
}

TEST_F(SuspicionTest, ANewTermBeginsWithACleanSheet) {
    pass(seconds(2));
    agent = postgres = false;
    ASSERT_TRUE(until_suspected(seconds(5)));
    listener.listen(8, now);
    EXPECT_FALSE(listener.suspects());
    EXPECT_FALSE(until_suspected(seconds(3))) << "nobody was heard in this term yet";
}

TEST_F(SuspicionTest, ALeaderThatWasNeverHeardIsSuspectedLater) {
    agent = postgres = false;
    listener.listen(8, now);
    const auto took = until_suspected(seconds(10));
    ASSERT_TRUE(took);
    EXPECT_GE(*took, milliseconds(3400));
    EXPECT_LE(*took, milliseconds(3700));
}

TEST_F(SuspicionTest, TheOwnAbsenceIsNobodysSilence) {
    pass(seconds(2));
    now += seconds(40);  // frozen
    const auto due = listener.tick(now);
    EXPECT_TRUE(due.pulse);
    EXPECT_FALSE(listener.suspects());
    EXPECT_FALSE(until_suspected(seconds(5)));
}

TEST_F(SuspicionTest, SilencesThatWereNoneMakeItPatient) {
    pass(seconds(2));
    agent = postgres = false;
    pass(milliseconds(400));
    agent = postgres = true;
    pass(seconds(1));
    EXPECT_GE(listener.patience(), milliseconds(800));
    agent = postgres = false;
    const auto took = until_suspected(seconds(5));
    ASSERT_TRUE(took);
    EXPECT_GE(*took, milliseconds(750));
    agent = postgres = true;
    pass(seconds(62));
    EXPECT_EQ(listener.patience(), milliseconds(500)) << "remembered for a minute";
}

TEST_F(SuspicionTest, PatienceHasAnEnd) {
    pass(seconds(2));
    agent = false;
    pass(seconds(20));
    agent = true;
    pass(seconds(1));
    EXPECT_EQ(listener.patience(), seconds(2));
}

TEST_F(SuspicionTest, AloneOnlyWhenTheDcsIsSilentToo) {
    dcs = true;
    pass(seconds(2));
    agent = postgres = false;
    ASSERT_TRUE(until_suspected(seconds(5)));
    EXPECT_FALSE(listener.alone());
    dcs = false;
    pass(milliseconds(600));
    EXPECT_TRUE(listener.alone());
}

TEST_F(SuspicionTest, ALeaderThatNeverShowedItselfInTheDcsIsNotJudgedByOneAlone) {
    pass(seconds(2));
    agent = postgres = false;
    ASSERT_TRUE(until_suspected(seconds(5)));
    pass(seconds(5));
    EXPECT_FALSE(listener.alone());
}

TEST_F(SuspicionTest, NobodyIsListenedToAndNothingIsDue) {
    listener.listen(0, now);
    const auto due = listener.tick(now + seconds(10));
    EXPECT_FALSE(due.pulse || due.probe || listener.suspects());
}

}  // namespace
}  // namespace relevo::core
