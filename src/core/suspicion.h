// Whether a leader that this member listens to still lives. Two signs are looked for: pulses of its
// agent, and its PostgreSQL's answer to a fresh connection. A living PostgreSQL under a dead agent
// goes on committing, so one sign is never enough. Where one voter may depose a leader by itself,
// the leader also shows its life in the DCS, and that is the third.
//
// Pure: the shell sends, connects and keeps the time; so does the simulator.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "base/time.h"
#include "cluster/tree.h"

namespace relevo::core {

class Suspicion {
public:
    static constexpr Duration period = std::chrono::milliseconds(100);  // of pulses
    static constexpr Duration tick_every = std::chrono::milliseconds(20);
    // Longest time between two ticks that counts as silence of the leader; what is beyond was this
    // member's own absence (a starved CPU, a frozen host).
    static constexpr Duration tick_max = std::chrono::milliseconds(150);

    // base: suspect_after; most: never wait longer (ttl).
    void set_patience(Duration base, Duration most);
    // Whom to listen to, by term; 0: nobody. A new one begins with a clean sheet.
    void listen(cluster::Revision term, Instant now);

    struct Due {
        bool pulse = false, probe = false;  // to be begun now
    };
    Due tick(Instant now);
    void heard(Instant now);        // a pulse of the leader's agent
    void connected(Instant now);    // its PostgreSQL answered, whatever it said
    void seen_in_dcs(Instant now);  // it wrote its sign there

    cluster::Revision term() const { return term_; }
    bool suspects() const { return suspects_; }
    bool alone() const { return suspects_ && dcs_seen_ && own_ - dcs_at_ >= patience(); }
    // Since the last pulse, or since it is listened to. In time in which this member was awake.
    Duration silence() const { return own_ - (heard_ ? heard_at_ : began_); }
    // suspect_after, raised with the silences that turned out to be none, to two seconds at most.
    Duration patience() const;

private:
    Duration own(Instant now) const;  // time in which this member was awake
    void judge();

    cluster::Revision term_ = 0;
    Duration base_ = std::chrono::milliseconds(500), most_ = std::chrono::seconds(30);
    Instant ticked_{};
    Duration own_{};  // all in this time
    Duration began_{}, heard_at_{}, pulse_at_{}, probe_at_{}, first_probe_at_{}, connected_at_{},
        dcs_at_{};
    bool heard_ = false, probing_ = false, dcs_seen_ = false, suspects_ = false;
    std::deque<std::pair<Duration, Duration>> gaps_;  // when, how long; the last minute
};

}  // namespace relevo::core
