#include "postgres/wal_tail.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <ranges>
#include <vector>

#include "os/file.h"
#include "postgres/wal_file.h"

namespace relevo::postgres {
namespace {

using cluster::Lsn;
using cluster::Timeline;

// xlog_internal.h: XLogLongPageHeaderData, at the beginning of a segment; it begins as every page.
constexpr std::size_t long_header = 40;
constexpr std::uint64_t segment_least = 1U << 20U, segment_most = 1U << 30U;
constexpr std::uint64_t page_least = 1024, page_most = 65536;

template <class Number>
Number number_at(std::string_view bytes, std::size_t offset) {
    Number number{};
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

bool power_of_two(std::uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

Lsn page_of(Lsn at, const WalShape& shape) { return {at.value - at.value % shape.page}; }

std::string name_of(Timeline timeline, Lsn at, const WalShape& shape) {
    const std::uint64_t segment = at.value / shape.segment;
    const std::uint64_t per_id = 0x1'0000'0000ULL / shape.segment;
    return fmt::format("{:08X}{:08X}{:08X}", timeline, segment / per_id, segment % per_id);
}

Result<WalShape> shape_of_file(const std::string& wal_dir, const std::string& name) {
    return parse_wal_shape(read_wal(wal_dir, {name, 0}, long_header));
}

// This timeline's segments, the newest name first. Names come from files that were given them
// before they are used: the content says.
std::vector<std::string> segments(const std::string& wal_dir, Timeline timeline) {
    std::vector<std::string> found;
    const auto prefix = fmt::format("{:08X}", timeline);
    if (const auto names = os::list_directory(wal_dir))
        for (const auto& name : *names)
            if (name.size() == 24 && name.starts_with(prefix) && is_wal_file(name))
                found.push_back(name);
    std::ranges::reverse(found);
    return found;
}

// Where the segment of that name begins; nothing when the name is none for this size.
std::optional<Lsn> begin_of(const std::string& name, const WalShape& shape) {
    const auto high = std::stoull(name.substr(8, 8), nullptr, 16);
    const auto low = std::stoull(name.substr(16, 8), nullptr, 16);
    const std::uint64_t per_id = 0x1'0000'0000ULL / shape.segment;
    if (low >= per_id) return std::nullopt;
    return Lsn{(high * per_id + low) * shape.segment};
}

}  // namespace

Result<WalShape> parse_wal_shape(std::string_view segment) {
    if (segment.size() < long_header)
        return fail(ErrorCode::invalid, "the WAL segment is empty or cut short");
    WalShape shape;
    shape.magic = number_at<std::uint16_t>(segment, 0);
    shape.system_id = number_at<std::uint64_t>(segment, 24);
    shape.segment = number_at<std::uint32_t>(segment, 32);
    shape.page = number_at<std::uint32_t>(segment, 36);
    const bool sane = shape.magic != 0 && power_of_two(shape.segment) && power_of_two(shape.page) &&
                      shape.segment >= segment_least && shape.segment <= segment_most &&
                      shape.page >= page_least && shape.page <= page_most;
    if (!sane) return fail(ErrorCode::invalid, "the WAL segment does not begin as one");
    return shape;
}

std::size_t whole_pages(std::string_view bytes, Lsn at, Timeline timeline, const WalShape& shape) {
    std::size_t good = 0;
    std::uint16_t magic = shape.magic;
    for (; bytes.size() - good >= shape.page; good += shape.page) {
        const auto page = bytes.substr(good, shape.page);
        const std::uint64_t address = at.value + good;
        if (magic == 0) magic = number_at<std::uint16_t>(page, 0);
        const auto of = number_at<std::uint32_t>(page, 4);
        // A timeline's first segment begins with a copy of the one before.
        if (number_at<std::uint16_t>(page, 0) != magic || magic == 0 || of == 0 || of > timeline ||
            number_at<std::uint64_t>(page, 8) != address)
            break;
        if (address % shape.segment != 0) continue;
        const auto begins = parse_wal_shape(page);
        if (!begins || begins->system_id != shape.system_id || begins->segment != shape.segment ||
            begins->page != shape.page)
            break;
    }
    return good;
}

Result<std::string> read_wal_tail(const std::string& wal_dir, Timeline timeline, Lsn at) {
    const auto place = wal_place(wal_dir, at, timeline);
    if (!place) return fail(ErrorCode::not_found, wal_dir + " holds no WAL");
    auto shape = shape_of_file(wal_dir, place->file);
    if (!shape)
        return fail(ErrorCode::not_found,
                    fmt::format("WAL of timeline {} at {} is not here (any more): {}", timeline,
                                to_string(at), shape.error().message));
    const Lsn from = page_of(at, *shape);
    std::string pages;
    while (pages.size() < cluster::tail_piece_bytes) {
        const Lsn next{from.value + pages.size()};
        const auto room = shape->segment - next.value % shape->segment;
        const auto wanted = std::min<std::uint64_t>(cluster::tail_piece_bytes - pages.size(), room);
        const auto read =
            read_wal(wal_dir, {name_of(timeline, next, *shape), next.value % shape->segment},
                     static_cast<std::size_t>(wanted));
        const auto good = whole_pages(read, next, timeline, *shape);
        pages.append(read, 0, good);
        if (good < wanted) break;
    }
    return pages;
}

Result<cluster::WalTail> find_wal_end(const std::string& wal_dir, Timeline timeline) {
    for (const auto& name : segments(wal_dir, timeline)) {
        const auto shape = shape_of_file(wal_dir, name);
        const auto begin = shape ? begin_of(name, *shape) : std::nullopt;
        if (!begin) continue;
        const auto written = [&](Lsn page) {
            const auto read = read_wal(wal_dir, {name, page.value - begin->value},
                                       static_cast<std::size_t>(shape->page));
            return whole_pages(read, page, timeline, *shape) == shape->page;
        };
        if (!written(*begin)) continue;
        // Pages are written in their order: only the last piece with a page in it is read whole.
        Lsn piece = *begin;
        for (Lsn next = piece; next.value < begin->value + shape->segment && written(next);
             next.value += cluster::tail_piece_bytes)
            piece = next;
        RLV_TRY(const auto pages, read_wal_tail(wal_dir, timeline, piece));
        return cluster::WalTail{timeline, {piece.value + pages.size()}};
    }
    return fail(ErrorCode::not_found,
                fmt::format("{} has no WAL of timeline {}", wal_dir, timeline));
}

namespace {

// A segment's part of what comes: into the file that is there, or into a new one of full size.
Status put(const std::string& path, std::uint64_t offset, std::string_view bytes,
           std::uint64_t size, mode_t mode) {
    if (os::exists(path)) return os::write_at(path, offset, bytes);
    std::string whole(size, '\0');
    std::ranges::copy(bytes, whole.begin() + static_cast<std::ptrdiff_t>(offset));
    return os::write_file(path, whole, mode);
}

}  // namespace

Result<Lsn> write_wal_tail(const std::string& wal_dir, Timeline timeline, Lsn at, Lsn known,
                           std::string_view pages) {
    if (!known || at > known)
        return fail(ErrorCode::conflict, "there would be a hole in this member's WAL");
    const auto last = wal_place(wal_dir, Lsn{known.value - 1}, timeline);
    if (!last) return fail(ErrorCode::not_found, wal_dir + " holds no WAL");
    auto shape = shape_of_file(wal_dir, last->file);
    if (!shape) return within("this member's own WAL", shape.error());
    const Lsn from = page_of(at, *shape);
    if (pages.empty() || whole_pages(pages, from, timeline, *shape) != pages.size())
        return fail(ErrorCode::conflict,
                    fmt::format("what came is no WAL of timeline {} of this cluster from {} on",
                                timeline, to_string(from)));
    const auto overlap = std::min<std::uint64_t>(distance(known, from), pages.size());
    const auto own =
        read_wal(wal_dir, {name_of(timeline, from, *shape), from.value % shape->segment},
                 static_cast<std::size_t>(overlap));
    if (own != pages.substr(0, static_cast<std::size_t>(overlap)))
        return fail(ErrorCode::conflict,
                    fmt::format("what came differs from this member's own WAL before {}",
                                to_string(known)));
    struct stat info{};
    const bool told = ::stat((wal_dir + "/" + last->file).c_str(), &info) == 0;
    const mode_t mode = told ? info.st_mode & 0777U : 0600U;
    for (std::size_t done = 0; done < pages.size();) {
        const Lsn next{from.value + done};
        const auto offset = next.value % shape->segment;
        const auto part = pages.substr(done, static_cast<std::size_t>(shape->segment - offset));
        RLV_CHECK(put(wal_dir + "/" + name_of(timeline, next, *shape), offset, part, shape->segment,
                      mode));
        done += part.size();
    }
    return Lsn{from.value + pages.size()};
}

}  // namespace relevo::postgres
