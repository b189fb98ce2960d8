#include "ctl/yaml.h"

#include <algorithm>

#include "base/text.h"

namespace relevo::ctl {
namespace {

using config::Node;

// One writer for both: they differ in the brackets' neighbours and in the scalars only.
template <class Scalar>
std::string on_one_line(const Node& node, const Scalar& scalar) {
    std::string out;
    if (node.is(Node::Kind::list)) {
        for (const auto& item : node.items)
            out += (out.empty() ? "" : ", ") + on_one_line(item, scalar);
        return "[" + out + "]";
    }
    if (node.is(Node::Kind::map)) {
        for (const auto& [key, value] : node.fields)
            out += (out.empty() ? "" : ", ") + scalar(Node::string(key)) + ": " +
                   on_one_line(value, scalar);
        return "{" + out + "}";
    }
    return scalar(node);
}

}  // namespace

Node sorted(Node node) {
    for (auto& item : node.items) item = sorted(std::move(item));
    for (auto& [key, value] : node.fields) value = sorted(std::move(value));
    std::ranges::sort(node.fields, {}, [](const auto& field) { return field.key; });
    return node;
}

std::string to_flow_yaml(const Node& node) {
    return on_one_line(
        node, [](const Node& scalar) { return std::string(trim(config::to_yaml(scalar))); });
}

std::string to_spaced_json(const Node& node) {
    return on_one_line(node, [](const Node& scalar) { return config::to_json(scalar); });
}

Node node_of_json(std::string_view json) {
    auto node = config::parse_json(json);
    return node ? *std::move(node) : Node::string(std::string(json));
}

std::string quoted(std::string_view text) {
    return config::to_json(Node::string(std::string(text)));
}

}  // namespace relevo::ctl
