#include "cluster/lsn.h"

#include <gtest/gtest.h>

#include "cluster/postgres_state.h"

namespace relevo::cluster {
namespace {

TEST(Lsn, IsWrittenAsPostgresqlDoesWithoutZeroPadding) {
    EXPECT_EQ(to_string(Lsn{0}), "0/0");
    EXPECT_EQ(to_string(Lsn{0x4000060}), "0/4000060");
    EXPECT_EQ(to_string(Lsn{0x1F'0000'00ABULL}), "1F/AB");
    EXPECT_EQ(to_string(Lsn{~0ULL}), "FFFFFFFF/FFFFFFFF");
}

TEST(Lsn, ReadsWhatItWritesAndLowerCase) {
    for (const std::uint64_t value : {0ULL, 1ULL, 0x4000060ULL, 0x1'0000'0000ULL, ~0ULL}) {
        EXPECT_EQ(parse_lsn(to_string(Lsn{value})), Lsn{value});
    }
    EXPECT_EQ(parse_lsn("a/ff"), Lsn{0xA'0000'00FFULL});
}

TEST(Lsn, RefusesEverythingElse) {
    for (const char* text : {"", "/", "0", "0/", "/0", "0/0/0", "0/0 ", " 0/0", "-1/0", "0/+1",
                             "0/0x1", "g/0", "100000000/0", "0/100000000"}) {
        EXPECT_FALSE(parse_lsn(text)) << text;
    }
}

TEST(Lsn, DistanceNeverGoesBelowZero) {
    EXPECT_EQ(distance(Lsn{10}, Lsn{4}), 6U);
    EXPECT_EQ(distance(Lsn{4}, Lsn{10}), 0U);
}

LocalPostgres server(Server state, bool in_recovery) {
    LocalPostgres postgres;
    postgres.server = state;
    postgres.in_recovery = in_recovery;
    postgres.wal = Lsn{500};
    postgres.receive = Lsn{300};
    postgres.replay = Lsn{200};
    return postgres;
}

TEST(LocalPostgresPosition, OfAPrimaryIsItsFlushPosition) {
    EXPECT_EQ(server(Server::running, false).position(), Lsn{500});
}

TEST(LocalPostgresPosition, OfAStandbyIsTheFurtherOfReceivedAndReplayed) {
    LocalPostgres standby = server(Server::running, true);
    EXPECT_EQ(standby.position(), Lsn{300});
    standby.receive = Lsn{0};  // no receiver: replay from the archive
    EXPECT_EQ(standby.position(), Lsn{200});
}

TEST(LocalPostgresPosition, OfAStoppedServerIsAtLeastWhatControlDataSays) {
    LocalPostgres stopped;
    EXPECT_EQ(stopped.position(), Lsn{0});
    stopped.control.emplace();
    stopped.control->checkpoint = Lsn{100};
    EXPECT_EQ(stopped.position(), Lsn{100});
    stopped.control->min_recovery_end = Lsn{150};
    EXPECT_EQ(stopped.position(), Lsn{150});
}

}  // namespace
}  // namespace relevo::cluster
