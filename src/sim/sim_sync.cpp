// Synchronous replication: commits that wait for standbys, as PostgreSQL's walsenders release them.
// Each walsender goes by the names that it has read; one that is told of others reads them before
// it sends anything more, but may handle reports of its standby by the old ones until then.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "sim/sim_postgres.h"

namespace relevo::sim {

using cluster::Lsn;
using cluster::Server;
using cluster::SyncNames;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

bool lists(const SyncNames& names, const std::string& name) {
    return names.everybody ||
           std::ranges::any_of(names.names, [&](const auto& one) { return iequals(one, name); });
}

}  // namespace

bool SimPostgres::counts(int standby) const {
    const Walsender& one = walsenders_[static_cast<std::size_t>(standby)];
    return one.session >= 0 && lists(one.names, world().name(standby));
}

void SimPostgres::read_names() {
    names_ = cluster::parse_sync_names(data_.sync_names).value_or(SyncNames{});
}

void SimPostgres::connected(int standby, int session, Lsn at) {
    walsender(standby) = Walsender{session, names_, false, at, {}};
}

void SimPostgres::disconnected(int standby, int session) {
    if (walsender(standby).session == session) walsender(standby) = {};
}

// The standby's word that all it has is on its disk.
void SimPostgres::report_flush() {
    if (!receiver_.streaming || hung_) return;
    const int from = receiver_.from;
    if (!world().linked(me_, from)) return;  // told again when something changes
    world().to_host(from, world().latency(),
                    [this, from, session = receiver_.session, end = data_.flushed.lsn] {
                        if (world().linked(me_, from))
                            all_.at(from).flush_reported(me_, session, end);
                    });
}

void SimPostgres::flush_reported(int standby, int session, Lsn flushed) {
    Walsender& one = walsender(standby);
    if (one.session != session || server_ == Server::stopped || hung_) return;
    one.flushed = std::max(one.flushed, flushed);
    if (!recovering_) release(standby);
}

void SimPostgres::acknowledge(Lsn upto) {
    Branch& branch = all_.wal.at(data_.end.branch);
    upto = std::min(upto, data_.flushed.lsn);
    std::size_t done = 0;
    for (; done < waiting_.size() && waiting_[done] <= upto; ++done) {
        branch.acked.push_back(
            {waiting_[done], world().now(), all_.promised && all_.promised(me_)});
        const auto [first, last] = std::ranges::equal_range(branch.open, waiting_[done]);
        branch.open.erase(first, last);
    }
    if (done > 0 && all_.on_acknowledged) all_.on_acknowledged(me_);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
}

void SimPostgres::release_all() {
    if (!waiting_.empty()) acknowledge(waiting_.back());
}

// A walsender lets go what enough standbys have flushed, by the names that it has read; a standby
// counts when its own walsender has read that it is one of them.
void SimPostgres::release(int by) {
    const SyncNames& names = walsender(by).names;
    if (waiting_.empty() || names.count == 0 || !lists(names, world().name(by))) return;
    std::vector<Lsn> flushed;
    const auto consider = [&](int standby) {
        if (counts(standby)) flushed.push_back(walsender(standby).flushed);
    };
    for (int standby = 0; standby < world().size(); ++standby) consider(standby);
    const auto count = static_cast<std::size_t>(names.count);
    if (flushed.size() < count) return;
    std::ranges::sort(flushed, std::ranges::greater());
    acknowledge(flushed[count - 1]);
}

void SimPostgres::walsender_reads(int standby, int session) {
    Walsender& one = walsender(standby);
    if (one.session != session || !one.reads_later) return;
    if (hung_) {
        world().on_host(me_, milliseconds(100),
                        [this, standby, session] { walsender_reads(standby, session); });
        return;
    }
    one.names = names_;
    one.reads_later = false;
    SimPostgres& other = all_.at(standby);
    other.receiver_sync();
    // What waits is released at the next report only.
    world().on_host(standby, world().dice.between({}, status_interval),
                    [&other] { other.report_flush(); });
}

void SimPostgres::set_sync_names(const std::optional<std::string>& text,
                                 std::function<void(Result<Lsn>)> done) {
    world().on_host(me_, takes(milliseconds(2), milliseconds(30)) + world().disk(me_),
                    [this, text, asked = ++names_asked_, done = std::move(done)] {
                        if (server_ != Server::running || hung_)
                            return done(fail(ErrorCode::failed, "no answer"));
                        if (asked < names_written_)
                            return done(fail(ErrorCode::outcome_unknown, "written over"));
                        if (full()) return done(fail(ErrorCode::failed, "no space left"));
                        const bool breaks = fails();
                        if (breaks && world().dice.chance(0.5))
                            return done(fail(ErrorCode::failed, "could not be written"));
                        names_written_ = asked;
                        data_.sync_names = text.value_or("");
                        read_names();
                        const int told = ++names_told_;
                        for (int standby = 0; standby < world().size(); ++standby) {
                            Walsender& one = walsender(standby);
                            if (one.session < 0) continue;
                            one.reads_later = true;
                            const Duration reads =
                                world().dice.chance(0.3)
                                    ? world().dice.between(milliseconds(20), seconds(4))
                                    : world().dice.between({}, milliseconds(20));
                            world().on_host(me_, reads, [this, standby, session = one.session] {
                                walsender_reads(standby, session);
                            });
                            // Until then it may hear of its standby, which reports now and then in
                            // any case.
                            world().on_host(standby, world().dice.between({}, status_interval),
                                            [&other = all_.at(standby)] { other.report_flush(); });
                        }
                        // Backends wait, or no longer, once the checkpointer has read it; the agent
                        // sees that a commit waits before it marks the place.
                        const Duration backends = world().dice.between({}, milliseconds(50));
                        world().on_host(me_, backends, [this, told] {
                            if (told != names_told_) return;
                            commits_wait_ = names_.count > 0;
                            if (!commits_wait_) release_all();
                        });
                        if (breaks)
                            return done(fail(ErrorCode::outcome_unknown, "no answer in time"));
                        if (recovering_) return done(Lsn{});
                        world().on_host(me_, backends + milliseconds(1), [this, told, done] {
                            if (told != names_told_)
                                return done(fail(ErrorCode::outcome_unknown, "it ended meanwhile"));
                            data_.end.lsn.value += 0x60;
                            const Lsn marker = data_.end.lsn;
                            flush_soon();
                            done(marker);
                        });
                    });
}

void SimPostgres::set_names_by_hand(const std::string& text) {
    data_.sync_names = text;
    read_names();
    ++names_told_;
    commits_wait_ = names_.count > 0;
    if (!commits_wait_) release_all();
    for (auto& one : walsenders_) {
        one.names = names_;
        one.reads_later = false;
    }
}

void SimPostgres::end_walsenders(Lsn sent_below, Finish done) {
    world().on_host(
        me_, takes(milliseconds(2), milliseconds(20)), [this, sent_below, done = std::move(done)] {
            if (server_ != Server::running || hung_) return done(fail(ErrorCode::failed, "hangs"));
            for (auto& other : all_.servers) {
                Walsender& one = walsender(other->me_);
                if (one.session < 0 || one.sent >= sent_below || !counts(other->me_)) continue;
                const bool connected =
                    other->receiver_.from == me_ && other->receiver_.session == one.session;
                one = {};
                if (connected) other->receiver_lost(milliseconds(10));
            }
            done({});
        });
}

void SimPostgres::admit(Finish done) {
    world().on_host(me_, takes(milliseconds(1), milliseconds(15)),
                    [this, epoch = epoch_, done = std::move(done)] {
                        if (epoch != epoch_ || hung_)
                            return done(fail(ErrorCode::failed, "PostgreSQL does not run"));
                        gated_ = false;
                        data_.closed = false;
                        read();
                        done({});
                    });
}

void SimPostgres::end_walsender(int pid, Finish done) {
    world().on_host(me_, milliseconds(3), [this, pid, done = std::move(done)] {
        if (server_ != Server::running || hung_) return done(fail(ErrorCode::failed, "hangs"));
        for (auto& other : all_.servers) {
            Walsender& one = walsender(other->me_);
            if (one.session < 0 || one.session + 1 != pid) continue;
            const bool connected =
                other->receiver_.from == me_ && other->receiver_.session == one.session;
            one = {};
            if (connected) other->receiver_lost(milliseconds(10));
        }
        done({});
    });
}

// A fixed time: nothing else depends on when.
void SimPostgres::reset_commit_setting(const cluster::CommitSetting& setting, Finish done) {
    world().on_host(me_, milliseconds(3), [this, setting, done = std::move(done)] {
        if (!is_primary() || hung_) return done(fail(ErrorCode::failed, "no primary that answers"));
        std::erase(all_.commit_settings, setting);
        done({});
    });
}

void SimPostgres::restore_vote(Finish done) {
    world().on_host(me_, world().disk(me_) + world().dice.between(milliseconds(1), milliseconds(8)),
                    [this, done = std::move(done)] {
                        if (full()) return done(fail(ErrorCode::failed, "no space left"));
                        data_.voteless = false;
                        done({});
                    });
}

}  // namespace relevo::sim
