// When this member looks through its own data for damage that no checksum shows (docs/adr/0022,
// `corruption.amcheck`): a standby at the times of a cron expression, or when somebody asks; a
// leader only where no other member runs. Members take their turns: each begins a while after the
// one before it in the order of their names. Ends the look when this member comes to lead beside
// others. What is missed is not made up for.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/group.h"
#include "cluster/corruption.h"
#include "cluster/cron.h"
#include "ports/clock.h"
#include "ports/control.h"
#include "ports/postgres.h"

namespace relevo::agent {

// Why this member must not look through its data as things stand; empty: it may. begins: not yet
// at it.
std::string why_no_amcheck(const ports::View& view, bool begins);

// How long after an instant of the schedule, which comes once in a period, this member begins: so
// that its turn comes before the next instant, and half an hour at most after the member before it.
std::chrono::seconds amcheck_turn(const ports::View& view, std::chrono::seconds period);

class Amchecks {
public:
    struct Parts {
        ports::Clock& clock;
        std::function<std::shared_ptr<const ports::View>()> view;       // never null
        std::function<Task<Status>(ports::Postgres::AmcheckPlan)> run;  // Postgres::amcheck
        std::function<void(cluster::CorruptionNews::Relation)> found;
        std::function<void()> changed;        // it has begun, or ended: state() says how
        std::function<cluster::Zone()> zone;  // that the schedule is meant in; reads a file
        // The wall clock may be set meanwhile.
        std::chrono::milliseconds look_again{60'000};
    };
    Amchecks(boost::asio::io_context& io, Parts parts);

    void start();
    void see();       // the view was replaced; cheap
    void reloaded();  // the zone may be another one
    void ask_stop();  // the look that goes on is ended, and none begins
    Task<void> stop();

    // POST and DELETE /amcheck.
    ports::Reply begin();
    ports::Reply end();

    const cluster::AmcheckState& state() const { return state_; }

private:
    Task<void> watch();
    void take_schedule(const std::string& text);
    struct Due {
        WallTime instant;  // of the schedule
        WallTime at;       // this member's turn
    };
    std::optional<Due> due() const;
    void act(WallTime now);
    void begin_look(const char* why);
    void give_up(std::string why);
    Task<void> look();
    void ended(const Status& done);

    boost::asio::io_context& io_;
    Parts parts_;
    Group tasks_;
    boost::asio::steady_timer alarm_;
    bool stopping_ = false;
    std::string schedule_text_;
    std::optional<cluster::Cron> schedule_;
    cluster::Zone zone_;
    WallTime acted_{};                                         // when that was last asked
    WallTime from_{};                                          // instants up to here are done with
    std::shared_ptr<boost::asio::cancellation_signal> going_;  // null: none goes on
    std::string giving_up_;                                    // why that one is ended
    Instant began_{};
    cluster::AmcheckState state_;
};

}  // namespace relevo::agent
