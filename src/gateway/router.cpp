#include "gateway/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace relevo::gateway {
namespace {

using cluster::MemberStream;
using ports::Route;
using ports::Routes;
using Outcome = cluster::GatewayReport::Outcome;
using std::chrono::milliseconds;

// A member answers every 300 ms at the latest; one that is silent for longer is not well.
constexpr Duration silence_counts = milliseconds(450);
// For a hold without a date: what it waits for is a failover's end or PgBouncer's own limit.
constexpr Duration no_drain = std::chrono::seconds(120);
constexpr Duration retry_pooler = milliseconds(200);
// One that cannot start, its port being taken, is a process each time.
constexpr Duration start_again = std::chrono::seconds(1);
// A link that flaps must not make clients wait again and again.
constexpr std::size_t suspicions_max = 2;
constexpr Duration suspicions_within = std::chrono::minutes(1);
// Reads without a primary: after this a cluster that has none is served as it is.
constexpr Duration reads_alone_after = std::chrono::seconds(3);

class Mind {
public:
    Mind(State& state, Instant time, Step& step) : s(state), now(time), out(step) {}
    void learn(const Event& event);
    void decide();

private:
    State& s;
    const Instant now;
    Step& out;

    void emit(Effect effect) { out.effects.push_back(std::move(effect)); }
    void note(Note::Level level, std::string text) { emit(Note{level, std::move(text)}); }
    void say(const std::string& topic, Note::Level level, const std::string& text) {
        if (std::exchange(s.said[topic], text) != text) note(level, text);
    }
    void hear(const Heard& heard);
    void know_places(const MemberStream& view);
    void know_term(cluster::Revision term);
    void hold_done(const HoldDone& done);
    void pooler_done(Lane& lane, const Status& outcome, Lane::State then);
    Lane& lane(Route route) { return route == Route::writes ? s.writes : s.reads; }

    const Source* source_of(const cluster::MemberName& name) const;
    std::optional<Target> serving() const;
    bool still_good(const Target& target) const;
    void see_hold();
    Why why_wait(bool found) const;
    int suspecting() const;
    bool suspicion_holds() const;
    bool seen_gone() const;
    void choose_readers();
    ports::Endpoint place_of(const Source& source) const;
    bool reads_well(const std::string& url, const Source& source) const;
    Routes wanted() const;
    void change_why(Why why);
    void steer(Route route, bool wait, bool way_is_clear);
    void answer_planned();
};

void Mind::learn(const Event& event) {
    if (const auto* heard = std::get_if<Heard>(&event)) {
        hear(*heard);
    } else if (const auto* silent = std::get_if<Silent>(&event)) {
        auto& source = s.sources[silent->url];
        source.connected = false;
        source.problem = silent->why;
        say(silent->url, Note::Level::warning, silent->why);
    } else if (const auto* gone = std::get_if<Forgotten>(&event)) {
        s.sources.erase(gone->url);
        s.said.erase(gone->url);
    } else if (const auto* held = std::get_if<HoldDone>(&event)) {
        hold_done(*held);
    } else if (const auto* done = std::get_if<RepointDone>(&event)) {
        s.repointing.reset();
        if (done->outcome) {
            s.applied = done->routes;
            s.started = true;
            s.said.erase("pooler");
        } else {
            s.repoint_again_at = now + (s.started ? retry_pooler : start_again);
            say("pooler", Note::Level::error, done->outcome.error().message);
        }
    } else if (const auto* released = std::get_if<ReleaseDone>(&event)) {
        pooler_done(lane(released->route), released->outcome, Lane::State::open);
    } else if (const auto* started = std::get_if<PoolerStarted>(&event)) {
        s.writes = s.reads = Lane{};
        if (started->outcome)
            s.said.erase("pooler");
        else
            say("pooler", Note::Level::error, started->outcome.error().message);
    } else if (const auto* options = std::get_if<OptionsChanged>(&event)) {
        s.options = options->options;
        if (!s.options.scope.empty()) s.scope = s.options.scope;
    } else if (const auto* before = std::get_if<Remembered>(&event)) {
        if (!s.options.scope.empty() && before->scope != s.options.scope) return;
        s.scope = before->scope;
        s.term = std::max(s.term, before->term);
    }
}

void Mind::hear(const Heard& heard) {
    const auto& view = heard.view;
    if (s.scope.empty()) s.scope = view.scope;
    if (view.scope != s.scope) {
        s.sources[heard.url].connected = false;
        return say(heard.url, Note::Level::error,
                   fmt::format("{} is a member of the cluster {}, not of {}: it is not listened to",
                               heard.url, view.scope, s.scope));
    }
    auto& source = s.sources[heard.url];
    if (!source.connected)
        say(heard.url, Note::Level::info, fmt::format("{} ({}) is heard", view.name, heard.url));
    source.view = view;
    source.connected = true;
    source.problem.clear();
    source.heard_at = now;
    source.serves_until = view.serves() ? heard.asked_at + view.serves_for : Instant{};
    know_places(view);
    know_term(view.term);
    if (view.seen) know_term(view.seen->term);
}

void Mind::know_places(const MemberStream& view) {
    for (const auto& member : view.members)
        if (!member.host.empty()) s.places[member.name] = {member.host, member.port};
    if (!view.host.empty()) s.places[view.name] = {view.host, view.port};
}

void Mind::know_term(cluster::Revision term) {
    if (term <= s.term) return;
    s.term = term;
    emit(Remember{s.scope, term});
}

void Mind::hold_done(const HoldDone& done) {
    auto& way = lane(done.route);
    if (way.state != Lane::State::holding) return;  // released meanwhile
    if (!done.outcome) return pooler_done(way, std::unexpected(done.outcome.error()), way.state);
    way.state = Lane::State::held;
    if (done.outcome->empty() || done.route != Route::writes || !s.planned || s.planned->over)
        return;
    std::string who;
    for (const auto& one : *done.outcome) who += (who.empty() ? "" : "; ") + cluster::describe(one);
    note(Note::Level::warning,
         fmt::format("a transaction did not end before the switchover: {}{}", who,
                     s.options.let_through ? "; the switchover goes on, and breaks it off" : ""));
    if (s.options.let_through) return;
    s.planned->outcome = Outcome::blocked;
    s.planned->blockers = *done.outcome;
    s.planned->over = true;
    emit(Report{s.planned->url, Outcome::blocked});
}

void Mind::pooler_done(Lane& way, const Status& outcome, Lane::State then) {
    if (outcome) {
        way.state = then;
        way.since = now;
        return;
    }
    way.state = Lane::State::unknown;
    way.again_at = now + retry_pooler;
    if (outcome.error().code != ErrorCode::cancelled)
        say("pooler", Note::Level::error, outcome.error().message);
}

const Source* Mind::source_of(const cluster::MemberName& name) const {
    const Source* found = nullptr;
    for (const auto& [url, source] : s.sources)
        if (source.view && source.view->name == name)
            if (found == nullptr || source.heard_at > found->heard_at) found = &source;
    return found;
}

// Who says now that it leads, under the newest term.
std::optional<Target> Mind::serving() const {
    std::optional<Target> found;
    for (const auto& [url, source] : s.sources) {
        if (!source.view || source.serves_until <= now || source.view->term < s.term) continue;
        const auto place = s.places.find(source.view->name);
        if (place == s.places.end()) continue;
        if (!found || source.view->term > found->term)
            found = Target{source.view->name, place->second, source.view->term};
    }
    return found;
}

// The last one stays where no word of it comes any more: its agent may be gone, and PostgreSQL
// serve on. Only its own word that it does not, or a newer term, ends that.
bool Mind::still_good(const Target& target) const {
    if (target.term < s.term) return false;
    const auto* source = source_of(target.name);
    return source == nullptr || !source->view || source->view->primary;
}

void Mind::see_hold() {
    const auto* source = s.target ? source_of(s.target->name) : nullptr;
    const bool asked = source != nullptr && source->view && source->view->hold;
    if (!asked) {
        s.planned.reset();
        return;
    }
    const auto& hold = *source->view->hold;
    if (!s.planned || s.planned->id != hold.id) {
        std::string url;
        for (const auto& [at, one] : s.sources)
            if (&one == source) url = at;
        s.planned = State::Planned{.url = url,
                                   .id = hold.id,
                                   .until = now + std::min<Duration>(hold.drain, s.options.drain),
                                   .blockers = {}};
        note(Note::Level::info, "a switchover begins: clients wait");
    }
    const bool too_long = s.why == Why::planned && now - s.why_since > s.options.hold_max;
    if (too_long && !s.planned->over) {
        s.planned->over = true;
        note(Note::Level::warning, "nothing came of the switchover: clients go on");
    }
}

int Mind::suspecting() const {
    int voters = 0;
    for (const auto& [url, source] : s.sources)
        if (source.connected && source.view && source.view->name != s.target->name &&
            source.view->suspects == s.target->term)
            ++voters;
    return voters;
}

// Two signs of three: a voter that hears nothing of the leader, another one, and we ourselves.
bool Mind::suspicion_holds() const {
    if (s.not_suspected == s.target->term) return false;
    const int voters = suspecting();
    if (voters == 0) return false;
    const auto* own = source_of(s.target->name);
    const bool silent = own == nullptr || !own->connected || now - own->heard_at > silence_counts;
    if (voters + (silent ? 1 : 0) < 2) return false;
    if (s.why == Why::suspected) return true;
    const auto recent = std::ranges::count_if(
        s.suspected_at, [&](Instant at) { return now - at < suspicions_within; });
    return static_cast<std::size_t>(recent) < suspicions_max;
}

bool Mind::seen_gone() const {
    return std::ranges::any_of(s.sources, [](const auto& one) {
        const auto& source = one.second;
        return source.connected && source.view && source.view->seen && source.view->seen->term == 0;
    });
}

Why Mind::why_wait(bool found) const {
    if (!s.target) return Why::no_leader_known;
    if (s.planned && !s.planned->over) return Why::planned;
    if (s.target->term < s.term) return Why::superseded;
    if (!still_good(*s.target)) return Why::leader_gone;
    if (suspicion_holds()) return Why::suspected;
    // What it says of itself now is newer than what another one has seen of its key.
    const auto* own = source_of(s.target->name);
    const bool heard = found && own != nullptr && own->connected;
    return !heard && seen_gone() ? Why::nobody_leads : Why::none;
}

void Mind::change_why(Why why) {
    if (why == s.why) return;
    if (s.why != Why::none && s.why != Why::no_leader_known) s.held_for += now - s.why_since;
    if (why == Why::suspected) {
        std::erase_if(s.suspected_at, [&](Instant at) { return now - at >= suspicions_within; });
        s.suspected_at.push_back(now);
    }
    if (why == Why::none) {
        auto text = fmt::format("clients of {} go on, term {}", s.target->name, s.target->term);
        if (s.held_since)
            text += fmt::format("; they waited for {} ms", to_ms(now - *s.held_since));
        s.held_since.reset();
        note(Note::Level::info, std::move(text));
    } else if (s.why == Why::none) {
        note(Note::Level::warning, fmt::format("clients wait: {}", to_string(why)));
        s.held_since = now;
        ++s.holds;
    }
    s.why = why;
    s.why_since = now;
}

bool Mind::reads_well(const std::string& url, const Source& source) const {
    if (!source.connected || !source.view || now - source.heard_at > 2 * silence_counts)
        return false;
    const auto& view = *source.view;
    if (!view.standby || !view.streaming || view.noloadbalance) return false;
    const auto* leader = s.target ? source_of(s.target->name) : nullptr;
    const auto line = leader && leader->view && leader->view->primary ? leader->view->timeline
                                                                      : view.leader_timeline;
    if (line != 0 && view.timeline != line) return false;
    // One that fell behind comes back when it is well within the limits, not at their edge.
    const bool in_use = s.readers.contains(url);
    const auto bytes = in_use ? s.options.lag_bytes : s.options.lag_bytes / 2;
    const auto lag = in_use ? s.options.lag : s.options.lag / 2;
    return view.lag_bytes <= bytes && view.lag_ms <= lag;
}

void Mind::choose_readers() {
    std::map<int, std::set<std::string>> by_port;  // of the members' places
    std::set<cluster::MemberName> names;
    if (s.options.reads)
        for (const auto& [url, source] : s.sources)
            if (reads_well(url, source) && names.insert(source.view->name).second)
                by_port[place_of(source).port].insert(url);
    s.readers.clear();
    if (by_port.empty()) return;
    // The largest of the groups; of equals the one in use, so that they do not take turns.
    const int now_at = s.applied && !s.applied->reads.empty() ? s.applied->reads.front().port : 0;
    const auto best = std::ranges::max_element(by_port, {}, [&](const auto& group) {
        return std::pair(group.second.size(), group.first == now_at);
    });
    s.readers = best->second;
    if (by_port.size() == 1) return;
    std::string others;
    for (const auto& [port, urls] : by_port)
        for (const auto& url : port == best->first ? std::set<std::string>{} : urls)
            others += fmt::format("{}{} (port {})", others.empty() ? "" : ", ",
                                  s.sources.at(url).view->name, port);
    say("ports", Note::Level::warning,
        fmt::format("no reads go to {}: the others listen on port {}, and PgBouncer knows one port "
                    "for all hosts of a database; let all members listen on one",
                    others, best->first));
}

ports::Endpoint Mind::place_of(const Source& source) const {
    const auto place = s.places.find(source.view->name);
    return place == s.places.end() ? ports::Endpoint{} : place->second;
}

Routes Mind::wanted() const {
    Routes routes;
    if (s.target && s.target->term == s.term) {
        routes.writes = s.target->server;
        routes.term = s.target->term;
    } else if (s.applied) {
        routes.writes = s.applied->writes;
        routes.term = s.applied->term;
    }
    if (!s.options.reads) return routes;
    for (const auto& url : s.readers) {
        const auto place = s.places.find(s.sources.at(url).view->name);
        if (place != s.places.end()) routes.reads.push_back(place->second);
    }
    const bool primary_too =
        s.options.policy == ReadPolicy::any ||
        (s.options.policy == ReadPolicy::prefer_replica && routes.reads.empty());
    const bool fits =
        routes.writes && (routes.reads.empty() || routes.reads.front().port == routes.writes->port);
    if (primary_too && fits) routes.reads.push_back(*routes.writes);
    // With nobody left the last ones stay written; the clients are held.
    if (routes.reads.empty() && s.applied) routes.reads = s.applied->reads;
    return routes;
}

// wait: clients of this route shall. way_is_clear: the pooler leads where it shall.
void Mind::steer(Route route, bool wait, bool way_is_clear) {
    auto& way = lane(route);
    using S = Lane::State;
    if (now < way.again_at) return;
    if (wait && (way.state == S::open || way.state == S::unknown)) {
        const bool planned = route == Route::writes && s.why == Why::planned;
        way.state = S::holding;
        way.since = now;
        emit(Hold{route, planned ? std::max<Duration>(s.planned->until - now, milliseconds(1))
                                 : no_drain});
    } else if (!wait && way_is_clear && way.state != S::open && way.state != S::releasing) {
        way.state = S::releasing;
        emit(Release{route});
    }
}

void Mind::answer_planned() {
    if (!s.planned || s.planned->over || s.planned->outcome != Outcome::under_way) return;
    if (s.writes.state == Lane::State::held) {
        s.planned->outcome = Outcome::held;
        emit(Report{s.planned->url, Outcome::held});
    } else if (s.writes.state == Lane::State::holding && now > s.planned->until + retry_pooler) {
        // Held for another reason before, and without this one's date.
        s.planned->outcome = s.options.let_through ? Outcome::held : Outcome::blocked;
        s.planned->over = !s.options.let_through;
        emit(Report{s.planned->url, s.planned->outcome});
    }
}

void Mind::decide() {
    const auto found = serving();
    if (found && (!s.target || *s.target != *found)) {
        const auto old = std::exchange(s.target, found);
        if (old && old->server != found->server) {
            // Whoever still waits for the old one's answer waits for ever.
            emit(Drop{old->server});
            ++s.drops;
        }
        note(Note::Level::info, fmt::format("{} leads, term {}, at {}:{}", found->name, found->term,
                                            found->server.host, found->server.port));
        s.not_suspected = 0;
    }
    see_hold();
    if (s.why == Why::suspected && now - s.why_since > s.options.hold_max)
        s.not_suspected = s.target->term;
    change_why(why_wait(found.has_value()));
    choose_readers();

    const auto routes = wanted();
    const bool alone = !routes.reads.empty() && now - s.born > reads_alone_after;
    const bool may_start = s.started || s.target || alone;
    const bool same = s.applied && *s.applied == routes;
    if (!same && may_start && !s.repointing && now >= s.repoint_again_at) {
        s.repointing = routes;
        ++s.repoints;
        emit(Repoint{routes});
    }
    if (!s.started) return;
    const bool clear = same && !s.repointing;
    steer(Route::writes, s.why != Why::none, clear);
    s.reads_wait = s.options.reads && s.readers.empty() &&
                   (s.options.policy == ReadPolicy::replica_only || s.why != Why::none);
    if (s.options.reads) steer(Route::reads, s.reads_wait, clear);
    answer_planned();
}

}  // namespace

const char* to_string(Why why) {
    switch (why) {
        case Why::none: return "nothing";
        case Why::no_leader_known: return "no member says that it leads";
        case Why::planned: return "a planned switchover";
        case Why::leader_gone: return "the leader's PostgreSQL is gone";
        case Why::superseded: return "a new leader comes up";
        case Why::nobody_leads: return "nobody leads";
        case Why::suspected: return "the leader is silent";
    }
    return "?";
}

Step step(State& state, const Event& event, Instant now) {
    Step result{{}, Instant{}};
    if (state.born == Instant{}) state.born = now;
    Mind mind(state, now, result);
    mind.learn(event);
    mind.decide();
    // In quiet times only rights and silences run out, and nobody needs to know at once.
    constexpr Duration calm = milliseconds(250), tense = milliseconds(25);
    const bool settled = state.why == Why::none && state.writes.state == Lane::State::open;
    result.wake_at = now + (settled ? calm : tense);
    return result;
}

}  // namespace relevo::gateway
