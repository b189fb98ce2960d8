// JSON for this room's .cpp files only: it pulls in nlohmann's header, and no other header of ours
// includes it. Nothing here throws. Values from outside are bounded before they are parsed: nesting
// (writing recurses) and, where the order of keys is kept, their number (looking one up is linear).
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "cluster/lsn.h"

namespace relevo::cluster::json {

using Json = nlohmann::json;             // keys sorted: for reading
using Ordered = nlohmann::ordered_json;  // keys as written: for what is written again

Result<Json> parse(std::string_view text);
Result<Ordered> parse_ordered(std::string_view text);
Result<Json> parse_object(std::string_view text);
Result<Ordered> parse_ordered_object(std::string_view text);

// As Python writes it, ASCII only. Bytes that are not UTF-8 become U+FFFD.
std::string compact(const Ordered& value);  // {"a":1,"b":2}
std::string compact(const Json& value);
std::string spaced(const Ordered& value);  // {"a": 1, "b": 2}

// A scalar in the text form in which Patroni compares and reads it: 10, 1.5, True, abc; "" for
// null.
std::string scalar_text(const Json& value);
std::string scalar_text(const Ordered& value);

const char* type_name(const Json& value);  // "a number", "a list": for sentences

// Nothing is written where there is nothing.
void set_time(Ordered& out, const char* key, const std::optional<WallTime>& time);
void set_text(Ordered& out, const char* key, const std::string& text);

inline constexpr std::size_t name_max = 200;

// Whole and not negative, within T.
template <class T>
std::optional<T> whole_number(const Json& value) {
    if (!value.is_number_unsigned()) return std::nullopt;
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return std::nullopt;
    return static_cast<T>(number);
}

// Reads an object's fields one by one; the first that has a wrong type is kept as the problem.
// Absent and null leave the target as it is.
class Fields {
public:
    explicit Fields(const Json& object) : object_(object) {}

    const Json* find(const char* key) const;
    void text(const char* key, std::string& out);
    void scalar(const char* key, std::string& out);  // numbers and booleans as text
    void flag(const char* key, bool& out);
    void lsn(const char* key, std::optional<Lsn>& out);
    void time(const char* key, std::optional<WallTime>& out);  // "" too leaves it as it is
    void name(const char* key, std::string& out);              // of 200 bytes at most
    template <class T>
    void whole(const char* key, T& out) {
        const Json* const value = find(key);
        if (value == nullptr) return;
        if (const auto number = whole_number<T>(*value)) {
            out = *number;
        } else {
            wrong(key, "a whole number");
        }
    }
    void wrong(const char* key, const char* expected);

    // The problem, if there was one.
    Status status() const;

private:
    const Json& object_;
    std::string problem_;
};

}  // namespace relevo::cluster::json
