#include "cluster/restoration.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "cluster/backup_job.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

using json::Fields;
using json::Json;
using json::Ordered;
using Phase = Restoration::Phase;

constexpr std::size_t id_max = 80;
constexpr std::size_t label_max = 200;

bool plain(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

bool is_id(std::string_view text) {
    return !text.empty() && text.size() <= id_max && std::ranges::all_of(text, plain);
}

std::optional<Phase> parse_phase(std::string_view text) {
    for (const auto phase : {Phase::stopping, Phase::restoring, Phase::restored, Phase::cancelled})
        if (text == to_string(phase)) return phase;
    return std::nullopt;
}

const char* key_of(TargetKind kind) {
    switch (kind) {
        case TargetKind::latest: return "latest";
        case TargetKind::immediate: return "immediate";
        case TargetKind::time: return "to";
        case TargetKind::lsn: return "to_lsn";
        case TargetKind::xid: return "to_xid";
    }
    return "latest";
}

Result<RecoveryTarget> target_in(Fields& fields) {
    TargetWords words;
    Timeline timeline = 0;
    fields.text("to", words.time);
    fields.text("to_lsn", words.lsn);
    fields.text("to_xid", words.xid);
    fields.flag("latest", words.latest);
    fields.flag("immediate", words.immediate);
    fields.flag("exclusive", words.exclusive);
    fields.whole("target_timeline", timeline);
    RLV_CHECK(fields.status());
    if (timeline == 0) return fail(ErrorCode::invalid, "target_timeline must be a number from 1");
    words.timeline = std::to_string(timeline);
    return target_of(words);
}

}  // namespace

const char* to_string(Phase phase) {
    switch (phase) {
        case Phase::stopping: return "stopping";
        case Phase::restoring: return "restoring";
        case Phase::restored: return "restored";
        case Phase::cancelled: return "cancelled";
        case Phase::unreadable: return "unreadable";
    }
    return "unreadable";
}

std::string to_json(const Restoration& r) {
    Ordered out;
    out["id"] = r.id;
    out["phase"] = to_string(r.phase);
    out["member"] = r.member;
    out["backup"] = r.backup;
    if (r.repository != 0) out["repository"] = r.repository;
    const bool bare = r.target.kind == TargetKind::latest || r.target.kind == TargetKind::immediate;
    if (bare)
        out[key_of(r.target.kind)] = true;
    else
        out[key_of(r.target.kind)] = value_text(r.target);
    if (!bare && !r.target.inclusive) out["exclusive"] = true;
    out["target_timeline"] = r.target.timeline.number;
    if (r.timeline != 0) out["timeline"] = r.timeline;
    json::set_text(out, "last_id", r.last_id);
    if (r.last_timeline != 0) out["last_timeline"] = r.last_timeline;
    json::set_time(out, "asked", r.asked);
    json::set_text(out, "problem", job_sentence(r.problem));
    return json::compact(out);
}

Result<Restoration> parse_restoration(std::string_view text) {
    RLV_TRY(const Json object, json::parse_object(text));
    Restoration r;
    std::string phase;
    Fields fields(object);
    fields.name("id", r.id);
    fields.text("phase", phase);
    fields.name("member", r.member);
    fields.text("backup", r.backup);
    fields.whole("repository", r.repository);
    fields.whole("timeline", r.timeline);
    fields.name("last_id", r.last_id);
    fields.whole("last_timeline", r.last_timeline);
    fields.time("asked", r.asked);
    fields.text("problem", r.problem);
    RLV_TRY(r.target, target_in(fields));
    const auto known = parse_phase(phase);
    if (!known) return fail(ErrorCode::invalid, "phase is none that is known");
    r.phase = *known;
    if (!is_id(r.id) || (r.last_timeline != 0) != is_id(r.last_id))
        return fail(ErrorCode::invalid,
                    "id must be of letters, digits and -, and at most 80 of them");
    if (r.member.empty()) return fail(ErrorCode::invalid, "member must be a name");
    if (r.backup.size() > label_max) return fail(ErrorCode::invalid, "backup must be a label");
    if (r.phase == Phase::restored && r.timeline == 0)
        return fail(ErrorCode::invalid, "what is restored has a timeline");
    r.problem = job_sentence(r.problem);
    return r;
}

void follow_upon(Restoration& next, const std::optional<Restoration>& last) {
    next.revision = last ? last->revision : 0;
    next.last_timeline = last ? last->floor() : 0;
    next.last_id = last ? last->floor_id() : std::string();
}

std::string restoration_id(WallTime now, std::string_view member) {
    std::string id;
    // 2026-11-26T12:15:30.5+00:00 -> 20261126-121530500. To the millisecond: one that is asked for
    // again in the second in which another was cancelled is not that one.
    const auto iso = to_iso(now);
    for (const char c : iso.substr(0, iso.find_first_of(".+", 0))) {
        if (c == 'T') id += '-';
        if (c >= '0' && c <= '9') id += c;
    }
    const auto ms = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch());
    id += fmt::format("{:03}-", ms.count() % 1000);
    std::ranges::transform(member, std::back_inserter(id),
                           [](char c) { return plain(c) ? c : '-'; });
    return id.substr(0, id_max);
}

std::string aside_suffix(std::string_view id) { return fmt::format(".before_restore_{}", id); }

}  // namespace relevo::cluster
