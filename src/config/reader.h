// Takes typed values out of a Node and collects what is wrong, one Problem a value, naming the
// place, the dotted path, what was found (never a secret) and what was expected. Internal to the
// room.
//
// Each getter leaves `out` alone when the key is absent, null or wrong.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"
#include "config/problem.h"

namespace relevo::config {

class Reader {
public:
    // node: null or absent reads as an empty map; anything else than a map is a problem.
    Reader(const Node* node, std::string path, std::vector<Problem>& problems);

    Reader section(std::string_view key);
    const Node* raw(std::string_view key);
    bool has(std::string_view key) { return raw(key) != nullptr; }

    void text(std::string_view key, std::string& out);  // any scalar, as text
    void boolean(std::string_view key, bool& out);
    void integer(std::string_view key, std::int64_t& out, std::int64_t min, std::int64_t max,
                 std::string_view base_unit = "");
    void integer(std::string_view key, int& out, std::int64_t min, std::int64_t max);
    void seconds(std::string_view key, std::chrono::seconds& out, std::int64_t min);
    void word(std::string_view key, std::string& out,
              std::initializer_list<std::string_view> words);
    void texts(std::string_view key, std::vector<std::string>& out, bool split_commas = false);
    void map_of_texts(std::string_view key, std::map<std::string, std::string>& out);

    void problem(std::string_view key, std::string message);
    void wrong(std::string_view key, std::string_view expected);  // "found X, expected Y"
    std::string path(std::string_view key) const;

private:
    const Node* node_;
    std::string path_;
    std::vector<Problem>* problems_;
};

// "the text abc", "the number 3", "a list"; a hidden value for secrets.
std::string describe(const Node& node, std::string_view key);

}  // namespace relevo::config
