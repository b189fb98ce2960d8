// What must hold, looked at as it happens (failover.md section 8, for the lease). A broken promise
// is a failure; what the lease cannot prevent (an agent that is dead or frozen over a living
// primary) is counted as an overlap and reported.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/member.h"

namespace relevo::sim {

struct Findings {
    std::vector<std::string> failures;
    int overlaps = 0;      // two primaries that accepted writes, excused
    std::size_t lost = 0;  // acknowledged commits lost at failovers (asynchronous replication)
    int promotions = 0;
    int resets = 0;                   // of hosts, by their watchdogs
    int panics = 0;                   // on a full disk
    int spared = 0;                   // handovers for a disk's sake that came as far as the release
    int cleaned = 0;                  // the same because of damaged data
    int remade = 0;                   // damaged replicas, by themselves
    int restored = 0, cancelled = 0;  // restores in place
    std::uint64_t steps = 0;
    std::uint64_t commits = 0;
};

// What maintenance mode forbids an agent to do by itself.
bool automation(const core::Effect& effect);

class Checkers {
public:
    explicit Checkers(Parts parts);

    Findings findings;
    void fail(const std::string& what);

    void on_effect(Member& member, const core::Issued& issued);
    void on_late_answer(Member& asker, int other);
    void on_primary(int member);
    void on_promoting(int member, WalEnd from);
    void on_commit(int member);
    void on_acknowledged(int member);
    void on_read(int member);  // what nobody had been told of yet
    void on_wipe(int member, const Data& data, const char* how);

    void on_copied(int member);     // its data was made anew
    void on_panic(int member);      // it had no room to write
    void on_disk_full(int member);  // from now on it has none
    void on_outside_start(int member);
    void on_reset(int member);  // by its watchdog

    // For faults: an agent's grace begins anew.
    void excuse(int member) {
        excused_since_[static_cast<std::size_t>(member)] = parts_.world.now();
    }
    void excuse_pause(bool on);
    // The cluster stands: from now on nothing may move without a fault (quiet profiles).
    bool formed = false;
    // One leader serves and all others stream from it, or have said why they wait for a person.
    // Empty: so it is.
    std::string unrest() const;
    // At the end, too: what was acknowledged before a restore in place is kept by somebody.
    void check_kept();

private:
    struct Probe {  // what a race's asker could have seen
        Instant at;
        std::vector<WalEnd> ends;
        std::vector<bool> answers;    // its agent, asked by this one
        std::vector<bool> reachable;  // is known, and one that may lead
        // Of each one's answers the last ones in a row that the network kept too long; and without
        // this question's.
        std::vector<int> late, late_before;
    };
    Member& member(int index) const { return *parts_.members[static_cast<std::size_t>(index)]; }
    const Data& data(int index) const { return parts_.postgres.at(index).data(); }
    std::string name(int index) const { return parts_.world.name(index); }
    void note_probe(Member& who);
    void follow_line(int leads);
    int leader() const;                         // by the DCS itself; -1: none
    std::string why_excused(int member) const;  // empty: it is not
    void two_primaries(int a, int b);
    void check_pause(Member& who, const core::Issued& issued);
    void check_one_action(Member& who);
    void check_better_candidate(int winner, WalEnd from, const WalTree::Lost& lost);
    void check_promise(int winner, const WalTree::Lost& lost);
    void check_deposed(int deposed);
    void note_overridden();
    void check_tail(int winner, WalEnd from);
    bool could_tell(const Probe& asked, int other) const;
    void check_switchover(int winner, const WalTree::Lost& lost);
    void check_deposition(const Member& who);
    void check_electable(int member, const char* what);
    // checkers_rot.cpp
    void check_rot(Member& who, const core::Issued& issued);
    void check_sounder(Member& who);
    bool long_rotten(int member, bool rotten, Duration since) const;
    bool is_ours(int member) const;
    std::string damaged_leads(int leads) const;  // empty: it does not, or nobody else could
    // checkers_rebuild.cpp
    void check_rebuild(Member& who, const core::Issued& issued);
    void check_turn(Member& who);
    bool is_remade(int member) const;  // its server is stopped for it
    int copies_beside(int member, int leads) const;
    int copies_needed() const;
    std::string damaged_for_good(int leads) const;  // empty: nobody is that could be made anew
    // checkers_disk.cpp
    void check_room(Member& who, const core::Issued& issued);
    void check_asks_again(const Member& who);  // to hand over by itself
    // checkers_in_place.cpp
    void note_restore();
    void restored(const cluster::Restoration& record);
    void check_is_restored(int member, const char* what);
    bool descends(WalEnd end, BranchId from) const;

    Parts parts_;
    BranchId line_ = -1;  // what the newest leader writes or wrote
    std::vector<Instant> excused_since_;
    std::vector<bool> stopped_to_hand_over_;  // and has not run since
    std::vector<bool> named_;                 // an operator named it for the lead that it took last
    std::vector<bool> promised_;              // it acknowledged something by its voters' word
    std::vector<bool> forced_;                // it took the lead because an operator named it
    // What a leader writes whose voters an operator did not wait for, and goes on writing; noted
    // once the key is the other's.
    struct Overriding {
        int by = -1;
        BranchId line = -1;
    };
    std::optional<Overriding> overriding_;
    std::vector<BranchId> overridden_;
    bool paused_ = false;
    Instant pause_changed_{};
    Instant cluster_since_ = Instant::max();  // the DCS knows of it; max: it does not
    std::vector<Probe> probes_;
    Instant handed_over_{};
    int took_over_ = -1;  // the first that was promoted since
    struct Spared {
        Instant asked, agent;  // agent: since when it decides
        bool came_about = false;
    };
    std::map<int, Spared> spared_;  // when each last asked for a handover for its disk's sake
    Instant last_led_{};
    struct Remade {
        WallTime last{};  // the claim of the last try
        int tries = 0, times = 0;
    };
    std::map<int, Remade> remade_;
    struct Place {  // restores in place
        cluster::Revision seen = 0;
        std::string id, swapped;  // the newest record's; of the last that came about
        WalEnd before;            // what was acknowledged when the leader gave way
        std::vector<WalEnd> kept;
        BranchId root = -1;  // what the last one began
    };
    Place place_;
};

}  // namespace relevo::sim
