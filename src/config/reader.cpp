#include "config/reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "config/yaml.h"

namespace relevo::config {
namespace {

const Node empty = Node::map();

}  // namespace

std::string describe(const Node& node, std::string_view key) {
    const bool hidden = node.expanded || is_secret_key(key);
    switch (node.kind) {
        case Node::Kind::null: return "nothing";
        case Node::Kind::list: return "a list";
        case Node::Kind::map: return "a mapping";
        case Node::Kind::boolean:
        case Node::Kind::integer:
        case Node::Kind::real:
        case Node::Kind::text: break;
    }
    if (hidden) return "a value that is not shown";
    if (node.is(Node::Kind::text) && node.text.empty()) return "an empty text";
    std::string shown = node.text.substr(0, 60);
    for (char& c : shown)
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    if (node.text.size() > 60) shown += "...";
    return node.is(Node::Kind::text) ? fmt::format("\"{}\"", shown) : shown;
}

Reader::Reader(const Node* node, std::string path, std::vector<Problem>& problems)
    : node_(node != nullptr ? node : &empty), path_(std::move(path)), problems_(&problems) {
    if (node_->is(Node::Kind::map) || node_->is(Node::Kind::null)) return;
    const auto dot = path_.rfind('.');
    problems_->push_back(
        {node_->where(), path_,
         fmt::format("found {}, expected a mapping",
                     describe(*node_, dot == std::string::npos ? path_ : path_.substr(dot + 1)))});
    node_ = &empty;
}

std::string Reader::path(std::string_view key) const {
    if (path_.empty()) return std::string(key);
    return key.empty() ? path_ : fmt::format("{}.{}", path_, key);
}

const Node* Reader::raw(std::string_view key) { return node_->find(key); }

Reader Reader::section(std::string_view key) { return Reader(raw(key), path(key), *problems_); }

void Reader::problem(std::string_view key, std::string message) {
    const Node* found = raw(key);
    problems_->push_back(
        {(found != nullptr ? found : node_)->where(), path(key), std::move(message)});
}

void Reader::wrong(std::string_view key, std::string_view expected) {
    const Node* found = raw(key);
    problem(key, fmt::format("found {}, expected {}",
                             found != nullptr ? describe(*found, key) : "nothing", expected));
}

void Reader::text(std::string_view key, std::string& out) {
    const Node* found = raw(key);
    if (found == nullptr) return;
    if (auto text = scalar_text(*found)) {
        out = std::move(*text);
    } else {
        wrong(key, "a text");
    }
}

void Reader::boolean(std::string_view key, bool& out) {
    const Node* found = raw(key);
    if (found == nullptr) return;
    const auto value = found->is_scalar() ? parse_bool(found->text) : std::nullopt;
    if (value) {
        out = *value;
    } else {
        wrong(key, "a boolean (true, false, on, off)");
    }
}

void Reader::integer(std::string_view key, std::int64_t& out, std::int64_t min, std::int64_t max,
                     std::string_view base_unit) {
    const Node* found = raw(key);
    if (found == nullptr) return;
    const bool usable = found->is_scalar() && !found->is(Node::Kind::boolean);
    const auto value = usable ? parse_int(found->text, base_unit) : std::nullopt;
    if (value && *value >= min && *value <= max) {
        out = *value;
        return;
    }
    const std::string unit =
        base_unit.empty() ? "" : fmt::format(" (in {}, or with a unit)", base_unit);
    if (max == INT64_MAX) {
        wrong(key, fmt::format("a whole number of at least {}{}", min, unit));
    } else {
        wrong(key, fmt::format("a whole number from {} to {}{}", min, max, unit));
    }
}

void Reader::integer(std::string_view key, int& out, std::int64_t min, std::int64_t max) {
    std::int64_t value = out;
    integer(key, value, min, std::min<std::int64_t>(max, INT32_MAX));
    out = static_cast<int>(value);
}

void Reader::seconds(std::string_view key, std::chrono::seconds& out, std::int64_t min) {
    std::int64_t value = out.count();
    integer(key, value, min, INT32_MAX, "s");
    out = std::chrono::seconds(value);
}

void Reader::word(std::string_view key, std::string& out,
                  std::initializer_list<std::string_view> words) {
    const Node* found = raw(key);
    if (found == nullptr) return;
    const auto text = scalar_text(*found);
    for (const std::string_view each : words) {
        if (text && iequals(*text, each)) {
            out = each;
            return;
        }
    }
    wrong(key, fmt::format("one of {}", fmt::join(words, ", ")));
}

void Reader::texts(std::string_view key, std::vector<std::string>& out, bool split_commas) {
    const Node* found = raw(key);
    if (found == nullptr) return;
    std::vector<std::string> read;
    if (const auto text = scalar_text(*found)) {
        if (!split_commas) return wrong(key, "a list of texts");
        for (const std::string& part : split(*text, ','))
            if (const auto word = trim(part); !word.empty()) read.emplace_back(word);
    } else if (found->is(Node::Kind::list)) {
        for (const Node& item : found->items) {
            const auto one = scalar_text(item);
            if (!one) return wrong(key, "a list of texts");
            read.push_back(*one);
        }
    } else {
        return wrong(key, "a list of texts");
    }
    out = std::move(read);
}

void Reader::map_of_texts(std::string_view key, std::map<std::string, std::string>& out) {
    const Node* found = raw(key);
    if (found == nullptr) return;
    if (!found->is(Node::Kind::map)) return wrong(key, "a mapping");
    std::map<std::string, std::string> read;
    for (const auto& [name, value] : found->fields) {
        if (value.is(Node::Kind::null)) continue;
        const auto text = guc_text(value);
        if (!text) {
            Reader(found, path(key), *problems_).wrong(name, "a text");
            continue;
        }
        read[name] = *text;
    }
    out = std::move(read);
}

}  // namespace relevo::config
