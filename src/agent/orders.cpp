// What operators ask for through the API (contract 5.7): feasibility is checked here, the order is
// written where the leader sees it, and the answer waits for what came of it.
#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/agent.h"
#include "base/log.h"
#include "cluster/keys.h"

namespace relevo::agent {
namespace asio = boost::asio;
using ports::Reply;

namespace {

constexpr Duration dcs_deadline = std::chrono::seconds(5);
constexpr Duration probe_deadline = std::chrono::seconds(2);

int version_number(const std::string& text) {  // "15.4" or "9.6.1" -> server_version_num
    int parts[3] = {0, 0, 0};
    int count = 0;
    for (const char c : text) {
        if (c == '.')
            ++count;
        else if (c >= '0' && c <= '9' && count < 3)
            parts[count] = parts[count] * 10 + (c - '0');
    }
    return parts[0] >= 10 ? parts[0] * 10000 + parts[1]
                          : parts[0] * 10000 + parts[1] * 100 + parts[2];
}

}  // namespace

Task<Result<cluster::Snapshot>> Agent::fresh_snapshot() {
    auto tree = co_await parts_.dcs.read(dcs_deadline);
    if (!tree) co_return std::unexpected(tree.error());
    cluster::SnapshotReader
        reader;  // a malformed key is shown as absent, and was logged by the watch
    co_return reader.read(*tree);
}

// Empty: it can be done.
Task<std::string> Agent::infeasible(const ports::SwitchoverOrder& order,
                                    const cluster::Snapshot& snapshot) {
    if (!order.leader.empty() && !snapshot.led_by(order.leader))
        co_return fmt::format("leader name does not match: the leader is {}",
                              snapshot.leader ? snapshot.leader->name : "nobody");
    if (!order.candidate.empty() && !snapshot.member(order.candidate))
        co_return "candidate does not exist";
    const std::string leader = snapshot.leader ? snapshot.leader->name : "";
    // An operator's failover goes before the votes; a switchover does not.
    const bool by_votes = state_.settings.synchronous_mode != cluster::SyncMode::off &&
                          snapshot.sync.active() && !order.leader.empty();
    std::string why = "there is no other member";
    for (const auto& [name, member] : snapshot.members) {
        if (by_votes && name != leader && !snapshot.sync.names(name)) {
            if (order.candidate.empty() || order.candidate == name)
                why = name + " is no synchronous standby: the sync key does not name it";
            if (order.candidate == name) break;
            continue;
        }
        if (name == leader || (!order.candidate.empty() && name != order.candidate)) continue;
        if (member.tags.nofailover()) {
            why = name + " may not lead: nofailover is set";
            continue;
        }
        const auto answer = co_await parts_.peers.status(member, probe_deadline);
        if (name == state_.self.name || answer) {
            if (answer && (answer->nofailover || answer->watchdog_failed)) {
                why = name + " may not lead";
                continue;
            }
            co_return std::string();
        }
        why = fmt::format("{} does not answer: {}", name, answer.error().message);
    }
    co_return "no good candidates have been found: " + why;
}

Task<Reply> Agent::switchover(ports::SwitchoverOrder order) {
    const char* what = order.failover && order.leader.empty() ? "failover" : "switchover";
    auto snapshot = co_await fresh_snapshot();
    if (!snapshot) co_return Reply{503, "the DCS cannot be read: " + snapshot.error().message};
    if (state_.settings.pause && order.scheduled_at)
        co_return Reply{400, "can't schedule a switchover in the paused state"};
    if (state_.settings.pause && order.candidate.empty())
        co_return Reply{400,
                        "a switchover is possible only to a specific candidate in a paused state"};
    if (!order.scheduled_at) {
        const auto why = co_await infeasible(order, *snapshot);
        if (!why.empty()) co_return Reply{412, why};
    }
    cluster::FailoverRequest request;
    request.leader = order.leader;
    request.member = order.candidate;
    request.scheduled_at = order.scheduled_at;
    request.scheduled_at_text = order.scheduled_at_text;
    const auto written = co_await parts_.dcs.commit(
        cluster::keys::put_failover(request, std::nullopt), dcs_deadline);
    if (!written || !written->succeeded)
        co_return Reply{503, fmt::format("failed to write the {} key into the DCS", what)};
    if (order.scheduled_at) co_return Reply{202, fmt::format("{} scheduled", what)};
    const std::string leader = snapshot->leader ? snapshot->leader->name : "";
    auto reply = co_await wait_for_leader(order, leader);
    co_return reply;
}

// The watch moves view_; looked at often enough that the answer comes when the new leader does.
Task<Reply> Agent::wait_for_leader(ports::SwitchoverOrder order, std::string old_leader) {
    const bool failover = order.failover && order.leader.empty();
    const Duration limit =
        2 * std::max<Duration>(std::chrono::seconds(10), state_.settings.loop_wait);
    const Instant end = now() + limit;
    const Instant settled = now() + std::chrono::seconds(1);
    asio::steady_timer timer(io_);
    while (now() < end && !exit_code_) {
        timer.expires_after(std::chrono::milliseconds(20));
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        const auto snapshot = state_.dcs;
        if (!snapshot) continue;
        if (snapshot->leader && snapshot->leader->name != old_leader) {
            const auto* member = snapshot->leader_member();
            if (member && member->role != cluster::Role::primary &&
                now() + std::chrono::seconds(2) < end)
                continue;
            const std::string& name = snapshot->leader->name;
            const std::string done =
                failover ? "Successfully failed over to" : "Successfully switched over to";
            if (order.candidate.empty() || order.candidate == name)
                co_return Reply{200, fmt::format("{} \"{}\"", done, name)};
            co_return Reply{200,
                            fmt::format("{} over to \"{}\" instead of \"{}\"",
                                        failover ? "Failed" : "Switched", name, order.candidate)};
        }
        if (snapshot->leader && !snapshot->failover && now() > settled)
            co_return Reply{
                503, std::string(failover ? "Failover failed" : "Switchover failed") +
                         (state_.handover_failure.empty() ? "" : ": " + state_.handover_failure)};
    }
    co_return Reply{503, failover ? "Failover status unknown" : "Switchover status unknown"};
}

Task<Reply> Agent::restore(ports::RestoreOrder order) {
    auto reply =
        co_await restores_.order(std::move(order),
                                 [this](ports::RestoreOrder asked, backup::RestoreChoice choice,
                                        std::string plan_json) -> Task<Reply> {
                                     return in_place_.order(std::move(asked), std::move(choice),
                                                            std::move(plan_json), view_);
                                 });
    co_return reply;
}

Task<Reply> Agent::cancel_restore() {
    if (restores_.goes_on()) co_return restores_.cancel();
    auto reply = co_await in_place_.cancel();
    co_return reply;
}

Task<Reply> Agent::cancel_switchover() {
    const auto snapshot = co_await fresh_snapshot();
    if (!snapshot) co_return Reply{503, "the DCS cannot be read: " + snapshot.error().message};
    if (!snapshot->failover || !snapshot->failover->scheduled_at)
        co_return Reply{404, "no switchover is scheduled"};
    const auto done = co_await parts_.dcs.commit(
        cluster::keys::clear_failover(snapshot->failover_revision), dcs_deadline);
    if (done && done->succeeded) co_return Reply{200, "scheduled switchover deleted"};
    co_return Reply{409, "the switchover was updated meanwhile, try again"};
}

Task<Reply> Agent::ask_core(core::OrderId id, core::Event event, Duration deadline) {
    auto promise = std::make_shared<Promise<Reply>>(io_);
    orders_[id] = promise;
    feed(std::move(event));
    auto reply = co_await promise->get(deadline);
    orders_.erase(id);
    co_return reply.value_or(Reply{503, "still going on: see relevoctl list"});
}

Task<Reply> Agent::restart(ports::RestartOrder order) {
    if (order.schedule) {
        if (state_.settings.pause)
            co_return Reply{500, "can't schedule a restart in the paused state"};
        if (scheduled_restart_) co_return Reply{409, "another restart is already scheduled"};
        scheduled_restart_ = order;
        reschedule();
        co_return Reply{202, "restart scheduled"};
    }
    core::RestartAsked asked;
    asked.order = ++last_order_;
    asked.timeout = order.timeout;
    asked.role = order.role;
    asked.restart_pending = order.restart_pending;
    asked.version_below =
        order.postgres_version.empty() ? 0 : version_number(order.postgres_version);
    const Duration start = order.timeout.value_or(state_.settings.primary_start_timeout);
    auto reply = co_await ask_core(asked.order, asked, start + std::chrono::minutes(10));
    co_return reply;
}

Task<Reply> Agent::cancel_restart() {
    if (!scheduled_restart_) co_return Reply{404, "no restart is scheduled"};
    scheduled_restart_.reset();
    reschedule();
    co_return Reply{200, "scheduled restart deleted"};
}

// Publishes what is scheduled and sets the alarm for it.
void Agent::reschedule() {
    auto self = state_.self;
    self.scheduled_restart.reset();
    schedule_alarm_.cancel();
    if (scheduled_restart_) {
        const auto& order = *scheduled_restart_;
        cluster::ScheduledRestart shown;
        shown.schedule = order.schedule_text;
        shown.postmaster_start_time = state_.pg ? state_.pg->postmaster_start_time : "";
        shown.role = order.role;
        shown.postgres_version = order.postgres_version;
        shown.restart_pending = order.restart_pending;
        if (order.timeout)
            shown.timeout = fmt::format("{}", static_cast<long>(to_s(*order.timeout)));
        self.scheduled_restart = shown;
        const auto ahead = std::max(*order.schedule - wall(), std::chrono::microseconds(0));
        schedule_alarm_.expires_after(ahead);
        schedule_alarm_.async_wait([this](boost::system::error_code error) {
            if (!error && scheduled_restart_) tasks_.spawn(keep_schedule());
        });
    }
    feed(core::SelfChanged{std::move(self)});
}

Task<void> Agent::keep_schedule() {
    auto order = *scheduled_restart_;
    const std::string planned_for =
        state_.self.scheduled_restart ? state_.self.scheduled_restart->postmaster_start_time : "";
    scheduled_restart_.reset();
    reschedule();
    if (state_.settings.pause) {
        log::warning("the scheduled restart is dropped: maintenance mode is on");
        co_return;
    }
    if (state_.pg && state_.pg->postmaster_start_time != planned_for) {
        log::info("the scheduled restart is dropped: PostgreSQL was restarted meanwhile");
        co_return;
    }
    order.schedule.reset();
    const auto reply = co_await restart(order);
    log::info("scheduled restart: {}", reply.text);
}

Task<Reply> Agent::reinitialize(bool force, bool from_leader) {
    core::ReinitAsked asked{++last_order_, force, from_leader};
    auto reply = co_await ask_core(asked.order, asked, std::chrono::seconds(30));
    co_return reply;
}

Task<Reply> Agent::patch_config(std::string patch) {
    const auto snapshot = co_await fresh_snapshot();
    if (!snapshot) co_return Reply{503, "the DCS cannot be read: " + snapshot.error().message};
    if (!snapshot->config) co_return Reply{503, "there is no configuration in the DCS yet"};
    const auto next = cluster::patch_json(snapshot->config->json, patch);
    if (!next) co_return Reply{400, next.error().message};
    const auto meaning = config::effective(parts_.configuration.local(), *next);
    if (!meaning) co_return Reply{400, meaning.error().message};
    const auto refused = cluster::newly_refused(snapshot->config->json, *next);
    if (!refused.empty()) co_return Reply{400, refused + "; the configuration is unchanged"};
    if (meaning->settings.standby_cluster)
        co_return Reply{400,
                        "standby_cluster is not implemented yet: the configuration is unchanged"};
    if (*next != snapshot->config->json) {
        const auto done = co_await parts_.dcs.commit(
            cluster::keys::put_config(*next, snapshot->config->mod_revision), dcs_deadline);
        if (!done)
            co_return Reply{503, "the configuration could not be written: " + done.error().message};
        if (!done->succeeded)
            co_return Reply{409, "the configuration was changed by somebody else meanwhile"};
    }
    co_return Reply{200, *next};
}

Task<Reply> Agent::put_config(std::string json) {
    const auto meaning = config::effective(parts_.configuration.local(), json);
    if (!meaning) co_return Reply{400, meaning.error().message};
    const auto refused = cluster::newly_refused({}, json);
    if (!refused.empty()) co_return Reply{400, refused + "; the configuration is unchanged"};
    if (meaning->settings.standby_cluster)
        co_return Reply{400,
                        "standby_cluster is not implemented yet: the configuration is unchanged"};
    const auto snapshot = co_await fresh_snapshot();
    if (!snapshot) co_return Reply{502, "the DCS cannot be read: " + snapshot.error().message};
    if (!snapshot->config || snapshot->config->json != json) {
        const auto done =
            co_await parts_.dcs.commit(cluster::keys::put_config(json, std::nullopt), dcs_deadline);
        if (!done)
            co_return Reply{502, "the configuration could not be written: " + done.error().message};
    }
    co_return Reply{200, json};
}

Task<Reply> Agent::reload() {
    const auto read = parts_.configuration.reload();
    if (!read)
        co_return Reply{503, "the configuration is not usable, the one before stays in force: " +
                                 read.error().message};
    backups_.reloaded();
    if (parts_.reloaded) co_await parts_.reloaded();
    backup_jobs_.reloaded();
    amchecks_.reloaded();
    auto self = parts_.configuration.self();
    self.scheduled_restart = state_.self.scheduled_restart;
    feed(core::SelfChanged{std::move(self)});
    feed(core::SettingsChanged{parts_.configuration.settings()});
    const auto done = co_await parts_.postgres.reconfigure(true);
    if (!done) co_return Reply{503, "reload: " + done.error().message};
    co_return Reply{202, "reload scheduled"};
}

Task<Reply> Agent::failsafe(std::string body) {
    if (!state_.settings.failsafe_mode) co_return Reply{502, "failsafe mode is not enabled"};
    const auto object = nlohmann::json::parse(body, nullptr, false);
    const auto name = object.is_object() ? object.find("name") : object.end();
    if (name == object.end() || !name->is_string())
        co_return Reply{400, "name must be that of the leader that goes on"};
    const auto from = name->get<std::string>();
    if (from == state_.self.name) co_return Reply{500, "that is my own name"};
    // Patroni's leaders do not say which cluster they mean; a word for another one is none for us.
    const auto cluster_of = object.find("system_id");
    const std::string mine = state_.pg ? state_.pg->system_id : std::string();
    if (cluster_of != object.end() && !mine.empty() && *cluster_of != mine) {
        if (std::exchange(failsafe_complained_, from) != from)
            log::warning("{} asks to go on without the DCS as leader of another cluster: refused",
                         from);
        co_return Reply{409, "this member's data is of another cluster: " + mine};
    }
    const auto why = core::refuses_failsafe(state_, from);
    if (!why.empty()) co_return Reply{500, why};
    // Ours say it; at most an hour, lest a forged one hold the lead for ever.
    const auto told = object.find("ttl");
    const bool number = told != object.end() && told->is_number_unsigned();
    const auto ttl = number ? std::min<std::uint64_t>(told->get<std::uint64_t>(), 3600) : 0;
    feed(core::FailsafePing{from, std::chrono::seconds(ttl)});
    co_return Reply{200, "Accepted"};
}

}  // namespace relevo::agent
