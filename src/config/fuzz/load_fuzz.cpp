// libFuzzer: whatever bytes come as YAML or as the dynamic configuration, loading ends, and what
// loads can be printed and read back the same. Built with -DRELEVO_FUZZ=ON (clang); the same body
// runs in load_mutation_test.cpp on inputs made from a fixed seed.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config/fuzz/load_once.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    relevo::config::load_once(std::string_view(reinterpret_cast<const char*>(data), size));
    return 0;
}
