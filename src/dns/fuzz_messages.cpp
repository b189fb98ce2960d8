// libFuzzer's entry: -DRELEVO_FUZZ=ON, then dns_fuzz [corpus directory].
#include <cstddef>
#include <cstdint>

#include "dns/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
    relevo::dns::testing::fuzz_one({reinterpret_cast<const char*>(data), size});
    return 0;
}
