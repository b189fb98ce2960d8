// What goes wrong, and what operators do meanwhile: drawn from the seed, one after the other, each
// with its end. mend() ends them all.
#pragma once

#include <optional>
#include <vector>

#include "sim/checkers.h"

namespace relevo::sim {

class Faults {
public:
    Faults(Parts parts, Checkers& checkers);

    void begin();  // until mend()
    void mend();   // everything works again, everybody is started
    // The worst moments are when votes and names change: now and then something breaks just there.
    void on_effect(const Member& who, const core::Issued& issued);
    // Until when clients write in quick succession, for the same reason.
    Instant busy_until{};

    // Single ones, also for scenarios.
    void power_loss(int member);
    void power_back(int member);
    void reset(int member);  // by its watchdog; it boots again
    void stall_agent(int member, Duration how_long);
    void stick(int member, Duration how_long);  // PostgreSQL's processes do not die meanwhile
    void crash_agent(int member, Duration back_after);
    void crash_postgres(int member);
    void freeze(int member, Duration how_long);
    void hang(int member, Duration how_long);
    void cut(int a, int b, bool one_way, Duration how_long);
    void dcs_away(Duration how_long);
    void dcs_new_leader();
    void split(int member, bool one_way, Duration how_long);  // from all others, not from the DCS
    void slow_disk(int member, Duration at_most, Duration how_long);
    void full_disk(int member, Duration how_long);
    // It fills: from now on a warning, later in hold, then full, and emptied at the end. by_writes:
    // not full before that much time has passed in which clients could write there.
    // Both zero: full at once, between two looks of its agent.
    struct Filling {
        Duration to_hold{}, to_full{}, how_long{};
        bool by_writes = false;
        bool ballast = true;  // there is one, which is good for so long where that goes on
        Duration ballast_lasts = std::chrono::seconds(30);
        bool only_tables = false, files_left = true;  // Host's, once it is full
    };
    void fill_disk(int member, Filling filling);
    // It refuses every write, or it does not answer: then whatever waits for it goes on when it is
    // good again. Its agent's probe tells.
    void fail_disk(int member, bool hangs, Duration how_long);
    // A page rots and somebody reads it. It lasts that long, unless the data is copied anew before.
    void rot(int member, Duration how_long);
    void copied(int member);
    void step_clock(int member, Duration by);
    // As the agent of `restorer` would write it: the cluster as it was at that point of its line,
    // or at a point that is drawn. false: it would be refused.
    bool restore_in_place(int restorer, std::optional<WalEnd> target = {});
    bool cancel_restore();
    void switchover(const std::string& leader, const std::string& candidate, Duration ahead);
    void pause(bool on);

private:
    World& world() const { return parts_.world; }
    int anyone() const {
        return static_cast<int>(
            parts_.world.dice.below(static_cast<std::uint64_t>(parts_.world.size())));
    }
    int leader_or_anyone() const;
    int another(int member) const;
    Member& member(int index) const { return *parts_.members[static_cast<std::size_t>(index)]; }
    void next();
    void next_on_host();
    // faults_in_place.cpp
    void next_restore();
    WalEnd some_point(WalEnd line);
    // faults_disk.cpp
    void next_disk();
    void set_disk(int member, cluster::DiskState state, Duration seen_within);
    void fill_up(int member, int filling, Filling how);
    void mend_disk(int member);
    // faults_rot.cpp
    void next_rot();
    void tell_of_rot(int member, bool rotten);
    void one();
    void ambush(int member);
    // faults_aimed.cpp
    void aim(const Member& who, const core::Effect& effect);
    void strike(int member);
    void service_starts_it(int member);
    void operator_acts();
    void happened(int member, const std::string& what);
    Duration length() const;

    Parts parts_;
    Checkers& checkers_;
    int generation_ = 0;
    Instant until_{};  // when what was begun last is mended
    Instant struck_{};
    // Their own: other schedules of the seed stay as they are.
    Random host_dice_, disk_dice_, rot_dice_, restore_dice_;
    int restores_ = 0;
};

}  // namespace relevo::sim
