// What fuzz/load_fuzz.cpp does, on inputs that are the same in every run: mutations of real files.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "config/fuzz/load_once.h"
#include "config/testing.h"

namespace relevo::config {
namespace {

std::string example() {
    std::ifstream file("examples/patroni.yml");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

const char* const pieces[] = {"{",
                              "}",
                              "[",
                              "]",
                              ": ",
                              "- ",
                              "\n",
                              "\n  ",
                              "&a ",
                              "*a",
                              "<<: *a",
                              "!!str ",
                              "| ",
                              "> ",
                              "'",
                              "\"",
                              "#",
                              "~",
                              "? ",
                              "---\n",
                              "...\n",
                              "%YAML 1.1\n",
                              "${HOME}",
                              "${X}",
                              "null",
                              "on",
                              "0x",
                              "1e400",
                              "-.inf",
                              "\t",
                              "\xff",
                              "\xe2\x82\xac",
                              "postgresql: []\n",
                              "parameters: 1\n",
                              "\\u0000",
                              "etcd: {}\n",
                              ",",
                              "@",
                              "`",
                              "\r"};

std::string mutated(std::string text, std::mt19937& random) {
    const auto below = [&](std::size_t limit) {
        return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
    };
    for (std::size_t rounds = 1 + below(6); rounds > 0 && !text.empty(); --rounds) {
        const std::size_t at = below(text.size());
        switch (below(5)) {
            case 0: text[at] = static_cast<char>(below(256)); break;
            case 1: text.insert(at, pieces[below(std::size(pieces))]); break;
            case 2: text.erase(at, 1 + below(40)); break;
            case 3: text.insert(at, text.substr(below(text.size()), below(120))); break;
            case 4: text.resize(at); break;
        }
    }
    return text;
}

TEST(Loading, SurvivesMutationsOfRealFiles) {
    const std::string seeds[] = {
        example(), testing::minimal,
        R"({"ttl":30,"postgresql":{"parameters":{"max_connections":100,)"
        R"("a":[1,{"b":null}]},"pg_hba":["x"]}})",
        "a: &a {b: [1, 2, *x]}\nc: *a\nd: |\n  text\n  more\ne: >-\n  folded\n? complex\n: "
        "value\n<<: *a\n"};
    ASSERT_FALSE(seeds[0].empty())
        << "examples/patroni.yml is not here: run the test in the project's directory";
    std::mt19937 random(20260514);
    for (int i = 0; i < 3000; ++i) {
        const std::string input =
            mutated(seeds[static_cast<std::size_t>(i) % std::size(seeds)], random);
        SCOPED_TRACE(i);
        load_once(input);
    }
}

TEST(Loading, SurvivesWhatIsNestedOrRepeated) {
    for (const char* piece : pieces) {
        for (const std::size_t times : {2u, 63u, 64u, 65u, 1000u, 5000u}) {
            std::string text;
            for (std::size_t i = 0; i < times; ++i) text += piece;
            load_once(text);
            load_once("a: " + text);
        }
    }
}

}  // namespace
}  // namespace relevo::config
