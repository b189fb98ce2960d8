// Trees as JSON and YAML text. The only file of the room that knows nlohmann.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "config/node.h"

namespace relevo::config {
namespace {

using Json = nlohmann::json;

std::string json_text(std::string_view text) {
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write_json(const Node& node, std::string& out) {
    switch (node.kind) {
        case Node::Kind::null: out += "null"; return;
        case Node::Kind::boolean:
        case Node::Kind::integer:
        case Node::Kind::real: out += node.text; return;
        case Node::Kind::text: out += json_text(node.text); return;
        case Node::Kind::list: {
            out += '[';
            const char* separator = "";
            for (const Node& item : node.items) {
                out += separator;
                write_json(item, out);
                separator = ",";
            }
            out += ']';
            return;
        }
        case Node::Kind::map: {
            out += '{';
            const char* separator = "";
            for (const auto& [key, value] : node.fields) {
                out += separator + json_text(key) + ":";
                write_json(value, out);
                separator = ",";
            }
            out += '}';
            return;
        }
    }
}

// Plain when it certainly reads back as the same text, else the JSON form, which YAML understands.
std::string yaml_text(const std::string& text) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    constexpr std::string_view inside =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+:-";
    const bool plain = !text.empty() && (letters.contains(text.front()) || text.front() == '/') &&
                       text.back() != ':' && text.find_first_not_of(inside) == std::string::npos &&
                       resolve_plain(text).is(Node::Kind::text);
    return plain ? text : json_text(text);
}

void write_yaml(const Node& node, std::size_t indent, std::string& out);

// What follows "key:" or "-": on the same line when it is a scalar or empty.
void write_yaml_value(const Node& node, std::size_t indent, std::string& out) {
    switch (node.kind) {
        case Node::Kind::null: out += " null\n"; return;
        case Node::Kind::boolean:
        case Node::Kind::integer:
        case Node::Kind::real: out += " " + node.text + "\n"; return;
        case Node::Kind::text: out += " " + yaml_text(node.text) + "\n"; return;
        case Node::Kind::list:
            if (node.items.empty()) {
                out += " []\n";
                return;
            }
            break;
        case Node::Kind::map:
            if (node.fields.empty()) {
                out += " {}\n";
                return;
            }
            break;
    }
    out += "\n";
    write_yaml(node, indent, out);
}

void write_yaml(const Node& node, std::size_t indent, std::string& out) {
    if (node.is(Node::Kind::map)) {
        for (const auto& [key, value] : node.fields) {
            out.append(indent, ' ');
            out += yaml_text(key) + ":";
            write_yaml_value(value, value.is(Node::Kind::list) ? indent : indent + 2, out);
        }
        return;
    }
    for (const Node& item : node.items) {
        out.append(indent, ' ');
        out += "-";
        if (item.is(Node::Kind::map) && !item.fields.empty()) {
            // The first key stands beside the dash.
            std::string lines;
            write_yaml(item, indent + 2, lines);
            out += " " + lines.substr(indent + 2);
        } else {
            write_yaml_value(item, indent + 2, out);
        }
    }
}

// Builds the tree as the parser goes, so that depth and size are bounded before anything is kept.
class Builder : public nlohmann::json_sax<nlohmann::json> {
public:
    bool null() override { return add({}); }
    bool boolean(bool value) override { return add(Node::boolean(value)); }
    bool number_integer(number_integer_t value) override { return add(Node::integer(value)); }
    bool number_unsigned(number_unsigned_t value) override {
        return add(number(Node::Kind::integer, std::to_string(value)));
    }
    bool number_float(number_float_t, const string_t& text) override {
        return add(number(Node::Kind::real, text));
    }
    bool string(string_t& text) override { return add(Node::string(text)); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(Node::map()); }
    bool start_array(std::size_t) override { return open(Node::list()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& text) override {
        open_.back().key = text;
        return true;
    }
    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::json::exception&) override {
        why = fmt::format("not valid JSON at byte {}", position);
        return false;
    }

    Node root;
    std::string why;

private:
    struct Open {
        Node node;
        std::string key;
        std::map<std::string, std::size_t>
            index;  // of the fields: a key given twice costs no search
    };
    std::vector<Open> open_;

    static Node number(Node::Kind kind, std::string text) {
        Node node;
        node.kind = kind;
        node.text = std::move(text);
        return node;
    }
    bool open(Node node) {
        if (open_.size() >= max_depth) {
            why = fmt::format("nested deeper than {}", max_depth);
            return false;
        }
        open_.push_back({std::move(node), {}, {}});
        return true;
    }
    bool close() {
        Node node = std::move(open_.back().node);
        open_.pop_back();
        return add(std::move(node));
    }
    bool add(Node node) {
        if (open_.empty()) {
            root = std::move(node);
            return true;
        }
        Open& into = open_.back();
        if (into.node.is(Node::Kind::list)) {
            into.node.items.push_back(std::move(node));
            return true;
        }
        const auto [at, is_new] = into.index.emplace(into.key, into.node.fields.size());
        if (is_new) {
            into.node.fields.emplace_back(into.key, std::move(node));
        } else {
            into.node.fields[at->second].value = std::move(node);
        }
        return true;
    }
};

}  // namespace

std::string to_json(const Node& node) {
    std::string out;
    write_json(node, out);
    return out;
}

std::string to_yaml(const Node& node) {
    if (node.is(Node::Kind::map) && node.fields.empty()) return "{}\n";
    if (node.is(Node::Kind::list) && node.items.empty()) return "[]\n";
    if (!node.is(Node::Kind::map) && !node.is(Node::Kind::list)) {
        std::string out;
        write_yaml_value(node, 0, out);
        return out.substr(1);
    }
    std::string out;
    write_yaml(node, 0, out);
    return out;
}

Result<Node> parse_json(std::string_view text) {
    if (text.size() > 4U << 20) return fail(ErrorCode::invalid, "larger than 4 MiB");
    Builder builder;
    if (!nlohmann::json::sax_parse(text, &builder)) return fail(ErrorCode::invalid, builder.why);
    return std::move(builder.root);
}

}  // namespace relevo::config
