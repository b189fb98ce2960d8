// A time zone out of the system's tz database (the package tzdata), as the plain table that the
// schedules are computed with (cluster/zone.h).
#pragma once

#include <string>

#include "base/result.h"
#include "cluster/zone.h"

namespace relevo::config {

// An IANA name, as Europe/Berlin. Reads a file. not_found: there is no such zone on this host.
Result<cluster::Zone> load_zone(const std::string& name);

}  // namespace relevo::config
