#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace relevo {
void assertion_failed(const char* expression, const char* file, int line) {
    std::fprintf(stderr, "FATAL: broken invariant: %s (%s:%d)\n", expression, file, line);
    std::abort();
}
}  // namespace relevo
