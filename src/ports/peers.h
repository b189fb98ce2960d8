// The other members' agents, over their REST API. Real: rest/peer_client.h.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "cluster/member.h"
#include "cluster/peer.h"
#include "ports/task.h"

namespace relevo::ports {

using cluster::PeerStatus;

class Peers {
public:
    virtual ~Peers() = default;
    // deadline bounds name lookup, connect, TLS and answer together. unavailable: no answer.
    virtual Task<Result<PeerStatus>> status(const cluster::MemberRecord& member,
                                            Duration deadline) = 0;
    // POST /failsafe: accepted with the peer's last position, or why not.
    virtual Task<Result<cluster::Lsn>> failsafe(const cluster::MemberRecord& member,
                                                std::string body, Duration deadline) = 0;
    // POST /pulse: what its agent says at once, without looking at anything.
    virtual Task<Result<cluster::PulseAnswer>> pulse(const cluster::MemberRecord& member,
                                                     cluster::Pulse from, Duration deadline) = 0;
    // POST /wal: the next pages of its WAL; shorter than a piece: the last. denied: it gives none.
    virtual Task<Result<std::string>> wal_tail(const cluster::MemberRecord& member,
                                               cluster::TailAsk ask, Duration deadline) = 0;
    // Whether its PostgreSQL answers a new connection, whatever it says.
    virtual Task<bool> postgres_answers(const cluster::MemberRecord& member, Duration deadline) = 0;
    // Any HTTP answer on /liveness: the duplicate-name guard.
    virtual Task<bool> alive(const std::string& api_url, Duration deadline) = 0;
};

}  // namespace relevo::ports
