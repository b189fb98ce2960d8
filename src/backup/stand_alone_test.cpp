#include "backup/stand_alone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::backup {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(StandAlone, ArchivesNothingAndWaitsForNobody) {
    const auto text = stand_alone_settings("/srv/it's", true, false);
    EXPECT_THAT(text,
                AllOf(HasSubstr("\narchive_mode = 'off'\n"), HasSubstr("\narchive_command = ''\n"),
                      HasSubstr("\nmax_logical_replication_workers = '0'\n"),
                      HasSubstr("\nsynchronous_standby_names = ''\n"),
                      HasSubstr("\nhba_file = '/srv/it''s/pg_hba.conf'\n")));
    EXPECT_THAT(text, Not(HasSubstr("ident_file")));
}

TEST(StandAlone, ItsDataIsWhereItIs) {
    EXPECT_EQ(without_data_directory("a = 1\ndata_directory = '/srv/pg'\n b = 2"), "a = 1\n b = 2");
    EXPECT_EQ(without_data_directory("  Data_Directory='/srv/pg'"), "");
    const auto* const others = "# data_directory = 'x'\ndata_directory_mode = 0700\n\n";
    EXPECT_EQ(without_data_directory(others), others);
    EXPECT_EQ(without_data_directory(""), "");
}

}  // namespace
}  // namespace relevo::backup
