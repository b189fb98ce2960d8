// libFuzzer's entry: -DRELEVO_FUZZ=ON, then pgbackrest_fuzz [corpus directory].
#include <cstddef>
#include <cstdint>

#include "pgbackrest/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    relevo::pgbackrest::testing::fuzz_one({reinterpret_cast<const char*>(data), size});
    return 0;
}
