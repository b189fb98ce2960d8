#include "ctl/changes.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

namespace relevo::ctl {
namespace {

using cluster::JournalEntry;
using cluster::Revision;
using Kind = cluster::JournalKind;
using Entries = std::vector<JournalEntry>;
using std::chrono::milliseconds;

// What is further apart is another story: a suspicion of an hour ago that came to nothing.
constexpr auto longest_gap = std::chrono::seconds(60);
// Others follow, and an old leader hears of it: what comes later than this is their return.
constexpr auto told_after = std::chrono::seconds(30);

std::int64_t ms_between(WallTime from, WallTime to) {
    return std::max<std::int64_t>(std::chrono::duration_cast<milliseconds>(to - from).count(), 0);
}

const JournalEntry* first_of(const Entries& entries, Kind kind, const std::string& member = {}) {
    const auto at = std::ranges::find_if(entries, [&](const JournalEntry& entry) {
        return entry.kind == kind && (member.empty() || entry.member == member);
    });
    return at == entries.end() ? nullptr : &*at;
}

// Who leads in each term that somebody saw begin.
std::map<Revision, cluster::MemberName> leaders_of(const Entries& entries) {
    std::map<Revision, cluster::MemberName> leaders;
    for (const auto& entry : entries) {
        if (entry.kind == Kind::leader && !entry.about.empty())
            leaders.try_emplace(entry.term, entry.about);
        if (entry.kind == Kind::took || entry.kind == Kind::promoted || entry.kind == Kind::serves)
            leaders[entry.term] = entry.member;
    }
    return leaders;
}

// Of the silences only the last counts: one that was broken led to nothing.
void drop_what_came_to_nothing(Entries& ends) {
    std::map<cluster::MemberName, std::size_t> heard;
    for (std::size_t i = 0; i < ends.size(); ++i)
        if (ends[i].kind == Kind::hears_again) heard[ends[i].member] = i + 1;
    Entries left;
    for (std::size_t i = 0; i < ends.size(); ++i) {
        const auto until = heard.find(ends[i].member);
        const bool of_a_silence = ends[i].kind == Kind::suspects ||
                                  ends[i].kind == Kind::hears_again ||
                                  ends[i].kind == Kind::silent_in_dcs ||
                                  ends[i].kind == Kind::asked || ends[i].kind == Kind::not_deposed;
        if (of_a_silence && until != heard.end() && i < until->second) continue;
        left.push_back(ends[i]);
    }
    ends = std::move(left);
}

// A sign of the end: what ends a term, and trouble of the leader itself.
bool is_sign(const JournalEntry& entry, const cluster::MemberName& leader) {
    if (cluster::ends_a_term(entry.kind)) return true;
    if (entry.member != leader) return false;
    return entry.kind == Kind::dcs_silent || entry.kind == Kind::backed ||
           (entry.kind == Kind::agent && entry.answer == "stop");
}

// What may have begun it. The rest only goes with it, and is also there when members come back to
// the leader before: answers, seals, servers that are stopped to follow.
bool may_be_first(const JournalEntry& entry, const cluster::MemberName& leader) {
    switch (entry.kind) {
        case Kind::ordered:
        case Kind::suspects:
        case Kind::silent_in_dcs:
        case Kind::deposed:
        case Kind::handover:
        case Kind::gone: return true;
        case Kind::crashed:
        case Kind::kills:
        case Kind::released:
        case Kind::lost:
        case Kind::dcs_silent:
        case Kind::backed:
        case Kind::agent: return entry.member == leader;
        case Kind::hears_again:
        case Kind::asked:
        case Kind::not_deposed:
        case Kind::killed:
        case Kind::sealing:
        case Kind::sealed:
        case Kind::counted:
        case Kind::waits:
        case Kind::not_taken:
        case Kind::took:
        case Kind::promotes:
        case Kind::promoted:
        case Kind::not_promoted:
        case Kind::names:
        case Kind::serves:
        case Kind::leader:
        case Kind::follows:
        case Kind::dcs_answers:
        case Kind::action:
        case Kind::note: return false;
    }
    return false;
}

// When this member heard the leader for the last time, for a suspicion.
WallTime began(const JournalEntry& entry) {
    if (entry.kind != Kind::suspects || entry.ms < 0) return entry.wall;
    return entry.wall - milliseconds(std::min<std::int64_t>(entry.ms, 86'400'000));
}

// Where the story of the key that was taken at `taken` begins. Where nobody saw what began it, with
// the first of what goes with it.
WallTime first_sign(const Entries& signs, const cluster::MemberName& leader, WallTime taken) {
    const bool seen =
        std::ranges::any_of(signs, [&](const auto& entry) { return may_be_first(entry, leader); });
    WallTime first = taken;
    for (std::size_t i = signs.size(); i > 0; --i) {
        const auto& entry = signs[i - 1];
        if (seen && !may_be_first(entry, leader)) continue;
        if (first - entry.wall > longest_gap) break;
        first = std::min(first, began(entry));
    }
    return first;
}

// The entries of the change to the given term, and when it began.
void gather(const Entries& all, Change& change) {
    Entries signs, begins, between;
    for (const auto& entry : all) {
        const bool old_term = entry.term >= change.term_before && entry.term < change.term;
        if (old_term && is_sign(entry, change.before))
            signs.push_back(entry);
        else if (entry.term == change.term && cluster::begins_a_term(entry.kind))
            begins.push_back(entry);
        else if ((old_term || entry.term == change.term) && !cluster::ends_a_term(entry.kind) &&
                 !cluster::begins_a_term(entry.kind))
            between.push_back(entry);
    }
    const WallTime taken = begins.empty() ? change.first_sign : begins.front().wall;
    WallTime last = taken;
    for (const auto kind : {Kind::took, Kind::promoted, Kind::serves})
        if (const auto* entry = first_of(begins, kind)) last = std::max(last, entry->wall);
    std::erase_if(signs, [&](const auto& entry) { return entry.wall > last + told_after; });
    std::erase_if(begins, [&](const auto& entry) { return entry.wall > last + told_after; });
    drop_what_came_to_nothing(signs);
    const WallTime first = first_sign(signs, change.before, taken);
    std::erase_if(signs, [&](const auto& entry) { return entry.wall < first; });
    change.first_sign = first;
    change.entries = std::move(signs);
    std::ranges::move(begins, std::back_inserter(change.entries));
    std::ranges::copy_if(between, std::back_inserter(change.entries), [&](const auto& entry) {
        return entry.wall >= first && entry.wall <= last + told_after;
    });
    std::ranges::sort(change.entries, {}, [](const auto& entry) {
        return std::tuple(entry.wall, entry.member, entry.sequence);
    });
}

std::string cause_of(const Change& change) {
    const auto& all = change.entries;
    const std::string who = change.before.empty() ? "the old leader" : change.before;
    if (const auto* entry = first_of(all, Kind::ordered)) return entry->text;
    if (const auto* entry = first_of(all, Kind::deposed))
        return fmt::format("{} was silent; its voters agreed, and {} took its leader key away", who,
                           entry->member);
    const bool crashed = first_of(all, Kind::crashed, change.before) != nullptr;
    if (first_of(all, Kind::released)) {
        const auto* agent = first_of(all, Kind::agent, change.before);
        if (agent && agent->answer == "stop")
            return fmt::format("the agent of {} was stopped and gave the leader key back", who);
        if (crashed)
            return fmt::format(
                "PostgreSQL of {} ended unexpectedly, and its agent gave the leader key back", who);
        return who + " gave the leader key back";
    }
    if (const auto* gone = first_of(all, Kind::gone))
        if (const auto at = gone->text.find(": "); at != std::string::npos)
            return fmt::format("{} was silent:{}", who, gone->text.substr(at + 1));
    if (crashed) return fmt::format("PostgreSQL of {} ended unexpectedly", who);
    return fmt::format("the lease of {} ran out", who);
}

void measure(Change& change) {
    const auto& all = change.entries;
    const auto* took = first_of(all, Kind::took, change.after);
    const auto* promoted = first_of(all, Kind::promoted, change.after);
    const auto* serves = first_of(all, Kind::serves, change.after);
    const auto* first = first_of(all, Kind::leader);
    const auto taken = took ? took->wall : first ? first->wall : change.first_sign;
    const JournalEntry* gone = nullptr;
    for (const auto& entry : all)
        if (!gone && (entry.kind == Kind::deposed || entry.kind == Kind::released ||
                      entry.kind == Kind::gone))
            gone = &entry;
    auto from = change.first_sign;
    auto& shares = change.shares;
    if (gone && gone->wall <= taken) {
        shares.detect = ms_between(from, gone->wall);
        from = gone->wall;
    }
    const auto* sealed = first_of(all, Kind::sealed, change.after);
    if (sealed && sealed->wall >= from && sealed->wall <= taken) {
        shares.seal = ms_between(from, sealed->wall);
        from = sealed->wall;
    }
    shares.take = ms_between(from, taken);
    const auto* end = promoted ? promoted : serves;
    if (end) shares.promote = ms_between(taken, end->wall);
    shares.total = ms_between(change.first_sign, end ? std::max(end->wall, taken) : taken);
    if (serves)
        change.timeline = serves->timeline;
    else if (promoted)
        change.timeline = promoted->timeline;
}

}  // namespace

std::vector<Change> changes_of_leader(Entries entries) {
    std::ranges::sort(entries, {}, [](const auto& entry) {
        return std::tuple(entry.wall, entry.member, entry.sequence);
    });
    std::vector<Change> changes;
    Revision before = 0;
    cluster::MemberName leader;
    for (const auto& [term, name] : leaders_of(entries)) {
        Change change;
        change.before = std::exchange(leader, name);
        change.term_before = std::exchange(before, term);
        change.after = name;
        change.term = term;
        gather(entries, change);
        const auto* gone = first_of(change.entries, Kind::gone);
        if (change.before.empty() && gone) {
            change.before = gone->about;
            change.term_before = gone->term;
        }
        if (change.before.empty()) continue;  // nobody saw another one end
        change.cause = cause_of(change);
        measure(change);
        changes.push_back(std::move(change));
    }
    return changes;
}

}  // namespace relevo::ctl
