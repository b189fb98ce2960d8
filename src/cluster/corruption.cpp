#include "cluster/corruption.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

using What = CorruptionFinding::What;

// A cluster with many databases on one bad disk: who reads it needs no more, and the key is small.
constexpr std::size_t findings_shown = 3;
// Of the mark: more are of no use to anybody.
constexpr std::size_t findings_kept = 100;

std::optional<What> parse_what(std::string_view text) {
    for (const What what : {What::checksum, What::backup, What::mark})
        if (text == to_string(what)) return what;
    return std::nullopt;
}

void find(Corruption& mark, What what, const std::string& where, std::uint64_t count, WallTime at) {
    const auto known = std::ranges::find_if(
        mark.found, [&](const auto& one) { return one.what == what && one.where == where; });
    if (known != mark.found.end()) {
        known->count += count;
        known->last = std::max(known->last, at);
    } else if (mark.found.size() < findings_kept) {
        mark.found.push_back({what, where, count, at, at});
    }
}

// Databases may have any name; a note is one line, and is shown on terminals.
std::string shown(std::string name) {
    std::ranges::replace_if(name, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
    return name;
}

std::string describe(const CorruptionFinding& one) {
    const auto where = one.where.empty() ? "shared objects" : "database " + shown(one.where);
    switch (one.what) {
        case What::checksum:
            return fmt::format("{} {} in {} did not match, last at {}", one.count,
                               one.count == 1 ? "page checksum" : "page checksums", where,
                               to_iso(one.last));
        case What::backup: return "pgBackRest found page errors in backup " + one.where;
        case What::mark:
            return "the mark beside the data directory cannot be read: " + shown(one.where);
    }
    return {};
}

void read_time(json::Fields& fields, const char* key, WallTime& out) {
    std::string text;
    fields.text(key, text);
    if (const auto time = parse_iso(text))
        out = time->time;
    else
        fields.wrong(key, "a time");
}

Result<CorruptionFinding> read_finding(const json::Json& object) {
    if (!object.is_object()) return fail(ErrorCode::invalid, "found must be a list of objects");
    json::Fields fields(object);
    CorruptionFinding one;
    std::string what;
    fields.text("what", what);
    fields.text("where", one.where);
    fields.whole("count", one.count);
    read_time(fields, "first", one.first);
    read_time(fields, "last", one.last);
    RLV_CHECK(fields.status());
    const auto known = parse_what(what);
    if (!known) return fail(ErrorCode::invalid, "what was found is of no known kind");
    one.what = *known;
    return one;
}

}  // namespace

const char* to_string(What what) {
    switch (what) {
        case What::checksum: return "checksum_failures";
        case What::backup: return "backup";
        case What::mark: return "mark";
    }
    return "";
}

std::string to_json(const Corruption& mark) {
    json::Ordered out = json::Ordered::object();
    out["found"] = json::Ordered::array();
    for (const auto& one : mark.found)
        out["found"].push_back({{"what", to_string(one.what)},
                                {"where", one.where},
                                {"count", one.count},
                                {"first", to_iso(one.first)},
                                {"last", to_iso(one.last)}});
    out["seen"] = json::Ordered::object();
    for (const auto& [database, failures] : mark.seen) out["seen"][database] = failures;
    return json::compact(out);
}

Result<Corruption> parse_corruption(std::string_view text) {
    RLV_TRY(const json::Json object, json::parse_object(text));
    json::Fields fields(object);
    Corruption mark;
    const auto* found = fields.find("found");
    if (found == nullptr || !found->is_array()) fields.wrong("found", "a list");
    const auto* seen = fields.find("seen");
    if (seen != nullptr && !seen->is_object()) fields.wrong("seen", "an object");
    RLV_CHECK(fields.status());
    for (const auto& each : *found) {
        RLV_TRY(auto one, read_finding(each));
        mark.found.push_back(std::move(one));
    }
    if (seen == nullptr) return mark;
    for (const auto& [database, value] : seen->items()) {
        const auto failures = json::whole_number<std::uint64_t>(value);
        if (!failures) return fail(ErrorCode::invalid, "seen must have whole numbers");
        mark.seen[database] = *failures;
    }
    return mark;
}

void learn_counts(Corruption& mark, const std::vector<ChecksumCount>& counts, WallTime now) {
    std::map<std::string, std::uint64_t> seen;
    for (const auto& one : counts) {
        if (one.failures == 0) continue;
        const auto at = mark.seen.find(one.database);
        const auto before = at == mark.seen.end() ? 0 : at->second;
        // Statistics that were reset or lost count from 0 again.
        const auto more = one.failures >= before ? one.failures - before : one.failures;
        if (more > 0) find(mark, What::checksum, one.database, more, one.last.value_or(now));
        seen[one.database] = one.failures;
    }
    mark.seen = std::move(seen);
}

void learn_backup(Corruption& mark, const std::string& label, WallTime now) {
    find(mark, What::backup, label, 0, now);
}

void forget(Corruption& mark) { mark.found.clear(); }

std::string corruption_note(const Corruption& mark, std::string_view scope,
                            std::string_view member) {
    if (!mark.corrupted()) return {};
    std::vector<std::string> parts;
    for (const auto& one : mark.found) {
        if (parts.size() == findings_shown) {
            parts.push_back(fmt::format("{} more", mark.found.size() - findings_shown));
            break;
        }
        parts.push_back(describe(one));
    }
    return fmt::format(
        "{}. To do: if it leads, `relevoctl switchover {}` to a clean member; then `relevoctl "
        "reinit {} {}` copies it anew (keep its disk and its old directory if no other member has "
        "all rows: pg_amcheck and the server log tell what is damaged). When its data is known "
        "to be good, `relevoctl flush {} {} corruption`",
        join(parts, "; "), scope, scope, member, scope, member);
}

}  // namespace relevo::cluster
