#include "agent/in_place.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "cluster/keys.h"
#include "cluster/plain_json.h"

namespace relevo::agent {
namespace {

namespace fs = std::filesystem;
using cluster::Restoration;
using cluster::plain_json::Object;
using ports::Reply;

constexpr Duration dcs_deadline = std::chrono::seconds(5);
// Beside the data: segments that recovery has fetched and not yet read.
constexpr std::uint64_t wal_room = 64U << 20U;

// {"member", "plan", "in_place": {"id", "aside", "stops": [...]}}. id: empty where nothing begins;
// one that is shown and then asked for gets another.
std::string order_json(const ports::View& view, const std::string& plan_json,
                       const cluster::Snapshot& now, const std::string& id,
                       const std::string& data_dir) {
    std::string stops;
    for (const auto& [name, member] : now.members)
        stops += (stops.empty() ? "" : ",") + cluster::plain_json::quoted(name);
    Object place;
    if (!id.empty()) place.text("id", id);
    place.text("leader", now.leader->name);
    place.text("aside", data_dir + cluster::aside_suffix(id.empty() ? "<id>" : id));
    place.json("stops", "[" + stops + "]");
    Object out;
    out.text("member", view.name);
    out.json("plan", plan_json);
    out.json("in_place", place.take());
    return out.take();
}

}  // namespace

Status room_beside(const std::string& data_dir, std::uint64_t needed_bytes) {
    std::error_code error;
    auto real = fs::canonical(data_dir, error);
    if (error) real = data_dir;
    const auto space = fs::space(real.parent_path(), error);
    if (error)
        return fail(ErrorCode::failed, fmt::format("how much room there is beside {} cannot be "
                                                   "told: {}",
                                                   data_dir, error.message()));
    if (space.available >= needed_bytes) return {};
    return fail(ErrorCode::conflict,
                fmt::format("there is not enough room beside {}: the old data is kept, the backup "
                            "restores to {} MB with the WAL that recovery needs at a time, and {} "
                            "MB are free; make room there, or restore on a larger disk with "
                            "--into-new-cluster",
                            real.string(), (needed_bytes >> 20U) + 1, space.available >> 20U));
}

std::string why_not_in_place(const cluster::Snapshot& now, const ports::View& view,
                             const backup::RestoreChoice& choice) {
    if (now.restoration && now.restoration->goes_on())
        return fmt::format(
            "the cluster is being restored in place already ({}, by {}): wait for "
            "it, or end it (relevoctl restore --cancel)",
            to_string(now.restoration->phase), now.restoration->member);
    if (now.restoration && now.restoration->phase == Restoration::Phase::unreadable)
        return "the key `restore` in the DCS cannot be read: repair or remove it";
    if (view.settings.pause)
        return "maintenance mode is on, and nothing would be stopped: `relevoctl resume` first";
    if (view.settings.standby_cluster) return "this is a standby cluster (standby_cluster)";
    if (!now.leader || !now.initialized())
        return "the cluster has no leader that could be stopped cleanly: start it first";
    if (now.failover)
        return "a switchover or failover is under way or scheduled: wait for it, or end it "
               "(relevoctl flush)";
    if (!view.postgres.system_id.empty() && view.postgres.system_id != *now.initialize)
        return view.name + "'s data directory belongs to another cluster: name another member";
    if (view.tags.nofailover())
        return view.name +
               " may not lead (nofailover), and who restores leads then: name another "
               "member";
    for (const auto& [name, member] : now.members)
        if (!member.restores_in_place)
            return fmt::format(
                "{}'s agent does not know of restores in place: it is Patroni's, or "
                "an older one",
                name);
    if (!choice.backup.system_id.empty() && choice.backup.system_id != *now.initialize)
        return fmt::format(
            "backup {} is of another cluster (system identifier {}, this one's is "
            "{}): restore it into a new one (--into-new-cluster)",
            choice.backup.label, choice.backup.system_id, *now.initialize);
    return {};
}

Task<Status> InPlaceWork::restore(Restoration record) {
    if (!backup_.configured())
        co_return fail(ErrorCode::invalid, "this member has no section `backup` any more");
    RLV_CO_CHECK(co_await backup_.apply());
    ports::Backup::RestorePlan plan;
    plan.into = conf_.postgres().data_dir;
    plan.backup = record.backup;
    plan.repository = record.repository;
    plan.target = record.target;
    progress_.emplace();
    plan.progress = [this, last = std::uint64_t{0}](const cluster::BackupProgress& now) mutable {
        progress_ = now;
        constexpr std::uint64_t step = 1ULL << 30U;  // a line for each GiB
        if (now.done_bytes < last + step) return;
        last = now.done_bytes;
        log::info("restore in place: {} MiB, {:.1f} %", now.done_bytes >> 20U,
                  now.percent.value_or(0));
    };
    log::warning("restore in place: {} into {}, backup {} along timeline {}, to begin timeline {}",
                 describe(record.target), plan.into, record.backup,
                 to_string(record.target.timeline), record.timeline);
    auto done = co_await backup_.restore(std::move(plan));
    progress_.reset();
    co_return done;
}

Task<Result<cluster::Snapshot>> InPlace::look() {
    auto tree = co_await parts_.dcs.read(dcs_deadline);
    if (!tree) co_return std::unexpected(tree.error());
    cluster::SnapshotReader reader;
    co_return reader.read(*tree);
}

Task<Reply> InPlace::order(ports::RestoreOrder order, backup::RestoreChoice choice,
                           std::string plan_json, std::shared_ptr<const ports::View> view) {
    const bool dry_run = order.dry_run;
    const auto now = co_await look();
    if (!now) co_return Reply{503, "the DCS cannot be read: " + now.error().message};
    if (auto why = why_not_in_place(*now, *view, choice); !why.empty())
        co_return Reply{409, std::move(why)};
    const auto data_dir = parts_.data_dir();
    const auto needed = choice.backup.database_bytes + wal_room;
    const auto room = co_await parts_.pool.run([&] { return room_beside(data_dir, needed); });
    if (!room) co_return Reply{409, room.error().message};
    Restoration record;
    record.asked = parts_.clock.wall();
    record.id = cluster::restoration_id(*record.asked, view->name);
    record.phase = Restoration::Phase::stopping;
    record.member = view->name;
    record.backup = choice.backup.label;
    record.repository = choice.backup.repository;
    record.target = choice.target;
    cluster::follow_upon(record, now->restoration);
    auto shown = order_json(*view, plan_json, *now, dry_run ? std::string() : record.id, data_dir);
    if (dry_run) co_return Reply{200, std::move(shown)};
    const auto written = co_await parts_.dcs.commit(
        cluster::keys::ask_restore(record, now->leader->create_revision, *now->initialize),
        dcs_deadline);
    if (!written)
        co_return Reply{503, "the order could not be written: " + written.error().message +
                                 "; look at `relevoctl restore --status`"};
    if (!written->succeeded)
        co_return Reply{409,
                        "the cluster has just changed (its leader, or another restore): look "
                        "again"};
    log::warning("the cluster is to be restored in place by this member, as an operator asked: {}",
                 record.id);
    co_return Reply{202, std::move(shown)};
}

Task<Reply> InPlace::cancel() {
    const auto now = co_await look();
    if (!now) co_return Reply{503, "the DCS cannot be read: " + now.error().message};
    if (!now->restoration || !now->restoration->goes_on())
        co_return Reply{404, "no restore goes on"};
    auto record = *now->restoration;
    record.phase = Restoration::Phase::cancelled;
    record.problem = "an operator cancelled it";
    const auto written =
        co_await parts_.dcs.commit(cluster::keys::cancel_restore(record, false), dcs_deadline);
    if (!written) co_return Reply{503, "it could not be written: " + written.error().message};
    if (!written->succeeded) co_return Reply{409, "it has just gone on: look again"};
    co_return Reply{200,
                    "the restore in place is cancelled: the cluster goes on with its old data"};
}

std::string InPlace::shown(const cluster::Snapshot* snapshot) const {
    if (snapshot == nullptr || !snapshot->restoration) return {};
    const auto& record = *snapshot->restoration;
    Object out;
    out.json("record", to_json(record));
    out.text("target", describe(record.target));
    const auto* work = parts_.work;
    if (work != nullptr && work->progress()) {
        out.number("done_bytes", work->progress()->done_bytes);
        out.number("total_bytes", work->progress()->total_bytes);
        out.json("percent", fmt::format("{:.2f}", work->progress()->percent.value_or(0)));
    }
    return out.take();
}

}  // namespace relevo::agent
