#include "cluster/corruption.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/corruption_json.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

using What = CorruptionFinding::What;

// A cluster with many databases on one bad disk: who reads it needs no more, and the key is small.
constexpr std::size_t findings_shown = 3;
// Of the mark: more are of no use to anybody.
constexpr std::size_t findings_kept = 100;
// Whoever may connect can have more of them written.
constexpr std::size_t lines_kept = 20;

std::optional<What> parse_what(std::string_view text) {
    for (const What what : {What::checksum, What::backup, What::amcheck, What::mark, What::log})
        if (text == to_string(what)) return what;
    return std::nullopt;
}

using Findings = std::vector<CorruptionFinding>;

CorruptionFinding* known(Findings& list, What what, const std::string& where) {
    const auto at = std::ranges::find_if(
        list, [&](const auto& one) { return one.what == what && one.where == where; });
    return at == list.end() ? nullptr : &*at;
}

void find(Findings& list, What what, const std::string& where, std::uint64_t count, WallTime at,
          std::size_t kept = findings_kept) {
    if (auto* one = known(list, what, where)) {
        one->count += count;
        one->last = std::max(one->last, at);
    } else if (list.size() < kept) {
        list.push_back({what, where, count, at, at});
    }
}

// Databases may have any name; a note is one line, and is shown on terminals.
std::string shown(std::string name) { return one_line(std::move(name), '?'); }

std::string describe(const CorruptionFinding& one) {
    const auto where = one.where.empty() ? "shared objects" : "database " + shown(one.where);
    switch (one.what) {
        case What::checksum:
            return fmt::format("{} {} in {} did not match, last at {}", one.count,
                               one.count == 1 ? "page checksum" : "page checksums", where,
                               to_iso(one.last));
        case What::backup: return "pgBackRest found page errors in backup " + one.where;
        case What::amcheck:
            return fmt::format("amcheck made {} {} on {}, last at {}", one.count,
                               one.count == 1 ? "report" : "reports", shown(one.where),
                               to_iso(one.last));
        case What::mark:
            return "the mark beside the data directory cannot be read: " + shown(one.where);
        case What::log:
            // Without what changes with each line: whoever writes them writes member keys with it.
            return fmt::format("\"{}\" (first at {})", shown(one.where), to_iso(one.first));
    }
    return {};
}

// The first few of them.
std::string describe(const Findings& list) {
    std::vector<std::string> parts;
    for (const auto& one : list) {
        if (parts.size() == findings_shown) {
            parts.push_back(fmt::format("{} more", list.size() - findings_shown));
            break;
        }
        parts.push_back(describe(one));
    }
    return join(parts, "; ");
}

std::string time_text(Duration took) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(took).count();
    constexpr int minute = 60, hour = 3600;
    if (seconds < minute) return fmt::format("{} s", seconds);
    if (seconds < hour) return fmt::format("{} min {} s", seconds / minute, seconds % minute);
    return fmt::format("{} h {} min", seconds / hour, seconds % hour / minute);
}

std::string counted(std::uint64_t count, const char* one, const char* many) {
    return fmt::format("{} {}", count, count == 1 ? one : many);
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

Result<Findings> read_findings(const json::Json& list) {
    Findings out;
    for (const auto& each : list) {
        RLV_TRY(auto one, read_finding(each));
        out.push_back(std::move(one));
    }
    return out;
}

}  // namespace

const char* to_string(What what) {
    switch (what) {
        case What::checksum: return "checksum_failures";
        case What::backup: return "backup";
        case What::amcheck: return "amcheck";
        case What::mark: return "mark";
        case What::log: return "log";
    }
    return "";
}

json::Ordered findings_json(const std::vector<CorruptionFinding>& list) {
    auto out = json::Ordered::array();
    for (const auto& one : list)
        out.push_back({{"what", to_string(one.what)},
                       {"where", one.where},
                       {"count", one.count},
                       {"first", to_iso(one.first)},
                       {"last", to_iso(one.last)}});
    return out;
}

std::string to_json(const Corruption& mark) {
    json::Ordered out = json::Ordered::object();
    out["found"] = findings_json(mark.found);
    // What an agent does not know, it leaves out.
    if (!mark.logged.empty()) out["log"] = findings_json(mark.logged);
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
    const auto* logged = fields.find("log");
    if (logged != nullptr && !logged->is_array()) fields.wrong("log", "a list");
    RLV_CHECK(fields.status());
    RLV_TRY(mark.found, read_findings(*found));
    if (logged != nullptr) {
        RLV_TRY(mark.logged, read_findings(*logged));
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
        if (more > 0) find(mark.found, What::checksum, one.database, more, one.last.value_or(now));
        seen[one.database] = one.failures;
    }
    mark.seen = std::move(seen);
}

void learn_backup(Corruption& mark, const std::string& label, WallTime now) {
    find(mark.found, What::backup, label, 0, now);
}

void learn_amcheck(Corruption& mark, const std::string& where, std::uint64_t reports,
                   WallTime now) {
    auto* before = known(mark.found, What::amcheck, where);
    if (before == nullptr) return find(mark.found, What::amcheck, where, reports, now);
    // Each look counts all that there is.
    before->count = reports;
    before->last = std::max(before->last, now);
}

void learn_log(Corruption& mark, const std::string& where, WallTime now) {
    // A flood of them is no flood of writing.
    constexpr auto often = std::chrono::minutes(1);
    const auto* before = known(mark.logged, What::log, where);
    if (before != nullptr && now >= before->last && now - before->last < often) return;
    find(mark.logged, What::log, where, 1, now, lines_kept);
}

bool perhaps_replicated(const Corruption& mark) {
    return mark.corrupted() && std::ranges::all_of(mark.found, [](const auto& one) {
               return one.what == What::amcheck;
           });
}

void forget(Corruption& mark) {
    mark.found.clear();
    mark.logged.clear();
}

std::string describe(const AmcheckRun& run) {
    auto out = fmt::format(
        "{} of {} in {}, {}", counted(run.relations, "relation", "relations"),
        counted(run.databases, "database", "databases"), time_text(run.took),
        run.damaged == 0 ? "nothing found" : counted(run.damaged, "is damaged", "are damaged"));
    if (run.left_out > 0)
        out += fmt::format("; {} could not be looked at, the first: {}", run.left_out,
                           shown(run.left_out_first));
    if (!run.given_up.empty()) out += "; given up: " + shown(run.given_up);
    return out;
}

std::string corruption_note(const Corruption& mark, std::string_view scope,
                            std::string_view member) {
    if (!mark.corrupted()) {
        if (mark.logged.empty()) return {};
        return fmt::format(
            "PostgreSQL wrote into its log: {}. To do: read the lines around it there; `relevoctl "
            "amcheck {} {}` looks whether this member's data is damaged (on a standby; on a leader "
            "pg_amcheck does). When all is well, `relevoctl flush {} {} corruption`",
            describe(mark.logged), scope, member, scope, member);
    }
    return fmt::format(
        "{}. To do: if it leads, `relevoctl switchover {}` to a clean member; then `relevoctl "
        "reinit {} {}` copies it anew (keep its disk and its old directory if no other member has "
        "all rows: pg_amcheck and the server log tell what is damaged). When its data is known "
        "to be good, `relevoctl flush {} {} corruption`",
        describe(mark.found), scope, scope, member, scope, member);
}

}  // namespace relevo::cluster
