#include "postgres/wal_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "os/file.h"

namespace relevo::postgres {

namespace fs = std::filesystem;

namespace {

// xlog_internal.h: a page's header, and the longer one of a segment's first page.
constexpr std::uint64_t short_header = 24;
constexpr std::uint64_t long_header = 40;
constexpr std::uint32_t record_header = 24;
constexpr std::uint32_t record_max = 1 << 20;  // a checkpoint record has about 114 bytes

bool hexadecimal(std::string_view text) {
    return std::ranges::all_of(
        text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
}

bool is_segment(std::string_view name) { return name.size() == 24 && hexadecimal(name); }

// Every segment has the same size, whichever it is.
std::optional<std::uint64_t> segment_size(const std::string& wal_dir) {
    std::error_code error;
    for (auto at = fs::directory_iterator(wal_dir, error); !error && at != fs::directory_iterator();
         at.increment(error)) {
        if (!is_segment(at->path().filename().string())) continue;
        const auto size = at->file_size(error);
        if (!error && size >= (1U << 20) && (size & (size - 1)) == 0) return size;
    }
    return std::nullopt;
}

std::string segment_name(cluster::Timeline timeline, std::uint64_t segment, std::uint64_t size) {
    const std::uint64_t per_id = 0x100000000ULL / size;
    return fmt::format("{:08X}{:08X}{:08X}", timeline, segment / per_id, segment % per_id);
}

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + 7) & ~std::uint64_t{7}; }

template <class Number>
std::optional<Number> read_at(std::ifstream& file, std::uint64_t offset) {
    std::array<char, sizeof(Number)> raw{};
    if (!file.seekg(static_cast<std::streamoff>(offset)) || !file.read(raw.data(), raw.size()))
        return std::nullopt;
    Number number{};
    std::memcpy(&number, raw.data(), sizeof number);
    return number;
}

}  // namespace

bool is_wal_file(std::string_view name) {
    return is_segment(name) ||
           (name.size() == 16 && name.ends_with(".history") && hexadecimal(name.substr(0, 8)));
}

Result<cluster::Lsn> checkpoint_end(const std::string& wal_dir, cluster::Lsn at,
                                    cluster::Timeline timeline) {
    const auto size = segment_size(wal_dir);
    if (!size) return fail(ErrorCode::not_found, fmt::format("{} holds no WAL segment", wal_dir));
    const std::string name = segment_name(timeline, at.value / *size, *size);
    std::ifstream file(wal_dir + "/" + name, std::ios::binary);
    if (!file)
        return fail(ErrorCode::not_found,
                    fmt::format("WAL segment {} with the last checkpoint is gone", name));
    const auto page_size = read_at<std::uint32_t>(file, 36);  // xlp_xlog_blcksz of the long header
    const auto length = read_at<std::uint32_t>(file, at.value % *size);
    if (!page_size || !length || *page_size < 1024 || *length < record_header ||
        *length > record_max)
        return fail(ErrorCode::invalid,
                    fmt::format("WAL segment {} has no record at {}", name, to_string(at)));

    std::uint64_t left = *length;
    std::uint64_t position = at.value;
    for (;;) {
        const std::uint64_t room = *page_size - position % *page_size;
        if (aligned(left) <= room) return cluster::Lsn{position + aligned(left)};
        left -= room;
        position += room;
        position += position % *size == 0 ? long_header : short_header;
    }
}

std::optional<WalPlace> wal_place(const std::string& wal_dir, cluster::Lsn at,
                                  cluster::Timeline timeline) {
    const auto size = segment_size(wal_dir);
    if (!size) return std::nullopt;
    return WalPlace{segment_name(timeline, at.value / *size, *size), at.value % *size};
}

std::string read_wal(const std::string& wal_dir, const WalPlace& place, std::size_t bytes) {
    std::ifstream file(wal_dir + "/" + place.file, std::ios::binary);
    std::string content(bytes, '\0');
    if (!file || !file.seekg(static_cast<std::streamoff>(place.offset))) return {};
    file.read(content.data(), static_cast<std::streamsize>(bytes));
    content.resize(static_cast<std::size_t>(file.gcount()));
    return content;
}

cluster::Timeline newest_timeline_at(const std::string& wal_dir, std::uint64_t byte,
                                     std::uint64_t segment_size) {
    const auto names = os::list_directory(wal_dir);
    if (!names || segment_size == 0) return 0;
    const std::uint64_t segment = byte / segment_size;
    const std::uint64_t per_id = 0x1'0000'0000ULL / segment_size;
    const std::string wanted = fmt::format("{:08X}{:08X}", segment / per_id, segment % per_id);
    cluster::Timeline newest = 0;
    for (const auto& name : *names) {
        if (name.size() != 24 || !hexadecimal(name) || name.substr(8) != wanted) continue;
        cluster::Timeline timeline = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + 8, timeline, 16);
        if (parsed.ec == std::errc{}) newest = std::max(newest, timeline);
    }
    return newest;
}

std::uint64_t wal_segment_bytes(const std::string& wal_dir) {
    return segment_size(wal_dir).value_or(0);
}

std::vector<std::string> those_on_line(const std::vector<std::string>& names,
                                       const cluster::WalLine& line, std::uint64_t segment_bytes) {
    const auto number = [](std::string_view digits) {
        std::uint64_t value = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        return value;
    };
    const auto lies_on = [&](const std::string& name) {
        if (name.size() < 8 || !hexadecimal(std::string_view(name).substr(0, 8))) return false;
        const auto timeline =
            static_cast<cluster::Timeline>(number(std::string_view(name).substr(0, 8)));
        if (name.ends_with(".history")) return line.knows(timeline);
        if (timeline == line.timeline) return true;
        constexpr std::size_t digits = 24;
        if (segment_bytes == 0 || !is_segment(std::string_view(name).substr(0, digits)))
            return false;
        const std::uint64_t begins = (number(std::string_view(name).substr(8, 8)) << 32U) +
                                     number(std::string_view(name).substr(16, 8)) * segment_bytes;
        // A .partial or .backup is no segment that recovery would read beyond the fork.
        const bool whole = name.size() == digits;
        return line.has(timeline, cluster::Lsn{begins + (whole ? segment_bytes : 0)});
    };
    std::vector<std::string> out;
    std::ranges::copy_if(names, std::back_inserter(out), lies_on);
    return out;
}

std::vector<std::string> ready_wal_files(const std::string& archive_status_dir) {
    std::vector<std::string> names;
    if (auto all = os::list_directory(archive_status_dir))
        for (const std::string& file : *all)
            if (file.ends_with(".ready")) names.push_back(file.substr(0, file.size() - 6));
    std::ranges::sort(names, [](const std::string& a, const std::string& b) {
        const bool history_a = a.ends_with(".history");
        const bool history_b = b.ends_with(".history");
        return history_a != history_b ? history_a : a < b;
    });
    return names;
}

}  // namespace relevo::postgres
