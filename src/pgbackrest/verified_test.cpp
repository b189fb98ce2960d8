#include "pgbackrest/verified.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace relevo::pgbackrest {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// pgBackRest 2.45.
constexpr const char* good =
    "P00   INFO: verify command begin 2.45: --config='/my c' --stanza=main --verbose\n"
    "P00   INFO: stanza: main\n"
    "            status: ok\n"
    "              archiveId: 15-1, total WAL checked: 3, total valid WAL: 3\n"
    "                missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n"
    "              backup: 20261126-055503F, status: valid, total files checked: 964, total valid "
    "files: 964\n"
    "                missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n"
    "stanza: main\n"
    "status: ok\n"
    "  archiveId: 15-1, total WAL checked: 3, total valid WAL: 3\n"
    "  backup: 20261126-055503F, status: valid, total files checked: 964, total valid files: 964\n";

TEST(Verified, AGoodRepositoryIsCountedOnce) {
    const auto found = verified(good);
    EXPECT_TRUE(found.ok);
    EXPECT_THAT(found.damaged, ElementsAre());
    EXPECT_EQ(found.files, 964U);
    EXPECT_EQ(found.wal_files, 3U);
    EXPECT_EQ(describe(found),
              "the repository is as it was written: 964 files of backups and 3 WAL segments were "
              "read");
}

TEST(Verified, EachDamagedFileIsNamed) {
    auto text = std::string(
        "P01   INFO: file missing '20261126-055503F/pg_data/base/5/1259.gz'\n"
        "P02   INFO: invalid checksum '15-1/0000000100000000/000000010000000000000002-11.gz'\n");
    auto report = std::string(good);
    const std::string ok = "status: ok";
    for (auto at = report.find(ok); at != std::string::npos; at = report.find(ok))
        report.replace(at, ok.size(), "status: error");
    const auto found = verified(text + report);
    EXPECT_FALSE(found.ok);
    EXPECT_THAT(found.damaged,
                ElementsAre("file missing '20261126-055503F/pg_data/base/5/1259.gz'",
                            "invalid checksum "
                            "'15-1/0000000100000000/000000010000000000000002-11.gz'"));
    EXPECT_THAT(describe(found), HasSubstr("damaged: file missing '20261126-055503F/pg_data/base"));
    for (int i = 0; i < 9; ++i) text += "P01   INFO: invalid size 'x'\n";
    EXPECT_THAT(describe(verified(text + report)), HasSubstr(" and 6 more. Backups"));
}

TEST(Verified, WhatSaysNothingIsNotGood) {
    EXPECT_FALSE(verified("").ok);
    EXPECT_FALSE(verified("status: error\n").ok);
    EXPECT_THAT(describe(verified("stanza: main\nstatus: error\n")), HasSubstr("does not say"));
    // Damage beside a report that is content is damage.
    EXPECT_FALSE(verified(std::string("P01   INFO: file missing 'x'\n") + good).ok);
}

}  // namespace
}  // namespace relevo::pgbackrest
