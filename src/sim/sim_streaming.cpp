// Streaming replication: a standby's walreceiver, as PostgreSQL's own behaves when links are cut,
// hosts die and timelines change.
#include <algorithm>
#include <utility>

#include "sim/sim_postgres.h"

namespace relevo::sim {

using cluster::Server;
using std::chrono::milliseconds;

bool SimPostgres::source_answers(int from) const {
    if (from < 0 || from == me_) return false;
    const SimPostgres& up = all_.at(from);
    return world().linked_both(me_, from) && world().host(from).awake() &&
           up.server_ == Server::running && !up.hung_;
}

void SimPostgres::follow(std::optional<cluster::Upstream> upstream, Finish done) {
    const int action = begin(std::move(done));
    later(takes(milliseconds(3), milliseconds(30)) + world().disk(me_), action,
          [this, action, upstream = std::move(upstream)] {
              if (server_ == Server::stopped || hung_ || !recovering_)
                  return end(action, fail(ErrorCode::failed, "no standby is running"));
              if (full()) return end(action, fail(ErrorCode::failed, "no space left"));
              if (data_.upstream != upstream) {
                  const Kept before = data_.kept();
                  data_.upstream = upstream;
                  if (world().plan.bug == Bug::seal_not_durable && !upstream)
                      never_durable(before);
                  else
                      being_written(before, {});
                  change_receiver();
              }
              end(action, {});
          });
}

// The startup process reads the change and ends the receiver: some 30 ms later, measured.
void SimPostgres::change_receiver() {
    const auto change = [this] {
        receiver_stopped(true);
        if (data_.upstream) receiver_soon(milliseconds(5));
    };
    if (!receiver_.streaming) return change();
    const int session = receiver_.session;
    world().on_host(me_, world().dice.between(milliseconds(1), milliseconds(40)),
                    [this, session, change, epoch = epoch_] {
                        if (epoch == epoch_ && session == receiver_.session) change();
                    });
}

// The walsender of a receiver that is gone ends at once when it is told, or when it has heard
// nothing for long.
void SimPostgres::receiver_stopped(bool told) {
    const int from = receiver_.from;
    const int session = receiver_.session;
    receiver_ = Receiver{-1, false, false, session + 1};
    if (from < 0) return;
    if (told && world().linked(me_, from)) return all_.at(from).disconnected(me_, session);
    world().on_host(from, world().plan.receiver_timeout,
                    [this, from, session] { all_.at(from).disconnected(me_, session); });
}

void SimPostgres::receiver_soon(Duration delay) {
    const int session = ++receiver_.session;
    world().on_host(me_, delay, [this, session] { receiver_try(session); });
}

void SimPostgres::receiver_try(int session) {
    if (session != receiver_.session || receiver_.streaming || !recovering_ || !data_.upstream)
        return;
    if (server_ != Server::running && server_ != Server::starting) return;
    replay_tail();
    const int from = world().index_of(data_.upstream->member);
    const auto again = [this] { receiver_soon(world().plan.receiver_retry); };
    if (hung_ || !source_answers(from)) return again();
    if (data_.end != data_.flushed) {  // the last one ends
        if (!flushing_) all_.on_impossible(world().name(me_) + " has WAL that nobody flushes");
        return receiver_soon(milliseconds(10));
    }
    SimPostgres& up = all_.at(from);
    if (up.data_.system_id != data_.system_id) return again();
    // Its slot is active for the walsender of an earlier connection.
    if (world().plan.slots_hold && up.walsender(me_).session >= 0) return again();
    if (!begins_to_stream(up, session)) return again();
    receiver_.from = from;
    receiver_.streaming = true;
    receiver_.in_flight = false;
    up.connected(me_, session, std::min(data_.end.lsn, up.data_.flushed.lsn));
    report_flush();
    receiver_sync();
}

// What PostgreSQL checks, and what it does not.
bool SimPostgres::begins_to_stream(SimPostgres& up, int session) {
    const auto& wal = all_.wal;
    if (wal.covers(up.data_.flushed, data_.end) || is_ahead_of(up)) return true;
    const WalEnd shared = wal.common(up.data_.flushed, data_.end);
    if (shared.branch >= 0 && shared.branch == data_.end.branch) {
        report_beyond(up, session, shared);
        return false;
    }
    // It compares numbers: two promotions apart from each other that chose the same timeline number
    // look like one history to it.
    const bool same_number = wal.timeline(up.data_.flushed) == wal.timeline(data_.end) &&
                             up.data_.flushed.lsn >= data_.end.lsn;
    if (!same_number) return false;
    data_.end = up.data_.flushed;
    flush_now();
    return true;
}

// On the upstream's own timeline nothing ends: it streams, and waits for more.
bool SimPostgres::is_ahead_of(const SimPostgres& up) const {
    return up.data_.flushed.branch == data_.end.branch && up.data_.flushed.lsn < data_.end.lsn;
}

// It has more of a timeline than there is upstream, which has left it. Streaming begins at the
// segment's start all the same, and before the upstream says that the timeline ends there, this one
// has reported that all it replayed is on its disk. (Read in walreceiver.c and walsender.c, and
// tried with 15: docs/adr/0006.) It is begun again with every new try.
void SimPostgres::report_beyond(SimPostgres& up, int session, WalEnd shared) {
    constexpr std::uint64_t segment = 0x1000000;
    if (data_.end.lsn.value / segment * segment >= shared.lsn.value) return;  // refused
    up.connected(me_, session, shared.lsn);
    world().to_host(up.me_, world().latency(), [this, &up, session, end = data_.flushed.lsn] {
        if (world().linked(me_, up.me_)) up.flush_reported(me_, session, end);
    });
    world().to_host(up.me_, 2 * world().plan.latency_max,
                    [this, &up, session] { up.disconnected(me_, session); });
}

// Sends what the upstream has and we lack; one message under way at a time, the next follows its
// arrival.
void SimPostgres::receiver_sync() {
    if (!receiver_.streaming || receiver_.in_flight || hung_) return;
    SimPostgres& up = all_.at(receiver_.from);
    if (!source_answers(receiver_.from)) return;
    auto& walsender = up.walsender(me_);
    if (walsender.session != receiver_.session) return receiver_reset();
    if (up.data_.flushed == data_.end) return;
    if (walsender.reads_later) return;  // it reads the names before it sends any more
    if (flushing_) {                    // what is sent meanwhile waits in the socket
        walsender.sent = up.data_.flushed.lsn;
        return;
    }
    if (is_ahead_of(up)) return;
    if (!all_.wal.covers(up.data_.flushed, data_.end))
        return receiver_lost(world().plan.receiver_retry);
    receiver_.in_flight = true;
    walsender.sent = up.data_.flushed.lsn;
    world().to_host(me_, world().latency(),
                    [this, session = receiver_.session, upto = up.data_.flushed] {
                        receiver_arrived(session, upto);
                    });
}

void SimPostgres::receiver_arrived(int session, WalEnd upto) {
    if (session != receiver_.session || !receiver_.streaming) return;
    receiver_.in_flight = false;
    if (!world().linked(receiver_.from, me_) || hung_) return;  // sent again when the link is back
    if (!all_.wal.covers(upto, data_.end)) return receiver_lost(world().plan.receiver_retry);
    if (full()) return crash();
    data_.end = upto;
    flush_soon();
}

// The server that it had connected to is gone, though nobody could tell it then: its next report is
// refused.
void SimPostgres::receiver_reset() {
    world().on_host(me_, world().dice.between(milliseconds(1), status_interval),
                    [this, session = receiver_.session] {
                        if (session == receiver_.session && receiver_.streaming)
                            receiver_lost(world().dice.between({}, world().plan.receiver_retry));
                    });
}

void SimPostgres::receiver_lost(Duration retry) {
    receiver_stopped(true);
    receiver_soon(retry);
}

// A process that ended closes its connections at once; a cut, frozen or powerless one is only
// noticed when wal_receiver_timeout has passed.
void SimPostgres::network_changed() {
    if (!receiver_.streaming) return;
    const int from = receiver_.from;
    if (source_answers(from)) {
        report_flush();
        return receiver_sync();
    }
    const SimPostgres& up = all_.at(from);
    const bool told = world().linked_both(me_, from) && world().host(from).awake() &&
                      up.server_ == Server::stopped;
    const int session = receiver_.session;
    const auto wait = told ? world().dice.between(milliseconds(1), milliseconds(5))
                           : world().plan.receiver_timeout;
    world().on_host(me_, wait, [this, session, told] {
        if (session != receiver_.session || !receiver_.streaming) return;
        if (!told && source_answers(receiver_.from)) return receiver_sync();
        receiver_lost(told ? world().dice.between({}, world().plan.receiver_retry)
                           : milliseconds(100));
    });
}

}  // namespace relevo::sim
