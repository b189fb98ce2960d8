// A restore in place (docs/adr/0020): what was there is set aside for good, the repository brings
// back the log up to a target, and what recovers from that begins a timeline of its own.
#include <algorithm>

#include "sim/sim_postgres.h"

namespace relevo::sim {

using cluster::ControlState;
using cluster::DataDir;
using cluster::Server;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr std::uint64_t record_bytes = 0x70;
}

void SimPostgres::keep_aside(const std::string& id, Finish done) {
    const int action = begin(std::move(done));
    later(milliseconds(3), action, [this, action, id] {
        if (server_ != Server::stopped || fails())
            return end(action, fail(ErrorCode::failed, "it cannot be moved"));
        if (mark_.id == id && mark_.done) return end(action, {});
        mark_ = {id, false};
        // The rename, some time after the mark: power may go in between.
        later(takes(milliseconds(2), milliseconds(20)), action, [this, action, id] {
            if (server_ != Server::stopped)
                return end(action, fail(ErrorCode::failed, "PostgreSQL runs"));
            if (!kept_.contains(id) && data_.kind != DataDir::empty &&
                world().plan.bug != Bug::old_data_removed)
                kept_[id] = data_;
            data_ = Data{};
            unsynced_.reset();
            making_ = false;
            later(milliseconds(1), action, [this, action] {
                mark_.done = true;
                end(action, {});
            });
        });
    });
}

void SimPostgres::put_back(const std::string& id, Finish done) {
    const int action = begin(std::move(done));
    later(takes(milliseconds(5), milliseconds(30)), action, [this, action, id] {
        if (server_ != Server::stopped || fails())
            return end(action, fail(ErrorCode::failed, "it cannot be moved"));
        leave_unfinished();
        const auto kept = kept_.find(id);
        if (mark_.id == id && (mark_.done || kept != kept_.end())) {
            if (data_.kind == DataDir::initialized) kept_[id + "-restored"] = data_;
            data_ = kept != kept_.end() ? kept->second : Data{};
            unsynced_.reset();
            if (kept != kept_.end()) kept_.erase(kept);
        }
        mark_ = {};
        end(action, {});
    });
}

void SimPostgres::restore(const cluster::Restoration& record, Finish done) {
    const int action = begin(std::move(done));
    if (server_ != Server::stopped || data_.kind == DataDir::initialized)
        return later(milliseconds(5), action, [this, action] {
            end(action, fail(ErrorCode::conflict, "there is a data directory already"));
        });
    child_of_agent_ = touched_ = true;
    data_ = Data{};
    data_.kind = DataDir::half_made;
    later(takes(seconds(1), seconds(15)), action, [this, action, record] {
        const auto target = all_.targets.find(record.id);
        if (fails() || target == all_.targets.end())
            return end(action, fail(ErrorCode::failed, "pgBackRest failed"));
        data_.kind = DataDir::initialized;
        data_.system_id = target->second.system_id;
        data_.end = target->second.end;
        flush_now();
        data_.control = ControlState::in_archive_recovery;
        data_.to_begin = record.timeline;
        data_.closed = true;
        making_ = true;
        end(action, {});
    });
}

// The end of a restored server's recovery.
void SimPostgres::begin_restored() {
    if (data_.to_begin == 0) return;
    data_.end.branch = all_.wal.fork(data_.end, me_, data_.to_begin);
    if (all_.wal.has_twin(data_.end.branch))
        all_.on_impossible(world().name(me_) + " restored to a timeline that another one has");
    data_.end.lsn.value += record_bytes;
    flush_now();
    data_.to_begin = 0;
}

void SimPostgres::archive_rest(Finish done) {
    const int action = begin(std::move(done));
    child_of_agent_ = true;
    later(takes(milliseconds(5), seconds(2)), action, [this, action] {
        if (fails()) return end(action, fail(ErrorCode::failed, "the repository does not answer"));
        end(action, {});
    });
}

}  // namespace relevo::sim
