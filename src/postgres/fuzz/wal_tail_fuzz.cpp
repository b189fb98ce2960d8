// libFuzzer's entry: cmake -DRELEVO_FUZZ=ON --preset asan, then wal_tail_fuzz some/corpus/. What a
// member gets as WAL from another's REST API, before any of it is written (wal_tail_test.cpp has
// the same rule for every test run).
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "postgres/wal_tail.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace relevo;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto shape = postgres::parse_wal_shape(bytes);
    if (!shape) return 0;
    for (const std::uint64_t at : {std::uint64_t{0}, shape->segment, shape->segment * 7}) {
        const auto taken = postgres::whole_pages(bytes, cluster::Lsn{at}, 3, *shape);
        RLV_ASSERT(taken <= size && taken % shape->page == 0);
    }
    return 0;
}
