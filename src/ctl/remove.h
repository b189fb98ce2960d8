// Takes a cluster's keys out of the DCS, after three typed answers.
#pragma once

#include <string>

#include "ctl/context.h"
#include "ctl/records.h"

namespace relevo::ctl {

Outcome remove(Context& context, const std::string& cluster, Format format);

}  // namespace relevo::ctl
