#include "pgbackrest/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::pgbackrest {
namespace {

using ::testing::ElementsAre;

TEST(Progress, FollowsTheFilesAsTheyAreCopied) {
    ProgressReader reader;
    EXPECT_FALSE(reader.progress().percent);
    EXPECT_FALSE(reader.read("P00   INFO: execute backup start\nP01 DETAIL: backup file /d/ba"));
    EXPECT_TRUE(reader.read("se/1/1255 (608KB, 2.50%) checksum 0f\n"));
    EXPECT_EQ(reader.progress().done_bytes, 608U * 1024);
    EXPECT_DOUBLE_EQ(*reader.progress().percent, 2.5);
    EXPECT_EQ(reader.progress().total_bytes, 608U * 1024 * 40);
    EXPECT_TRUE(
        reader.read("P02 DETAIL: backup file db:/d/a (1) (bundle 1/8, 0.5MB, 50%) checksum\n"));
    EXPECT_DOUBLE_EQ(*reader.progress().percent, 50);
    EXPECT_EQ(reader.label(), "");
    reader.read("P00   INFO: new backup label = 20260514-010000F\n");
    EXPECT_EQ(reader.label(), "20260514-010000F");
}

TEST(Progress, ARestoreIsFollowedToo) {
    ProgressReader reader;
    EXPECT_TRUE(
        reader.read("P01 DETAIL: restore file /d/base/1/1255 (608KB, 2.50%) checksum 0f\n"));
    EXPECT_TRUE(
        reader.read("P01 DETAIL: restore file /d/x - exists and matches backup (bundle "
                    "20260514-010000F/1/0, 608KB, 5.00%) checksum 0f\n"));
    EXPECT_EQ(reader.progress().done_bytes, 2U * 608 * 1024);
    EXPECT_DOUBLE_EQ(*reader.progress().percent, 5);
}

TEST(Progress, WhatIsNoShareIsNone) {
    ProgressReader reader;
    for (const char* line : {"backup file /d/x (8KB, 101%)\n", "backup file (8XB, 1%)\n",
                             "backup file /d/x (nanKB, 1%)\n", "backup file /d/x (1%)\n",
                             "backup file /d/x )(\n", "restore zeroed /d/x (8KB, 1%)\n"})
        EXPECT_FALSE(reader.read(line)) << line;
}

TEST(Progress, WhatExpireRemovesIsToldWithoutItsPrefix) {
    EXPECT_THAT(expired("P00   INFO: expire command begin 2.45: --repo1-path=/x\n"
                        "P00   INFO: [DRY-RUN] repo1: expire full backup 20260513-010000F\n"
                        "P00   INFO: [DRY-RUN] repo1: remove expired backup 20260513-010000F\n"
                        "P00   INFO: expire command end: completed successfully\n"),
                ElementsAre("[DRY-RUN] repo1: expire full backup 20260513-010000F",
                            "[DRY-RUN] repo1: remove expired backup 20260513-010000F"));
}

}  // namespace
}  // namespace relevo::pgbackrest
