// A configuration tree as YAML or JSON had it, with where each value stands. Internal to the config
// room: what other rooms get are typed structs and JSON texts.
//
// Depth is bounded by whoever builds a tree (yaml.h, json in node.cpp): recursion here is safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace relevo::config {

inline constexpr std::size_t max_depth = 64;

struct Field;

struct Node {
    Node();
    Node(const Node&);
    Node(Node&&) noexcept;
    Node& operator=(const Node&);
    Node& operator=(Node&&) noexcept;
    ~Node();

    enum class Kind { null, boolean, integer, real, text, list, map };

    Kind kind = Kind::null;
    // Scalars: "true"/"false", the number as JSON writes it (a YAML 0600 is 384), the text itself.
    std::string text;
    std::vector<Node> items;                    // list
    std::vector<Field> fields;                  // map, in the order of the file, keys unique
    std::shared_ptr<const std::string> source;  // file, or "environment variable X"; may be null
    int line = 0;                               // in source, from 1; 0: not known
    bool expanded = false;  // holds something that came from ${NAME}: not shown in messages

    bool is(Kind wanted) const { return kind == wanted; }
    bool is_scalar() const { return kind != Kind::list && kind != Kind::map && kind != Kind::null; }

    const Node* find(std::string_view key) const;  // in a map; a null value counts as absent
    Node* find_any(std::string_view key);          // also null values
    const Node* at(std::string_view dotted) const;
    Node& set(std::string_view key, Node value);  // makes this a map
    void erase(std::string_view key);
    std::string where() const;  // "patroni.yml:12"

    static Node map();
    static Node list();
    static Node string(std::string text);
    static Node boolean(bool value);
    static Node integer(std::int64_t value);
};

struct Field {
    std::string key;
    Node value;
};

// Patroni's patch (contract 3.3): null deletes, map into map recurses, everything else replaces. A
// key that is not there yet is stored as it is.
void merge(Node& into, const Node& from);

std::string to_json(const Node& node);  // compact
std::string to_yaml(const Node& node);  // block style, reads back as the same tree

// Error: not JSON, or nested deeper than max_depth. Duplicate keys: the last wins, as in Python.
Result<Node> parse_json(std::string_view text);

// A plain YAML 1.1 scalar, as PyYAML understands it: yes/on are booleans, 0600 is octal.
Node resolve_plain(std::string_view text);

// How a GUC's value is written: booleans on/off, numbers and texts as they are.
std::optional<std::string> guc_text(const Node& node);
// Python's str(): True, False, None. What a custom command of Patroni gets as --key=value.
std::string python_text(const Node& node);
// A scalar's content for a field that holds text; nullopt for null, lists and maps.
std::optional<std::string> scalar_text(const Node& node);

}  // namespace relevo::config
