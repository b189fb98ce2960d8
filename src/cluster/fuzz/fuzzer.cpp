// libFuzzer's entry; RELEVO_FUZZ_TARGET is one of the functions of targets.h.
#include <cstddef>
#include <cstdint>

#include "cluster/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    relevo::cluster::fuzz::RELEVO_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
    return 0;
}
