#include "pgbackrest/progress.h"

#include <charconv>
#include <optional>

#include "base/text.h"

namespace relevo::pgbackrest {
namespace {

constexpr std::size_t line_max = 64UL << 10U;  // a file's path, and some more

// "8KB", "1.5MB", "12B"
std::optional<std::uint64_t> bytes(std::string_view text) {
    struct Unit {
        std::string_view name;
        double bytes;
    };
    constexpr Unit units[] = {{"KB", 0x1p10}, {"MB", 0x1p20}, {"GB", 0x1p30},
                              {"TB", 0x1p40}, {"PB", 0x1p50}, {"B", 1}};
    for (const auto& unit : units) {
        if (!text.ends_with(unit.name)) continue;
        const auto number = text.substr(0, text.size() - unit.name.size());
        double value = 0;
        const auto [end, error] =
            std::from_chars(number.data(), number.data() + number.size(), value);
        value *= unit.bytes;
        // One file: a segment of a table, 1 GB unless somebody built his own PostgreSQL.
        constexpr double most = 0x1p50;
        if (error != std::errc() || end != number.data() + number.size() ||
            !(value >= 0 && value <= most))
            return std::nullopt;
        return static_cast<std::uint64_t>(value);
    }
    return std::nullopt;
}

std::optional<double> percent(std::string_view text) {
    if (!text.ends_with('%')) return std::nullopt;
    text.remove_suffix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= 0) || value > 100)
        return std::nullopt;
    return value;
}

}  // namespace

// Each piece may end in the middle of a line.
bool ProgressReader::read(std::string_view piece) {
    bool news = false;
    rest_ += piece;
    std::size_t begin = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
        news |= read_line(std::string_view(rest_).substr(begin, end - begin));
        begin = end + 1;
    }
    rest_.erase(0, begin);
    if (rest_.size() > line_max) rest_.clear();
    return news;
}

// "P01 DETAIL: backup file /srv/data/base/1/1255 (608KB, 2.39%) checksum 0f...", and at the end
// "P00   INFO: new backup label = 20260514-010000F". A restore's: "restore file
// /srv/data/base/1/1255 (608KB, 2.39%) checksum 0f...", with delta also "... - exists and matches
// backup (608KB, ...".
bool ProgressReader::read_line(std::string_view line) {
    constexpr std::string_view made = "new backup label = ";
    if (const auto at = line.find(made); at != line.npos) {
        label_ = std::string(trim(line.substr(at + made.size())));
        return false;
    }
    // The path may hold brackets too.
    const auto close = line.rfind(')');
    const auto open = close == line.npos ? line.npos : line.rfind('(', close);
    const bool copies = line.contains("backup file") || line.contains("restore file");
    if (open == line.npos || !copies) return false;
    const auto parts = split(line.substr(open + 1, close - open - 1), ',');
    if (parts.size() < 2) return false;
    const auto size = bytes(trim(parts[parts.size() - 2]));  // "bundle 1/0, 8KB, 2.39%"
    const auto share = percent(trim(parts.back()));
    if (!size || !share) return false;
    progress_.done_bytes += *size;
    progress_.percent = share;
    // The only sum that it tells is the share: from a few percent on it is good enough to show.
    const double total = static_cast<double>(progress_.done_bytes) * 100.0 / *share;
    if (*share >= 1 && total < 0x1p60) progress_.total_bytes = static_cast<std::uint64_t>(total);
    return true;
}

std::vector<std::string> expired(std::string_view output) {
    std::vector<std::string> out;
    for (const auto& line : split(output, '\n')) {
        const auto at = line.find("INFO: ");
        if (at == std::string::npos) continue;
        const auto what = trim(std::string_view(line).substr(at + 6));
        if (what.contains("expire ") || what.contains("remove ")) {
            if (!what.contains("command begin") && !what.contains("command end"))
                out.emplace_back(what);
        }
    }
    return out;
}

}  // namespace relevo::pgbackrest
