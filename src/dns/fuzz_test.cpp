#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "dns/fuzz_target.h"

namespace relevo::dns {
namespace {

std::string mutate(std::string text, std::mt19937& random) {
    const auto below = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
    const auto at = below(text.size() + 1);
    const auto length = below(std::min<std::size_t>(text.size() - at, 16) + 1);
    switch (random() % 5) {
        case 0: text.insert(at, 1, static_cast<char>(random() % 256)); break;
        case 1: text.erase(at, length); break;
        case 2: text.insert(at, text.substr(at, length)); break;
        case 3: text.resize(at); break;
        default:
            if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << (random() % 8)));
    }
    return text;
}

TEST(Fuzz, MutatedMessagesNeverBreakTheRules) {
    const Key key{"k.", "hmac-sha256.", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"};
    const Update update{.zone = "pg.test",
                        .guard = "primary.pg.test",
                        .guard_then = {},
                        .term_before = {},
                        .term_after = "relevo term=1 member=a",
                        .names = {{"primary.pg.test", {"10.0.0.1", "fd00::1"}}}};
    std::vector<std::string> seeds{
        "",
        std::string(12, '\0'),
        question("primary.pg.test", Type::a),
        question("replica.pg.test", Type::any),
        question("pg.test", Type::soa),
        update_message(update, key)->bytes,
        "key \"relevo\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n",
        "\"relevo term=12 member=a\""};
    std::mt19937 random(20260101);
    for (int round = 0; round < 20'000; ++round) {
        auto text = seeds[random() % seeds.size()];
        for (auto changes = random() % 6; changes > 0; --changes) text = mutate(text, random);
        testing::fuzz_one(text);
    }
}

}  // namespace
}  // namespace relevo::dns
