#include "agent/journal.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"

namespace relevo::agent {
namespace {

using cluster::JournalEntry;

constexpr mode_t mode = 0640;

std::string rotated(const std::string& path) { return path + ".1"; }
std::string set_aside(const std::string& path) { return path + ".damaged"; }

struct Found {
    std::vector<JournalEntry> entries;
    std::vector<std::string> problems;
    bool usable = true;  // the file may be written
};

// One file's entries, with the file put in order so that new lines may follow.
void take(const std::string& path, const cluster::MemberName& member, std::size_t bytes_max,
          Found& found) {
    auto read = read_journal_file(path, member, bytes_max);
    if (!read && read.error().code == ErrorCode::not_found) return;
    if (!read) {
        found.problems.push_back(read.error().message);
        found.usable = false;
        return;
    }
    for (auto& entry : read->entries) found.entries.push_back(std::move(entry));
    if (read->damage.empty()) return;
    std::string good;
    for (const auto& entry : found.entries) good += to_json(entry) + "\n";
    auto moved = os::rename_path(path, set_aside(path));
    if (moved && !good.empty()) moved = os::write_file(path, good, mode);
    found.usable = found.usable && moved.has_value();
    found.problems.push_back(
        moved ? fmt::format("{} {}: set aside as {}, {} of its entries are kept", path,
                            read->damage, set_aside(path), found.entries.size())
              : fmt::format("{} {}, and cannot be set aside: {}", path, read->damage,
                            moved.error().message));
}

Found take_both(const std::string& path, const cluster::MemberName& member, std::size_t bytes_max) {
    Found before, now;
    take(rotated(path), member, bytes_max, before);
    take(path, member, bytes_max, now);
    now.entries.insert(now.entries.begin(), std::make_move_iterator(before.entries.begin()),
                       std::make_move_iterator(before.entries.end()));
    now.problems.insert(now.problems.begin(), before.problems.begin(), before.problems.end());
    return now;
}

Status append(const std::string& path, const std::string& text, std::size_t bytes_max) {
    RLV_TRY(const auto size, os::append_file(path, text, mode));
    if (size <= bytes_max) return {};
    return os::rename_path(path, rotated(path));
}

}  // namespace

JournalFile parse_journal_file(std::string_view text, const cluster::MemberName& member) {
    JournalFile file;
    int bad = 0;
    while (!text.empty()) {
        const auto end = text.find('\n');
        const bool whole = end != std::string_view::npos;
        auto entry = cluster::parse_journal_entry(text.substr(0, end));
        text.remove_prefix(whole ? end + 1 : text.size());
        const bool ours = entry && entry->member == member;
        if (ours)
            file.entries.push_back(*std::move(entry));
        else if (whole)
            ++bad;
        if (!whole) file.damage = "is cut short";  // the next line would go on in this one
    }
    if (bad == 0) return file;
    file.damage = file.entries.empty()
                      ? "is not this member's journal"
                      : fmt::format("has {} lines that are not this member's journal", bad);
    return file;
}

Result<JournalFile> read_journal_file(const std::string& path, const cluster::MemberName& member,
                                      std::size_t bytes_max) {
    const auto text = os::read_file(path, bytes_max);
    if (!text && text.error().code == ErrorCode::invalid)
        return JournalFile{{}, "is longer than any journal"};
    if (!text) return std::unexpected(text.error());
    return parse_journal_file(*text, member);
}

Journal::Journal(boost::asio::io_context& io, os::Blocking blocking, cluster::MemberName member,
                 JournalLimits limits)
    : blocking_(blocking), member_(std::move(member)), limits_(limits), tasks_(io) {}

Task<void> Journal::open(std::string path) {
    // The last write before a rotation may have gone beyond the limit by all that was pending.
    const std::size_t most = 2 * limits_.file_bytes;
    const auto member = member_;
    auto found = co_await blocking_.run(
        [path, member, most]() -> Found { return take_both(path, member, most); });
    for (const auto& problem : found.problems) log::warning("the journal {}", problem);
    std::ranges::sort(found.entries, {}, &JournalEntry::sequence);
    for (const auto& entry : found.entries) {
        if (entry.sequence <= last_) continue;  // there twice
        last_ = entry.sequence;
        keep({entry.sequence, to_json(entry)});
    }
    if (found.usable) path_ = std::move(path);
}

Task<void> Journal::stop() { return tasks_.wait(); }

void Journal::keep(Line line) {
    bytes_ += line.json.size();
    lines_.push_back(std::move(line));
    while (lines_.size() > limits_.entries || (bytes_ > limits_.bytes && lines_.size() > 1)) {
        bytes_ -= lines_.front().json.size();
        lines_.pop_front();
    }
}

void Journal::add(JournalEntry entry) {
    entry.sequence = ++last_;
    auto json = to_json(entry);
    if (!path_.empty()) {
        if (pending_.size() + json.size() < limits_.file_bytes / 2)
            pending_ += json + "\n";
        else
            dropped_ = true;
    }
    keep({entry.sequence, std::move(json)});
    if (pending_.empty() || writing_) return;
    writing_ = true;
    tasks_.spawn(write());
}

// One write at a time: what comes meanwhile goes with the next.
Task<void> Journal::write() {
    while (!pending_.empty()) {
        const std::string text = std::exchange(pending_, {});
        const std::string path = path_;
        const std::size_t most = limits_.file_bytes;
        const auto written = co_await blocking_.run(
            [path, text, most]() -> Status { return append(path, text, most); });
        if (!written)
            complain(written.error().message);
        else if (std::exchange(dropped_, false))
            complain("the disk was too slow for it, some entries are only in memory");
        else
            complained_.clear();
    }
    writing_ = false;
}

void Journal::complain(const std::string& what) {
    if (std::exchange(complained_, what) == what) return;
    log::warning("the journal {} is incomplete: {}", path_, what);
}

std::string Journal::answer(WallTime wall, Instant mono, std::uint64_t since,
                            std::size_t limit) const {
    auto first = std::ranges::upper_bound(lines_, since, {}, &Line::sequence);
    const auto left = static_cast<std::size_t>(lines_.end() - first);
    if (left > limit) first = lines_.end() - static_cast<std::ptrdiff_t>(limit);
    std::vector<std::string_view> chosen;
    for (; first != lines_.end(); ++first) chosen.emplace_back(first->json);
    return cluster::journal_json(member_, wall, mono, chosen);
}

}  // namespace relevo::agent
