// A peer's agent as it answered a probe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "cluster/lsn.h"
#include "cluster/member.h"

namespace relevo::cluster {

// POST /wal: for whole pages from `at` on, up to tail_piece_bytes. Fewer: there are no more.
struct TailAsk {
    MemberName from;        // who asks
    std::string system_id;  // of its data
    Timeline timeline = 0;
    Lsn at;
    std::string proof;     // that who asks knows the replication account's password
    bool guarded = false;  // credentials, certificates or a list were asked for already
};
inline constexpr std::size_t tail_piece_bytes = 1UL << 20U;

// What GET <api_url> of a peer says, ours or Patroni's (contract 5.5, 7.3).
struct PeerStatus {
    bool primary = false;  // xlog.location set, or role primary/master
    Lsn position;          // max(received, replayed), or location
    Timeline timeline = 0;
    bool nofailover = false;
    int failover_priority = 1;
    bool watchdog_failed = false;
    bool running = false;  // state is running
    bool streams = false;  // a standby whose walreceiver streams
    std::string system_id;
    Tags tags;
    // Ours alone. sealed: it has streamed from nobody since it saw, at this revision, that nobody
    // leads, and will not before it sees a newer leader key; position is all it has. 0: it may
    // still receive.
    Revision sealed = 0;
    Revision suspects = 0;          // the term of a leader that it does not hear any more; 0: none
    std::optional<DiskState> disk;  // nothing: it does not say, or has not measured yet
    // Its data is known to be damaged (docs/adr/0022). Nothing: it does not say.
    std::optional<bool> corrupted;
    bool voteless = false;        // what it has says nothing about what was acknowledged
    std::optional<WalTail> tail;  // it was the primary, is dead, and gives what it wrote last
};

// POST /pulse: a voter listens to its leader, and says whether it follows it (docs/adr/0007).
struct Pulse {
    MemberName from;        // who asks
    std::string system_id;  // of its data: pulses of another cluster are refused
    Revision follows = 0;   // the term of the leader that it streams from; 0: none
};
struct PulseAnswer {
    MemberName name;
    std::string system_id;
};

}  // namespace relevo::cluster
