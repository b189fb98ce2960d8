// libFuzzer's entry: -DRELEVO_FUZZ=ON, then client_fuzz [corpus directory].
#include <cstddef>
#include <cstdint>

#include "client/fuzz_members.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    relevo::client::testing::fuzz_members(text);
    relevo::client::testing::fuzz_rest_url(text);
    return 0;
}
