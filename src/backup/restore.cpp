#include "backup/restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <set>

#include "backup/repositories.h"
#include "base/text.h"
#include "cluster/plain_json.h"

namespace relevo::backup {
namespace {

using cluster::ArchiveRange;
using cluster::ArchiveReach;
using cluster::BackupRecord;
using cluster::Repository;
using cluster::TargetKind;
using cluster::TargetTimeline;
using cluster::Timeline;

// Backups are ended, and segments stored, at whole seconds; a moment within that second may be
// before or after.
constexpr auto grain = std::chrono::seconds(1);

const BackupRecord* find(const Repository& repository, const std::string& label) {
    const auto found = std::ranges::find(repository.backups, label, &BackupRecord::label);
    return found == repository.backups.end() ? nullptr : &*found;
}

std::unexpected<Error> no_such_backup(const Repository& repository, const std::string& label) {
    return fail(ErrorCode::not_found,
                or_unread(fmt::format("there is no backup {} in the repository: `relevoctl backup "
                                      "list` shows those that are",
                                      label),
                          repository));
}

std::unexpected<Error> no_backup_at_all(const Repository& repository) {
    return fail(
        ErrorCode::not_found,
        or_unread("there is no backup in the repository: nothing can be restored", repository));
}

// The backup whose archive and timeline count when the wish does not say more.
Result<const BackupRecord*> backup_meant(const Repository& repository, const RestoreWish& wish) {
    if (repository.backups.empty()) return no_backup_at_all(repository);
    if (!wish.backup) return &repository.backups.back();
    const auto* const named = find(repository, *wish.backup);
    if (named == nullptr) return no_such_backup(repository, *wish.backup);
    return named;
}

std::string timelines_text(const std::vector<Timeline>& timelines) {
    std::vector<std::string> out;
    out.reserve(timelines.size());
    for (const auto one : timelines) out.push_back(std::to_string(one));
    return join(out, ", ");
}

std::string segment_text(const std::string& name) { return name.empty() ? "none" : name; }

}  // namespace

Result<ArchiveRange> archive_for(const Repository& repository, const RestoreWish& wish) {
    RLV_TRY(const auto* const backup, backup_meant(repository, wish));
    if (const auto* const archive = archive_of(repository, *backup)) return *archive;
    return fail(ErrorCode::not_found,
                fmt::format("the repository has no WAL that goes with backup {}: without it a "
                            "backup is of no use",
                            backup->label));
}

Result<Timeline> line_for(const RestoreWish& wish, const Repository& repository,
                          const std::vector<Timeline>& histories, Timeline current) {
    RLV_TRY(const auto* const backup, backup_meant(repository, wish));
    const auto there = [&](Timeline one) {
        return one == 1 || std::ranges::find(histories, one) != histories.end();
    };
    switch (wish.target.timeline.way) {
        case TargetTimeline::Way::current: return std::max<Timeline>(backup->timeline(), 1);
        case TargetTimeline::Way::numbered:
            if (there(wish.target.timeline.number)) return wish.target.timeline.number;
            return fail(
                ErrorCode::not_found,
                fmt::format(
                    "timeline {} is not in the archive: it has {}", wish.target.timeline.number,
                    histories.empty() ? "only timeline 1" : "1, " + timelines_text(histories)));
        case TargetTimeline::Way::latest: break;
    }
    if (current != 0 && there(current)) return current;
    // What is behind the cluster's own is another's; what it has not archived yet is of no use.
    Timeline newest = 1;
    for (const auto one : histories)
        if (current == 0 || one <= current) newest = std::max(newest, one);
    return newest;
}

std::uint64_t segment_bytes_of(const std::vector<BackupRecord>& backups) {
    constexpr std::uint64_t least = 1U << 20U, most = 1U << 30U, low = 0xFFFFFFFFU;
    for (auto bytes = least; bytes <= most; bytes *= 2) {
        bool fits = false;
        for (const auto& backup : backups) {
            const auto start = cluster::segment_start(backup.wal_start, bytes);
            if (!backup.lsn_start || !start) continue;
            // In the first segments of a log every size is right.
            if ((start->lsn.value & low) == 0) continue;
            fits = start->lsn.value <= backup.lsn_start.value &&
                   backup.lsn_start.value < start->lsn.value + bytes;
            if (!fits) break;
        }
        if (fits) return bytes;
    }
    return 0;
}

namespace {

struct Candidate {
    const BackupRecord* backup = nullptr;
    ArchiveReach reach;
    WallTime until{};
};

class Chooser {
public:
    Chooser(const Stock& stock, const RestoreWish& wish) : stock_(stock), wish_(wish) {
        bytes_ = stock.segment_bytes != 0 ? stock.segment_bytes
                                          : segment_bytes_of(stock.repository.backups);
        constexpr std::uint64_t usual = 16U << 20U;
        if (bytes_ == 0) bytes_ = usual;
        for (std::size_t i = 0; i < stock.segments.size() && i < stock.stored.size(); ++i)
            stored_[stock.segments[i]] = stock.stored[i];
        for (const auto& backup : stock.repository.backups) labels_.insert(backup.label);
    }

    RestoreAdvice advise() {
        for (const auto& backup : stock_.repository.backups)
            if (auto one = candidate(backup)) usable_.push_back(*std::move(one));
        RestoreAdvice out{.windows = windows(), .choice = no_backup_at_all(stock_.repository)};
        windows_ = windows_text(out.windows);
        out.choice = choose();
        return out;
    }

private:
    // Why a backup is of no use whatever the target; empty: it is of use.
    std::string why_useless(const BackupRecord& backup) const {
        if (!is_of(stock_.archive, backup))
            return "it belongs to another database, or lies in another repository";
        for (const auto& needed : backup.needs)
            if (!labels_.contains(needed))
                return fmt::format("backup {}, which it is made on, is gone", needed);
        const auto timeline = backup.timeline();
        if (timeline == stock_.line) return {};
        const auto left =
            std::ranges::find(stock_.history, timeline, &cluster::HistoryLine::timeline);
        if (left == stock_.history.end())
            return fmt::format("it was made on timeline {}, which does not lead to timeline {}",
                               timeline, stock_.line);
        if (backup.lsn_stop > left->switch_point)
            return fmt::format(
                "it ended on timeline {} at {}, and the way to timeline {} leaves that at {}",
                timeline, to_string(backup.lsn_stop), stock_.line, to_string(left->switch_point));
        return {};
    }

    std::optional<Candidate> candidate(const BackupRecord& backup) const {
        if (!why_useless(backup).empty()) return std::nullopt;
        auto reach = cluster::archive_reach(stock_.segments, stock_.history, stock_.line,
                                            backup.wal_start, bytes_);
        if (!reach || !is_complete(backup, *reach)) return std::nullopt;
        const auto stored = stored_.find(reach->last);
        const auto until = stored != stored_.end() ? stored->second : WallTime{};
        return Candidate{.backup = &backup, .reach = *std::move(reach), .until = until};
    }

    // Without all WAL that was written while it was made a backup never becomes consistent.
    bool is_complete(const BackupRecord& backup, const ArchiveReach& reach) const {
        const auto stop = cluster::segment_start(backup.wal_stop, bytes_);
        return !reach.last.empty() && (!stop || reach.end > stop->lsn);
    }

    // Backups from which WAL goes on to the same place serve one window.
    std::vector<Window> windows() const {
        std::vector<Window> out;
        for (const auto& one : usable_) {
            if (!out.empty() && out.back().reach.last == one.reach.last) continue;
            out.push_back({.backup = one.backup->label,
                           .from = one.backup->stopped,
                           .from_lsn = one.backup->lsn_stop,
                           .until = one.until,
                           .reach = one.reach});
        }
        return out;
    }

    std::string reachable() const {
        return windows_.empty() ? "no backup on this line can be restored"
                                : "what can be reached is " + windows_;
    }

    enum class Verdict { fits, too_early, too_late };
    Verdict judge(const Candidate& one) const {
        const auto& target = wish_.target;
        switch (target.kind) {
            case TargetKind::immediate:
            case TargetKind::xid: return Verdict::fits;
            // What came after a hole is not the end.
            case TargetKind::latest: return one.reach.missing ? Verdict::too_late : Verdict::fits;
            case TargetKind::time:
                if (target.time < one.backup->stopped + grain) return Verdict::too_early;
                if (one.until != WallTime{} && target.time >= one.until + grain)
                    return Verdict::too_late;
                return Verdict::fits;
            case TargetKind::lsn:
                if (target.lsn < one.backup->lsn_stop) return Verdict::too_early;
                return target.lsn < one.reach.end ? Verdict::fits : Verdict::too_late;
        }
        return Verdict::fits;
    }

    Result<RestoreChoice> choose() const {
        if (stock_.repository.backups.empty()) return no_backup_at_all(stock_.repository);
        const auto& target = wish_.target;
        if (target.kind == TargetKind::time && target.time > stock_.now)
            return fail(
                ErrorCode::not_found,
                fmt::format(
                    "{} is in the future, it is {} now: {}", cluster::time_text(target.time),
                    cluster::time_text(std::chrono::floor<std::chrono::seconds>(stock_.now)),
                    reachable()));
        if (wish_.backup) return choose_named();
        if (usable_.empty())
            return fail(ErrorCode::not_found, fmt::format("no backup leads to timeline {}: {}",
                                                          stock_.line, why_useless_all()));
        // A transaction's number does not tell when it was committed: the oldest backup has the
        // best chance to be before it.
        if (target.kind == TargetKind::xid) return chosen(usable_.front());
        bool late = false;
        for (auto one = usable_.rbegin(); one != usable_.rend(); ++one) {
            const auto verdict = judge(*one);
            if (verdict == Verdict::fits) return chosen(*one);
            late = late || verdict == Verdict::too_late;
        }
        return late ? too_late() : too_early();
    }

    Result<RestoreChoice> choose_named() const {
        const auto* const backup = find(stock_.repository, *wish_.backup);
        if (backup == nullptr) return no_such_backup(stock_.repository, *wish_.backup);
        const auto named = std::ranges::find(usable_, backup, &Candidate::backup);
        if (named == usable_.end()) {
            auto why = why_useless(*backup);
            if (why.empty())
                why = fmt::format("WAL that was written while it was made ({} to {}) is missing",
                                  backup->wal_start, backup->wal_stop);
            return fail(ErrorCode::conflict, fmt::format("backup {} cannot be restored: {}; {}",
                                                         backup->label, why, reachable()));
        }
        switch (judge(*named)) {
            case Verdict::fits: return chosen(*named);
            case Verdict::too_late: return too_late();
            case Verdict::too_early: break;
        }
        return fail(
            ErrorCode::not_found,
            fmt::format("{} is before the end of backup {}, which is {}: take an older "
                        "one, or none, and it is chosen; {}",
                        describe(wish_.target), backup->label, end_text(*backup), reachable()));
    }

    std::string end_text(const BackupRecord& backup) const {
        return wish_.target.kind == TargetKind::lsn ? to_string(backup.lsn_stop)
                                                    : cluster::time_text(backup.stopped);
    }

    std::unexpected<Error> too_early() const {
        const auto& oldest = *usable_.front().backup;
        return fail(ErrorCode::not_found,
                    fmt::format("{} is before the end of the first backup on the way to timeline "
                                "{} ({}, {}): {}",
                                describe(wish_.target), stock_.line, oldest.label, end_text(oldest),
                                reachable()));
    }

    std::unexpected<Error> too_late() const {
        const auto& newest = usable_.back();
        if (wish_.target.kind == TargetKind::latest)
            return fail(
                ErrorCode::not_found,
                fmt::format("WAL is missing from {} on, and later WAL is there: the end "
                            "cannot be reached; {}. Give a target before {}",
                            *newest.reach.missing, reachable(), to_string(newest.reach.end)));
        std::string why = "is behind the last WAL in the archive";
        for (const auto& one : usable_)
            if (one.reach.missing)
                why = fmt::format("lies behind WAL that is missing in the archive (from {} on)",
                                  *one.reach.missing);
        return fail(ErrorCode::not_found,
                    fmt::format("{} {}: {}", describe(wish_.target), why, reachable()));
    }

    std::string why_useless_all() const {
        std::vector<std::string> out;
        for (const auto& backup : stock_.repository.backups) {
            auto why = why_useless(backup);
            if (why.empty()) why = "WAL that belongs to it is missing";
            out.push_back(backup.label + ": " + why);
        }
        constexpr std::size_t most = 3;
        if (out.size() > most) out.erase(out.begin(), out.end() - most);
        return join(out, "; ");
    }

    RestoreChoice chosen(const Candidate& one) const {
        RestoreChoice out;
        out.backup = *one.backup;
        out.target = wish_.target;
        out.target.timeline = {.way = TargetTimeline::Way::numbered, .number = stock_.line};
        out.reach = one.reach;
        out.until = one.until;
        if (wish_.target.kind == TargetKind::xid && !wish_.backup && usable_.size() > 1)
            out.notes.push_back(
                fmt::format("which backups are older than a transaction its number does not tell: "
                            "the oldest is taken, and --backup names another"));
        if (out.backup.page_errors == true)
            out.notes.emplace_back(
                "this backup has pages whose checksums did not hold when it was made");
        if (one.reach.timeline != stock_.line && wish_.target.kind == TargetKind::latest)
            out.notes.push_back(fmt::format(
                "of timeline {} no WAL is in the archive yet: recovery ends on timeline {}",
                stock_.line, one.reach.timeline));
        return out;
    }

    const Stock& stock_;
    const RestoreWish& wish_;
    std::uint64_t bytes_ = 0;
    std::map<std::string, WallTime> stored_;
    std::set<std::string> labels_;
    std::vector<Candidate> usable_;  // oldest first
    std::string windows_;
};

std::string list_json(const std::vector<std::string>& items) {
    return "[" + join(items, ",") + "]";
}

std::string window_json(const Window& window) {
    cluster::plain_json::Object out;
    out.text("backup", window.backup);
    out.text("from", to_iso(window.from));
    if (window.from_lsn) out.text("from_lsn", to_string(window.from_lsn));
    if (window.until != WallTime{}) out.text("until", to_iso(window.until));
    out.text("until_lsn", to_string(window.reach.end));
    out.number("timeline", window.reach.timeline);
    out.text("last_segment", window.reach.last);
    if (window.reach.missing) out.text("missing", *window.reach.missing);
    return out.take();
}

std::string backup_json(const BackupRecord& backup) {
    cluster::plain_json::Object out;
    out.text("label", backup.label);
    out.text("type", to_string(backup.type));
    out.text("stopped", to_iso(backup.stopped));
    out.number("timeline", backup.timeline());
    out.number("database_bytes", backup.database_bytes);
    out.number("repository", static_cast<std::uint64_t>(backup.repository));
    return out.take();
}

}  // namespace

RestoreAdvice choose_restore(const Stock& stock, const RestoreWish& wish) {
    return Chooser(stock, wish).advise();
}

std::string windows_text(const std::vector<Window>& windows) {
    std::vector<std::string> out;
    for (const auto& window : windows) {
        auto text = fmt::format("from {} (the end of backup {})", cluster::time_text(window.from),
                                window.backup);
        text += window.until == WallTime{}
                    ? fmt::format(" to the end of {}", segment_text(window.reach.last))
                    : fmt::format(" to {} (when {} was stored, on timeline {})",
                                  cluster::time_text(window.until), window.reach.last,
                                  window.reach.timeline);
        out.push_back(std::move(text));
    }
    return join(out, ", and ");
}

std::string advice_json(const RestoreAdvice& advice, const RestoreWish& wish) {
    cluster::plain_json::Object out;
    out.text("target", describe(wish.target));
    if (advice.choice) {
        const auto& choice = *advice.choice;
        out.json("backup", backup_json(choice.backup));
        out.text("timeline", to_string(choice.target.timeline));
        cluster::plain_json::Object recovery;
        recovery.text("first_segment", choice.reach.first);
        recovery.text("last_segment", choice.reach.last);
        recovery.number("segments", choice.reach.segments);
        out.json("recovery", recovery.take());
        std::vector<std::string> notes;
        notes.reserve(choice.notes.size());
        for (const auto& note : choice.notes) notes.push_back(cluster::plain_json::quoted(note));
        out.json("notes", list_json(notes));
    } else {
        out.text("problem", advice.choice.error().message);
    }
    std::vector<std::string> windows;
    windows.reserve(advice.windows.size());
    for (const auto& window : advice.windows) windows.push_back(window_json(window));
    out.json("windows", list_json(windows));
    return out.take();
}

}  // namespace relevo::backup
