// Virtual time, hosts and the network between them. Everything in a run happens in one queue,
// ordered by (time, sequence), so that a seed gives one trace.
//
// A host can lose power (what it had queued is gone) or freeze (it happens later, when it is awake
// again, with a clock that jumped). The DCS is a node of the network, but no host: dcs_node().
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/disk.h"
#include "sim/action.h"
#include "sim/plan.h"
#include "sim/random.h"
#include "sim/trace.h"

namespace relevo::sim {

struct Host {
    std::string name;
    bool powered = true;
    bool frozen = false;
    int boot = 0;     // counts power losses: what was queued for an earlier one never happens
    double rate = 1;  // of its clock against the world's
    Duration clock_start{};
    Duration wall_offset{};
    Duration disk_slow{};        // how long its disk may take to flush now; 0: as the plan says
    Instant disk_hangs_until{};  // nothing is written before that
    bool disk_full = false;
    // Of a full one: WAL goes on in segments that are there already, only tables cannot grow; and a
    // file of no bytes can still be made.
    bool only_tables = false, files_left = false;
    bool ballast = false;  // room that its agent keeps back (docs/adr/0018)
    // Where a disk that fills stands, since when, which of several fillings it is, and whether what
    // clients write here fills it.
    cluster::DiskState disk_state = cluster::DiskState::ok;
    Instant disk_state_since{};
    int filling = 0;
    bool filled_by_writes = false;
    bool rotten = false;            // a page of its data, as PostgreSQL has noticed
    Instant rotten_since{};         // that changed last
    bool found_by_amcheck = false;  // and by nothing else
    int rots = 0;                   // which of several times it is
    Instant disk_mended{};
    // Something that waits for the disk may not have happened yet.
    bool disk_in_trouble(Instant now) const {
        return disk_full || disk_slow > Duration{} || now < disk_hangs_until ||
               (disk_mended != Instant{} && now - disk_mended < std::chrono::seconds(5));
    }
    std::vector<Action> deferred;
    bool awake() const { return powered && !frozen; }
};

class World {
public:
    explicit World(const Plan& plan);

    const Plan& plan;
    Random dice;
    Trace trace;
    std::vector<Host> hosts;
    bool faults_on = false;
    Instant last_fault{};  // when something last broke or was mended

    Instant now() const { return now_; }
    int size() const { return plan.members; }
    int dcs_node() const { return plan.members; }
    const std::string& name(int member) const {
        return hosts[static_cast<std::size_t>(member)].name;
    }
    Host& host(int member) { return hosts[static_cast<std::size_t>(member)]; }
    int index_of(const std::string& member_name) const;  // -1: none

    void at(Instant when, Action&& what);
    void after(Duration delay, Action&& what) { at(now_ + delay, std::move(what)); }
    // On a host: not at all when it has lost power meanwhile, later when it is frozen.
    void on_host(int member, Duration delay, Action&& what);
    // The same, for what a member does all the time: the next of each is kept beside the queue.
    void tick_on_host(int member, Duration delay, Action&& what);
    // What reaches a host from outside: what it is by then decides, a restart in between does not
    // matter.
    void to_host(int member, Duration delay, Action&& what);
    void run_until(Instant end);
    std::uint64_t happened() const { return happened_; }  // counts
    bool stopped = false;                                 // set to end run_until early

    // The member's own clock, and back.
    Instant mono(int member) const;
    WallTime wall(int member) const;
    Instant world_time(int member, Instant mono) const;

    // The network. One-way: from -> to.
    bool linked(int from, int to) const { return !cut_[index(from, to)]; }
    bool linked_both(int a, int b) const { return linked(a, b) && linked(b, a); }
    void set_cut(int from, int to, bool cut);
    void heal_all();
    // How much later than usual what `from` says arrives at `to`: questions to peers and the DCS.
    Duration lag(int from, int to) const { return lag_[index(from, to)]; }
    void set_lag(int from, int to, Duration by) { lag_[index(from, to)] = by; }
    Duration latency();  // now and then a very long one, while faults are on
    Duration plain_latency();
    // How long this host's disk takes to make a write durable. Zero is a disk that is faster than
    // anything else here.
    Duration disk(int member);
    // Whether this message is told twice, the second time late.
    bool stutters();
    // Called after any change of links, power or freeze.
    std::vector<std::function<void()>> on_change;
    void changed();

    void power_off(int member);
    void power_on(int member);
    void freeze(int member);
    void thaw(int member);

    void say(int member, std::string_view what) { trace.line(now_, name(member), what); }
    void say(std::string_view what) { trace.line(now_, "-", what); }

private:
    struct Entry {
        Instant at;
        std::uint64_t sequence;
        std::uint32_t job;
    };
    struct Job {
        Action what;
        int member = -1;  // whose host it needs; -1: none
        int boot = 0;     // which must not have lost power since
    };
    static constexpr int any_boot = -1;
    Entry keep(Instant when, int member, int boot, Action&& what);
    void put(Entry entry);
    bool take_next(Instant end, Entry& out);
    static bool later(const Entry& a, const Entry& b) {
        return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
    }
    void run(Job& job);
    std::size_t index(int from, int to) const {
        return static_cast<std::size_t>(from) * static_cast<std::size_t>(plan.members + 1) +
               static_cast<std::size_t>(to);
    }

    Instant now_{};
    std::uint64_t sequence_ = 0, happened_ = 0;
    std::vector<Entry> queue_;  // a heap; what is moved in it is small
    std::vector<Entry> ticks_;  // a few, in no order
    std::deque<Job> jobs_;      // one stays where it is while it runs
    std::vector<std::uint32_t> free_jobs_;
    std::vector<char> cut_;
    std::vector<Duration> lag_;
};

}  // namespace relevo::sim
