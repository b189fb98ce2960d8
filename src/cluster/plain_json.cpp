#include "cluster/plain_json.h"

#include <algorithm>

#include "cluster/json.h"

namespace relevo::cluster::plain_json {
namespace {

bool plain(char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

void append_quoted(std::string& out, std::string_view text) {
    if (!std::ranges::all_of(text, plain)) {
        out += json::compact(json::Ordered(std::string(text)));
        return;
    }
    out += '"';
    out += text;
    out += '"';
}

}  // namespace

std::string quoted(std::string_view text) {
    std::string out;
    append_quoted(out, text);
    return out;
}

void Object::key(std::string_view key) {
    if (out_.size() > 1) out_ += ',';
    append_quoted(out_, key);
    out_ += ':';
}

void Object::text(std::string_view name, std::string_view value) {
    key(name);
    append_quoted(out_, value);
}

void Object::number(std::string_view name, std::uint64_t value) {
    key(name);
    out_ += std::to_string(value);
}

void Object::flag(std::string_view name, bool value) { json(name, value ? "true" : "false"); }

void Object::json(std::string_view name, std::string_view value) {
    key(name);
    out_ += value;
}

bool Reader::take(std::string_view what) {
    if (!rest_.starts_with(what)) return false;
    rest_.remove_prefix(what.size());
    return true;
}

bool Reader::take_text(std::string_view& out) {
    if (!take("\"")) return false;
    std::size_t end = 0;
    while (end < rest_.size() && plain(rest_[end])) ++end;
    out = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return take("\"");
}

bool Reader::take_object() {
    if (inner_) return false;
    Reader inside(rest_);
    inside.inner_ = true;
    std::string_view key;
    Value value;
    while (inside.next(key, value)) continue;
    rest_ = inside.rest_;
    return inside.ended_;
}

bool Reader::take_value(Value& out) {
    if (rest_.starts_with('{')) {
        out.kind = Value::Kind::object;
        return take_object();
    }
    if (rest_.starts_with('"')) {
        out.kind = Value::Kind::text;
        return take_text(out.text);
    }
    if (rest_.starts_with('t') || rest_.starts_with('f')) {
        out.kind = Value::Kind::flag;
        out.flag = rest_.starts_with('t');
        return take(out.flag ? "true" : "false");
    }
    constexpr std::size_t digits_max = 18;
    std::size_t digits = 0;
    out.kind = Value::Kind::number;
    out.number = 0;
    for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
        if (digits == digits_max) return false;
        out.number = out.number * 10 + static_cast<std::uint64_t>(rest_[digits] - '0');
    }
    const bool leading_zero = digits > 1 && rest_.front() == '0';
    rest_.remove_prefix(digits);
    return digits > 0 && !leading_zero;
}

bool Reader::next(std::string_view& key, Value& value) {
    if (ended_) return false;
    if (begun_ && take("}")) {
        ended_ = true;
        return false;
    }
    if (!take(begun_ ? "," : "{")) return false;
    begun_ = true;
    if (!take_text(key) || !take(":")) return false;
    const std::string_view from = rest_;
    if (!take_value(value)) return false;
    value.json = from.substr(0, from.size() - rest_.size());
    return true;
}

}  // namespace relevo::cluster::plain_json
