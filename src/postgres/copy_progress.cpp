#include "postgres/copy_progress.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace relevo::postgres {
namespace {

constexpr std::size_t line_max = 16UL << 10U;  // a file's path, with --verbose

std::optional<std::uint64_t> kilobytes(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    constexpr std::uint64_t most = 1ULL << 50U;
    if (error != std::errc() || end != text.data() + text.size() || value > most)
        return std::nullopt;
    return value << 10U;
}

// "  23456/262144 kB (8%), 0/1 tablespace", and without an estimate " 23456 kB (100%), ...".
bool read_line(std::string_view line, cluster::CopyProgress& out) {
    const auto unit = line.find(" kB ");
    if (unit == std::string_view::npos) return false;
    const auto parts = split(trim(line.substr(0, unit)), '/');
    const auto done = kilobytes(parts.front());
    const auto total = parts.size() == 2 ? kilobytes(parts[1]) : std::optional<std::uint64_t>(0);
    if (!done || !total || parts.size() > 2) return false;
    out.done_bytes = *done;
    out.total_bytes = *total;
    out.percent.reset();
    // What grew while it was copied was not estimated.
    if (*total > 0)
        out.percent =
            std::min(100.0, 100.0 * static_cast<double>(*done) / static_cast<double>(*total));
    return true;
}

}  // namespace

bool BasebackupProgress::read(std::string_view piece) {
    bool news = false;
    rest_ += piece;
    std::size_t begin = 0;
    for (auto end = rest_.find_first_of("\r\n"); end != std::string::npos;
         end = rest_.find_first_of("\r\n", begin)) {
        news |= read_line(std::string_view(rest_).substr(begin, end - begin), progress_);
        begin = end + 1;
    }
    rest_.erase(0, begin);
    if (rest_.size() > line_max) rest_.clear();
    return news;
}

}  // namespace relevo::postgres
