// The host's watchdog device (contract 7.15): what stops a primary whose agent cannot, because it
// is dead, frozen, or faces processes that do not die. docs/adr/0013-watchdog.md.
//
// It is fed only when it would reset the host before anybody else may lead: `timeout` from now lies
// before the end of the lease, or of every member's word (failsafe_mode). Voters that follow this
// primary are as good: without them it acknowledges nothing, whatever runs here.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

using Mode = WatchdogUse::Mode;

// The device counts whole seconds. Shorter than the fence's own margin is no margin: the feeding
// itself takes time after the lease was asked for.
Duration wanted_timeout(const State& s) {
    const std::chrono::seconds ttl = s.settings.ttl;
    const auto margin = s.self.watchdog.safety_margin;
    if (margin < std::chrono::seconds::zero()) return std::chrono::seconds(ttl.count() / 2);
    return ttl -
           std::max(margin, std::chrono::ceil<std::chrono::seconds>(fence_margin(s.settings)));
}

// The device's clock is another one than the DCS's.
Duration drift_of(Duration timeout) { return timeout / 100; }

// Why no timeout of that length can do; empty: it can.
std::string wrong_timeout(const State& s, Duration timeout) {
    if (timeout + drift_of(timeout) >= s.settings.ttl)
        return fmt::format(
            "its timeout would be {} s (ttl {} s, watchdog.safety_margin {} s), and by a clock "
            "that is 1 % slow it would fire after the lease's end: raise safety_margin, or set it "
            "to -1 for half of ttl",
            to_s(timeout), s.settings.ttl.count(), s.self.watchdog.safety_margin.count());
    if (timeout > Duration::zero() && timeout >= s.settings.loop_wait) return {};
    return fmt::format(
        "its timeout would be {} s (ttl {} s, watchdog.safety_margin {} s), less than loop_wait "
        "({} s): raise ttl, or set safety_margin to -1 for half of it",
        to_s(timeout), s.settings.ttl.count(), s.self.watchdog.safety_margin.count(),
        s.settings.loop_wait.count());
}

// Until when nobody else may lead.
Instant surely_until(const State& s) {
    const Instant failsafe = failsafe_until(s);
    const Instant agreed = failsafe == Instant{} ? failsafe : failsafe + fence_margin(s.settings);
    return std::max(s.lead_until(), agreed);
}

Duration feed_every(Duration timeout) {
    // Often enough that little of the lease is lost when the last one in time is followed by none.
    return std::min<Duration>(std::chrono::seconds(1), timeout / 4);
}

void trouble(Mind& m, std::string what, Duration again_after) {
    auto& w = m.s.watchdog;
    w.problem = std::move(what);
    w.again_at = m.now.mono + again_after;
    m.wake_by(w.again_at);
    const bool required = m.s.self.watchdog.mode == Mode::required;
    m.say("watchdog", required ? Note::Level::error : Note::Level::warning,
          fmt::format("watchdog: {}; {}", w.problem,
                      required ? "watchdog.mode is required, so this member does not lead"
                               : "going on without one (watchdog.mode: automatic)"));
}

// Too little of it is left for the device's timeout. A new one takes one answer; a DCS that never
// answers in time is not asked with every step.
constexpr Duration ask_again_after = std::chrono::milliseconds(100);
void ask_for_the_lease(Mind& m) {
    State& s = m.s;
    if (m.running<KeepLease>() || !s.lease || s.lease_retry_at > s.lease->asked_at) return;
    const Instant due = s.lease->asked_at + ask_again_after;
    if (m.now.mono < due) return m.wake_by(due);
    s.lease_retry_at = m.now.mono;
    m.wake_by(m.now.mono + std::chrono::milliseconds(1));
}

void feed(Mind& m) {
    State& s = m.s;
    auto& w = s.watchdog;
    if (m.running<FeedWatchdog>() || m.running<ArmWatchdog>() || m.paused()) return;
    // Longer than asked for, where that is tolerated: it cannot promise, and is fed all the same.
    const bool too_long = *w.armed > w.asked;
    const Instant before = too_long ? m.fence_at() : watchdog_feed_before(s, *w.armed);
    if (m.now.mono > before) {
        // Its answer came too late to be fed by: the next in turn may come after the device fires.
        // By a term that is given up nothing is fed, however new the lease.
        if (m.leading() && !m.given_up() && s.lease && w.fed_at < s.lease->asked_at)
            ask_for_the_lease(m);
        return;
    }
    const Duration every = feed_every(*w.armed);
    Instant due = w.fed_at + every;
    if (due > before) due = before - every / 16;  // the last one of this right
    if (due <= w.fed_at) return;
    if (m.now.mono < due) return m.wake_by(due);
    m.emit(FeedWatchdog{before});
}

void rest(Mind& m) {
    State& s = m.s;
    auto& w = s.watchdog;
    if (m.running<DisarmWatchdog>() || m.running<ArmWatchdog>()) return;
    if (m.now.mono < w.disarm_again_at) return m.wake_by(w.disarm_again_at);
    const bool off = s.self.watchdog.mode == Mode::off;
    const bool without = s.self.watchdog.mode == Mode::automatic && !w.problem.empty();
    const bool paused = m.paused() && !off && s.dcs;
    if ((w.armed && (off || without)) || ((w.armed || w.inherited) && paused)) {
        m.emit(DisarmWatchdog{});
        return;
    }
    if (m.leading() || off || (!w.armed && !w.inherited)) return;
    if (s.writers == State::Writers::none) {
        // But for one that is being promoted or started, and may write already.
        if (!s.pg || !serves_as_primary(m)) m.emit(DisarmWatchdog{});
    } else if (w.armed && s.pg && s.pg->server == cluster::Server::stopped && !m.pg_busy()) {
        // The postmaster ended by itself: its backends may not have.
        s.stop_wanted = true;
        m.emit(KillPg{});
    }
}

}  // namespace

bool is_watchdog(const Effect& effect) {
    return holds<ArmWatchdog>(effect) || holds<FeedWatchdog>(effect) ||
           holds<DisarmWatchdog>(effect) || holds<CheckWatchdog>(effect);
}

// When it must have been fed at the latest.
Instant watchdog_feed_before(const State& s, Duration timeout) {
    return std::max(surely_until(s) - timeout - drift_of(timeout), backed_until(s));
}

Instant watchdog_fires_at(const State& s) {
    return s.watchdog.armed ? s.watchdog.fed_at + *s.watchdog.armed : Instant::max();
}

bool watchdog_failed(const State& s) {
    return s.self.watchdog.mode == Mode::required && !s.watchdog.problem.empty();
}

bool watchdog_stands(Mind& m) {
    State& s = m.s;
    auto& w = s.watchdog;
    if (s.self.watchdog.mode == Mode::off || m.paused()) return true;
    const Duration wanted = wanted_timeout(s);
    if (w.armed && w.asked == wanted && w.problem.empty()) return true;
    if (m.running<ArmWatchdog>() || m.running<DisarmWatchdog>()) return false;
    const bool tried = !w.problem.empty() && m.now.mono < w.again_at;
    if (tried) return s.self.watchdog.mode == Mode::automatic;
    if (auto why = wrong_timeout(s, wanted); !why.empty()) {
        trouble(m, std::move(why), s.settings.loop_wait);
        return s.self.watchdog.mode == Mode::automatic;
    }
    const Instant before = watchdog_feed_before(s, wanted);
    if (m.now.mono > before) {
        ask_for_the_lease(m);
        return false;
    }
    m.emit(ArmWatchdog{wanted, before});
    return false;
}

bool watchdog_gives_up(Mind& m) {
    State& s = m.s;
    if (!m.leading() || m.given_up() || m.paused() || !watchdog_failed(s)) return false;
    if (holds<Bootstrapping>(s.procedure)) return false;
    s.no_race_until = m.now.mono + Duration(s.settings.ttl);
    if (m.running<KillPg>() || m.running<MakeStandby>()) return true;
    if (serves_as_primary(m)) {
        m.say("fence", Note::Level::error,
              "stopping PostgreSQL at once: watchdog.mode is required, but " + s.watchdog.problem);
        s.procedure = std::monostate{};
        s.stop_wanted = true;
        s.hold_start_until = m.now.mono + s.settings.loop_wait;
        m.emit(KillPg{});
        return true;
    }
    if (m.pg_busy()) return true;
    s.procedure = std::monostate{};
    if (comes_up_as_primary(m)) {
        m.emit(MakeStandby{});
    } else if (!m.committing(CommitFor::release)) {
        m.commit(CommitFor::release, cluster::keys::release_leader(s.lead->term, std::nullopt));
    }
    return true;
}

void watchdog(Mind& m) {
    if (m.s.watchdog.armed) feed(m);
    rest(m);
}

namespace {

Duration again_after(const State& s) {
    return s.self.watchdog.mode == Mode::required ? Duration(s.settings.ttl)
                                                  : Duration(s.settings.loop_wait);
}

void armed(Mind& m, const ArmWatchdog& arm, const EffectDone& done) {
    State& s = m.s;
    auto& w = s.watchdog;
    const auto* fed = std::get_if<WatchdogFed>(&done.payload);
    const Duration again = again_after(s);
    w.inherited = false;
    if (!fed) {
        w.armed.reset();
        return trouble(m, done.error ? done.error->message : "no answer", again);
    }
    const bool first = !w.armed;
    w.armed = fed->timeout;
    w.asked = arm.timeout;
    w.fed_at = fed->at;
    w.problem.clear();
    if (fed->timeout < s.settings.loop_wait)
        return trouble(
            m,
            fmt::format("the device counts {} s at most, less than loop_wait", to_s(fed->timeout)),
            again);
    if (fed->timeout > arm.timeout && s.self.watchdog.mode == Mode::required)
        return trouble(m,
                       fmt::format("the device counts {} s at least, and may not count more "
                                   "than {} s (ttl less safety_margin)",
                                   to_s(fed->timeout), to_s(arm.timeout)),
                       again);
    m.forget("watchdog");
    if (fed->timeout > arm.timeout)
        m.say("watchdog", Note::Level::warning,
              fmt::format("watchdog: the device counts {} s, not {} s: it may reset this host "
                          "only after another leads",
                          to_s(fed->timeout), to_s(arm.timeout)));
    else if (first)
        m.tell(Note{Note::Level::info,
                    fmt::format("watchdog: armed, it resets this host {} s after it was last "
                                "fed",
                                to_s(fed->timeout))});
}

}  // namespace

void watchdog_done(Mind& m, const Effect& effect, const EffectDone& done) {
    State& s = m.s;
    auto& w = s.watchdog;
    const auto* fed = std::get_if<WatchdogFed>(&done.payload);
    const bool late = done.error && done.error->code == ErrorCode::cancelled;
    const Duration again = again_after(s);
    if (const auto* arm = std::get_if<ArmWatchdog>(&effect)) {
        if (!late) armed(m, *arm, done);
    } else if (holds<FeedWatchdog>(effect)) {
        if (late || !w.armed) return;
        if (fed) {
            w.fed_at = fed->at;
            return;
        }
        w.armed.reset();
        trouble(m, done.error ? done.error->message : "no answer", again);
    } else if (holds<DisarmWatchdog>(effect)) {
        w.inherited = false;
        if (!done.error) {
            if (w.armed) m.tell(Note{Note::Level::info, "watchdog: disarmed"});
            w.armed.reset();
            return;
        }
        // Nothing more can be done about it: it is said, and tried again.
        w.disarm_again_at = m.now.mono + s.settings.loop_wait;
        m.wake_by(w.disarm_again_at);
        m.say("watchdog", Note::Level::error,
              "watchdog: it cannot be disarmed, this host will be reset: " + done.error->message);
    } else if (holds<CheckWatchdog>(effect)) {
        if (w.armed) return;
        if (done.error) return trouble(m, done.error->message, s.settings.loop_wait);
        if (auto why = wrong_timeout(s, wanted_timeout(s)); !why.empty())
            return trouble(m, std::move(why), s.settings.loop_wait);
        if (m.now.mono >= w.again_at) {
            w.problem.clear();
            m.forget("watchdog");
        }
    }
}

}  // namespace relevo::core
