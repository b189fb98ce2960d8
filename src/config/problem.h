// One thing that is wrong with the configuration, for the operator: one line each. Never holds the
// value of a secret.
#pragma once

#include <string>
#include <vector>

namespace relevo::config {

struct Problem {
    std::string where;    // "patroni.yml:12", "environment variable PATRONI_NAME"; empty: not known
    std::string path;     // dotted: "postgresql.listen"; empty: the file as a whole
    std::string message;  // what was found and what was expected
    bool operator==(const Problem&) const = default;
};

std::string to_text(
    const Problem& problem);  // "patroni.yml:12: postgresql.listen: found 3, expected ..."
std::string to_text(const std::vector<Problem>& problems);  // a line each, no newline at the end

}  // namespace relevo::config
