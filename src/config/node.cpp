#include "config/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace relevo::config {

Node::Node() = default;
Node::Node(const Node&) = default;
Node::Node(Node&&) noexcept = default;
Node& Node::operator=(const Node&) = default;
Node& Node::operator=(Node&&) noexcept = default;
Node::~Node() = default;

const Node* Node::find(std::string_view key) const {
    for (const auto& [name, value] : fields)
        if (name == key) return value.kind == Kind::null ? nullptr : &value;
    return nullptr;
}

Node* Node::find_any(std::string_view key) {
    for (auto& [name, value] : fields)
        if (name == key) return &value;
    return nullptr;
}

const Node* Node::at(std::string_view dotted) const {
    const Node* node = this;
    while (node != nullptr && !dotted.empty()) {
        const auto dot = std::min(dotted.find('.'), dotted.size());
        node = node->find(dotted.substr(0, dot));
        dotted.remove_prefix(std::min(dot + 1, dotted.size()));
    }
    return node;
}

Node& Node::set(std::string_view key, Node value) {
    kind = Kind::map;
    if (Node* held = find_any(key)) {
        *held = std::move(value);
        return *held;
    }
    fields.emplace_back(std::string(key), std::move(value));
    return fields.back().value;
}

void Node::erase(std::string_view key) {
    std::erase_if(fields, [key](const auto& field) { return field.key == key; });
}

std::string Node::where() const {
    if (!source) return {};
    return line > 0 ? fmt::format("{}:{}", *source, line) : *source;
}

Node Node::map() {
    Node node;
    node.kind = Kind::map;
    return node;
}

Node Node::list() {
    Node node;
    node.kind = Kind::list;
    return node;
}

Node Node::string(std::string text) {
    Node node;
    node.kind = Kind::text;
    node.text = std::move(text);
    return node;
}

Node Node::boolean(bool value) {
    Node node;
    node.kind = Kind::boolean;
    node.text = value ? "true" : "false";
    return node;
}

Node Node::integer(std::int64_t value) {
    Node node;
    node.kind = Kind::integer;
    node.text = std::to_string(value);
    return node;
}

void merge(Node& into, const Node& from) {
    for (const auto& [key, value] : from.fields) {
        if (value.is(Node::Kind::null)) {
            into.erase(key);
            continue;
        }
        Node* held = into.find_any(key);
        if (held == nullptr) {
            into.fields.emplace_back(key, value);
        } else if (held->is(Node::Kind::map) && value.is(Node::Kind::map)) {
            merge(*held, value);
        } else {
            *held = value;
        }
    }
}

namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, text) != words.end();
}

bool digits_of(std::string_view text, int base) {
    return !text.empty() && std::ranges::all_of(text, [base](char c) {
        if (base == 16)
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        return c >= '0' && c < '0' + base;
    });
}

std::string without_underscores(std::string_view text) {
    std::string out(text);
    std::erase(out, '_');
    return out;
}

// YAML 1.1 integers without base 60: 12, +1_000, 0b11, 0o is not one, 017, 0x1f.
std::optional<std::string> plain_integer(std::string_view text) {
    if (text.empty() || text.front() == '_') return std::nullopt;
    std::string body = without_underscores(text);
    const bool negative = body.front() == '-';
    if (negative || body.front() == '+') body.erase(0, 1);
    int base = 10;
    if (body.starts_with("0x") || body.starts_with("0b")) {
        base = body[1] == 'x' ? 16 : 2;
        body.erase(0, 2);
    } else if (body.size() > 1 && body.front() == '0') {
        base = 8;
        body.erase(0, 1);
    }
    if (!digits_of(body, base)) return std::nullopt;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value, base);
    if (error != std::errc{} || end != body.data() + body.size()) return std::nullopt;
    return (negative && value != 0 ? "-" : "") + std::to_string(value);
}

// YAML 1.1 as PyYAML reads it: a dot is needed, and a sign in the exponent (1e5 is a text).
std::optional<std::string> plain_real(std::string_view text) {
    const auto dot = text.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    std::string body = without_underscores(text);
    if (!body.empty() && body.front() == '+') body.erase(0, 1);
    const auto exponent = body.find_first_of("eE");
    if (exponent != std::string::npos &&
        (exponent + 1 >= body.size() || (body[exponent + 1] != '+' && body[exponent + 1] != '-')))
        return std::nullopt;
    if (body.find_first_not_of("0123456789.eE+-") != std::string::npos) return std::nullopt;
    if (body.find_first_of("0123456789") == std::string::npos) return std::nullopt;
    double value = 0;
    const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value);
    if (error != std::errc{} || end != body.data() + body.size() || !std::isfinite(value))
        return std::nullopt;
    std::string out = fmt::format("{}", value);
    if (out.find_first_of(".e") == std::string::npos) out += ".0";
    return out;
}

Node scalar(Node::Kind kind, std::string text) {
    Node node;
    node.kind = kind;
    node.text = std::move(text);
    return node;
}

}  // namespace

Node resolve_plain(std::string_view text) {
    if (one_of(text, {"", "~", "null", "Null", "NULL"})) return {};
    if (one_of(text, {"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}))
        return Node::boolean(true);
    if (one_of(text, {"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}))
        return Node::boolean(false);
    if (auto integer = plain_integer(text)) return scalar(Node::Kind::integer, std::move(*integer));
    if (auto real = plain_real(text)) return scalar(Node::Kind::real, std::move(*real));
    return Node::string(std::string(text));
}

std::optional<std::string> scalar_text(const Node& node) {
    if (!node.is_scalar()) return std::nullopt;
    return node.text;
}

std::optional<std::string> guc_text(const Node& node) {
    if (node.is(Node::Kind::boolean)) return node.text == "true" ? "on" : "off";
    return scalar_text(node);
}

std::string python_text(const Node& node) {
    switch (node.kind) {
        case Node::Kind::null: return "None";
        case Node::Kind::boolean: return node.text == "true" ? "True" : "False";
        case Node::Kind::integer:
        case Node::Kind::real:
        case Node::Kind::text: return node.text;
        case Node::Kind::list:
        case Node::Kind::map: return to_json(node);
    }
    return {};
}

}  // namespace relevo::config
