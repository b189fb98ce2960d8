#include "agent/pulses.h"

#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/log.h"
#include "cluster/keys.h"

namespace relevo::agent {

using core::Suspicion;
using std::chrono::milliseconds;

namespace {

constexpr auto quietly = boost::asio::as_tuple(boost::asio::use_awaitable);
// Over as many connections: where packets are lost one is not held up by what another lost.
constexpr int pulses_max = 4, probes_max = 3;
// A host that is gone answers nothing more; TCP alone would wait for minutes.
constexpr Duration pulse_deadline = milliseconds(2000), probe_deadline = milliseconds(1000);
// A voter's word counts for this long, and what it stands for a little longer.
constexpr Duration word_counts = 4 * Suspicion::period;
constexpr Duration back_every = milliseconds(500), backed_for = milliseconds(1500);

}  // namespace

Pulses::Pulses(boost::asio::io_context& io, ports::Clock& clock, ports::Dcs& dcs,
               ports::Peers& peers, const core::State& state, std::function<void(core::Event)> feed)
    : clock_(clock),
      dcs_(dcs),
      peers_(peers),
      state_(state),
      feed_(std::move(feed)),
      tasks_(io),
      timer_(io) {}

void Pulses::start() { tasks_.spawn(run()); }

Task<void> Pulses::stop() {
    stopping_ = true;
    timer_.cancel();
    co_await tasks_.wait();
}

Task<void> Pulses::run() {
    constexpr Duration idle = milliseconds(500);
    while (!stopping_) {
        // The core hears of it before anything that is listened for.
        if (clock_.now() > next_tick_ && clock_.now() - next_tick_ > core::overslept)
            feed_(core::TimerFired{});
        const bool asynchronous = state_.settings.synchronous_mode == cluster::SyncMode::off;
        if (asynchronous && listener_.term() == 0) {
            timer_.expires_after(idle);
        } else {
            listen();
            show_life();
            gather_backing();
            timer_.expires_after(Suspicion::tick_every);
        }
        next_tick_ = clock_.now() + (timer_.expiry() - std::chrono::steady_clock::now());
        co_await timer_.async_wait(quietly);
    }
    next_tick_ = Instant::max();
}

void Pulses::listen() {
    const Instant now = clock_.now();
    const auto* leader = core::listens_to(state_);
    listener_.set_patience(state_.settings.suspect_after, state_.settings.ttl);
    const auto term = leader ? state_.dcs->leader->create_revision : 0;
    if (term != listener_.term()) heard_at_ = now;
    listener_.listen(term, now);
    const auto due = listener_.tick(now);
    if (leader && due.pulse && pulses_out_ < pulses_max)
        tasks_.spawn(send(*leader, listener_.term()));
    if (leader && due.probe && probes_out_ < probes_max)
        tasks_.spawn(probe(*leader, listener_.term()));
    report();
}

void Pulses::report() {
    const Duration patience = listener_.patience();
    if (patience != told_patience_) {
        if (patience > state_.settings.suspect_after)
            log::info(
                "the leader is suspected after {} ms of silence, not {}: it was silent for "
                "half as long within the last minute, and lived",
                to_ms(patience), state_.settings.suspect_after.count());
        told_patience_ = patience;
    }
    const bool suspects = listener_.suspects(), alone = listener_.alone();
    if (suspects == told_suspects_ && alone == told_alone_) return;
    if (suspects != told_suspects_ && (suspects || listener_.term() == told_term_))
        log::info("the leader of term {} is {}", listener_.term(),
                  suspects ? "silent, its agent and its PostgreSQL" : "suspected no longer");
    told_term_ = listener_.term();
    told_suspects_ = suspects;
    told_alone_ = alone;
    feed_(core::LeaderSuspected{listener_.term(), suspects, alone, listener_.silence()});
}

Task<void> Pulses::send(cluster::MemberRecord to, cluster::Revision term) {
    ++pulses_out_;
    const std::string system_id = state_.pg ? state_.pg->system_id : std::string();
    const auto answer = co_await peers_.pulse(
        to, {state_.self.name, system_id, core::follows_term(state_)}, pulse_deadline);
    --pulses_out_;
    if (!answer) {
        // A dead leader is suspected long before this: here it is only its pulses that do not come.
        constexpr Duration worth_telling = std::chrono::seconds(10);
        const bool lasts = listener_.term() == term && !listener_.suspects() &&
                           clock_.now() - heard_at_ > worth_telling;
        if (answer.error().code == ErrorCode::denied || lasts)
            complain(
                to.name,
                answer.error().message +
                    ": its pulses do not reach this member, so a restart of PostgreSQL there may "
                    "be taken for its death, and this vote does not keep it serving without the "
                    "DCS. Check restapi.connect_address, TLS and authentication on both");
        co_return;
    }
    const bool foreign =
        !system_id.empty() && !answer->system_id.empty() && answer->system_id != system_id;
    if (answer->name != to.name || foreign) {
        complain(to.name,
                 fmt::format("who answers at {} is {}{}: its pulse is not taken", to.api_url,
                             answer->name, foreign ? " of another cluster" : ""));
        co_return;
    }
    complained_.erase(to.name);
    if (listener_.term() != term) co_return;
    heard_at_ = clock_.now();
    listener_.heard(clock_.now());
    report();
}

Task<void> Pulses::probe(cluster::MemberRecord to, cluster::Revision term) {
    ++probes_out_;
    const bool answers = co_await peers_.postgres_answers(to, probe_deadline);
    --probes_out_;
    if (!answers || listener_.term() != term) co_return;
    listener_.connected(clock_.now());
    report();
}

void Pulses::see(const cluster::KeyTree& tree) {
    const auto at = tree.keys.find(cluster::keys::pulse);
    if (at == tree.keys.end()) return;
    const auto seen = std::exchange(sign_seen_, at->second.mod_revision);
    // The first sight of it may be of long ago.
    if (seen == 0 || seen == sign_seen_ || listener_.term() == 0) return;
    if (at->second.value.starts_with(fmt::format(R"({{"term":{},)", listener_.term())))
        listener_.seen_in_dcs(clock_.now());
    report();  // before the core sees the view: it may be about to depose
}

// Where one voter alone may judge over this leader.
void Pulses::show_life() {
    const Instant now = clock_.now();
    if (sign_out_ || now < sign_again_at_ || !state_.lead || !core::one_vote_is_enough(state_))
        return;
    sign_again_at_ = now + state_.settings.suspect_after / 2;
    tasks_.spawn(write_sign(state_.lead->term));
}

Task<void> Pulses::write_sign(cluster::Revision term) {
    sign_out_ = true;
    // Lost or refused: the next one follows soon, and the lease tells the rest.
    const auto written = co_await dcs_.commit(cluster::keys::put_pulse(term, ++signs_),
                                              state_.settings.suspect_after);
    if (!written) log::debug("pulse key: {}", written.error().message);
    sign_out_ = false;
}

ports::Reply Pulses::answer(const cluster::Pulse& from) {
    const std::string system_id = state_.pg ? state_.pg->system_id : std::string();
    if (!system_id.empty() && !from.system_id.empty() && from.system_id != system_id) {
        complain(from.from, fmt::format("{} asks for our pulse with data of another cluster ({}): "
                                        "refused",
                                        from.from, from.system_id));
        return {409, "this member's data is of another cluster: " + system_id};
    }
    const bool known =
        state_.dcs && (state_.dcs->member(from.from) || state_.known.contains(from.from));
    if (known && from.follows != 0) followers_[from.from] = {from.follows, clock_.now()};
    nlohmann::json out{{"name", state_.self.name}};
    out["term"] = state_.lead ? state_.lead->term : 0;
    if (!system_id.empty()) out["system_id"] = system_id;
    return {200, out.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)};
}

void Pulses::gather_backing() {
    const Instant now = clock_.now();
    if (now < back_again_at_ || !core::wants_backing(state_, now)) return;
    back_again_at_ = now + back_every;
    const auto term = state_.last_led->leader->create_revision;
    std::set<cluster::MemberName> followers;
    for (const auto& [name, follower] : followers_)
        if (follower.term == term && now - follower.at <= word_counts) followers.insert(name);
    if (core::backed_by(state_, followers)) feed_(core::LeaderBacked{term, now + backed_for});
}

// Once for each thing that is wrong.
void Pulses::complain(const std::string& who, const std::string& what) {
    constexpr std::size_t names_max = 64;
    if (complained_.size() >= names_max) complained_.clear();
    auto& last = complained_[who];
    if (last == what) return;
    last = what;
    log::warning("{}", what);
}

}  // namespace relevo::agent
