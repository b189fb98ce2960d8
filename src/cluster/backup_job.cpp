#include "cluster/backup_job.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

constexpr std::size_t sentence_max = 1000, declined_max = 100;

template <class Enum, std::size_t N>
std::optional<Enum> find_word(std::string_view text, const Enum (&all)[N]) {
    for (const Enum one : all)
        if (text == to_string(one)) return one;
    return std::nullopt;
}

constexpr JobWhat whats[] = {JobWhat::full,   JobWhat::differential, JobWhat::incremental,
                             JobWhat::expire, JobWhat::verify,       JobWhat::proof};
constexpr JobState states[] = {JobState::requested, JobState::running, JobState::done,
                               JobState::failed};
constexpr JobAsker askers[] = {JobAsker::schedule, JobAsker::operator_};

using json::set_text, json::set_time;

json::Ordered progress_json(const JobProgress& progress) {
    json::Ordered out = json::Ordered::object();
    out["done_bytes"] = progress.done_bytes;
    out["total_bytes"] = progress.total_bytes;
    if (progress.percent_x100 >= 0) out["percent_x100"] = progress.percent_x100;
    set_time(out, "at", progress.at);
    return out;
}

void read_declined(json::Fields& fields, std::vector<MemberName>& out) {
    const auto* list = fields.find("declined");
    if (list == nullptr) return;
    if (!list->is_array() || list->size() > declined_max)
        return fields.wrong("declined", "a list of names");
    for (const auto& name : *list) {
        if (!name.is_string() || name.get_ref<const std::string&>().size() > json::name_max)
            return fields.wrong("declined", "a list of names");
        out.push_back(name.get<std::string>());
    }
}

Status read_progress(json::Fields& fields, JobProgress& out) {
    const auto* object = fields.find("progress");
    if (object == nullptr) return {};
    if (!object->is_object()) {
        fields.wrong("progress", "an object");
        return {};
    }
    json::Fields inner(*object);
    inner.whole("done_bytes", out.done_bytes);
    inner.whole("total_bytes", out.total_bytes);
    inner.whole("percent_x100", out.percent_x100);
    inner.time("at", out.at);
    out.percent_x100 = std::min(out.percent_x100, 10'000);
    return inner.status();
}

// How far a number that counts may go: what is added to it must not overflow.
constexpr int count_max = 1'000'000;

}  // namespace

const char* to_string(JobWhat what) {
    switch (what) {
        case JobWhat::full: return "full";
        case JobWhat::differential: return "differential";
        case JobWhat::incremental: return "incremental";
        case JobWhat::expire: return "expire";
        case JobWhat::verify: return "verify";
        case JobWhat::proof: return "proof";
    }
    return "?";
}

bool reads_only(JobWhat what) { return what == JobWhat::verify || what == JobWhat::proof; }

std::string name_of(JobWhat what) {
    const bool backup =
        what == JobWhat::full || what == JobWhat::differential || what == JobWhat::incremental;
    if (what == JobWhat::proof) return "proof of restore";
    return fmt::format("{}{}", to_string(what), backup ? " backup" : "");
}

std::optional<JobWhat> parse_job_what(std::string_view text) {
    if (text == "diff") return JobWhat::differential;
    if (text == "incr") return JobWhat::incremental;
    return find_word(text, whats);
}

const char* to_string(JobState state) {
    switch (state) {
        case JobState::requested: return "requested";
        case JobState::running: return "running";
        case JobState::done: return "done";
        case JobState::failed: return "failed";
    }
    return "?";
}

const char* to_string(JobAsker asker) {
    switch (asker) {
        case JobAsker::schedule: return "schedule";
        case JobAsker::operator_: return "operator";
    }
    return "?";
}

std::string job_sentence(std::string_view text) {
    std::string out;
    for (const char c : trim(text)) {
        if (out.size() >= sentence_max) break;
        // Of several lines pgBackRest's HINT is one: they become one.
        out += c == '\n' || c == '\t' || c == '\r'      ? ' '
               : static_cast<unsigned char>(c) < ' '    ? '?'
               : static_cast<unsigned char>(c) >= 0x7FU ? '?'
                                                        : c;
    }
    return out;
}

std::string to_json(const BackupJob& job) {
    json::Ordered out = json::Ordered::object();
    out["id"] = job.id;
    out["what"] = to_string(job.what);
    out["state"] = to_string(job.state);
    out["requested_by"] = to_string(job.asker);
    out["requested"] = to_iso(job.requested);
    set_time(out, "due", job.due);
    set_text(out, "member", job.member);
    if (!job.declined.empty()) out["declined"] = job.declined;
    set_text(out, "run", job.run);
    if (job.under != 0) out["under"] = job.under;
    if (job.ttl_s != 0) out["ttl"] = job.ttl_s;
    set_text(out, "primary", job.primary);
    if (job.attempts != 0) out["attempts"] = job.attempts;
    set_time(out, "begun", job.begun);
    set_time(out, "ended", job.ended);
    if (job.progress != JobProgress{}) out["progress"] = progress_json(job.progress);
    set_text(out, "stop", job.stop);
    if (job.interrupted) out["interrupted"] = true;
    set_text(out, "label", job.label);
    set_text(out, "result", job.result);
    set_time(out, "made_way", job.made_way);
    return json::compact(out);
}

Result<BackupJob> parse_backup_job(std::string_view text) {
    RLV_TRY(const auto object, json::parse_object(text));
    json::Fields fields(object);
    BackupJob job;
    std::string what, state, asker;
    fields.name("id", job.id);
    fields.text("what", what);
    fields.text("state", state);
    fields.text("requested_by", asker);
    std::optional<WallTime> requested;
    fields.time("requested", requested);
    fields.time("due", job.due);
    fields.name("member", job.member);
    read_declined(fields, job.declined);
    fields.name("run", job.run);
    fields.whole("under", job.under);
    fields.whole("ttl", job.ttl_s);
    fields.name("primary", job.primary);
    fields.whole("attempts", job.attempts);
    fields.time("begun", job.begun);
    fields.time("ended", job.ended);
    RLV_CHECK(read_progress(fields, job.progress));
    fields.text("stop", job.stop);
    fields.flag("interrupted", job.interrupted);
    fields.name("label", job.label);
    fields.text("result", job.result);
    fields.time("made_way", job.made_way);
    RLV_CHECK(fields.status());

    const auto known_what = find_word(what, whats);
    const auto known_state = find_word(state, states);
    const auto known_asker = find_word(asker, askers);
    if (job.id.empty() || !requested || !known_what || !known_state || !known_asker)
        return fail(ErrorCode::invalid,
                    "a backup job has id, requested, and what, state and requested_by of the "
                    "words that this version knows");
    if (*known_state == JobState::running && (job.member.empty() || job.run.empty()))
        return fail(ErrorCode::invalid, "a backup job that runs has a member and a run");
    job.what = *known_what;
    job.state = *known_state;
    job.asker = *known_asker;
    job.requested = *requested;
    job.ttl_s = std::min(job.ttl_s, count_max);
    job.attempts = std::min(job.attempts, count_max);
    job.result = job_sentence(job.result);
    job.stop = job_sentence(job.stop);
    return job;
}

}  // namespace relevo::cluster
