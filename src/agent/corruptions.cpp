#include "agent/corruptions.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/log.h"

namespace relevo::agent {
namespace asio = boost::asio;

namespace {

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

bool knows(const cluster::Corruption& mark, const cluster::CorruptionFinding& finding) {
    const auto same = [&](const auto& one) {
        return one.what == finding.what && one.where == finding.where;
    };
    return std::ranges::any_of(mark.found, same) || std::ranges::any_of(mark.logged, same);
}

// A file that has not changed is taken over from the backup before, with what was found of it
// there: perhaps on another member.
bool found_here(const std::vector<cluster::BackupRecord>& backups,
                const cluster::BackupRecord& made) {
    const auto needed = [&](const auto& one) {
        return one.label != made.label && std::ranges::count(made.needs, one.label) > 0;
    };
    return made.page_errors.value_or(false) && std::ranges::none_of(backups, [&](const auto& one) {
               return needed(one) && one.page_errors.value_or(false);
           });
}

}  // namespace

Corruptions::Corruptions(asio::io_context& io, Parts parts)
    : parts_(std::move(parts)), tasks_(io), alarm_(io) {}

void Corruptions::start() { tasks_.spawn(watch()); }

void Corruptions::found(cluster::CorruptionNews::Relation relation) {
    relations_.push_back(std::move(relation));
    look_soon();
}

void Corruptions::look_soon() { alarm_.cancel(); }

void Corruptions::ask_stop() {
    stopping_ = true;
    alarm_.cancel();
}

Task<void> Corruptions::stop() {
    ask_stop();
    co_await tasks_.wait();
}

Task<void> Corruptions::watch() {
    while (!stopping_) {
        co_await look();
        if (stopping_) break;
        alarm_.expires_after(parts_.every);
        co_await alarm_.async_wait(quietly);
    }
}

// The repository is asked once for each backup, and again where it did not answer.
Task<std::string> Corruptions::damaged_backup() {
    const auto label = parts_.last_backup();
    if (label.empty() || label == checked_backup_) co_return std::string();
    const auto repository = co_await parts_.repository();
    if (!repository) co_return std::string();
    const auto& backups = repository->backups;
    const auto at = std::ranges::find(backups, label, &cluster::BackupRecord::label);
    if (at != backups.end() && found_here(backups, *at)) co_return label;
    checked_backup_ = label;
    co_return std::string();
}

Task<void> Corruptions::look() {
    const auto backup = co_await damaged_backup();
    if (stopping_) co_return;
    const auto turn = co_await turn_.take();
    if (stopping_) co_return;
    const auto told = relations_.size();
    auto seen = co_await parts_.look({.backup = backup, .relations = relations_});
    if (stopping_) co_return;
    if (seen) {
        complained_.clear();
        relations_.erase(relations_.begin(),
                         relations_.begin() + static_cast<std::ptrdiff_t>(told));
        if (!backup.empty()) checked_backup_ = backup;
        take(*std::move(seen));
    } else if (complained_ != seen.error().message) {
        complained_ = seen.error().message;
        log::warning("corruption: what is known of this data could not be looked at or kept: {}",
                     complained_);
    }
}

void Corruptions::take(ports::Postgres::CorruptionLook look) {
    auto report = std::make_shared<cluster::CorruptionReport>();
    report->note = cluster::corruption_note(look.mark, parts_.scope, parts_.name);
    report->mark = std::move(look.mark);
    report->counts = std::move(look.counts).value_or(std::vector<cluster::ChecksumCount>());
    report->amcheck = parts_.amcheck();
    const auto before = std::exchange(report_, report);
    parts_.looked();
    const bool was = before && before->mark.corrupted();
    const auto has_news = [&](const auto& list) {
        return std::ranges::any_of(
            list, [&](const auto& one) { return !before || !knows(before->mark, one); });
    };
    if (has_news(report->mark.found))
        log::error("corruption: this member's data is damaged: {}", report->note);
    else if (has_news(report->mark.logged))
        log::error("corruption: this member's data may be damaged: {}", report->note);
    if (was && !report->mark.corrupted()) log::info("corruption: nothing is known to be damaged");
    if (report->note != (before ? before->note : std::string()))
        parts_.changed(
            {report->mark.corrupted(), report->note, cluster::perhaps_replicated(report->mark)});
}

Task<ports::Reply> Corruptions::forget() {
    if (!report_ || report_->note.empty())
        co_return ports::Reply{404, "nothing was found to be damaged here"};
    {
        const auto turn = co_await turn_.take();
        const auto before = report_->note;
        const auto done = co_await parts_.forget();
        if (!done) co_return ports::Reply{503, done.error().message};
        log::warning("corruption: an operator says that this data is good; until now: {}", before);
    }
    co_await look();
    co_return ports::Reply{200, "what was found is forgotten"};
}

}  // namespace relevo::agent
