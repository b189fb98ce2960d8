#include "cluster/disk_note.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

constexpr std::uint64_t mb = std::uint64_t{1} << 20U;

DiskPlace filling() {
    DiskPlace place;
    place.what = "data and WAL";
    place.total = 2048 * mb;
    place.free = 300 * mb;
    place.state = DiskState::warning;
    place.left = std::chrono::seconds(200);
    return place;
}

TEST(DiskNote, IsEmptyWhileAllIsWell) {
    auto place = filling();
    place.state = DiskState::ok;
    EXPECT_EQ(disk_note({place}, {}), "");
}

TEST(DiskNote, NamesWhatHoldsWalAndWhatToDo) {
    WalHolders holders;
    holders.slots = {{"b", 1200 * mb, false}};
    holders.wal_bytes = 1300 * mb;
    holders.queue_segments = 45;
    holders.queue_bytes = 720 * mb;
    holders.wal_keep_size = "128MB";
    EXPECT_EQ(disk_note({filling()}, holders),
              "data and WAL: 300.0 MB of 2.0 GB free, full in about 3 min. pg_wal has 1.3 GB. "
              "WAL is held by slot b 1.2 GB (nobody reads it), the archiver's queue 720.0 MB (45 "
              "segments), wal_keep_size 128MB. To do: bring back the reader of slot b, or drop the "
              "slot; see in the server log why archive_command fails or is slow; delete what is "
              "not needed (never files of pg_wal), or enlarge the disk");
}

TEST(DiskNote, OfDataAloneSaysNothingOfWal) {
    auto place = filling();
    place.what = "data";
    EXPECT_EQ(disk_note({place}, {}),
              "data: 300.0 MB of 2.0 GB free, full in about 3 min. To do: delete what is not "
              "needed (never files of pg_wal), or enlarge the disk");
}

TEST(DiskNote, OfAFailedDiskSaysWhyAndWhatToDo) {
    EXPECT_EQ(failed_note({{"data", "a page was not written within 10 s"},
                           {"WAL", "cannot sync /wal/probe: Input/output error"}},
                          "batman", "pg-1"),
              "data: a page was not written within 10 s; WAL: cannot sync /wal/probe: Input/output "
              "error. To do: see what the kernel says of it (journalctl -k, dmesg) and whether its "
              "storage is there; repair the file system (end relevo, unmount, fsck, mount, "
              "start relevo), or replace the disk and then `relevoctl reinit batman pg-1`");
}

TEST(DiskNote, SlotsThatHoldNextToNothingAreNoReason) {
    LocalPostgres pg;
    pg.in_recovery = false;
    pg.wal = Lsn{1000 * mb};
    Slot slot;
    slot.name = "near";
    slot.restart = Lsn{990 * mb};
    pg.slots.push_back(slot);
    slot.name = "far";
    slot.restart = Lsn{500 * mb};
    pg.slots.push_back(slot);
    slot.name = "lost";
    slot.lost = true;
    pg.slots.push_back(slot);
    const auto holding = holding_slots(pg);
    ASSERT_EQ(holding.size(), 1U);
    EXPECT_EQ(holding[0], (WalHolders::HoldingSlot{"far", 500 * mb, false}));
}

}  // namespace
}  // namespace relevo::cluster
