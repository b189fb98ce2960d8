#include "cluster/rebuild.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "cluster/backup_job.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

using json::Fields;
using json::Json;
using json::Ordered;
using Phase = Rebuild::Phase;
using std::chrono::milliseconds;

constexpr std::chrono::minutes again_after = std::chrono::hours(24);
constexpr std::chrono::minutes try_again_after{10};
constexpr std::size_t members_max = 1000;  // beyond it those go that had the turn longest ago
// 9999-12-31: what is later is no time.
constexpr std::int64_t ms_max = 253402300799999;

std::int64_t ms_of(WallTime time) {
    return std::chrono::floor<milliseconds>(time.time_since_epoch()).count();
}

void time_in(Fields& fields, const char* key, WallTime& out) {
    std::int64_t ms = 0;
    fields.whole(key, ms);
    if (ms == 0 || ms > ms_max) fields.wrong(key, "milliseconds since 1970");
    out = WallTime(milliseconds(std::min(ms, ms_max)));
}

Result<std::map<MemberName, Rebuild::Try>> previous_in(const Json* value) {
    std::map<MemberName, Rebuild::Try> out;
    if (value == nullptr) return out;
    if (!value->is_object() || value->size() > members_max)
        return fail(ErrorCode::invalid, "previous must be a map of members");
    for (const auto& [name, one] : value->items()) {
        if (name.empty() || name.size() > json::name_max || !one.is_object())
            return fail(ErrorCode::invalid, "previous must be a map of members");
        Rebuild::Try last;
        Fields fields(one);
        time_in(fields, "begun", last.begun);
        fields.whole("failed", last.failed);
        RLV_CHECK(fields.status());
        out.emplace(name, last);
    }
    return out;
}

}  // namespace

const char* to_string(Phase phase) {
    switch (phase) {
        case Phase::asked: return "asked";
        case Phase::done: return "done";
        case Phase::failed: return "failed";
        case Phase::withdrawn: return "withdrawn";
        case Phase::unreadable: return "unreadable";
    }
    return "unreadable";
}

std::string to_json(const Rebuild& r) {
    Ordered out;
    out["member"] = r.member;
    out["phase"] = to_string(r.phase);
    out["since"] = ms_of(r.since);
    json::set_text(out, "kept", r.kept);
    json::set_text(out, "note", job_sentence(r.note));
    Ordered previous = Ordered::object();
    for (const auto& [name, one] : r.previous) {
        Ordered entry;
        entry["begun"] = ms_of(one.begun);
        if (one.failed != 0) entry["failed"] = one.failed;
        previous[name] = std::move(entry);
    }
    if (!previous.empty()) out["previous"] = std::move(previous);
    return json::compact(out);
}

Result<Rebuild> parse_rebuild(std::string_view text) {
    RLV_TRY(const Json object, json::parse_object(text));
    Rebuild r;
    std::string phase;
    Fields fields(object);
    fields.name("member", r.member);
    fields.text("phase", phase);
    time_in(fields, "since", r.since);
    fields.text("kept", r.kept);
    fields.text("note", r.note);
    RLV_CHECK(fields.status());
    for (const auto known : {Phase::asked, Phase::done, Phase::failed, Phase::withdrawn})
        if (phase == to_string(known)) r.phase = known;
    if (r.phase == Phase::unreadable)
        return fail(ErrorCode::invalid, "phase is none that is known");
    if (r.member.empty()) return fail(ErrorCode::invalid, "member must be a name");
    if (!r.kept.empty() && !is_damaged_suffix(r.kept))
        return fail(ErrorCode::invalid, "kept must be like .damaged-20261126T201530Z");
    r.note = job_sentence(r.note);
    RLV_TRY(r.previous, previous_in(fields.find("previous")));
    return r;
}

Rebuild claim_rebuild(const std::optional<Rebuild>& last, const MemberName& member, WallTime now) {
    Rebuild claim;
    claim.member = member;
    claim.phase = Phase::asked;
    claim.since = WallTime(milliseconds(std::max<std::int64_t>(ms_of(now), 1)));
    claim.kept = damaged_suffix(now);
    if (last) {
        claim.previous = last->previous;
        claim.revision = last->revision;
    }
    auto& tries = claim.previous;
    while (tries.size() >= members_max && !tries.contains(member))
        tries.erase(std::ranges::min_element(tries, {},
                                             [](const auto& entry) { return entry.second.begun; }));
    auto& mine = tries[member];
    mine.failed = mine.failed >= rebuild_tries ? 1 : mine.failed + 1;
    mine.begun = claim.since;
    return claim;
}

Rebuild ended_rebuild(Rebuild claim, bool done, std::string note) {
    claim.phase = done ? Phase::done : Phase::failed;
    claim.note = std::move(note);
    if (done) claim.previous[claim.member].failed = 0;
    return claim;
}

Rebuild withdrawn_rebuild(Rebuild claim, const std::optional<Rebuild::Try>& before,
                          std::string note) {
    claim.phase = Phase::withdrawn;
    claim.note = std::move(note);
    claim.kept.clear();
    claim.previous.erase(claim.member);
    if (before) claim.previous.emplace(claim.member, *before);
    return claim;
}

std::optional<WallTime> rebuild_after(const Rebuild& last, const MemberName& member) {
    const auto at = last.previous.find(member);
    if (at == last.previous.end()) return std::nullopt;
    const bool soon = at->second.failed > 0 && at->second.failed < rebuild_tries;
    return at->second.begun + (soon ? try_again_after : again_after);
}

std::string damaged_suffix(WallTime now) {
    std::string out = damaged_prefix;
    // 2026-11-26T20:15:30.5+00:00 -> 20261126T201530
    const auto iso = to_iso(now);
    for (const char c : iso.substr(0, iso.find_first_of(".+", 0)))
        if (c == 'T' || (c >= '0' && c <= '9')) out += c;
    return out + 'Z';
}

bool is_damaged_suffix(std::string_view text) {
    constexpr std::string_view prefix = damaged_prefix;
    constexpr std::size_t length_max = 40;
    return text.starts_with(prefix) && text.size() > prefix.size() && text.size() <= length_max &&
           std::ranges::all_of(text.substr(prefix.size()), [](char c) {
               return c == 'T' || c == 'Z' || (c >= '0' && c <= '9');
           });
}

std::string describe(const Rebuild& r, WallTime now) {
    switch (r.phase) {
        case Phase::asked:
            return fmt::format(
                "{} is being made anew: its data was damaged; the old directory is kept as *{}",
                r.member, r.kept);
        case Phase::failed: return fmt::format("{} was not made anew: {}", r.member, r.note);
        case Phase::done:
            if (now - r.since > again_after) return {};
            return fmt::format(
                "{} was made anew, since its data was damaged; the old directory is kept as *{}: "
                "remove it when nothing of it is wanted any more",
                r.member, r.kept);
        case Phase::unreadable: return "the key `rebuild` cannot be read: repair or remove it";
        case Phase::withdrawn: return {};
    }
    return {};
}

}  // namespace relevo::cluster
