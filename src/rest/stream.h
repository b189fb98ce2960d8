// What a view says to those who route clients (cluster/stream.h). Pure.
#pragma once

#include "cluster/stream.h"
#include "ports/control.h"

namespace relevo::rest {

// Without a sequence. wall: the clock that the replayed transactions' times are compared with.
cluster::MemberStream stream_of(const ports::View& view, Instant now, WallTime wall);

}  // namespace relevo::rest
