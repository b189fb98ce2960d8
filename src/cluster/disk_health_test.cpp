#include "cluster/disk_health.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using namespace std::chrono_literals;
using What = ProbeAnswer::What;

class DiskHealthTest : public ::testing::Test {
protected:
    DiskSettings settings;  // 10 s
    DiskHealth health;

    bool written(Duration at, Duration took = 1ms) {
        return health.answered(settings, Instant(at), {What::written, took, ""});
    }
    bool refused(Duration at, const char* why = "cannot sync /probe: Input/output error") {
        return health.answered(settings, Instant(at), {What::refused, 1ms, why});
    }
    void other(Duration at, What what) { health.answered(settings, Instant(at), {what, 1ms, ""}); }
};

TEST_F(DiskHealthTest, IsWellWhilePagesComeThrough) {
    EXPECT_FALSE(health.known());
    EXPECT_FALSE(health.written());
    EXPECT_FALSE(written(1s, 3ms));
    EXPECT_TRUE(health.known());
    EXPECT_FALSE(health.failed());
    EXPECT_EQ(health.written(), (PageWritten{Instant(1s), 3ms}));
}

TEST_F(DiskHealthTest, OneRefusalIsAReasonToAskAgainAtOnce) {
    EXPECT_TRUE(refused(1s));
    EXPECT_FALSE(health.failed());
    EXPECT_FALSE(written(1250ms));
    EXPECT_FALSE(health.failed());
}

TEST_F(DiskHealthTest, TheSecondOneInARowIsAFailure) {
    refused(1s);
    EXPECT_FALSE(refused(1250ms)) << "from now on it is asked as often as ever";
    EXPECT_TRUE(health.failed());
    EXPECT_EQ(health.why(), "cannot sync /probe: Input/output error");
    refused(3s, "cannot open /probe: Read-only file system");
    EXPECT_EQ(health.why(), "cannot open /probe: Read-only file system");
}

TEST_F(DiskHealthTest, SoIsASecondOneSoonAfterASuccess) {
    refused(1s);
    written(1250ms);
    refused(9s);
    EXPECT_TRUE(health.failed());
}

TEST_F(DiskHealthTest, ButNotOneThatComesMuchLater) {
    refused(1s);
    written(12s);
    EXPECT_TRUE(refused(13s));
    EXPECT_FALSE(health.failed());
}

TEST_F(DiskHealthTest, AfterErrorsPagesMustComeThroughForAWhile) {
    refused(1s);
    refused(2s);
    written(3s);
    written(11900ms);
    EXPECT_TRUE(health.failed());
    written(12s);
    EXPECT_FALSE(health.failed());
    EXPECT_TRUE(refused(14s)) << "that one begins anew";
    EXPECT_FALSE(health.failed());
}

TEST_F(DiskHealthTest, SilenceIsAFailureWhenItLasts) {
    written(1s);
    health.silent(settings, 6s);
    health.silent(settings, 3999ms);
    EXPECT_FALSE(health.failed());
    health.silent(settings, 1ms);
    EXPECT_TRUE(health.failed());
    EXPECT_EQ(health.why(), "a page was not written within 10 s");
}

TEST_F(DiskHealthTest, SilencesOfSeveralProbesAreNotOne) {
    for (int n = 0; n < 5; ++n) {
        health.silent(settings, 9s);
        EXPECT_FALSE(written(n * 10s, 9s));
    }
    EXPECT_FALSE(health.failed());
}

TEST_F(DiskHealthTest, OnePageInTimeEndsIt) {
    health.silent(settings, 12s);
    EXPECT_TRUE(written(12s, 12s)) << "too late to count, but the next may follow at once";
    EXPECT_TRUE(health.failed());
    EXPECT_FALSE(written(13s));
    EXPECT_FALSE(health.failed());
}

TEST_F(DiskHealthTest, ADiskThatIsAlwaysTooSlowStaysFailed) {
    health.silent(settings, 11s);
    for (int n = 1; n < 5; ++n) {
        written(n * 11s, 11s);
        EXPECT_TRUE(health.failed());
    }
}

TEST_F(DiskHealthTest, ARefusalDoesNotEndASilence) {
    health.silent(settings, 30s);
    refused(30s);
    EXPECT_TRUE(health.failed());
    written(31s);
    EXPECT_FALSE(health.failed()) << "one refusal alone is none";
}

TEST_F(DiskHealthTest, WhatSaysNothingChangesNothing) {
    for (const What what : {What::full, What::unknown}) {
        health = {};
        other(1s, what);
        other(2s, what);
        EXPECT_FALSE(health.failed());
        EXPECT_FALSE(health.written());
        refused(3s);
        refused(4s);
        other(30s, what);
        EXPECT_TRUE(health.failed());
    }
}

TEST_F(DiskHealthTest, WhatIsNotThereHasNoHistory) {
    refused(1s);
    refused(2s);
    other(3s, What::absent);
    EXPECT_FALSE(health.failed());
    EXPECT_TRUE(health.known());
    refused(4s);
    EXPECT_FALSE(health.failed());
}

}  // namespace
}  // namespace relevo::cluster
