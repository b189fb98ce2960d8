#include "agent/archive_watch.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "backup/repositories.h"
#include "backup/schedule.h"
#include "base/log.h"
#include "cluster/disk.h"

namespace relevo::agent {

namespace {

using ports::BackupConfig;
using std::chrono::seconds;

// How exact the figure is; a look costs the server one connection and the reading of a directory.
constexpr Duration between_looks = seconds(5);
// A look into the repository lists all of the archive. Of one that does not answer, more rarely:
// nothing tells that it is back but the archiver, which PostgreSQL starts once a minute.
constexpr Duration between_listings = seconds(60), first_pause = seconds(5);
// Of one that has shown the same hole again and again.
constexpr Duration longest_between_listings = seconds(300);
constexpr Duration info_deadline = seconds(75);
// Nobody waits, and an archive of years has many names.
constexpr Duration listing_deadline = seconds(600);

// The segment up to which the archiver is done, on that timeline; empty: it does not tell. A
// backup's history file (<segment>.<offset>.backup) is archived after its segment.
std::string done_with(const std::string& archived, cluster::Timeline timeline) {
    constexpr std::size_t digits = 24;
    if (archived.size() < digits || archived.ends_with(".partial")) return {};
    auto segment = archived.substr(0, digits);
    return segment.starts_with(fmt::format("{:08X}", timeline)) ? segment : std::string();
}

bool fails(const cluster::ArchiverState& seen) {
    return seen.failed_at && (!seen.archived_at || *seen.failed_at > *seen.archived_at);
}

}  // namespace

ArchiveWatch::ArchiveWatch(boost::asio::io_context& io, Parts parts)
    : parts_(std::move(parts)), tasks_(io) {}

bool ArchiveWatch::drops() const {
    return parts_.backup.config().archive_queue == BackupConfig::Queue::drop;
}

void ArchiveWatch::see(const ports::View& view) {
    const Instant now = parts_.clock.now();
    const bool primary = view.lock_valid(now) && view.postgres.primary();
    const auto serves = primary && parts_.backup.configured() ? view.term : 0;
    if (serves != serves_) begin(serves);
    if (stopping_ || serves_ == 0) return;
    timeline_ = view.postgres.timeline;
    if (history_ != view.postgres.history) history_ = view.postgres.history;
    system_id_ = view.snapshot ? view.snapshot->initialize.value_or("") : "";
    if (looking_ || now < next_) return;
    looking_ = true;
    next_ = now + between_looks;
    tasks_.spawn(look());
}

// Whether the last primary left a hole is not known.
void ArchiveWatch::begin(cluster::Revision term) {
    serves_ = term;
    status_.reset();
    lag_ = {};
    next_ = ask_at_ = parts_.clock.now();
    pause_ = {};
    ++doubts_;
    ready_ = queue_full_ = may_have_dropped_ = false;
    hole_.reset();
    parts_.hole(std::nullopt);
    tell();
}

// What the last primary left has been archived.
void ArchiveWatch::repository_ready() {
    if (!std::exchange(ready_, true)) look_soon();
}

void ArchiveWatch::look_soon() {
    soon_ = true;
    ask_at_ = next_ = list_at_ = parts_.clock.now();
}

Task<void> ArchiveWatch::look() {
    const auto serves = serves_;
    const auto seen = co_await parts_.archiver();
    looking_ = false;
    if (stopping_ || serves != serves_) co_return;
    if (!seen) {
        log::debug("{}", seen.error().message);
        lag_.could_not_look();
        if (status_) compose();
        co_return;
    }
    see_queue(*seen);
    believed_ = done_with(seen->last_archived, timeline_);
    lag_.look(*seen, parts_.clock.wall(), !drops() || doubts_ == settled_);
    compose();
    tell();
    // While nothing reaches it, it has nothing to tell.
    const bool wanted = (doubts_ != settled_ || hole_) && !believed_.empty() && !fails(*seen);
    if (std::exchange(failing_, fails(*seen)) && !failing_ && !queue_full_) parts_.answers();
    if (!wanted || !ready_ || asking_ || parts_.clock.now() < ask_at_) co_return;
    asking_ = true;
    tasks_.spawn(look_into_repository());
}

// pgBackRest drops what it is given while more waits than may, what it is given included: between
// two segments as much waits as fits. One less where another file, a history, waits beside them.
void ArchiveWatch::see_queue(const cluster::ArchiverState& seen) {
    const auto config = parts_.backup.config();
    const auto waiting = static_cast<std::uint64_t>(std::max(seen.waiting, 0));
    const bool full = config.archive_queue == BackupConfig::Queue::drop &&
                      seen.segment_bytes != 0 && seen.waiting > 0 &&
                      (waiting + 1) * seen.segment_bytes >= config.archive_queue_max_bytes;
    // Of what was dropped since the last look, while it was still full, nobody has asked yet.
    if (full || queue_full_ || fails(seen)) ++doubts_;
    if (full == queue_full_) return;
    queue_full_ = full;
    if (!full) {
        look_soon();
        parts_.answers();
        return;
    }
    may_have_dropped_ = true;
    const auto since = lag_.status().missing_since;
    log::error(
        "backup: {} WAL segments wait for the repository, as much as may "
        "(backup.archive_queue_max, {}): from now on the oldest is dropped with each that is "
        "added. {}Why archive_command fails is in PostgreSQL's log, and `relevoctl backup check` "
        "asks the repository. When it answers again a full backup is made by itself; what was "
        "written until then cannot be restored",
        seen.waiting, cluster::size_text(config.archive_queue_max_bytes),
        since ? fmt::format("The repository lacks what was written since {}. ", to_iso(*since))
              : std::string());
}

Task<void> ArchiveWatch::look_into_repository() {
    const auto serves = serves_;
    const auto doubts = doubts_;
    soon_ = false;
    auto found = co_await find();
    asking_ = false;
    if (stopping_ || serves != serves_) co_return;
    if (!found) {
        log::debug("backup: whether WAL is missing: {}", found.error().message);
        pause_ = std::clamp(2 * pause_, first_pause, between_listings);
        ask_at_ = parts_.clock.now() + (soon_ ? first_pause : pause_);
        co_return;
    }
    pause_ = {};
    ask_at_ = parts_.clock.now() + (soon_ ? Duration{} : between_listings);
    settled_ = doubts;
    see_hole(std::move(found->hole));
    compose();
    tell();
}

// What PostgreSQL believes was noted before the repository is asked: what is archived meanwhile is
// no hole.
Task<Result<backup::HoleLook>> ArchiveWatch::find() {
    backup::ArchiveSight sight;
    sight.believed = believed_;
    sight.timeline = timeline_;
    sight.history = history_;
    auto there = co_await parts_.backup.info(info_deadline);
    if (!there) co_return std::unexpected(there.error());
    if (const auto why = backup::why_unknown(*there); !why.empty())
        co_return fail(ErrorCode::unavailable, why);
    backup::leave_out_others(*there, system_id_);
    const auto whole = backup::kept(there->backups);
    if (whole.empty()) co_return backup::HoleLook{};
    const auto& newest =
        *std::ranges::find(there->backups, whole.back().label, &cluster::BackupRecord::label);
    const auto* const archive = backup::archive_of(*there, newest);
    if (archive == nullptr) co_return backup::HoleLook{};
    // Behind the same backup it is the same hole, until somebody fills it: an operator, or a member
    // that came back with the segments. The long look for that is not taken every time.
    const bool same = hole_ && newest.label == hole_->after;
    if (same && doubts_ == settled_ && parts_.clock.now() < list_at_)
        co_return backup::HoleLook{.since = hole_->after, .hole = hole_};
    sight.archive = *archive;
    sight.repository = *std::move(there);
    list_pause_ = same ? std::min(2 * list_pause_, longest_between_listings) : between_listings;
    auto archived = co_await parts_.backup.archived(sight.archive, listing_deadline);
    if (!archived) co_return std::unexpected(archived.error());
    list_at_ = parts_.clock.now() + list_pause_;
    sight.segments = std::move(archived->segments);
    sight.stored = std::move(archived->stored);
    sight.segment_bytes = archived->segment_bytes;
    co_return find_hole(sight);
}

std::string ArchiveWatch::remedy() const {
    return drops() ? "it is made now" : "make it now (relevoctl backup run)";
}

void ArchiveWatch::see_hole(std::optional<cluster::ArchiveHole> hole) {
    const bool dropped = std::exchange(may_have_dropped_, queue_full_);
    if (hole && hole != hole_) {
        log::error(
            "backup: WAL is missing in the archive behind backup {}: {}. What was written after it "
            "can be restored only once there is another full backup: {}",
            hole->after, backup::describe(*hole), remedy());
        if (!hole_ || hole_->after != hole->after) found_ = parts_.clock.now();
    } else if (!hole && hole_) {
        log::info(
            "backup: the hole in the archive ({}) is no more: it was filled, or there is a newer "
            "backup from which on nothing is missing",
            backup::describe(*hole_));
    } else if (!hole && dropped && !queue_full_) {
        log::info("backup: the repository takes WAL again, and none of it is missing");
    }
    hole_ = std::move(hole);
    parts_.hole(hole_ ? std::optional(backup::HoleBehind{hole_->after, found_}) : std::nullopt);
}

void ArchiveWatch::compose() {
    status_ = lag_.status();
    status_->queue_full = queue_full_;
    status_->hole = hole_;
    if (!hole_ || !hole_->since) return;
    status_->missing_since =
        std::min(status_->missing_since.value_or(*hole_->since), *hole_->since);
}

// For `relevoctl list`: sentences that change only with what they are about.
void ArchiveWatch::tell() {
    std::string note;
    if (queue_full_)
        note = fmt::format(
            "as much WAL waits for the repository as may ({}): the oldest of it is dropped. Why is "
            "in PostgreSQL's log, at archive_command",
            cluster::size_text(parts_.backup.config().archive_queue_max_bytes));
    if (hole_)
        note += fmt::format(
            "{}WAL is missing in the archive behind backup {}: {}. What came after it cannot be "
            "restored before there is another full backup: {}",
            note.empty() ? "" : ". ", hole_->after, backup::describe(*hole_), remedy());
    if (std::exchange(told_, note) != note) parts_.changed({note});
}

Task<void> ArchiveWatch::stop() {
    stopping_ = true;
    co_await tasks_.wait();
}

}  // namespace relevo::agent
