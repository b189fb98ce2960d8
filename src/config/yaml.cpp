#include "config/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <exception>
#include <iterator>
#include <set>
#include <sstream>

#include "base/text.h"

namespace relevo::config {
namespace {

constexpr std::size_t max_bytes = 1U << 20;
constexpr std::size_t max_values = 50'000;  // after aliases are unfolded

// Leaves yaml-cpp's parser when going on makes no sense; caught in parse_yaml.
struct GiveUp : std::exception {};

bool stays_text(std::string_view key) {
    static constexpr std::array names = {"name",     "scope",    "namespace",   "username",
                                         "password", "token",    "sslpassword", "keyfile_password",
                                         "listen",   "database", "plugin",      "replicatefrom"};
    return std::ranges::find(names, key) != names.end();
}

bool is_variable(std::string_view name) {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    return !name.empty() && letters.contains(name.front()) &&
           name.find_first_not_of(
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") ==
               std::string_view::npos;
}

struct Expanded {
    std::string text;
    bool changed = false;
    std::vector<std::string> missing;
    std::vector<std::string> used;  // variables
};

Expanded expand(std::string_view text, const Environment& environment) {
    Expanded out;
    while (!text.empty()) {
        const auto start = text.find("${");
        const auto end = start == std::string_view::npos ? start : text.find('}', start);
        if (end == std::string_view::npos) break;
        const std::string name(text.substr(start + 2, end - start - 2));
        out.text += text.substr(0, start);
        const auto found = environment.find(name);
        if (!is_variable(name)) {
            out.text += text.substr(start, 2);
            text.remove_prefix(start + 2);
            continue;
        }
        if (found == environment.end()) {
            out.missing.push_back(name);
        } else {
            out.text += found->second;
            out.used.push_back(name);
        }
        out.changed = true;
        text.remove_prefix(end + 1);
    }
    out.text += text;
    return out;
}

std::size_t values_in(const Node& node) {
    std::size_t count = 1;
    for (const Node& item : node.items) count += values_in(item);
    for (const auto& [key, value] : node.fields) count += values_in(value);
    return count;
}

std::size_t depth_of(const Node& node) {
    std::size_t deepest = 0;
    for (const Node& item : node.items) deepest = std::max(deepest, depth_of(item));
    for (const auto& [key, value] : node.fields) deepest = std::max(deepest, depth_of(value));
    return deepest + 1;
}

class TreeBuilder final : public YAML::EventHandler {
public:
    TreeBuilder(const std::string& source, const YamlOptions& options)
        : source_(std::make_shared<const std::string>(source)), options_(options) {}

    Node root;
    std::vector<Problem> problems;

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        if (awaits_key()) return take_key(mark, "null");
        add(made({}, mark), anchor);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto found = anchors_.find(anchor);
        if (found == anchors_.end()) give_up(mark, "an alias stands inside the value it names");
        if (awaits_key()) {
            if (const auto text = scalar_text(found->second.node)) return take_key(mark, *text);
            give_up(mark,
                    "a list or a mapping stands where a key is expected; is a bracket not closed?");
        }
        count(mark, found->second.values);
        if (open_.size() + found->second.depth > max_depth) too_deep(mark);
        add(found->second.node, 0);
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        if (awaits_key()) {
            if (anchor != 0) remember(mark, anchor, made(Node::string(value), mark));
            return take_key(mark, value);
        }
        add(scalar(mark, tag, value), anchor);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(mark, tag, "tag:yaml.org,2002:seq", Node::list(), anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(mark, tag, "tag:yaml.org,2002:map", Node::map(), anchor);
    }
    void OnMapEnd() override {
        merge_keys();
        close();
    }

    std::string path(std::string_view last = "") const {
        std::string out;
        for (const Open& each : open_) {
            if (each.node.is(Node::Kind::list)) {
                out += fmt::format("[{}]", each.node.items.size());
            } else if (each.has_key) {
                if (!out.empty()) out += '.';
                out += each.key;
            }
        }
        if (!last.empty()) out += (out.empty() ? "" : ".") + std::string(last);
        return out;
    }

private:
    struct Open {
        Node node;
        YAML::anchor_t anchor = 0;
        std::string key;
        bool has_key = false;
        std::set<std::string, std::less<>> keys;
        std::vector<Node> merged;  // the values of `<<`
    };
    struct Anchored {
        Node node;
        std::size_t values = 0, depth = 0;
    };

    std::shared_ptr<const std::string> source_;
    const YamlOptions& options_;
    std::vector<Open> open_;
    std::map<YAML::anchor_t, Anchored> anchors_;
    std::size_t values_ = 0;

    bool awaits_key() const {
        return !open_.empty() && open_.back().node.is(Node::Kind::map) && !open_.back().has_key;
    }

    Node made(Node node, const YAML::Mark& mark) const {
        node.source = source_;
        node.line = mark.line + 1;
        return node;
    }

    void problem(const YAML::Mark& mark, std::string at, std::string message) {
        if (problems.size() < 50)
            problems.push_back({made({}, mark).where(), std::move(at), std::move(message)});
    }
    [[noreturn]] void give_up(const YAML::Mark& mark, std::string message) {
        problem(mark, path(), std::move(message));
        throw GiveUp();
    }
    [[noreturn]] void too_deep(const YAML::Mark& mark) {
        give_up(mark, fmt::format("nested deeper than {} levels", max_depth));
    }
    void count(const YAML::Mark& mark, std::size_t more) {
        values_ += more;
        if (values_ > max_values)
            give_up(mark,
                    fmt::format("more than {} values (aliases unfolded): this is no configuration",
                                max_values));
    }

    void take_key(const YAML::Mark& mark, const std::string& key) {
        Open& into = open_.back();
        if (key != "<<" && !into.keys.insert(key).second)
            problem(mark, path(key), "the key stands here twice; keep one of them");
        into.key = key;
        into.has_key = true;
    }

    Node scalar(const YAML::Mark& mark, const std::string& tag, const std::string& value) {
        const std::string key = open_.empty() ? std::string() : open_.back().key;
        const bool plain = tag == "?" || tag.empty();
        if (!plain && tag != "!" && !tag.starts_with("tag:yaml.org,2002:"))
            give_up(mark, fmt::format("the YAML tag {} is not known here; remove it", tag));
        if (options_.environment != nullptr && !key.ends_with("_command") && value.contains("${")) {
            Expanded expanded = expand(value, *options_.environment);
            if (!expanded.missing.empty()) return unset(mark, expanded.missing);
            if (expanded.changed) {
                if (options_.consumed != nullptr && path().starts_with("backup.options."))
                    std::ranges::move(expanded.used, std::back_inserter(*options_.consumed));
                Node node = made(Node::string(std::move(expanded.text)), mark);
                node.expanded = true;
                return node;
            }
        }
        const std::string_view wanted =
            tag.starts_with("tag:") ? std::string_view(tag).substr(18) : "";
        if (wanted == "str" || tag == "!") return made(Node::string(value), mark);
        if (!plain && wanted != "int" && wanted != "float" && wanted != "bool" && wanted != "null")
            give_up(mark, fmt::format("the YAML tag !!{} is not known here; remove it", wanted));
        if (stays_text(key) && !resolve_plain(value).is(Node::Kind::null))
            return made(Node::string(value), mark);
        Node resolved = resolve_plain(value);
        const bool number = resolved.is(Node::Kind::integer) || resolved.is(Node::Kind::real);
        if (number && path().starts_with("backup.options.")) return made(Node::string(value), mark);
        return made(std::move(resolved), mark);
    }

    Node unset(const YAML::Mark& mark, const std::vector<std::string>& names) {
        const std::string at = path();
        const bool strict = options_.strict_keys.empty() || options_.warnings == nullptr ||
                            std::ranges::any_of(options_.strict_keys, [&](const std::string& each) {
                                return at == each || at.starts_with(each + ".");
                            });
        for (const std::string& name : names) {
            const std::string message = fmt::format(
                "the environment variable {} is not set; set it where the program starts, or write "
                "the "
                "value in place of ${{{}}}",
                name, name);
            if (strict) {
                problem(mark, at, message);
            } else {
                options_.warnings->push_back(to_text(Problem{made({}, mark).where(), at, message}));
            }
        }
        return made({}, mark);
    }

    void open(const YAML::Mark& mark, const std::string& tag, std::string_view own_tag, Node node,
              YAML::anchor_t anchor) {
        if (awaits_key())
            give_up(mark,
                    "a list or a mapping stands where a key is expected; is a bracket not closed?");
        if (!tag.empty() && tag != "?" && tag != "!" && tag != own_tag)
            give_up(mark, fmt::format("the YAML tag {} is not known here; remove it", tag));
        if (open_.size() >= max_depth) too_deep(mark);
        Open& opened = open_.emplace_back();
        opened.node = made(std::move(node), mark);
        opened.anchor = anchor;
    }

    void close() {
        Open done = std::move(open_.back());
        open_.pop_back();
        add(std::move(done.node), done.anchor);
    }

    // `<<: *defaults`: keys that are not given here come from there; of several, the first wins.
    void merge_keys() {
        Open& into = open_.back();
        for (const Node& from : into.merged)
            for (const auto& [key, value] : from.fields)
                if (into.keys.insert(key).second) into.node.fields.emplace_back(key, value);
    }

    void take_merge(Node node) {
        YAML::Mark mark;
        mark.line = node.line - 1;
        std::vector<Node>& merged = open_.back().merged;
        if (node.is(Node::Kind::map)) {
            merged.push_back(std::move(node));
        } else if (node.is(Node::Kind::list) && std::ranges::all_of(node.items, [](const Node& n) {
                       return n.is(Node::Kind::map);
                   })) {
            std::ranges::move(node.items, std::back_inserter(merged));
        } else {
            give_up(mark, "<< takes a mapping or a list of mappings");
        }
    }

    void remember(const YAML::Mark& mark, YAML::anchor_t anchor, const Node& node) {
        Anchored held{node, values_in(node), depth_of(node)};
        count(mark, held.values);
        anchors_.insert_or_assign(anchor, std::move(held));
    }

    void add(Node node, YAML::anchor_t anchor) {
        YAML::Mark mark;
        mark.line = node.line - 1;
        count(mark, 1);
        if (anchor != 0) remember(mark, anchor, node);
        if (open_.empty()) {
            root = std::move(node);
            return;
        }
        Open& into = open_.back();
        if (into.node.is(Node::Kind::list)) {
            into.node.items.push_back(std::move(node));
            return;
        }
        if (into.key == "<<") {
            take_merge(std::move(node));
        } else if (into.keys.contains(into.key)) {
            into.node.fields.emplace_back(into.key, std::move(node));
        }
        into.has_key = false;
        into.key.clear();
    }
};

// yaml-cpp replaces bytes that are not UTF-8 without a word; a password must not change that way.
std::optional<int> line_of_bad_byte(std::string_view text) {
    int line = 1;
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte == '\n') ++line;
        const std::size_t more = byte < 0x80                   ? 0
                                 : byte >= 0xc2 && byte < 0xe0 ? 1
                                 : (byte & 0xf0) == 0xe0       ? 2
                                 : byte >= 0xf0 && byte < 0xf5 ? 3
                                                               : 9;
        const bool control = byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t';
        if (more == 9 || control || i + more >= text.size() + (more == 0 ? 1 : 0)) return line;
        for (std::size_t k = 1; k <= more; ++k)
            if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return line;
        i += more + 1;
    }
    return std::nullopt;
}

std::unexpected<std::vector<Problem>> one(const std::string& source, int line,
                                          std::string message) {
    const std::string where = line > 0 ? fmt::format("{}:{}", source, line) : source;
    return std::unexpected(std::vector<Problem>{{where, "", std::move(message)}});
}

}  // namespace

bool is_secret_key(std::string_view key) {
    const std::string name = lower(key);
    return name.contains("password") || name.contains("passwd") || name.contains("secret") ||
           name.contains("token") || name == "url" || name == "proxy" || name == "auth_data" ||
           name == "primary_conninfo" || name == "set_acls";
}

std::expected<Node, std::vector<Problem>> parse_yaml(std::string_view text,
                                                     const std::string& source,
                                                     const YamlOptions& options) {
    if (text.size() > max_bytes)
        return one(source, 0,
                   fmt::format("larger than {} MiB: this is no configuration", max_bytes >> 20));
    if (const auto line = line_of_bad_byte(text))
        return one(source, *line, "a byte that is not UTF-8 text; save the file as UTF-8");
    TreeBuilder builder(source, options);
    try {
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        parser.HandleNextDocument(builder);
        Node first = std::move(builder.root);
        if (builder.problems.empty() && parser.HandleNextDocument(builder))
            return one(source, builder.root.line, "a second YAML document; expected one document");
        builder.root = std::move(first);
    } catch (const GiveUp&) {
    } catch (const YAML::Exception& error) {
        // Its texts name forms ("end of map not found"), never values.
        builder.problems.push_back(
            {fmt::format("{}:{}", source, error.mark.line + 1), builder.path(),
             fmt::format("not valid YAML: {} (column {})", error.msg, error.mark.column + 1)});
    } catch (const std::exception& error) {
        builder.problems.push_back({source, "", fmt::format("not valid YAML: {}", error.what())});
    }
    if (!builder.problems.empty()) return std::unexpected(std::move(builder.problems));
    if (builder.root.source == nullptr)
        builder.root.source = std::make_shared<const std::string>(source);
    return std::move(builder.root);
}

}  // namespace relevo::config
