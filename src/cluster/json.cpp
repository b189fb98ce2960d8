#include "cluster/json.h"

#include <fmt/core.h>

namespace relevo::cluster::json {
namespace {

constexpr int nesting_max = 64;
constexpr int ordered_keys_max = 5000;

struct Extent {
    int nesting = 0;
    int keys = 0;
};

// Counts outside of strings; for text that is no JSON the numbers mean nothing and the parser says
// so.
Extent measure(std::string_view text) {
    Extent extent;
    int open = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\') ++i;
            if (c == '"') quoted = false;
            continue;
        }
        if (c == '"') quoted = true;
        if (c == ':') ++extent.keys;
        if (c == '[' || c == '{') extent.nesting = std::max(extent.nesting, ++open);
        if (c == ']' || c == '}') --open;
    }
    return extent;
}

template <class Value>
Result<Value> parse_as(std::string_view text) {
    try {
        return Value::parse(text.begin(), text.end());
    } catch (const nlohmann::json::exception&) {
        // Its message would repeat a part of the value, which may hold a password.
        return fail(ErrorCode::invalid, "not valid JSON");
    }
}

template <class Value>
Result<Value> only_object(Result<Value> value) {
    if (value && !value->is_object()) {
        return fail(ErrorCode::invalid,
                    fmt::format("a JSON object is expected, not {}", type_name(*value)));
    }
    return value;
}

template <class Value>
std::string scalar_text_of(const Value& value) {
    if (value.is_null()) return "";
    if (value.is_string()) return value.template get<std::string>();
    if (value.is_boolean()) return value.template get<bool>() ? "True" : "False";
    return compact(value);
}

template <class Value>
std::string dump(const Value& value) {
    return value.dump(-1, ' ', true, Value::error_handler_t::replace);
}

void write_spaced(std::string& out, const Ordered& value) {
    if (value.is_object()) {
        out += '{';
        bool first = true;
        for (const auto& [key, item] : value.items()) {
            if (!first) out += ", ";
            first = false;
            out += dump(Ordered(key));
            out += ": ";
            write_spaced(out, item);
        }
        out += '}';
    } else if (value.is_array()) {
        out += '[';
        bool first = true;
        for (const Ordered& item : value) {
            if (!first) out += ", ";
            first = false;
            write_spaced(out, item);
        }
        out += ']';
    } else {
        out += dump(value);
    }
}

}  // namespace

Result<Json> parse(std::string_view text) {
    if (measure(text).nesting > nesting_max) return fail(ErrorCode::invalid, "nested too deeply");
    return parse_as<Json>(text);
}

Result<Ordered> parse_ordered(std::string_view text) {
    const Extent extent = measure(text);
    if (extent.nesting > nesting_max) return fail(ErrorCode::invalid, "nested too deeply");
    if (extent.keys > ordered_keys_max) return fail(ErrorCode::invalid, "too many keys");
    return parse_as<Ordered>(text);
}

Result<Json> parse_object(std::string_view text) { return only_object(parse(text)); }
Result<Ordered> parse_ordered_object(std::string_view text) {
    return only_object(parse_ordered(text));
}

std::string compact(const Ordered& value) { return dump(value); }
std::string compact(const Json& value) { return dump(value); }

std::string spaced(const Ordered& value) {
    std::string out;
    write_spaced(out, value);
    return out;
}

std::string scalar_text(const Json& value) { return scalar_text_of(value); }
std::string scalar_text(const Ordered& value) { return scalar_text_of(value); }

const char* type_name(const Json& value) {
    if (value.is_null()) return "null";
    if (value.is_boolean()) return "a boolean";
    if (value.is_number()) return "a number";
    if (value.is_string()) return "a text";
    if (value.is_array()) return "a list";
    return "an object";
}

void set_time(Ordered& out, const char* key, const std::optional<WallTime>& time) {
    if (time) out[key] = to_iso(*time);
}

void set_text(Ordered& out, const char* key, const std::string& text) {
    if (!text.empty()) out[key] = text;
}

const Json* Fields::find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::text(const char* key, std::string& out) {
    const Json* const value = find(key);
    if (value == nullptr) return;
    if (value->is_string()) {
        out = value->get<std::string>();
    } else {
        wrong(key, "a text");
    }
}

void Fields::time(const char* key, std::optional<WallTime>& out) {
    std::string written;
    text(key, written);
    if (written.empty()) return;
    const auto read = parse_iso(written);
    // What is written again must read the same: four digits of a year.
    constexpr WallTime first = std::chrono::sys_days{std::chrono::year{1} / 1 / 1};
    constexpr WallTime last = std::chrono::sys_days{std::chrono::year{9999} / 1 / 1};
    if (!read || read->time < first || read->time > last) return wrong(key, "a time in ISO 8601");
    out = read->time;
}

void Fields::name(const char* key, std::string& out) {
    text(key, out);
    if (out.size() > name_max) wrong(key, "a name");
}

void Fields::scalar(const char* key, std::string& out) {
    const Json* const value = find(key);
    if (value == nullptr) return;
    if (value->is_primitive()) {
        out = scalar_text(*value);
    } else {
        wrong(key, "a text or number");
    }
}

void Fields::flag(const char* key, bool& out) {
    const Json* const value = find(key);
    if (value == nullptr) return;
    if (value->is_boolean()) {
        out = value->get<bool>();
    } else {
        wrong(key, "true or false");
    }
}

void Fields::lsn(const char* key, std::optional<Lsn>& out) {
    std::uint64_t value = 0;
    if (find(key) == nullptr) return;
    whole(key, value);
    out = Lsn{value};
}

void Fields::wrong(const char* key, const char* expected) {
    if (problem_.empty()) problem_ = fmt::format("\"{}\" must be {}", key, expected);
}

Status Fields::status() const {
    if (!problem_.empty()) return fail(ErrorCode::invalid, problem_);
    return {};
}

}  // namespace relevo::cluster::json
