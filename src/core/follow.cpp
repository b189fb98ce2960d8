// Not the leader: get data, start, and stream from whom we should. A member that diverged is
// rewound or cloned; data is only thrown away when the configuration says so and a leader has its
// own.
#include <fmt/core.h>

#include "core/mind.h"

namespace relevo::core {
namespace {

constexpr Duration retry_soon = std::chrono::seconds(1);

cluster::Upstream address_of(const Mind& m, const cluster::MemberRecord& member) {
    auto& last = m.s.address;
    const bool with_slot = m.s.settings.use_slots;
    if (last.upstream.member == member.name && last.conn_url == member.conn_url &&
        last.with_slot == with_slot)
        return last.upstream;
    cluster::Upstream up;
    up.member = member.name;
    up.host = member.host();
    up.port = member.port();
    if (with_slot) up.slot_name = cluster::slot_name(m.s.self.name);
    last = {member.conn_url, with_slot, up};
    return up;
}

void start_standby(Mind& m, std::optional<cluster::Upstream> upstream) {
    State& s = m.s;
    cluster::StartPlan plan;
    plan.upstream = upstream;
    plan.timeout = standby_start_timeout;
    note_followed(m, upstream);
    s.standby_started = m.now.mono;
    m.tell(Note{Note::Level::info,
                upstream ? "starting as a standby of " + upstream->member
                         : std::string("starting as a standby without an upstream"),
                "rejoin"});
    m.emit(StartPg{plan, Instant::max()});
}

bool unclean(const cluster::LocalPostgres& pg) {
    if (!pg.control) return false;
    switch (pg.control->state) {
        case cluster::ControlState::in_production:
        case cluster::ControlState::shutting_down:
        case cluster::ControlState::in_crash_recovery: return true;
        case cluster::ControlState::unknown:
        case cluster::ControlState::starting_up:
        case cluster::ControlState::shut_down:
        case cluster::ControlState::shut_down_in_recovery:
        case cluster::ControlState::in_archive_recovery: return false;
    }
    return false;
}

// Its data came from another server, or followed one: it cannot have a history of its own.
bool was_standby(const cluster::LocalPostgres& pg) {
    return pg.backup_label || pg.stopped_in_recovery();
}

void compare(Mind& m, const cluster::MemberRecord& leader) {
    m.s.compared_at_end = at_its_end(m.s);
    m.emit(ComparePg{address_of(m, leader)});
}

// The data has gone its own way: rewind, clone anew, or say that a person must decide. True when an
// effect was issued.
bool repair(Mind& m, const cluster::Divergence& divergence, const cluster::MemberRecord& leader) {
    State& s = m.s;
    if (m.paused()) {
        m.say("diverged", Note::Level::warning,
              fmt::format("maintenance mode: this member's data has diverged from {} ({}) and is "
                          "left as it is until `relevoctl resume`",
                          leader.name, divergence.why));
        return false;
    }
    const bool stopped = s.pg->server == cluster::Server::stopped;
    const bool reclone = (s.rewind_failed && s.settings.remove_data_directory_on_rewind_failure) ||
                         s.settings.remove_data_directory_on_diverged_timelines;
    const bool rewind =
        divergence.can_rewind && s.settings.use_pg_rewind && !s.rewind_failed && !reclone;
    if (!rewind && !reclone) {
        m.say("diverged", Note::Level::error,
              fmt::format("this member's data has diverged from {} ({}) and is kept as it is: {}. "
                          "To replace it run "
                          "`relevoctl reinit <cluster> {}`",
                          leader.name, divergence.why,
                          divergence.twin   ? "pg_rewind cannot tell the two apart"
                          : s.rewind_failed ? "pg_rewind failed"
                          : !s.settings.use_pg_rewind
                              ? "use_pg_rewind is off"
                              : "pg_rewind needs data checksums or wal_log_hints",
                          s.self.name));
        // One that only cannot be rewound may serve reads: PostgreSQL does not stream to it.
        if (!divergence.twin || stopped) return false;
    }
    if (!stopped) {
        m.tell(Note{Note::Level::warning, "stopping to repair diverged data: " + divergence.why,
                    "rejoin"});
        s.stop_wanted = true;
        m.emit(StopPg{cluster::StopMode::fast, false, std::chrono::seconds(5), false});
        return true;
    }
    if (rewind) {
        m.tell(Note{
            Note::Level::warning,
            fmt::format("rewinding to {}: {}{}", leader.name, divergence.why, if_damaged(leader)),
            "rejoin"});
        m.emit(RewindPg{address_of(m, leader)});
        return true;
    }
    m.tell(Note{
        Note::Level::warning,
        fmt::format("cloning anew from {}: {}{}", leader.name, divergence.why, if_damaged(leader)),
        "rejoin"});
    m.emit(ClonePg{address_of(m, leader), true, false});
    return true;
}

}  // namespace

// Copied pages may be newer than the WAL that was replayed over them: after a rewind, or a crash of
// a standby, pg_control names the point that must be reached first. PostgreSQL looks at its
// position alone: reached on a timeline that left this one earlier, it would open data of two
// histories. So such a server is given no upstream before the leader's history was compared.
bool may_be_half_way(const cluster::LocalPostgres& pg) {
    return pg.control && pg.control->min_recovery_end.value != 0;
}

// Nor may it keep one that another has taken the lead from: that one is rewound in its turn, and
// streams the new history from the old address. What it would have opened with is compared anew.
void end_half_way_start(Mind& m) {
    State& s = m.s;
    const auto* start = m.running<StartPg>();
    const auto* view = m.view();
    if (!start || !start->plan.upstream || !s.last_start.half_way || m.running<KillPg>()) return;
    if (m.paused() || !view || !view->leader || term_of(s) == s.last_start.term) return;
    m.tell(Note{Note::Level::info,
                fmt::format("not starting as a standby of {}: {} leads now, and its history has to "
                            "be compared with first",
                            start->plan.upstream->member, view->leader->name),
                "rejoin"});
    s.last_start.ended = true;
    s.stop_wanted = true;
    m.emit(KillPg{});
}

const cluster::Divergence* verdict(const Mind& m) {
    const State& s = m.s;
    if (!s.judged || !s.dcs || !s.dcs->leader || s.judged->term != s.dcs->leader->create_revision)
        return nullptr;
    return &s.judged->divergence;
}

bool fits(const Mind& m) {
    const auto* d = verdict(m);
    return d && d->verdict == cluster::Divergence::Verdict::streams;
}

bool known_twin(const State& s) { return s.judged && s.judged->divergence.twin; }

std::string if_damaged(const cluster::MemberRecord& source) {
    if (!source.corrupted) return {};
    return fmt::format(
        ". The data of {} is known to be damaged, and what is copied from it may be: "
        "pg_basebackup refuses such pages, pg_rewind does not look",
        source.name);
}

bool upstream_is_safe(const Mind& m) { return !may_be_half_way(*m.s.pg) || fits(m); }

const cluster::MemberRecord* primary_member(const Mind& m) {
    const State& s = m.s;
    if (!s.dcs || !s.dcs->leader) return nullptr;
    const auto* leader = s.dcs->leader_member();
    if (!leader || leader->name == s.self.name || leader->conn_url.empty()) return nullptr;
    return leader;
}

std::optional<cluster::Upstream> upstream_for(const Mind& m) {
    const State& s = m.s;
    if (!s.dcs || s.self.tags.nostream()) return std::nullopt;
    const auto* leader = primary_member(m);
    // With nobody to lead, nobody's WAL may grow (seal.cpp).
    if (!s.dcs->leader && sync_rules(s)) return std::nullopt;
    const std::string wanted = s.self.tags.replicatefrom();
    if (!wanted.empty() && wanted != s.self.name)
        if (const auto* other = s.dcs->member(wanted);
            other && !other->conn_url.empty() && other->running() &&
            // One that led, and does not know yet that another does, takes acknowledgements.
            (other->role != cluster::Role::primary || s.dcs->led_by(wanted) ||
             !s.rules.leads_alone) &&
            is_of_restored(s, *other))
            return address_of(m, *other);
    if (!leader) return std::nullopt;
    return address_of(m, *leader);
}

bool fill_data_directory(Mind& m) {
    State& s = m.s;
    const auto& pg = *s.pg;
    if (pg.data_dir == cluster::DataDir::initialized) return false;
    const auto* view = m.view();
    if (pg.data_dir == cluster::DataDir::unusable) {
        m.say("data", Note::Level::error,
              "the data directory is there but cannot be used, and is left alone: " + pg.problem);
        return true;
    }
    if (m.paused() || !view) return true;
    const auto* leader = primary_member(m);
    if (!leader || !(leader->role == cluster::Role::primary)) {
        m.say("data", Note::Level::info, "waiting for a leader to clone from");
        return true;
    }
    if (m.now.mono < s.retry_clone_at) {
        m.wake_by(s.retry_clone_at);
        return true;
    }
    // A replica that offers itself spares the leader; not with data that is worse than the
    // leader's.
    const cluster::MemberRecord* source = leader;
    for (const auto& [name, member] : view->members)
        if (member.tags.clonefrom() && member.running() && name != s.self.name &&
            name != leader->name && is_of_restored(s, member) &&
            (member.corrupted ? source == leader && leader->corrupted
                              : source == leader || source->corrupted))
            source = &member;
    auto from = address_of(m, *source);
    const auto damaged = if_damaged(*source);
    m.tell(Note{damaged.empty() ? Note::Level::info : Note::Level::warning,
                "cloning from " + source->name + damaged, "rejoin"});
    m.forget("data");
    m.emit(ClonePg{from, pg.data_dir == cluster::DataDir::half_made, false});
    return true;
}

namespace {

// Nobody leads, as far as is known.
void start_without_leader(Mind& m) {
    State& s = m.s;
    if (!m.view()) {
        // Without a view nothing may lead. Reads can be served once we have been led or fenced
        // before; at the very first start wait for the DCS.
        if (s.dcs && m.now.mono >= s.right_until)
            start_standby(m, std::nullopt);
        else
            m.wake_by(s.right_until);
        return;
    }
    // Just demoted: the next leader will be there in a moment, and decides what our data needs.
    if (m.now.mono < s.hold_start_until) return m.wake_by(s.hold_start_until);
    if (known_twin(s)) return;  // the others would wait for it: it seems to have more
    start_standby(m, std::nullopt);
}

// Its data followed another server's: it starts, once nothing is known against its upstream.
void start_again(Mind& m, const cluster::MemberRecord& leader) {
    const State& s = m.s;
    const auto* d = verdict(m);
    if (d && d->verdict == cluster::Divergence::Verdict::must_rewind && repair(m, *d, leader))
        return;
    if (s.rewind_failed || upstream_is_safe(m))
        return start_standby(m, upstream_at_start(m));  // judged again while it runs
    if (m.running<ComparePg>()) return;
    if (!d && leader.role == cluster::Role::primary)
        compare(m, leader);
    else
        start_standby(m, std::nullopt);  // reads at least; follow() gives it its upstream
}

// It may have written what the leader lacks: compared with it before it starts.
void start_compared(Mind& m, const cluster::MemberRecord& leader) {
    State& s = m.s;
    const auto* d = verdict(m);
    if (!d || d->verdict == cluster::Divergence::Verdict::undecided) {
        if (m.running<ComparePg>()) return;
        if (d && m.now.mono < s.judged->at + retry_soon)
            return m.wake_by(s.judged->at + retry_soon);
        if (leader.role == cluster::Role::primary)
            compare(m, leader);
        else
            m.say("stopped", Note::Level::info, "waiting for " + leader.name + " to be promoted");
        return;
    }
    if (d->verdict == cluster::Divergence::Verdict::must_rewind && repair(m, *d, leader)) return;
    start_standby(m, upstream_at_start(m));
}

}  // namespace

bool start_stopped(Mind& m) {
    State& s = m.s;
    const auto& pg = *s.pg;
    if (pg.server != cluster::Server::stopped) return false;
    if (m.paused() && (!s.stopped_by_order || unclean(pg))) {
        m.say("stopped", Note::Level::info,
              "maintenance mode: PostgreSQL is not running and is left so");
        return true;
    }
    if (m.now.mono < s.retry_start_at) {
        m.wake_by(s.retry_start_at);
        return true;
    }
    if (m.awaits_own_write()) return true;  // it shows as well who leads
    const auto* view = m.view();
    const auto* leader = view ? primary_member(m) : nullptr;
    if (view && view->led_by(s.self.name)) return true;  // being confirmed: lead() decides
    if (view && !view->initialized()) {
        m.say("stopped", Note::Level::info, "waiting for the cluster to be initialized");
        return true;
    }
    if (!leader) {
        start_without_leader(m);
        return true;
    }
    if (keeps_tail(m, *leader)) return true;
    if (verdict(m) && known_twin(s)) {
        repair(m, *verdict(m), *leader);
        return true;
    }
    if (was_standby(pg) || s.rewind_failed) {
        start_again(m, *leader);
        return true;
    }
    if (unclean(pg) && s.settings.use_pg_rewind && !s.crash_recovered) {
        m.tell(Note{Note::Level::info,
                    "crash recovery in single-user mode, to see where our WAL ends", "rejoin"});
        m.emit(CrashRecoverPg{});
        return true;
    }
    if (unclean(pg))
        start_standby(m, upstream_at_start(m));
    else
        start_compared(m, *leader);
    return true;
}

namespace {

// PostgreSQL refuses to stream what does not fit, so a new leader is followed at once. It cannot
// refuse a timeline that two have begun: who leads, and does not show a newer one than ours, is
// compared with first.
bool compare_first(const Mind& m, const cluster::MemberRecord& leader) {
    const auto timeline = m.s.pg->timeline;
    if (timeline <= 1 || leader.timeline == 0 || fits(m)) return false;
    return leader.timeline < timeline ||
           (leader.timeline == timeline && leader.role == cluster::Role::primary);
}

bool compare_soon(Mind& m, const cluster::MemberRecord& leader) {
    State& s = m.s;
    if (!s.check_divergence || leader.role != cluster::Role::primary) return false;
    if (m.running<ComparePg>()) return false;
    if (m.now.mono < s.check_after) {
        m.wake_by(s.check_after);
        return false;
    }
    s.check_after = m.now.mono + retry_soon;
    compare(m, leader);
    return false;
}

// A running standby whose upstream changed, or that does not stream: is its data still on the
// leader's line?
bool judge_running(Mind& m, const cluster::MemberRecord& leader,
                   const std::optional<cluster::Upstream>& wanted) {
    State& s = m.s;
    const auto& pg = *s.pg;
    const bool streams = pg.replication_state == "streaming" && pg.timeline != 0 &&
                         pg.timeline == leader.timeline && s.follow_known && s.followed == wanted;
    if (streams) {
        s.check_divergence = false;
        s.rewind_failed = false;
        s.judged.reset();
        m.forget("diverged");
        return false;
    }
    if (const auto* d = verdict(m); d && d->verdict == cluster::Divergence::Verdict::must_rewind &&
                                    m.now.mono < s.judged->at + retry_soon)
        return repair(m, *d, leader);
    return compare_soon(m, leader);
}

}  // namespace

bool follow(Mind& m) {
    State& s = m.s;
    const auto& pg = *s.pg;
    const auto* view = m.view();
    const bool up = pg.server == cluster::Server::running || pg.server == cluster::Server::starting;
    if (!view || !up || pg.primary() || m.leading() || m.now.mono < s.retry_start_at) return false;
    const auto* leader = primary_member(m);
    const auto wanted = upstream_for(m);
    const bool opens = pg.server != cluster::Server::starting || upstream_is_safe(m);
    if (!opens) s.check_divergence = true;
    if (!opens && leader && s.follow_known && s.followed && s.followed_in != term_of(s)) {
        cut_off(m);  // as in end_half_way_start()
        return true;
    }
    // Without a leader the old upstream stays: what it still sends is wanted.
    const bool told = s.follow_known && s.followed == wanted;
    const bool anew = wanted && opens && (!told || s.followed_in != term_of(s));
    const Fit fit = anew ? fit_for(m, *wanted) : Fit::yes;
    if (fit == Fit::cut) {
        cut_off(m);
        return true;
    }
    if (fit == Fit::wait) {
        look_for_the_end(m);
        return false;
    }
    if (anew && told && fit == Fit::yes) {
        s.followed_in = term_of(s);
    } else if (anew && leader && (fit == Fit::compare || compare_first(m, *leader))) {
        s.check_divergence = true;
        // A verdict from before it was known what it holds says nothing about that.
        if (fit == Fit::compare && fits(m) && at_its_end(s)) {
            s.judged.reset();
            s.check_after = m.now.mono;
        }
        if (m.paused()) return compare_soon(m, *leader);
    } else if (anew) {
        note_followed(m, wanted);
        s.check_divergence = true;
        s.check_after = m.now.mono;
        m.say("role", Note::Level::info,
              fmt::format("I am {}, a secondary, following {}", s.self.name, wanted->member));
        m.emit(FollowPg{wanted});
        return true;
    }
    if (!leader || m.paused()) return false;
    if (pg.replication_state != "streaming" &&
        m.now.mono >= s.check_after + Duration(s.settings.loop_wait))
        s.check_divergence = true;
    return judge_running(m, *leader, wanted);
}

}  // namespace relevo::core
