#include "cluster/journal.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "cluster/json.h"

namespace relevo::cluster {
namespace {

using Kind = JournalKind;
constexpr std::size_t text_max = 400;
constexpr std::size_t entries_max = 20'000;

constexpr std::array all_kinds = {
    Kind::suspects,    Kind::hears_again,  Kind::silent_in_dcs, Kind::asked,       Kind::deposed,
    Kind::not_deposed, Kind::crashed,      Kind::kills,         Kind::killed,      Kind::handover,
    Kind::released,    Kind::gone,         Kind::lost,          Kind::sealing,     Kind::sealed,
    Kind::counted,     Kind::waits,        Kind::not_taken,     Kind::took,        Kind::promotes,
    Kind::promoted,    Kind::not_promoted, Kind::names,         Kind::serves,      Kind::leader,
    Kind::follows,     Kind::ordered,      Kind::dcs_silent,    Kind::dcs_answers, Kind::backed,
    Kind::action,      Kind::note,         Kind::agent,
};

std::optional<Kind> parse_kind(std::string_view text) {
    const auto* const found =
        std::ranges::find_if(all_kinds, [&](Kind kind) { return text == to_string(kind); });
    if (found == all_kinds.end()) return std::nullopt;
    return *found;
}

// Cut between characters, not inside of one.
std::string shown(std::string_view text) {
    if (text.size() > text_max) {
        std::size_t end = text_max;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
        text = text.substr(0, end);
    }
    std::string out(text);
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(out[i]); };
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (byte(i) < 0x20 || byte(i) == 0x7F) out[i] = ' ';
        // U+0080 to U+009F, some of which terminals obey.
        if (byte(i) == 0xC2 && i + 1 < out.size() && byte(i + 1) < 0xA0) out[i] = out[i + 1] = ' ';
    }
    return out;
}

json::Ordered to_object(const JournalEntry& entry) {
    json::Ordered out;
    out["seq"] = entry.sequence;
    out["time"] = to_iso(entry.wall);
    out["mono_ns"] = entry.mono.time_since_epoch().count();
    out["member"] = shown(entry.member);
    out["term"] = entry.term;
    out["kind"] = to_string(entry.kind);
    if (!entry.about.empty()) out["about"] = shown(entry.about);
    if (!entry.answer.empty()) out["answer"] = shown(entry.answer);
    if (entry.lsn) out["lsn"] = to_string(entry.lsn);
    if (entry.timeline != 0) out["timeline"] = entry.timeline;
    if (entry.revision != 0) out["revision"] = entry.revision;
    if (entry.ms >= 0) out["ms"] = entry.ms;
    out["text"] = shown(entry.text);
    return out;
}

std::optional<WallTime> time_of(const json::Json& object) {
    const auto* const at = object.contains("time") ? &object["time"] : nullptr;
    if (at == nullptr || !at->is_string()) return std::nullopt;
    const auto parsed = parse_iso(at->get<std::string>());
    // Years that every writer and reader of such texts agrees on.
    constexpr WallTime first = std::chrono::sys_days(std::chrono::year(1970) / 1 / 1);
    constexpr WallTime last = std::chrono::sys_days(std::chrono::year(9999) / 1 / 1);
    if (!parsed || !parsed->has_zone || parsed->time < first || parsed->time > last)
        return std::nullopt;
    return parsed->time;
}

Instant mono_of(json::Fields& fields) {
    std::int64_t ns = 0;
    fields.whole("mono_ns", ns);
    return Instant(Duration(ns));
}

Result<JournalEntry> read_entry(const json::Json& object) {
    if (!object.is_object()) return fail(ErrorCode::invalid, "an entry is an object");
    JournalEntry entry;
    json::Fields fields(object);
    std::string kind, lsn;
    fields.whole("seq", entry.sequence);
    entry.mono = mono_of(fields);
    fields.text("member", entry.member);
    fields.whole("term", entry.term);
    fields.text("kind", kind);
    fields.text("about", entry.about);
    fields.text("answer", entry.answer);
    fields.text("lsn", lsn);
    fields.whole("timeline", entry.timeline);
    fields.whole("revision", entry.revision);
    fields.whole("ms", entry.ms);
    fields.text("text", entry.text);
    RLV_CHECK(fields.status());
    const auto time = time_of(object);
    const auto known = parse_kind(kind);
    const auto position = lsn.empty() ? Lsn{} : parse_lsn(lsn);
    if (!time || !known || !position || entry.member.empty() || entry.sequence == 0)
        return fail(ErrorCode::invalid, "not an entry of this journal");
    entry.wall = *time;
    entry.kind = *known;
    entry.lsn = *position;
    for (auto* text : {&entry.member, &entry.about, &entry.answer, &entry.text})
        *text = shown(*text);
    return entry;
}

}  // namespace

const char* to_string(JournalKind kind) {
    switch (kind) {
        case Kind::suspects: return "suspects";
        case Kind::hears_again: return "hears_again";
        case Kind::silent_in_dcs: return "silent_in_dcs";
        case Kind::asked: return "asked";
        case Kind::deposed: return "deposed";
        case Kind::not_deposed: return "not_deposed";
        case Kind::crashed: return "crashed";
        case Kind::kills: return "kills";
        case Kind::killed: return "killed";
        case Kind::handover: return "handover";
        case Kind::released: return "released";
        case Kind::gone: return "gone";
        case Kind::lost: return "lost";
        case Kind::sealing: return "sealing";
        case Kind::sealed: return "sealed";
        case Kind::counted: return "counted";
        case Kind::waits: return "waits";
        case Kind::not_taken: return "not_taken";
        case Kind::took: return "took";
        case Kind::promotes: return "promotes";
        case Kind::promoted: return "promoted";
        case Kind::not_promoted: return "not_promoted";
        case Kind::names: return "names";
        case Kind::serves: return "serves";
        case Kind::leader: return "leader";
        case Kind::follows: return "follows";
        case Kind::ordered: return "ordered";
        case Kind::dcs_silent: return "dcs_silent";
        case Kind::dcs_answers: return "dcs_answers";
        case Kind::backed: return "backed";
        case Kind::action: return "action";
        case Kind::note: return "note";
        case Kind::agent: return "agent";
    }
    return "?";
}

bool ends_a_term(JournalKind kind) { return kind <= Kind::not_taken; }
bool begins_a_term(JournalKind kind) { return kind >= Kind::took && kind <= Kind::follows; }

std::string to_json(const JournalEntry& entry) { return json::compact(to_object(entry)); }

Result<JournalEntry> parse_journal_entry(std::string_view line) {
    RLV_TRY(const auto object, json::parse_object(line));
    return read_entry(object);
}

std::string journal_json(const MemberName& member, WallTime wall, Instant mono,
                         const std::vector<std::string_view>& entries) {
    json::Ordered head;
    head["member"] = shown(member);
    head["time"] = to_iso(wall);
    head["mono_ns"] = mono.time_since_epoch().count();
    std::string out = json::compact(head);
    out.pop_back();
    out += ",\"entries\":[";
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (i > 0) out += ",\n";
        out += entries[i];
    }
    return out + "]}";
}

Result<Journal> parse_journal(std::string_view text) {
    RLV_TRY(const auto object, json::parse_object(text));
    Journal journal;
    json::Fields fields(object);
    fields.text("member", journal.member);
    journal.mono = mono_of(fields);
    RLV_CHECK(fields.status());
    const auto time = time_of(object);
    const auto at = object.find("entries");
    if (!time || journal.member.empty() || at == object.end() || !at->is_array())
        return fail(ErrorCode::invalid, "not a member's journal");
    if (at->size() > entries_max) return fail(ErrorCode::invalid, "a journal of too many entries");
    journal.member = shown(journal.member);
    journal.wall = *time;
    for (const auto& one : *at) {
        auto entry = read_entry(one);
        // Whoever answers speaks for itself only.
        if (entry && entry->member == journal.member)
            journal.entries.push_back(*std::move(entry));
        else
            ++journal.unreadable;
    }
    return journal;
}

}  // namespace relevo::cluster
