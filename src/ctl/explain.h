// `relevoctl explain`: one change of leader as all members saw it, from their journals.
#pragma once

#include <string>
#include <vector>

#include "ctl/access.h"
#include "ctl/context.h"

namespace relevo::ctl {

struct ExplainCommand {
    // "last" or a number, 1 the oldest that is known; a cluster's name; both, in either order.
    std::vector<std::string> words;
    std::string format = "pretty";  // or "json"
};
// Members that cannot be asked are named in the answer, and no failure: the host that is gone is
// most likely why somebody asks.
Outcome explain(Context& context, const ExplainCommand& command);

}  // namespace relevo::ctl
