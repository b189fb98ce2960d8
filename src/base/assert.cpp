#include "base/assert.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace relevo {
namespace {
void (*last_words)(const char* text, std::size_t length) = nullptr;
}

void set_last_words(void (*write)(const char* text, std::size_t length)) { last_words = write; }

void assertion_failed(const char* expression, const char* file, int line) {
    char text[1024];
    const int length = std::snprintf(text, sizeof text, "FATAL: broken invariant: %s (%s:%d)\n",
                                     expression, file, line);
    if (length > 0 && last_words)
        last_words(text, std::min(static_cast<std::size_t>(length), sizeof text - 1));
    else
        std::fputs(text, stderr);
    std::abort();
}
}  // namespace relevo
