#include "agent/backups.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include <fmt/core.h>

#include "backup/archive_hole.h"
#include "backup/repositories.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/archive_gaps.h"

namespace relevo::agent {
namespace asio = boost::asio;

namespace {

using std::chrono::seconds;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

// PostgreSQL tries its sources in turn every 5 s (wal_retrieve_retry_interval): a standby that did
// not get on through two of these rounds lacks what its leader no longer has, or cannot reach it.
constexpr Duration stuck_after = seconds(10);
// Nobody waits: pgBackRest may try each of several files for its own io-timeout (60 s), and says
// then what was wrong. Whoever asks through the API gets his answer before he gives up
// (ctl/backup.cpp).
constexpr Duration stanza_deadline = seconds(600);
constexpr Duration info_deadline = seconds(75);
constexpr Duration check_deadline = seconds(180);
constexpr Duration answer_good_for = seconds(2);
constexpr Duration first_pause = seconds(5), longest_pause = seconds(300);

// "3 from 000000010000000000000005 to 000000010000000000000007, 1 ..."
std::string gaps_text(const std::vector<cluster::ArchiveGap>& gaps) {
    constexpr std::size_t most = 3;
    std::vector<std::string> parts;
    for (const auto& gap : gaps) {
        if (parts.size() == most) {
            parts.emplace_back("...");
            break;
        }
        parts.push_back(gap.segments == 1
                            ? gap.first
                            : fmt::format("{} from {} to {}", gap.segments, gap.first, gap.last));
    }
    return join(parts, ", ");
}

// Somebody else leads, and has gone as far as to write. Before that the history key does not say
// where its line leaves the last timeline, and a file of the old one may hold what a former primary
// wrote alone. A leader that writes tells it in its next breath, long before stuck_after is over.
bool leads(const cluster::Snapshot& snapshot, const cluster::MemberName& self) {
    if (!snapshot.leader || snapshot.leader->name == self) return false;
    const auto* leader = snapshot.leader_member();
    return leader != nullptr && (leader->role == cluster::Role::primary ||
                                 leader->role == cluster::Role::standby_leader);
}

bool is_primary(const ports::View& view, Instant now) {
    return view.lock_valid(now) && view.term != 0 &&
           view.postgres.server == cluster::Server::running && !view.postgres.in_recovery;
}

}  // namespace

Backups::Backups(asio::io_context& io, ports::Clock& clock, ports::Backup& backup,
                 std::function<void()> ready)
    : clock_(clock),
      backup_(backup),
      ready_(std::move(ready)),
      tasks_(io),
      again_(io),
      answered_(io) {
    answered_.expires_at(asio::steady_timer::time_point::max());
}

void Backups::see(const ports::View& view) {
    if (stopping_ || !backup_.configured()) return;
    const Instant now = clock_.now();
    // archive_command fails until the file is there, and PostgreSQL tries again.
    if (!rendered_ && !rendering_) {
        rendering_ = true;
        tasks_.spawn(render());
    }
    see_gate(view, now);
    see_stanza(view, now);
}

void Backups::reloaded() {
    rendered_ = false;
    prepared_ = 0;
    complained_.clear();
    asked_.reset();
    again_.cancel();
}

Task<void> Backups::render() {
    const auto done = co_await backup_.apply();
    rendered_ = true;  // once a reload: what keeps it from working is tried with the stanza again
    rendering_ = false;
    if (!done && !stopping_) log::error("{}", done.error().message);
}

// Whoever asks just after a reload means the new configuration.
Task<void> Backups::wait_until_rendered() {
    if (rendered_ || !backup_.configured()) co_return;
    const auto done = co_await backup_.apply();
    if (!done) log::error("{}", done.error().message);
}

// Under a leader only: where one may have to be chosen, nobody's recovery waits for a repository.
// By what arrives, not by whether it streams: a standby whose leader has thrown away what it lacks
// begins to stream and is refused, several times a second.
void Backups::see_gate(const ports::View& view, Instant now) {
    const auto& pg = view.postgres;
    const bool led = view.snapshot && !view.leading && leads(*view.snapshot, view.name);
    const auto term = led ? view.snapshot->leader->create_revision : 0;
    if (term != gate_term_) {
        gate_term_ = term;
        gate_wanted_.reset();
        stuck_since_.reset();
    }
    const bool recovers = led && pg.server != cluster::Server::stopped && pg.in_recovery;
    const bool behind = led && pg.position() && pg.position() < view.snapshot->status.optime;
    // A copy that has not opened yet: where it is cannot be told, and nobody could be promoted
    // here.
    const bool unopened = pg.server == cluster::Server::starting && pg.voteless;
    const bool lacks = recovers && (behind || unopened);
    if (!lacks) {
        stuck_since_.reset();
    } else if (!stuck_since_ || pg.position() != stuck_at_) {
        stuck_since_ = now;
        stuck_at_ = pg.position();
    }
    // What was opened stays open until it has what its leader had written: a segment comes at a
    // time.
    const bool open = lacks && (gate_wanted_ || now - *stuck_since_ >= stuck_after);
    gate_wanted_.reset();
    if (open) gate_wanted_ = view.snapshot->history.value_or(std::vector<cluster::HistoryLine>{});
    if (gate_is_right() || keeping_gate_) return;
    keeping_gate_ = true;
    tasks_.spawn(keep_gate());
}

Task<void> Backups::keep_gate() {
    while (!stopping_ && !gate_is_right()) {
        const auto wanted = gate_wanted_;
        const auto done = co_await backup_.let_fetch(wanted);
        if (!done) {
            log::warning("backup: whether recovery may ask the repository could not be changed: {}",
                         done.error().message);
            break;  // the next view tries again
        }
        if (wanted && !gate_)
            log::info(
                "backup: this standby does not get on by streaming; it may get WAL from the "
                "repository");
        gate_ = wanted;
        gate_known_ = true;
    }
    keeping_gate_ = false;
}

void Backups::see_stanza(const ports::View& view, Instant now) {
    const auto serves = is_primary(view, now) ? view.term : 0;
    if (serves != serves_) again_.cancel();
    serves_ = serves;
    if (serves_ == 0) return;
    timeline_ = view.postgres.timeline;
    system_id_ = view.snapshot ? view.snapshot->initialize.value_or("") : "";
    if (history_ != view.postgres.history) history_ = view.postgres.history;
    if (serves_ == prepared_ || keeping_stanza_) return;
    keeping_stanza_ = true;
    tasks_.spawn(keep_stanza());
}

// Again after each promotion: archiving must go on on the new timeline.
Task<void> Backups::keep_stanza() {
    Duration pause = first_pause;
    while (!stopping_ && serves_ != 0 && serves_ != prepared_) {
        const auto term = serves_;
        const auto done = co_await prepare();
        if (stopping_ || serves_ != term) continue;
        if (done) {
            prepared_ = term;
            complained_.clear();
            log::info("backup: the stanza {} is there, and WAL reaches the repository",
                      backup_.config().stanza);
            if (ready_) ready_();
            break;
        }
        if (done.error().message != complained_)
            log::error("backup: {}. It is tried again; PostgreSQL goes on meanwhile",
                       done.error().message);
        complained_ = done.error().message;
        if (std::exchange(answers_, false)) pause = first_pause;
        again_.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(pause));
        co_await again_.async_wait(quietly);
        pause = std::min(2 * pause, longest_pause);
    }
    keeping_stanza_ = false;
}

void Backups::repository_answers() {
    answers_ = keeping_stanza_;
    again_.cancel();
}

Task<Status> Backups::prepare() {
    auto rendered = co_await backup_.apply();
    if (!rendered) co_return rendered;
    auto made = co_await backup_.create_stanza(stanza_deadline);
    if (!made) co_return made;
    auto checked = co_await backup_.check(stanza_deadline);
    if (!checked) co_return checked;
    auto filled = co_await backup_.fill_archive(history_);
    if (!filled) co_return std::unexpected(filled.error());
    co_return Status{};
}

Task<Result<cluster::Repository>> Backups::list() {
    // Whoever comes while somebody asks gets his answer.
    while (asking_) co_await answered_.async_wait(quietly);
    if (asked_ && clock_.now() - asked_->at < answer_good_for) co_return asked_->answer;
    asking_ = true;
    const int changes = changes_;
    co_await wait_until_rendered();
    auto answer = co_await backup_.info(info_deadline);
    asking_ = false;
    if (backup_.configured() && changes == changes_)
        asked_ = Asked{.at = clock_.now(), .answer = answer};
    answered_.cancel();
    co_return answer;
}

void Backups::repository_changed() {
    ++changes_;
    asked_.reset();
}

Task<Status> Backups::usable() {
    auto there = co_await backup_.info(info_deadline);
    if (!there) co_return std::unexpected(there.error());
    if (!there->has_stanza())
        co_return fail(ErrorCode::not_found,
                       "the stanza does not exist: the primary's agent makes it, and its log says "
                       "why not");
    co_return Status{};
}

// From the oldest backup that is kept where the newest one is: each repository has WAL of its own.
Task<Result<std::string>> Backups::look_for_gaps() {
    auto there = co_await backup_.info(info_deadline);
    if (!there) co_return std::unexpected(there.error());
    backup::leave_out_others(*there, system_id_);
    const auto* const archive =
        there->backups.empty() ? nullptr : backup::archive_of(*there, there->backups.back());
    if (archive == nullptr)
        co_return backup::or_unread("WAL reaches the repository; there is no backup yet", *there);
    const auto& oldest = *std::ranges::find_if(
        there->backups, [&](const auto& made) { return backup::is_of(*archive, made); });
    const auto archived = co_await backup_.archived(*archive, info_deadline);
    if (!archived) co_return std::unexpected(archived.error());
    const auto gaps = cluster::archive_gaps(archived->segments, history_, timeline_,
                                            oldest.wal_start, archived->segment_bytes);
    if (!gaps) co_return within("looking for gaps since backup " + oldest.label, gaps.error());
    if (gaps->empty())
        co_return fmt::format("WAL reaches the repository, and none is missing since backup {}",
                              oldest.label);
    backup::ArchiveSight sight{.believed = {},
                               .repository = *there,
                               .archive = *archive,
                               .segments = archived->segments,
                               .stored = {},
                               .segment_bytes = archived->segment_bytes,
                               .history = history_,
                               .timeline = timeline_};
    const auto look = backup::find_hole(sight);
    if (!look) co_return within("looking for gaps", look.error());
    if (!look->hole && !look->since.empty())
        co_return fmt::format(
            "WAL reaches the repository, and none is missing since backup {}. Before that some is "
            "missing since backup {}: {}. What lies in such a hole cannot be restored",
            look->since, oldest.label, gaps_text(*gaps));
    const bool by_itself = backup_.config().archive_queue == ports::BackupConfig::Queue::drop;
    co_return fail(
        ErrorCode::failed,
        fmt::format("WAL reaches the repository, but some is missing since backup {}: {}. What "
                    "came after it can be restored from newer backups only: {}",
                    oldest.label, gaps_text(*gaps),
                    by_itself ? "a full one is made now by itself (relevoctl backup schedule)"
                              : "make one now (relevoctl backup run)"));
}

Task<Result<std::string>> Backups::check_all() {
    if (serves_ == 0) {
        const auto done = co_await usable();
        if (!done) co_return std::unexpected(done.error());
        co_return "the repository can be read from here";
    }
    const auto done = co_await backup_.check(check_deadline);
    if (!done) co_return std::unexpected(done.error());
    auto found = co_await look_for_gaps();
    co_return found;
}

Task<ports::Reply> Backups::check() {
    co_await wait_until_rendered();
    const auto done = co_await check_all();
    if (done) co_return ports::Reply{200, *done};
    const int code = done.error().code == ErrorCode::invalid ? 404 : 503;
    co_return ports::Reply{code, done.error().message};
}

Task<void> Backups::stop() {
    stopping_ = true;
    backup_.stop();
    again_.cancel();
    co_await tasks_.wait();
}

}  // namespace relevo::agent
