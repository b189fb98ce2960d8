#include "ctl/config_edit.h"

#include <fmt/core.h>

#include "base/text.h"
#include "config/yaml.h"

namespace relevo::ctl {
namespace {

using config::Node;

constexpr std::string_view parameters_path = "postgresql.parameters.";

// No environment: dynamic configuration is taken literally, its ${NAME} is for a shell on the
// members' hosts, never for this one.
Result<Node> parse(std::string_view yaml, std::string_view source) {
    auto node = config::parse_yaml(yaml, std::string(source));
    if (!node) return fail(ErrorCode::invalid, config::to_text(node.error()));
    return *std::move(node);
}

std::vector<std::string> steps_of(std::string_view path) {
    if (!path.starts_with(parameters_path)) return split(path, '.');
    return {"postgresql", "parameters", std::string(path.substr(parameters_path.size()))};
}

void remove(Node& node, const std::vector<std::string>& steps, std::size_t at) {
    if (at + 1 == steps.size()) {
        node.erase(steps[at]);
        return;
    }
    auto* child = node.find_any(steps[at]);
    if (!child || !child->is(Node::Kind::map)) return;
    remove(*child, steps, at + 1);
    if (child->fields.empty()) node.erase(steps[at]);
}

Status put(Node& node, const std::vector<std::string>& steps, Node value, std::string_view path) {
    Node* place = &node;
    for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
        auto* child = place->find_any(steps[i]);
        if (!child || child->is(Node::Kind::null)) child = &place->set(steps[i], Node::map());
        if (!child->is(Node::Kind::map))
            return fail(ErrorCode::invalid,
                        fmt::format("cannot set {}: {} holds the value {}, no map; remove it first "
                                    "with {}=null",
                                    path, steps[i], config::to_json(*child), steps[i]));
        place = child;
    }
    place->set(steps.back(), std::move(value));
    return {};
}

Status apply(Node& settings, std::string_view prefix, std::string_view assignment) {
    const auto equals = assignment.find('=');
    const auto key = trim(assignment.substr(0, equals));
    if (equals == std::string_view::npos || key.empty())
        return fail(ErrorCode::invalid,
                    fmt::format("{:?} is no setting; write NAME=VALUE, or NAME=null to remove it",
                                assignment));
    const auto path = std::string(prefix) + std::string(key);
    const auto steps = steps_of(path);
    for (const auto& step : steps)
        if (step.empty())
            return fail(ErrorCode::invalid, fmt::format("{:?} has an empty part", path));
    RLV_TRY(Node value, parse(assignment.substr(equals + 1), path));
    if (value.is(Node::Kind::null)) {
        remove(settings, steps, 0);
        return {};
    }
    return put(settings, steps, std::move(value), path);
}

}  // namespace

Result<Node> parse_settings(std::string_view yaml, std::string_view source) {
    RLV_TRY(Node node, parse(yaml, source));
    if (node.is(Node::Kind::null)) return Node::map();
    if (!node.is(Node::Kind::map))
        return fail(ErrorCode::invalid,
                    fmt::format("{}: expected a map of settings, such as \"ttl: 30\"", source));
    return node;
}

Status apply_setting(Node& settings, std::string_view assignment) {
    return apply(settings, "", assignment);
}

Status apply_parameter(Node& settings, std::string_view assignment) {
    return apply(settings, parameters_path, assignment);
}

}  // namespace relevo::ctl
