#include "postgres/log_follower.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <string_view>

#include "base/text.h"
#include "os/file.h"

namespace relevo::postgres {
namespace {

using Kind = cluster::ServerLog::Kind;

// Of one look, in pieces: a log that grows by more than that in five seconds is caught up with, or
// left behind.
constexpr std::size_t piece_max = 1UL << 20U, pieces_max = 4;
constexpr std::uint64_t behind_max = 64UL << 20U;
constexpr std::size_t untold_max = 100;
// The clock of a file system lags by a tick.
constexpr auto slack = std::chrono::milliseconds(10);

struct Current {
    std::string path;
    Kind kind = Kind::lines;
};

// "stderr log/postgresql.log\ncsvlog log/postgresql.csv\n": the one that says most.
std::optional<Current> current(const std::string& data_dir) {
    constexpr std::size_t largest = 16UL << 10U;
    const auto text = os::read_file(data_dir + "/current_logfiles", largest);
    if (!text) return std::nullopt;
    constexpr std::array<std::pair<std::string_view, Kind>, 3> kinds = {
        {{"jsonlog ", Kind::json}, {"csvlog ", Kind::csv}, {"stderr ", Kind::lines}}};
    for (const auto& [word, kind] : kinds) {
        for (const auto& line : split(*text, '\n')) {
            if (!line.starts_with(word)) continue;
            const std::string path(line.substr(word.size()));
            return Current{path.starts_with('/') ? path : data_dir + "/" + path, kind};
        }
    }
    return std::nullopt;
}

struct Stat {
    std::uint64_t inode = 0, size = 0;
    std::optional<WallTime> born;
};

std::optional<Stat> stat_of(const std::string& path) {
    struct statx seen{};
    if (::statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_SIZE | STATX_BTIME, &seen) != 0)
        return std::nullopt;
    Stat out{seen.stx_ino, seen.stx_size, std::nullopt};
    if ((seen.stx_mask & STATX_BTIME) != 0)
        out.born = WallTime(std::chrono::duration_cast<WallTime::duration>(
            std::chrono::seconds(seen.stx_btime.tv_sec) +
            std::chrono::nanoseconds(seen.stx_btime.tv_nsec)));
    return out;
}

}  // namespace

LogFollower::News LogFollower::look(const Data& data, std::uint64_t have, WallTime now) {
    while (!untold_.empty() && last_ - untold_.size() < have) untold_.pop_front();
    if (data.number != directory_) {
        place_.reset();
        untold_.clear();
    }
    directory_ = data.number;
    const auto new_from = std::max(seen_to_, data.since) - slack;
    if (const auto file = current(data.directory)) {
        if (place_ && place_->path != file->path) {
            read_on();  // what came last into the old one
            place_.reset();
        }
        if (!place_) begin(file->path, file->kind, new_from);
    }
    if (place_ && !read_on()) place_.reset();
    seen_to_ = now;
    return {{untold_.begin(), untold_.end()}, last_};
}

// Another than a new one may have what is years old in front, as log_filename = 'postgresql-%a.log'
// has it.
void LogFollower::begin(const std::string& path, Kind kind, WallTime new_from) {
    const auto seen = stat_of(path);
    if (!seen) return;
    const bool is_new = seen->born && *seen->born >= new_from;
    place_.emplace(path, seen->inode, is_new ? 0 : seen->size, cluster::ServerLog(kind));
}

// False: it is not there, or not to be read on.
bool LogFollower::read_on() {
    const auto seen = stat_of(place_->path);
    if (!seen) return false;
    if (seen->inode != place_->inode || seen->size < place_->position) {  // made anew, or emptied
        place_->inode = seen->inode;
        place_->position = 0;
        place_->log.restart(false);
    }
    if (seen->size - place_->position > behind_max) {
        place_->position = seen->size;
        place_->log.restart(true);
    }
    const int fd = ::open(place_->path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return false;
    std::string piece(piece_max, '\0');
    ssize_t got = 1;
    for (std::size_t i = 0; i < pieces_max && got > 0; ++i) {
        got = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(place_->position));
        if (got <= 0) break;
        place_->position += static_cast<std::uint64_t>(got);
        for (auto& one : place_->log.read({piece.data(), static_cast<std::size_t>(got)})) {
            untold_.push_back(std::move(one));
            ++last_;
            if (untold_.size() > untold_max) untold_.pop_front();
        }
    }
    ::close(fd);
    return got >= 0;
}

}  // namespace relevo::postgres
