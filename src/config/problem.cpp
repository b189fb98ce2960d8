#include "config/problem.h"

namespace relevo::config {

std::string to_text(const Problem& problem) {
    std::string line;
    if (!problem.where.empty()) line += problem.where + ": ";
    if (!problem.path.empty()) line += problem.path + ": ";
    return line + problem.message;
}

std::string to_text(const std::vector<Problem>& problems) {
    std::string lines;
    for (const Problem& problem : problems) {
        if (!lines.empty()) lines += '\n';
        lines += to_text(problem);
    }
    return lines;
}

}  // namespace relevo::config
