#include "ctl/records.h"

#include <fmt/core.h>

#include "base/text.h"
#include "config/node.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using config::Node;

Node to_node(const Records& records) {
    Node list = Node::list();
    for (const auto& row : records.rows) {
        Node object = Node::map();
        for (std::size_t i = 0; i < row.size(); ++i)
            if (!row[i].json.empty()) object.set(records.names[i], node_of_json(row[i].json));
        list.items.push_back(std::move(object));
    }
    return list;
}

}  // namespace

Field text_field(std::string_view text) {
    if (text.empty()) return {};
    return {std::string(text), quoted(text)};
}

Field number_field(std::int64_t number) {
    const auto text = fmt::format("{}", number);
    return {text, text};
}

std::string to_tsv(const Records& records, std::string_view delimiter) {
    std::string out = join(records.names, delimiter) + "\n";
    for (const auto& row : records.rows) {
        std::vector<std::string> cells;
        cells.reserve(row.size());
        for (const auto& field : row) cells.push_back(field.text);
        out += join(cells, delimiter) + "\n";
    }
    return out;
}

std::string to_json_line(const Records& records) { return to_spaced_json(to_node(records)) + "\n"; }

std::string to_yaml_list(const Records& records) { return config::to_yaml(to_node(records)); }

}  // namespace relevo::ctl
