// The few things we read of WAL files themselves: their names, and where a record ends. Blocking.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/lsn.h"
#include "cluster/wal_line.h"

namespace relevo::postgres {

bool is_wal_file(std::string_view name);  // a segment, 24 hexadecimal digits, or NNNNNNNN.history

// The end of the record that begins at `at`: where the next one would. Every version since 9.5
// keeps a record's total length in its first four bytes. not_found: the segment is gone; invalid:
// no such record is there.
Result<cluster::Lsn> checkpoint_end(const std::string& wal_dir, cluster::Lsn at,
                                    cluster::Timeline timeline);

// Where a byte of WAL is: a segment's name and the place in it.
struct WalPlace {
    std::string file;
    std::uint64_t offset = 0;
};
// Nothing when the directory holds no segment, which would tell how large they are.
std::optional<WalPlace> wal_place(const std::string& wal_dir, cluster::Lsn at,
                                  cluster::Timeline timeline);
// Up to so many bytes of the segment; empty when it is gone.
std::string read_wal(const std::string& wal_dir, const WalPlace& place, std::size_t bytes);

// The newest timeline of which the segment with this byte is there; 0: none is.
cluster::Timeline newest_timeline_at(const std::string& wal_dir, std::uint64_t byte,
                                     std::uint64_t segment_size);

// Names with a .ready file, in the order in which they are to be archived: histories first, then by
// age.
std::vector<std::string> ready_wal_files(const std::string& archive_status_dir);

// Those of such names that may be archived beside what the line's server archives: segments that
// lie wholly on the line, and histories of its timelines. segment_bytes 0 (not known): no segment
// that is not of the line's own timeline.
std::vector<std::string> those_on_line(const std::vector<std::string>& names,
                                       const cluster::WalLine& line, std::uint64_t segment_bytes);
// As large as those in that directory; 0: there is none.
std::uint64_t wal_segment_bytes(const std::string& wal_dir);

}  // namespace relevo::postgres
