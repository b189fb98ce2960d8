// PATRONI_* variables -> the same tree that a file would give (contract 1.8). Only non-empty values
// count.
#pragma once

#include <string>
#include <vector>

#include "config/node.h"
#include "config/problem.h"
#include "config/yaml.h"

namespace relevo::config {

struct FromEnvironment {
    Node tree = Node::map();
    std::vector<std::string> consumed;  // the variables that were used
    std::vector<Problem> problems;
};

FromEnvironment read_environment(const Environment& environment);

}  // namespace relevo::config
