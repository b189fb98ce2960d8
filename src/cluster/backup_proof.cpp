#include "cluster/backup_proof.h"

#include <algorithm>

#include "cluster/backup_job.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

constexpr std::size_t kept_max = 12, read_max = 100, sentence_max = 500;
constexpr std::int64_t year_ms = std::int64_t{366} * 86'400'000;

std::string sentence(std::string_view text) {
    auto out = job_sentence(text);
    if (out.size() > sentence_max) out.resize(sentence_max);
    return out;
}

using json::set_text, json::set_time;

void set_number(json::Ordered& out, const char* key, const std::optional<std::int64_t>& number) {
    if (number) out[key] = *number;
}

json::Ordered to_object(const ProofRecord& proof) {
    json::Ordered out = json::Ordered::object();
    out["id"] = proof.id;
    out["begun"] = to_iso(proof.begun);
    set_time(out, "due", proof.due);
    out["member"] = proof.member;
    set_text(out, "backup", proof.backup);
    out["ok"] = proof.ok;
    set_text(out, "step", proof.step);
    set_text(out, "result", sentence(proof.result));
    set_text(out, "unchecked", sentence(proof.unchecked));
    if (proof.bytes != 0) out["bytes"] = proof.bytes;
    set_number(out, "restore_ms", proof.restore_ms);
    set_number(out, "recovery_ms", proof.recovery_ms);
    set_number(out, "checks_ms", proof.checks_ms);
    if (proof.restored_to) out["restored_to"] = to_string(proof.restored_to);
    set_time(out, "newest", proof.newest);
    return out;
}

void read_ms(json::Fields& fields, const char* key, std::optional<std::int64_t>& out) {
    if (fields.find(key) == nullptr) return;
    std::int64_t number = -1;
    fields.whole(key, number);
    if (number > year_ms) return fields.wrong(key, "less than a year");
    if (number >= 0) out = number;
}

Result<ProofRecord> read_one(const json::Json& object) {
    if (!object.is_object())
        return fail(ErrorCode::invalid,
                    "a proof is an object, not " + std::string(json::type_name(object)));
    json::Fields fields(object);
    ProofRecord out;
    std::optional<WallTime> begun;
    fields.name("id", out.id);
    fields.time("begun", begun);
    fields.time("due", out.due);
    fields.name("member", out.member);
    fields.name("backup", out.backup);
    fields.flag("ok", out.ok);
    fields.name("step", out.step);
    fields.text("result", out.result);
    fields.text("unchecked", out.unchecked);
    fields.whole("bytes", out.bytes);
    read_ms(fields, "restore_ms", out.restore_ms);
    read_ms(fields, "recovery_ms", out.recovery_ms);
    read_ms(fields, "checks_ms", out.checks_ms);
    std::string lsn;
    fields.text("restored_to", lsn);
    if (!lsn.empty()) {
        const auto read = parse_lsn(lsn);
        if (!read) fields.wrong("restored_to", "a position as 0/4000060");
        if (read) out.restored_to = *read;
    }
    fields.time("newest", out.newest);
    RLV_CHECK(fields.status());
    if (!begun) return fail(ErrorCode::invalid, "a proof has begun at some time");
    out.begun = *begun;
    out.result = sentence(out.result);
    out.unchecked = sentence(out.unchecked);
    return out;
}

}  // namespace

std::optional<std::chrono::seconds> ProofRecord::newest_age() const {
    if (!newest) return std::nullopt;
    return std::max(std::chrono::seconds(0),
                    std::chrono::floor<std::chrono::seconds>(begun - *newest));
}

std::int64_t ProofRecord::took_ms() const {
    return restore_ms.value_or(0) + recovery_ms.value_or(0) + checks_ms.value_or(0);
}

std::string to_json(const std::vector<ProofRecord>& proofs) {
    json::Ordered list = json::Ordered::array();
    for (const auto& proof : proofs) list.push_back(to_object(proof));
    json::Ordered out = json::Ordered::object();
    out["proofs"] = std::move(list);
    return json::compact(out);
}

Result<std::vector<ProofRecord>> parse_proofs(std::string_view text) {
    RLV_TRY(const auto object, json::parse_object(text));
    const auto list = object.find("proofs");
    if (list == object.end() || !list->is_array() || list->size() > read_max)
        return fail(ErrorCode::invalid, "the proofs of restores are a list, {\"proofs\": [...]}");
    std::vector<ProofRecord> out;
    for (const auto& one : *list) {
        RLV_TRY(auto proof, read_one(one));
        out.push_back(std::move(proof));
    }
    return out;
}

std::vector<ProofRecord> with_proof(std::vector<ProofRecord> proofs, ProofRecord next) {
    proofs.push_back(std::move(next));
    while (proofs.size() > kept_max) {
        // The last good one is what people ask for, however many came to nothing since.
        const bool keeps_first = last_good(proofs) == &proofs.front();
        proofs.erase(proofs.begin() + (keeps_first ? 1 : 0));
    }
    return proofs;
}

const ProofRecord* last_good(const std::vector<ProofRecord>& proofs) {
    const auto found = std::find_if(proofs.rbegin(), proofs.rend(),
                                    [](const ProofRecord& proof) { return proof.ok; });
    return found == proofs.rend() ? nullptr : &*found;
}

}  // namespace relevo::cluster
