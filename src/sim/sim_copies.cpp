// What makes, compares and replaces data directories: initdb, pg_basebackup, pg_rewind, single-user
// recovery.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "sim/sim_postgres.h"

namespace relevo::sim {

using cluster::ControlState;
using cluster::DataDir;
using cluster::Lsn;
using cluster::Server;
using std::chrono::milliseconds;
using std::chrono::seconds;

void SimPostgres::bootstrap(Finish done) {
    const int action = begin(std::move(done));
    child_of_agent_ = touched_ = true;
    data_ = Data{};
    data_.kind = DataDir::half_made;
    later(takes(milliseconds(500), seconds(2)), action, [this, action] {
        if (fails()) return end(action, fail(ErrorCode::failed, "initdb failed"));
        data_.kind = DataDir::initialized;
        data_.system_id = fmt::format("70000000000000000{:02}", ++all_.systems);
        data_.end = {all_.wal.root(me_), Lsn{0x1500000}};
        flush_now();
        data_.control = ControlState::shut_down;
        data_.checkpoint = Lsn{0x1500000 - 0x70};
        data_.checkpoint_timeline = 1;
        making_ = true;
        end(action, {});
    });
}

void SimPostgres::leave_unfinished() {
    if (!std::exchange(making_, false)) return;
    data_.kind = DataDir::half_made;
    data_.unfinished = true;
}

void SimPostgres::post_bootstrap(Finish done) {
    const int action = begin(std::move(done));
    later(takes(milliseconds(50), milliseconds(300)), action, [this, action] {
        if (server_ != Server::running || hung_ || fails())
            return end(action, fail(ErrorCode::failed, "no connection"));
        if (recovering_) return end(action, fail(ErrorCode::failed, "it only reads"));
        making_ = false;
        data_.roles = true;
        end(action, {});
    });
}

void SimPostgres::agent_gone() {
    on_exit = nullptr;
    leave_unfinished();
    if (!pending_) return;
    if (child_of_agent_ && touched_) data_.kind = DataDir::half_made;
    take_back();
    // A start, stop or promotion that is under way in PostgreSQL goes on by itself.
    if (child_of_agent_) ++action_;
    pending_ = nullptr;
}

// The next agent does it at its start (undo_interrupted_clone): before anything else happens here.
void SimPostgres::take_back() {
    if (std::exchange(keeps_, {}).empty() || !aside_) return;
    data_ = *std::exchange(aside_, std::nullopt);
    data_.voteless = true;  // durable before anything was moved
    unsynced_.reset();
}

void SimPostgres::check_rebuild(Finish done) {
    world().on_host(me_, takes(milliseconds(5), milliseconds(500)), [this, done = std::move(done)] {
        const bool kept = std::ranges::any_of(
            kept_, [](const auto& one) { return one.first.starts_with(cluster::damaged_prefix); });
        if (kept) return done(fail(ErrorCode::conflict, "an earlier one is kept"));
        if (world().host(me_).disk_state != cluster::DiskState::ok || fails())
            return done(fail(ErrorCode::failed, "no room for two"));
        done({});
    });
}

void SimPostgres::clone(std::optional<cluster::Upstream> source, bool replace,
                        const std::string& keep, Finish done) {
    const int action = begin(std::move(done));
    const auto refuse = [&](ErrorCode code, const char* why) {
        later(milliseconds(10), action,
              [this, action, code, why] { end(action, fail(code, why)); });
    };
    if (server_ != Server::stopped) return refuse(ErrorCode::failed, "PostgreSQL runs");
    if (data_.kind != DataDir::empty && !replace)
        return refuse(ErrorCode::failed, "the data directory is not empty");
    const int from = source ? world().index_of(source->member) : -1;
    if (!source_answers(from)) {
        return later(world().dice.between(milliseconds(10), seconds(5)), action, [this, action] {
            end(action, fail(ErrorCode::unavailable, "the source cannot be reached"));
        });
    }
    if (data_.kind == DataDir::initialized) {
        all_.on_wipe(me_, data_, "clone");
        aside_ = data_;
        keeps_ = keep;
    }
    data_ = Data{};
    data_.kind = DataDir::half_made;
    lose_vote();
    child_of_agent_ = touched_ = true;
    const Instant since = all_.at(from).primary_since();
    later(takes(seconds(1), seconds(8)), action, [this, action, from, since] {
        // What was restored in place since is another server: the connection went with the old one.
        const bool another = world().plan.in_place && all_.at(from).primary_since() != since;
        if (!source_answers(from) || another || fails()) {
            take_back();
            return end(action, fail(ErrorCode::failed, "the copy broke off"));
        }
        data_ = Data{};
        const Data& theirs = all_.at(from).data_;
        data_.kind = DataDir::initialized;
        lose_vote();
        data_.standby_signal = true;
        data_.system_id = theirs.system_id;
        data_.roles = theirs.roles;
        data_.end = theirs.flushed;
        flush_now();
        data_.backup_label = true;
        data_.control = ControlState::in_production;  // as the source's was when it was copied
        data_.checkpoint = theirs.checkpoint;
        data_.checkpoint_timeline = theirs.checkpoint_timeline;
        if (!keeps_.empty()) kept_[std::exchange(keeps_, {})] = *aside_;
        aside_.reset();
        all_.on_copied(me_);
        end(action, {});
    });
}

void SimPostgres::lose_vote() {
    const Kept before = data_.kept();
    data_.voteless = true;
    if (world().plan.bug == Bug::voteless_not_durable) never_durable(before, true);
}

// The table of contract 7.9, on numbers as PostgreSQL shows them.
cluster::Divergence SimPostgres::judge(const SimPostgres& source) const {
    using Verdict = cluster::Divergence::Verdict;
    const auto& wal = all_.wal;
    cluster::Divergence d;
    d.can_rewind = world().plan.settings.use_pg_rewind && world().plan.wal_log_hints;
    const auto answer = [&d](Verdict verdict, std::string why) {
        d.verdict = verdict;
        d.why = std::move(why);
        return d;
    };
    const bool running = server_ == Server::running;
    const bool clean = data_.control == ControlState::shut_down ||
                       data_.control == ControlState::shut_down_in_recovery ||
                       data_.control == ControlState::in_archive_recovery;
    if (!running && !clean) return answer(Verdict::undecided, "it was not shut down");
    const bool former_primary = !running && data_.control == ControlState::shut_down;
    // Rewound and not yet consistent: pg_control names the point that must be reached.
    const WalEnd end = !running && data_.needs.branch >= 0 ? data_.needs : data_.end;
    if (const auto twice = wal.twin(end, source.data_.end)) {
        d.twin = true;
        d.can_rewind = false;
        return answer(Verdict::must_rewind, fmt::format("timeline {} was begun twice", twice));
    }
    const auto mine = wal.timeline(end);
    const auto theirs = wal.timeline(source.data_.end);
    if (mine > theirs)
        return answer(Verdict::must_rewind,
                      fmt::format("timeline {} against the older {}", mine, theirs));
    if (mine == theirs) return answer(Verdict::streams, "the same timeline");
    const auto history = wal.history(source.data_.end.branch);
    const auto line = std::ranges::find(history, mine, &cluster::HistoryLine::timeline);
    if (line == history.end()) return answer(Verdict::must_rewind, "not in its history");
    const bool fits =
        former_primary ? end.lsn == line->switch_point : end.lsn <= line->switch_point;
    const auto why = fmt::format("ends at {} on timeline {}, left at {}", to_string(end.lsn), mine,
                                 to_string(line->switch_point));
    return answer(fits ? Verdict::streams : Verdict::must_rewind, why);
}

void SimPostgres::compare(const cluster::Upstream& source,
                          std::function<void(Result<cluster::Divergence>)> done) {
    const int from = world().index_of(source.member);
    const bool slow = from >= 0 && !source_answers(from);
    const auto wait = slow ? world().dice.between(milliseconds(5), seconds(3))
                           : takes(milliseconds(10), milliseconds(100));
    world().on_host(me_, wait, [this, from, done = std::move(done)] {
        if (!source_answers(from))
            return done(fail(ErrorCode::unavailable, "the leader cannot be asked"));
        if (all_.at(from).recovering_)
            return done(fail(ErrorCode::conflict, "the source is no primary"));
        done(judge(all_.at(from)));
    });
}

void SimPostgres::rewind(const cluster::Upstream& source, Finish done) {
    const int action = begin(std::move(done));
    const int from = world().index_of(source.member);
    later(takes(milliseconds(50), milliseconds(300)), action, [this, action, from] {
        // Somebody has started it.
        if (server_ != Server::stopped)
            return end(action, fail(ErrorCode::unavailable, "PostgreSQL runs"));
        if (data_.control != ControlState::in_production) return rewind_now(action, from);
        child_of_agent_ = true;
        later(takes(milliseconds(200), seconds(3)), action, [this, action, from] {
            if (full()) return end(action, fail(ErrorCode::unavailable, "No space left on device"));
            if (!recover_alone()) return end(action, fail(ErrorCode::failed, "before the rewind"));
            rewind_now(action, from);
        });
    });
}

void SimPostgres::rewind_now(int action, int from) {
    const SimPostgres& up = all_.at(from);
    if (!source_answers(from) || up.recovering_ || !up.checkpointed_)
        return end(action, fail(ErrorCode::unavailable, "the source is not ready"));
    // Its mark, written before anything is changed, has no room.
    if (full()) return end(action, fail(ErrorCode::unavailable, "No space left on device"));
    child_of_agent_ = touched_ = true;
    lose_vote();
    later(takes(milliseconds(200), seconds(4)), action,
          [this, action, from, copied = up.data_.flushed, since = up.primary_since()] {
              // A source that stopped meanwhile took the connection with it.
              const SimPostgres& there = all_.at(from);
              const bool same = !there.recovering_ && there.primary_since() == since;
              if (!source_answers(from) || !same || full() || fails()) {
                  data_.kind = DataDir::half_made;
                  return end(action, fail(ErrorCode::failed, "pg_rewind broke off"));
              }
              data_.standby_signal = true;  // pg_rewind removes it, the adapter puts it back
              data_.end = copied;
              flush_now();
              data_.tail.reset();
              data_.needs = all_.at(from).data_.flushed;
              data_.control = ControlState::in_archive_recovery;
              end(action, {});
          });
}

// PostgreSQL in single-user mode: it ends cleanly, where its WAL does.
bool SimPostgres::recover_alone() {
    if (server_ != Server::stopped || data_.kind != DataDir::initialized || fails()) return false;
    data_.checkpoint = data_.end.lsn;
    data_.checkpoint_timeline = all_.wal.timeline(data_.end);
    data_.end.lsn.value += 0x70;
    flush_now();
    data_.control = ControlState::shut_down;
    return true;
}

void SimPostgres::crash_recover(Finish done) {
    const int action = begin(std::move(done));
    child_of_agent_ = true;
    later(takes(milliseconds(200), seconds(3)), action, [this, action] {
        if (!recover_alone())
            return end(action, fail(ErrorCode::failed, "single-user recovery failed"));
        end(action, {});
    });
}

void SimPostgres::set_aside(Finish done) {
    const int action = begin(std::move(done));
    later(milliseconds(5), action, [this, action] {
        if (server_ != Server::stopped)
            return end(action, fail(ErrorCode::failed, "PostgreSQL runs"));
        if (data_.kind == DataDir::initialized) all_.on_wipe(me_, data_, "set aside");
        aside_ = std::exchange(data_, Data{});
        making_ = false;
        end(action, {});
    });
}

}  // namespace relevo::sim
