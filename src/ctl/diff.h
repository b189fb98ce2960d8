// A unified diff of two texts, with three lines of context (contract 6.2, edit-config). Pure.
#pragma once

#include <string>
#include <string_view>

namespace relevo::ctl {

// "" when the texts are equal. Otherwise "--- \n+++ \n" and the hunks; with colour, what goes is
// red and what comes green.
std::string unified_diff(std::string_view before, std::string_view after, bool colour);

}  // namespace relevo::ctl
