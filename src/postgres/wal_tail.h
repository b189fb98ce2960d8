// What a crashed primary wrote last, as pages of WAL: read off its disk, and put where a standby's
// replay finds them (docs/adr/0009). Which record is the last valid one is PostgreSQL's business;
// here only pages count, by their headers. Blocking, but for the pure part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cluster/lsn.h"
#include "cluster/peer.h"

namespace relevo::postgres {

// As every page's header has it, or the longer one of a segment's first page.
struct WalShape {
    std::uint16_t magic = 0;  // of the server's version; 0: whatever the first page has
    std::uint64_t system_id = 0;
    std::uint64_t segment = 0;  // bytes, a power of two
    std::uint64_t page = 0;     // bytes
};
// From the beginning of a segment's first page. invalid: that is none.
Result<WalShape> parse_wal_shape(std::string_view segment);

// How many bytes, from the first on, are whole pages that belong at `at` (a page's boundary) and
// may be of this timeline: what was there before is left in files that are used again. Pure.
std::size_t whole_pages(std::string_view bytes, cluster::Lsn at, cluster::Timeline timeline,
                        const WalShape& shape);

// Of a server that is dead. The end is the end of its last page; not_found: there is no WAL of this
// timeline.
Result<cluster::WalTail> find_wal_end(const std::string& wal_dir, cluster::Timeline timeline);
// The pages from the one with `at` on, up to about cluster::tail_piece_bytes.
Result<std::string> read_wal_tail(const std::string& wal_dir, cluster::Timeline timeline,
                                  cluster::Lsn at);
// As ports::Postgres::write_wal_tail.
Result<cluster::Lsn> write_wal_tail(const std::string& wal_dir, cluster::Timeline timeline,
                                    cluster::Lsn at, cluster::Lsn known, std::string_view pages);

}  // namespace relevo::postgres
