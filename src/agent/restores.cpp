#include "agent/restores.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/restore_advice.h"
#include "base/log.h"
#include "cluster/plain_json.h"

namespace relevo::agent {
namespace asio = boost::asio;
using cluster::plain_json::Object;
using ports::Reply;

namespace {

// Beside the data: segments that recovery has fetched and not yet read.
constexpr std::uint64_t wal_room = 64U << 20U;

}  // namespace

Restores::Restores(asio::io_context& io, ports::Clock& clock, ports::Backup& backup,
                   os::Blocking pool, std::function<std::string()> data_dir)
    : clock_(clock), backup_(backup), pool_(pool), data_dir_(std::move(data_dir)), tasks_(io) {}

void Restores::see(const ports::View& view) {
    self_ = view.name;
    if (view.postgres.timeline != 0)
        timeline_ = view.postgres.timeline;
    else if (view.snapshot)
        timeline_ = view.snapshot->timeline();
}

// ---- the plan

std::string Restores::named(std::string advice_json) const {
    Object out;
    out.text("member", self_);
    out.json("plan", advice_json);
    return out.take();
}

Task<Reply> Restores::order(ports::RestoreOrder order, InPlaceOrder in_place) {
    if (!backup_.configured())
        co_return Reply{404,
                        "this member has no section `backup` in its configuration: it knows no "
                        "repository"};
    if (stopping_) co_return Reply{503, "the agent is stopping"};
    const backup::RestoreWish wish{.target = order.target, .backup = order.backup};
    auto rendered = co_await backup_.apply();
    if (!rendered) co_return Reply{503, rendered.error().message};
    auto advice = co_await advise(backup_, wish, timeline_, clock_.wall());
    if (!advice) co_return Reply{503, advice.error().message};
    auto shown = advice_json(*advice, wish);
    if (advice->choice && order.in_place && in_place) {
        auto reply =
            co_await in_place(std::move(order), *std::move(advice->choice), std::move(shown));
        co_return reply;
    }
    if (!advice->choice || order.into.empty())
        co_return Reply{advice->choice || order.dry_run ? 200 : 412, named(std::move(shown))};
    auto reply = co_await begin(std::move(order), *std::move(advice), std::move(shown));
    co_return reply;
}

Task<Reply> Restores::begin(ports::RestoreOrder order, backup::RestoreAdvice advice,
                            std::string advice_json) {
    const auto needed = advice.choice->backup.database_bytes + wal_room;
    const auto judged = [&, data_dir = data_dir_()] {
        return judge_site(order.into, data_dir, needed);
    };
    const auto refused = [](const Error& why) {
        return Reply{why.code == ErrorCode::invalid ? 400 : 409, why.message};
    };
    if (order.dry_run) {
        const auto site = co_await pool_.run(judged);
        co_return site ? Reply{200, named(std::move(advice_json))} : refused(site.error());
    }
    if (stopping_) co_return Reply{503, "the agent is stopping"};
    if (busy_)
        co_return Reply{409, fmt::format("a restore into {} goes on here: wait for it, or end it "
                                         "(relevoctl restore --cancel)",
                                         site_.into)};
    busy_ = true;
    const auto site = co_await pool_.run(judged);
    if (!site || stopping_) {
        busy_ = false;
        co_return site ? Reply{503, "the agent is stopping"} : refused(site.error());
    }
    site_ = *site;
    choice_ = *std::move(advice.choice);
    progress_ = {};
    progress_.total_bytes = choice_->backup.database_bytes;
    begun_ = clock_.wall();
    ended_.reset();
    result_.clear();
    cancelled_ = false;
    phase_ = Phase::running;
    log::info("restore: {} into {}, backup {} along timeline {}", describe(choice_->target),
              site_.into, choice_->backup.label, to_string(choice_->target.timeline));
    tasks_.spawn(work());
    auto reply = state();
    reply.code = 202;
    co_return reply;
}

// ---- the work

Task<void> Restores::work() {
    const auto done = co_await restore();
    if (!done) {
        // What is left of it is of no use to anybody; as long as it is there it is marked.
        const auto cleared = co_await pool_.run([&] { return clear_site(site_); });
        if (!cleared)
            log::warning("restore: {} is left half made: {}", site_.into, cleared.error().message);
    }
    phase_ = done ? Phase::done : Phase::failed;
    result_ = done         ? std::string()
              : cancelled_ ? std::string("it was cancelled")
                           : done.error().message;
    ended_ = clock_.wall();
    busy_ = false;
    if (done)
        log::info("restore: {} is whole", site_.into);
    else
        log::error("restore: {}: {}", site_.into, result_);
}

Task<Status> Restores::restore() {
    RLV_CO_CHECK(co_await pool_.run([&] { return begin_site(site_); }));
    if (cancelled_ || stopping_) co_return fail(ErrorCode::cancelled, "it was cancelled");
    ports::Backup::RestorePlan plan;
    plan.into = site_.into;
    plan.backup = choice_->backup.label;
    plan.repository = choice_->backup.repository;
    plan.target = choice_->target;
    plan.tablespaces = site_.tablespaces;
    plan.progress = [this](const cluster::BackupProgress& now) {
        progress_.done_bytes = now.done_bytes;
        progress_.percent = now.percent;
    };
    RLV_CO_CHECK(co_await backup_.restore(std::move(plan)));
    RLV_CO_CHECK(co_await pool_.run([&] { return finish_site(site_); }));
    co_return Status{};
}

Reply Restores::cancel() {
    if (phase_ != Phase::running) return {404, "no restore goes on here"};
    cancelled_ = true;
    backup_.end_restore(site_.into);
    return {200, fmt::format("the restore into {} is ended, and what was made of it removed",
                             site_.into)};
}

Task<void> Restores::stop() {
    stopping_ = true;
    if (phase_ == Phase::running) backup_.end_restore(site_.into);
    co_await tasks_.wait();
}

// ---- what is shown

Reply Restores::state(const std::string& in_place) const {
    const auto word = [&] {
        switch (phase_) {
            case Phase::none: return "none";
            case Phase::running: return "running";
            case Phase::done: return "done";
            case Phase::failed: return "failed";
        }
        return "none";
    }();
    Object out;
    out.text("member", self_);
    out.text("state", word);
    if (phase_ != Phase::none) {
        using std::chrono::duration;
        out.text("into", site_.into);
        out.text("backup", choice_->backup.label);
        out.text("target", describe(choice_->target));
        out.text("timeline", to_string(choice_->target.timeline));
        out.text("begun", to_iso(begun_));
        if (ended_) out.text("ended", to_iso(*ended_));
        const auto now = ended_.value_or(clock_.wall());
        const double spent = duration<double>(now - begun_).count();
        if (spent >= 0) out.number("elapsed_s", static_cast<std::uint64_t>(spent));
        out.number("done_bytes", progress_.done_bytes);
        out.number("total_bytes", progress_.total_bytes);
        const double share = progress_.percent.value_or(0);
        out.json("percent", fmt::format("{:.2f}", phase_ == Phase::done ? 100.0 : share));
        constexpr double enough = 1;  // of the whole, to tell how long the rest takes
        if (phase_ == Phase::running && share >= enough && spent > 0)
            out.number("eta_s", static_cast<std::uint64_t>(spent / share * (100 - share)));
        if (!result_.empty()) out.text("result", result_);
    }
    if (!in_place.empty()) out.json("in_place", in_place);
    return {200, out.take()};
}

}  // namespace relevo::agent
