// A COMMIT whose answer was lost: the primary of the moment is asked until it is known what became
// of the transaction (verdict.h has the reasoning), or the time is over.
#include <algorithm>

#include "client/pool_core.h"

namespace relevo::client {

using namespace std::chrono_literals;

namespace {

Lsn lsn_or_0(std::optional<std::string_view> text) {
    return text ? parse_lsn(*text).value_or(0) : 0;
}

}  // namespace

// nullopt: the session is of no use (any more), or the server does not accept writes.
template <class By>
auto PoolCore<By>::ask_life(Session& session, Clock::time_point until)
    -> Task<std::optional<Life>> {
    static const std::string question =
        "SELECT extract(epoch FROM pg_postmaster_start_time())::text, "
        "pg_last_wal_replay_lsn()::text, CASE WHEN pg_is_in_recovery() THEN NULL "
        "ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END";
    const auto answer = co_await session.run(question, nullptr, until, Stage::alone);
    const auto& row = answer.last();
    if (classify(answer.seen) != Action::done || !row.value(0, 2)) co_return std::nullopt;
    Life life;
    life.system_id = session.system_id;
    life.started = std::string(row.value(0, 0).value_or(""));
    life.recovered = lsn_or_0(row.value(0, 1));
    life.timeline = timeline_of(*row.value(0, 2)).value_or(0);
    co_return life;
}

template <class By>
auto PoolCore<By>::ask_status(Session& session, const Mark& mark, Clock::time_point until)
    -> Task<std::optional<XactStatus>> {
    const Parameters xid{mark.xid};
    const auto answer =
        co_await session.run("SELECT pg_xact_status($1::xid8)", &xid, until, Stage::alone);
    if (answer.seen.refused && answer.seen.sqlstate == "22023") co_return XactStatus::future;
    if (classify(answer.seen) != Action::done) co_return std::nullopt;
    const auto status = answer.last().value();
    if (!status) co_return XactStatus::too_old;
    if (*status == "committed") co_return XactStatus::committed;
    if (*status == "aborted") co_return XactStatus::aborted;
    co_return XactStatus::in_progress;
}

template <class By>
auto PoolCore<By>::ask(Session& session, const Mark& mark, Clock::time_point until)
    -> Task<std::optional<Evidence>> {
    auto life = co_await ask_life(session, until);
    if (!life) co_return std::nullopt;
    Evidence evidence;
    evidence.life = *std::move(life);
    evidence.server = session.server;
    const auto status = co_await ask_status(session, mark, until);
    if (!status) co_return std::nullopt;
    evidence.status = *status;
    if (evidence.life == mark.life) co_return evidence;

    if (!mark.session.empty()) {
        const Parameters key{mark.session};
        const auto noted =
            co_await session.run("SELECT coalesce((SELECT number FROM " + options_.outcome_table +
                                     " WHERE session = $1), 0)",
                                 &key, until, Stage::alone);
        if (classify(noted.seen) == Action::done)
            evidence.noted = std::stoll(std::string(noted.last().value().value_or("0")));
    }
    if (evidence.life.timeline != mark.life.timeline) {
        // Only a superuser and members of pg_read_server_files may; the others go without.
        const auto history = co_await session.run(
            "SELECT pg_read_file('pg_wal/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), "
            "1, 8) || '.history', 0, 1048576, true)",
            nullptr, until, Stage::alone);
        if (classify(history.seen) == Action::done)
            evidence.left_at = left_at(history.last().value().value_or(""), mark.life.timeline);
    }
    // All of it must be of one life, or it is put together from two.
    const auto still = co_await ask_life(session, until);
    if (!still || *still != evidence.life) co_return std::nullopt;
    co_return evidence;
}

// The server may not have noticed that our connection is gone, and would keep the transaction open
// for as long as TCP takes. Only while it waits for us: a COMMIT that waits for its standby must
// not be disturbed, it would end without it.
template <class By>
auto PoolCore<By>::end_backend(Session& session, const Mark& mark, Clock::time_point until)
    -> Task<void> {
    const Parameters xid{mark.xid};
    co_await session.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = "
        "$1::xid8::xid AND state LIKE 'idle in transaction%'",
        &xid, until, Stage::alone);
}

template <class By>
auto PoolCore<By>::abandoned(const Session& session, const std::optional<Mark>& mark)
    -> std::optional<Abandoned> {
    if (const auto& direct = session.direct)
        return Abandoned{direct->life, "", direct->pid, direct->since};
    if (mark) return Abandoned{mark->life, mark->xid, "", ""};
    return std::nullopt;
}

// What a transaction left behind holds its locks, and the repetition would wait for them. Only in
// the same life: elsewhere the id, and the process, is somebody else's.
template <class By>
auto PoolCore<By>::end_abandoned(Session& session, const Abandoned& left, Clock::time_point until)
    -> Task<void> {
    const auto life = co_await ask_life(session, until);
    if (!life || *life != left.life) co_return;
    if (left.pid.empty()) {
        Mark mark;
        mark.xid = left.xid;
        co_return co_await end_backend(session, mark, until);
    }
    const Parameters process{left.pid, left.since};
    co_await session.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1::int AND "
        "backend_start = $2::timestamptz AND state LIKE 'idle in transaction%'",
        &process, until, Stage::alone);
}

template <class By>
auto PoolCore<By>::resolve(Mark mark, Clock::time_point until) -> Task<Resolved> {
    const auto end = std::max(
        until, Clock::now() + std::chrono::duration_cast<Clock::duration>(options_.resolve_for));
    Resolved result{Verdict::unknown, "no primary answered in time", 0};
    {
        const Guard lock(mutex_);
        mark.flushed = flushed_life_ == mark.life && flushed_ >= mark.end;
    }
    std::unique_ptr<Session> session;
    for (int tries = 1; Clock::now() < end; ++tries) {
        if (!session || !session->usable()) {
            // Beside the pool's: they may all be waiting for the server that is gone.
            auto found = co_await connect(Target::primary, end);
            session = std::move(found.session);
        }
        std::optional<Evidence> evidence;
        if (session) evidence = co_await ask(*session, mark, end);
        if (evidence) {
            switch (judge(mark, *evidence)) {
                case Verdict::committed: {
                    // Behind ours in the WAL: when this one is confirmed, so is ours, also where
                    // nobody waited for our standby (after a crash, after a cancelled wait).
                    const auto behind =
                        co_await session->run("SELECT pg_logical_emit_message(true, 'relevo', '')",
                                              nullptr, end, Stage::alone);
                    if (classify(behind.seen) == Action::done)
                        co_return Resolved{Verdict::committed, "", lsn_or_0(behind.last().value())};
                    result.why =
                        "it is committed on the primary, but no synchronous standby has "
                        "confirmed it";
                    break;
                }
                case Verdict::aborted: co_return Resolved{Verdict::aborted, "", 0};
                case Verdict::wait:
                    result.why = "the server is still busy with it";
                    co_await end_backend(*session, mark, end);
                    break;
                case Verdict::stale:
                    result.why =
                        "the server that was found is behind the one it was sent to, or "
                        "of another cluster";
                    session.reset();
                    forget_home();
                    break;
                case Verdict::unknown:
                    co_return Resolved{
                        Verdict::unknown,
                        "there was a crash since, and its id may have been given to another "
                        "transaction (an outcome_table would tell)",
                        0};
            }
        } else if (session) {
            session.reset();
            forget_home();
        }
        co_await rest(std::min(tries, 4), end);
    }
    co_return result;
}

template class PoolCore<ByAsio>;
template class PoolCore<ByThread>;

}  // namespace relevo::client
