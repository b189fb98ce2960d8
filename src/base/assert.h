// Broken invariants: kept in release builds. A failed one aborts the agent, never PostgreSQL: the
// restarted agent adopts the running server (docs/adr/0003).
#pragma once

#include <cstddef>

namespace relevo {
// Where the last words go; must not block. Standard error unless set.
void set_last_words(void (*write)(const char* text, std::size_t length));
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}  // namespace relevo

#define RLV_ASSERT(expression)           \
    ((expression) ? static_cast<void>(0) \
                  : ::relevo::assertion_failed(#expression, __FILE__, __LINE__))
