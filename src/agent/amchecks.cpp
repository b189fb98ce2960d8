#include "agent/amchecks.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace relevo::agent {
namespace asio = boost::asio;

namespace {

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds between_members = std::chrono::minutes(30);
// An instant that was missed by more (the host slept) is left to the next one: its time, a night
// perhaps, is over.
constexpr auto late = std::chrono::minutes(5);

bool others_run(const cluster::Snapshot& snapshot, const std::string& self) {
    return std::ranges::any_of(snapshot.members, [&](const auto& entry) {
        return entry.first != self && entry.second.running();
    });
}

}  // namespace

std::string why_no_amcheck(const ports::View& view, bool begins) {
    if (begins && view.postgres.server != cluster::Server::running)
        return "PostgreSQL does not run here";
    constexpr int has_table_check = 140000;
    if (begins && view.postgres.version > 0 && view.postgres.version < has_table_check)
        return "amcheck looks through tables from PostgreSQL 14 on only";
    if (!view.leading) {
        if (view.postgres.primary()) return "this is a primary that does not lead";
        return {};
    }
    if (!view.snapshot) return "this member leads, and does not know whether others are there";
    if (others_run(*view.snapshot, view.name))
        return "this member leads, and others that run can look through theirs";
    return {};
}

std::chrono::seconds amcheck_turn(const ports::View& view, std::chrono::seconds period) {
    if (!view.snapshot) return {};
    int place = 0, all = 0;
    for (const auto& [name, member] : view.snapshot->members) {
        if (view.snapshot->led_by(name)) continue;
        if (name < view.name) ++place;
        ++all;
    }
    if (all == 0) return {};
    return std::min(between_members, period / all) * place;
}

Amchecks::Amchecks(asio::io_context& io, Parts parts)
    : io_(io), parts_(std::move(parts)), tasks_(io), alarm_(io) {}

void Amchecks::start() { tasks_.spawn(watch()); }

void Amchecks::ask_stop() {
    stopping_ = true;
    give_up("the agent stops");
    alarm_.cancel();
}

Task<void> Amchecks::stop() {
    ask_stop();
    co_await tasks_.wait();
}

// ---- when

void Amchecks::see() {
    const auto view = parts_.view();
    if (view->settings.corruption.amcheck != schedule_text_) {
        take_schedule(view->settings.corruption.amcheck);
        alarm_.cancel();
    }
    if (!going_) return;
    if (auto why = why_no_amcheck(*view, false); !why.empty()) give_up(std::move(why));
}

// What was due before it was set is none of its business.
void Amchecks::take_schedule(const std::string& text) {
    schedule_text_ = text;
    schedule_.reset();
    if (auto cron = cluster::Cron::parse(text)) schedule_ = *std::move(cron);
    acted_ = from_ = parts_.clock.wall();
    if (schedule_) zone_ = parts_.zone();
}

void Amchecks::reloaded() {
    if (schedule_) zone_ = parts_.zone();
    alarm_.cancel();
}

Task<void> Amchecks::watch() {
    while (!stopping_) {
        const auto now = parts_.clock.wall();
        act(now);
        std::chrono::milliseconds wait = parts_.look_again;
        if (const auto next = due())
            wait = std::min(wait, std::chrono::ceil<std::chrono::milliseconds>(next->at - now));
        alarm_.expires_after(wait);
        co_await alarm_.async_wait(quietly);
    }
}

std::optional<Amchecks::Due> Amchecks::due() const {
    if (!schedule_) return std::nullopt;
    const auto instant = schedule_->next_after(from_, zone_);
    if (!instant) return std::nullopt;
    constexpr auto day = std::chrono::hours(24);
    const auto after = schedule_->next_after(*instant, zone_).value_or(*instant + day);
    const auto period = std::chrono::duration_cast<std::chrono::seconds>(after - *instant);
    return Due{*instant, *instant + amcheck_turn(*parts_.view(), period)};
}

void Amchecks::act(WallTime now) {
    from_ = std::min(from_, now);  // the clock was put back
    const auto asleep_since = std::exchange(acted_, now);
    const auto next = due();
    if (!next || next->at > now) return;
    from_ = std::max(next->instant, now - (next->at - next->instant));
    // Its turn may have come to be an earlier one just now.
    if (now - std::max(next->at, asleep_since) > late) {
        log::info("amcheck: it was due at {}, which has passed; the next time counts",
                  to_iso(next->at));
        return;
    }
    if (going_) {
        log::info("amcheck: it is due, and still at what it began at {}",
                  to_iso(state_.run->begun));
        return;
    }
    if (const auto why = why_no_amcheck(*parts_.view(), true); !why.empty())
        log::debug("amcheck: it is due, and left out: {}", why);
    else
        begin_look("it is due");
}

ports::Reply Amchecks::begin() {
    if (stopping_) return {503, "the agent stops"};
    if (going_)
        return {409, fmt::format("it goes on since {}: GET /patroni tells how far it is",
                                 to_iso(state_.run->begun))};
    if (const auto why = why_no_amcheck(*parts_.view(), true); !why.empty()) return {409, why};
    begin_look("somebody asks for it");
    return {202, "this member looks through its tables and indexes"};
}

ports::Reply Amchecks::end() {
    if (!going_) return {404, "no look through the data goes on here"};
    give_up("somebody ended it");
    return {200, "it ends"};
}

// ---- the look

void Amchecks::begin_look(const char* why) {
    log::info("amcheck: looking through this member's tables and indexes: {}", why);
    going_ = std::make_shared<asio::cancellation_signal>();
    giving_up_.clear();
    began_ = parts_.clock.now();
    state_.run = cluster::AmcheckRun{};
    state_.run->begun = parts_.clock.wall();
    tasks_.spawn(look());
    parts_.changed();
}

void Amchecks::give_up(std::string why) {
    if (!going_ || !giving_up_.empty()) return;
    giving_up_ = std::move(why);
    going_->emit(asio::cancellation_type::all);
}

Task<void> Amchecks::look() {
    ports::Postgres::AmcheckPlan plan;
    plan.progress = [this](const cluster::AmcheckRun& seen) {
        const auto begun = state_.run->begun;
        state_.run = seen;
        state_.run->begun = begun;
        state_.run->took = parts_.clock.now() - began_;
    };
    plan.found = [this](cluster::CorruptionNews::Relation found) {
        // It may have any bytes in it.
        log::error("amcheck: {} is damaged: {}", one_line(found.where), one_line(found.words));
        parts_.found(std::move(found));
    };
    auto token = asio::bind_cancellation_slot(going_->slot(), asio::as_tuple(asio::use_awaitable));
    auto work = parts_.run(std::move(plan));
    auto [thrown, done] = co_await asio::co_spawn(io_, std::move(work), std::move(token));
    // The only thing thrown is asio's word for a cancelled wait.
    if (thrown) done = fail(ErrorCode::cancelled, "it was ended");
    ended(done);
}

void Amchecks::ended(const Status& done) {
    auto& run = *state_.run;
    run.ended = parts_.clock.wall();
    run.took = parts_.clock.now() - began_;
    run.now.clear();
    if (!done) run.given_up = giving_up_.empty() ? done.error().message : giving_up_;
    going_.reset();
    if (done) state_.complete = run;
    if (run.damaged > 0)
        log::error("amcheck: {}", describe(run));
    else if (done)
        log::info("amcheck: {}", describe(run));
    else
        log::warning("amcheck: {}", describe(run));
    parts_.changed();
}

}  // namespace relevo::agent
