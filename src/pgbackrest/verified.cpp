#include "pgbackrest/verified.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"

namespace relevo::pgbackrest {
namespace {

// "total files checked: 964, ..." -> 964
std::uint64_t number_after(std::string_view line, std::string_view words) {
    const auto at = line.find(words);
    if (at == std::string_view::npos) return 0;
    const auto rest = line.substr(at + words.size());
    const auto end = std::min(rest.find_first_not_of("0123456789"), rest.size());
    const auto number = parse_decimal(rest.substr(0, end));
    return number && *number > 0 ? static_cast<std::uint64_t>(*number) : 0;
}

// "P01   INFO: invalid checksum '20260514-010000F/pg_data/base/5/1259.lz4'" without its beginning;
// empty: the line names no damage.
std::string_view damage(std::string_view line) {
    for (const std::string_view level : {" INFO: ", " WARN: "}) {
        const auto at = line.find(level);
        if (at == std::string_view::npos) continue;
        const auto said = trim(line.substr(at + level.size()));
        const bool names_one = said.contains('\'') && !said.starts_with("verify command");
        for (const std::string_view bad :
             {"missing", "invalid", "duplicate", "unable", "mismatch", "does not"})
            if (names_one && said.contains(bad)) return said;
    }
    return {};
}

}  // namespace

Verified verified(std::string_view output) {
    Verified out;
    std::set<std::string_view> seen;  // the report is there twice: on the console and as the answer
    for (const auto& line : split(output, '\n')) {
        const auto text = trim(line);
        if (text == "status: ok") out.ok = true;
        if (const auto what = damage(line); !what.empty()) out.damaged.emplace_back(what);
        const auto files = number_after(text, "total files checked: ");
        const auto wal = number_after(text, "total WAL checked: ");
        if ((files > 0 || wal > 0) && seen.insert(text).second) {
            out.files += files;
            out.wal_files += wal;
        }
    }
    if (!out.damaged.empty()) out.ok = false;
    return out;
}

std::string describe(const Verified& found) {
    const auto looked_at = fmt::format("{} files of backups and {} WAL segments were read",
                                       found.files, found.wal_files);
    if (found.ok) return "the repository is as it was written: " + looked_at;
    if (found.damaged.empty())
        return "the repository is damaged, and pgBackRest does not say where: " + looked_at;
    constexpr std::size_t most = 5;
    std::vector<std::string> first(
        found.damaged.begin(),
        found.damaged.begin() + static_cast<std::ptrdiff_t>(std::min(most, found.damaged.size())));
    const auto more = found.damaged.size() > most
                          ? fmt::format(" and {} more", found.damaged.size() - most)
                          : std::string();
    return fmt::format(
        "the repository is damaged: {}{}. Backups that need these files cannot be "
        "restored: make a full one now (relevoctl backup run). {}",
        join(first, ", "), more, looked_at);
}

}  // namespace relevo::pgbackrest
