// For tests of what reads bytes from outside: many small damages to good ones, the same each time.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace relevo::os::testing {

// One random change: a byte flipped, a piece cut out, doubled or taken from another seed.
inline std::string mutate(std::string text, const std::vector<std::string>& seeds,
                          std::mt19937& random) {
    const auto below = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
    const auto at = below(text.size() + 1);
    const auto length = below(std::min<std::size_t>(text.size() - at, 16) + 1);
    const auto& other = seeds[below(seeds.size())];
    switch (random() % 5) {
        case 0: text.insert(at, 1, static_cast<char>(random() % 256)); break;
        case 1: text.erase(at, length); break;
        case 2: text.insert(at, text.substr(at, length)); break;
        case 3: text.insert(at, other.substr(below(other.size()), 16)); break;
        default:
            if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << (random() % 8)));
    }
    return text;
}

}  // namespace relevo::os::testing
