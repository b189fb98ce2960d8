#include "backup/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::backup {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

cluster::BackupRecord made(std::string label, const char* wal_stop, std::uint64_t lsn_stop) {
    cluster::BackupRecord backup;
    backup.label = std::move(label);
    backup.wal_stop = wal_stop;
    backup.lsn_stop = cluster::Lsn{lsn_stop};
    backup.system_id = "7";
    return backup;
}

// 1 was left at 100, 3 comes from it; 2 came to nothing.
cluster::WalLine line() {
    cluster::WalLine line;
    line.system_id = "7";
    line.timeline = 3;
    cluster::HistoryLine left;
    left.timeline = 1;
    left.switch_point = cluster::Lsn{100};
    line.history = {left};
    return line;
}

constexpr auto on_1 = "000000010000000000000005";
constexpr auto on_2 = "000000020000000000000006";
constexpr auto on_3 = "000000030000000000000007";

TEST(BackupForReplica, IsTheNewestOneOnTheLine) {
    cluster::Repository repository;
    repository.backups = {made("A", on_1, 100), made("B", on_1, 101), made("C", on_2, 90)};
    auto found = for_replica(repository, line());
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->label, "A") << "B ended behind the fork, C beside the line";
    repository.backups.push_back(made("D", on_3, 500));
    EXPECT_EQ(for_replica(repository, line())->label, "D");
    repository.backups.back().page_errors = true;
    EXPECT_EQ(for_replica(repository, line())->label, "A") << "D's pages are broken";
}

TEST(BackupForReplica, ThatThereIsNoneIsExplained) {
    cluster::Repository repository;
    auto found = for_replica(repository, line());
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, ErrorCode::not_found);
    EXPECT_THAT(found.error().message, HasSubstr("no backup yet"));

    repository.backups = {made("A", on_1, 101), made("B", on_1, 0), made("C", "", 5),
                          made("D", on_2, 90), made("E", on_3, 500)};
    repository.backups.back().system_id = "8";
    found = for_replica(repository, line());
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().message,
                AllOf(HasSubstr("E is of another cluster (system identifier 8, ours 7)"),
                      HasSubstr("D was made on timeline 2"), HasSubstr("and 3 older ones")));
}

}  // namespace
}  // namespace relevo::backup
