// The leader key as etcd's v2 API shows a key, for programs that read it there and nowhere else:
// Debian's vip-manager (1.0.2) knows only that API, and etcd 3.4 does not serve keys of v3 in it.
// Pure, from the View alone.
//
// What is shown is this member's own knowledge: itself only while its lease holds at this moment
// and its PostgreSQL is a running primary. So an address that hangs on it is let go before anybody
// else may be promoted, and is not dropped because etcd blinked.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "ports/control.h"

namespace relevo::rest {

struct LeaderKeyAnswer {
    int status = 200;  // 404: there is none, or this member is in doubt
    std::string json;
};

// nullopt: the path is another one than /v2/keys/[namespace/]scope/leader.
std::optional<LeaderKeyAnswer> leader_key_answer(std::string_view path, const ports::View& view,
                                                 Instant now);

}  // namespace relevo::rest
