// For tests only: an agent that shows what the test says and remembers what it was ordered.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ports/control.h"

namespace relevo::rest::testing {

class FakeControl final : public ports::Control {
public:
    std::shared_ptr<ports::View> shown = std::make_shared<ports::View>();
    Result<cluster::Snapshot> fresh = cluster::Snapshot{};
    Instant at{std::chrono::hours{1}};
    WallTime wall_at{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
    ports::Reply reply{200, "done"};
    std::vector<std::string> orders;  // one line an order
    ports::SwitchoverOrder last_switchover;
    ports::RestartOrder last_restart;

    // What comes after is seen as another view.
    ports::View& change() {
        shown = std::make_shared<ports::View>(*shown);
        return *shown;
    }

    std::shared_ptr<const ports::View> view() const override { return shown; }
    Task<std::shared_ptr<const ports::View>> fresh_view() override { co_return view(); }
    Instant now() const override { return at; }
    WallTime wall() const override { return wall_at; }
    Task<Result<cluster::Snapshot>> fresh_snapshot() override { co_return fresh; }
    Task<ports::Reply> switchover(ports::SwitchoverOrder order) override {
        orders.push_back((order.failover ? "failover " : "switchover ") + order.leader + ">" +
                         order.candidate);
        last_switchover = std::move(order);
        co_return reply;
    }
    Task<ports::Reply> cancel_switchover() override { co_return noted("cancel switchover"); }
    Task<ports::Reply> restart(ports::RestartOrder order) override {
        orders.emplace_back("restart");
        last_restart = std::move(order);
        co_return reply;
    }
    Task<ports::Reply> cancel_restart() override { co_return noted("cancel restart"); }
    Task<ports::Reply> reinitialize(bool force, bool from_leader) override {
        co_return noted(std::string("reinitialize") + (force ? " force" : "") +
                        (from_leader ? " from_leader" : ""));
    }
    Task<ports::Reply> forget_corruption() override { co_return noted("forget corruption"); }
    ports::Reply start_amcheck() override { return noted("start amcheck"); }
    ports::Reply end_amcheck() override { return noted("end amcheck"); }
    Task<ports::Reply> patch_config(std::string json) override { co_return noted("patch " + json); }
    Task<ports::Reply> put_config(std::string json) override { co_return noted("put " + json); }
    Task<ports::Reply> reload() override { co_return noted("reload"); }
    Task<ports::Reply> failsafe(std::string json) override { co_return noted("failsafe " + json); }
    Task<ports::Reply> start_backup(ports::BackupOrder order) override {
        co_return noted(std::string("backup ") + to_string(order.what) +
                        (order.dry_run ? " dry_run" : "") + (order.cancel ? " cancel" : ""));
    }
    Task<ports::Reply> backup_proofs() override { co_return noted("backup proofs"); }
    Task<ports::Reply> backup_schedule() override { co_return noted("backup schedule"); }
    ports::Reply pulse(const cluster::Pulse& from) override {
        pulse_from = from;
        return reply;
    }
    cluster::Pulse pulse_from;
    // The view changes by itself once, where the test says how.
    Task<bool> view_changed(Duration at_most) override {
        waits.push_back(at_most);
        if (!on_wait) co_return false;
        std::exchange(on_wait, {})();
        co_return true;
    }
    void gateway(const cluster::GatewayReport& report) override { reports.push_back(report); }
    std::function<void()> on_wait;
    std::vector<Duration> waits;
    std::vector<cluster::GatewayReport> reports;
    Result<std::string> pages = std::string("WAL");
    cluster::TailAsk tail_ask;
    Task<Result<std::string>> wal_tail(cluster::TailAsk ask) override {
        tail_ask = std::move(ask);
        co_return pages;
    }
    Result<cluster::Repository> repository = cluster::Repository{};
    Task<Result<cluster::Repository>> backups() override { co_return repository; }
    Task<ports::Reply> restore(ports::RestoreOrder order) override {
        co_return noted("restore " + describe(order.target) + " " + order.backup.value_or("") +
                        " into " + order.into + (order.in_place ? "its place" : "") +
                        (order.dry_run ? " dry" : ""));
    }
    ports::Reply restore_state() const override { return {200, R"({"state":"none"})"}; }
    Task<ports::Reply> cancel_restore() override { co_return noted("cancel restore"); }
    Task<ports::Reply> check_backups() override { co_return noted("check backups"); }
    std::string journal(std::uint64_t since, std::size_t limit) const override {
        return "{\"since\":" + std::to_string(since) + ",\"limit\":" + std::to_string(limit) + "}";
    }

private:
    ports::Reply noted(std::string what) {
        orders.push_back(std::move(what));
        return reply;
    }
};

// Members of a cluster of "pg-0" (the leader) and others, as one of them sees it.
inline ports::View view_of_primary(Instant now) {
    ports::View view;
    view.scope = "batman";
    view.name = "pg-0";
    view.state = cluster::State::running;
    view.role = cluster::Role::primary;
    view.postgres.server = cluster::Server::running;
    view.postgres.in_recovery = false;
    view.postgres.version = 150020;
    view.postgres.system_id = "7711188255317205645";
    view.postgres.timeline = 5;
    view.postgres.wal = cluster::Lsn{67108960};
    view.leading = true;
    view.lead_until = now + std::chrono::seconds{10};
    view.next_look = now + std::chrono::seconds{10};
    cluster::Snapshot snapshot;
    snapshot.leader = cluster::LeaderKey{"pg-0", 1, 1, 1};
    snapshot.status.optime = cluster::Lsn{67108960};
    view.snapshot = std::make_shared<const cluster::Snapshot>(snapshot);
    return view;
}

inline ports::View view_of_replica(Instant now) {
    auto view = view_of_primary(now);
    view.name = "pg-1";
    view.role = cluster::Role::replica;
    view.leading = false;
    view.lead_until = {};
    view.postgres.in_recovery = true;
    view.postgres.wal = {};
    view.postgres.receive = view.postgres.replay = cluster::Lsn{67108960};
    view.postgres.replication_state = "streaming";
    return view;
}

inline void change_snapshot(ports::View& view,
                            const std::function<void(cluster::Snapshot&)>& change) {
    auto snapshot = view.snapshot ? *view.snapshot : cluster::Snapshot{};
    change(snapshot);
    view.snapshot = std::make_shared<const cluster::Snapshot>(std::move(snapshot));
}

}  // namespace relevo::rest::testing
