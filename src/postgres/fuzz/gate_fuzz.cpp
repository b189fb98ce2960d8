// libFuzzer's entry: cmake -DRELEVO_FUZZ=ON --preset asan, then gate_fuzz some/corpus/. The
// server's own pg_hba.conf, which anybody may have written, before a gate is put before it.
#include <cstddef>
#include <cstdint>

#include "postgres/fuzz/gate_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
    relevo::postgres::fuzz::try_gate({reinterpret_cast<const char*>(data), size});
    return 0;
}
