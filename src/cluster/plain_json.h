// JSON as members nearly always write it, without the general parser's tree: an object of texts,
// whole numbers and booleans. Whatever else there is, is left to cluster/json.h; the two agree
// (fuzz/targets.cpp, member).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace relevo::cluster::plain_json {

// An object's text, as json::compact() writes it.
class Object {
public:
    void text(std::string_view key, std::string_view value);
    void number(std::string_view key, std::uint64_t value);
    void flag(std::string_view key, bool value);
    void json(std::string_view key, std::string_view value);  // that is JSON already
    std::string take() { return std::move(out_) + '}'; }

private:
    void key(std::string_view key);
    std::string out_ = "{";
};

std::string quoted(std::string_view text);

struct Value {
    enum class Kind { text, number, flag, object } kind = Kind::text;
    std::string_view json;  // as it is written
    std::string_view text;
    std::uint64_t number = 0;
    bool flag = false;
};

// Takes one field after the other off the front of an object's text: texts of printable ASCII
// without escapes, whole numbers of up to 18 digits, booleans, and objects of these; no blanks.
class Reader {
public:
    explicit Reader(std::string_view json) : rest_(json) {}
    // false: the end of the object, or something else; done() says which.
    bool next(std::string_view& key, Value& value);
    bool done() const { return ended_ && rest_.empty(); }

private:
    bool take_object();
    bool take(std::string_view what);
    bool take_text(std::string_view& out);
    bool take_value(Value& out);

    std::string_view rest_;
    bool begun_ = false, ended_ = false;
    bool inner_ = false;  // in an object already: none more in it
};

}  // namespace relevo::cluster::plain_json
