// libFuzzer's entry: -DRELEVO_FUZZ=ON, then rest_fuzz [corpus directory].
#include <cstddef>
#include <cstdint>

#include "rest/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    relevo::rest::testing::fuzz_one({reinterpret_cast<const char*>(data), size});
    return 0;
}
