// Pulses between a leader and those who listen to it (docs/adr/0007). Sends them, hears them, and
// tells the core only what changes: that the leader is silent, or that the own voters back it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <string>

#include "agent/group.h"
#include "core/state.h"
#include "core/suspicion.h"
#include "ports/clock.h"
#include "ports/control.h"
#include "ports/dcs.h"
#include "ports/peers.h"

namespace relevo::agent {

class Pulses {
public:
    // state: the core's, read between its steps; it outlives this.
    Pulses(boost::asio::io_context& io, ports::Clock& clock, ports::Dcs& dcs, ports::Peers& peers,
           const core::State& state, std::function<void(core::Event)> feed);

    void start();
    Task<void> stop();  // awaits what is under way

    // Another member's pulse.
    ports::Reply answer(const cluster::Pulse& from);
    void see(const cluster::KeyTree& tree);  // before the core does
    Duration patience() const { return listener_.patience(); }
    // When it should tick next, as it does many times a second: long after it this process, or its
    // host, did not run.
    Instant next_tick() const { return next_tick_; }

private:
    Task<void> run();
    void listen();
    Task<void> send(cluster::MemberRecord to, cluster::Revision term);
    Task<void> probe(cluster::MemberRecord to, cluster::Revision term);
    void report();
    void show_life();
    Task<void> write_sign(cluster::Revision term);
    void gather_backing();
    void complain(const std::string& who, const std::string& what);

    ports::Clock& clock_;
    ports::Dcs& dcs_;
    ports::Peers& peers_;
    const core::State& state_;
    std::function<void(core::Event)> feed_;
    Group tasks_;
    boost::asio::steady_timer timer_;
    bool stopping_ = false;
    Instant next_tick_ = Instant::max();

    core::Suspicion listener_;
    bool told_suspects_ = false, told_alone_ = false;
    cluster::Revision told_term_ = 0;
    Instant heard_at_{};  // or since when it is listened to
    Duration told_patience_{};
    int pulses_out_ = 0, probes_out_ = 0;

    struct Follower {
        cluster::Revision term = 0;
        Instant at;
    };
    std::map<cluster::MemberName, Follower> followers_;
    Instant back_again_at_{}, sign_again_at_{};
    bool sign_out_ = false;
    std::uint64_t signs_ = 0;
    cluster::Revision sign_seen_ = 0;  // mod revision of the pulse key
    std::map<std::string, std::string> complained_;
};

}  // namespace relevo::agent
