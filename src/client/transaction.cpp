// Transactions: BEGIN with its mark, the caller's function, COMMIT, and what to do with how that
// ended.
#include <exception>
#include <utility>

#include "client/pool_core.h"

namespace relevo::client {

namespace {

const char* isolation_text(Isolation isolation) {
    switch (isolation) {
        case Isolation::read_committed: return "READ COMMITTED";
        case Isolation::repeatable_read: return "REPEATABLE READ";
        case Isolation::serializable: return "SERIALIZABLE";
    }
    return "SERIALIZABLE";
}

// The id first: it is what the message's record carries. All of it is in memory; nothing is
// flushed for it, and the record's 60 bytes are the price of a lost COMMIT that can be found out.
constexpr const char* mark_query =
    "SELECT pg_current_xact_id()::text, pg_logical_emit_message(true, 'relevo', '')::text, "
    "extract(epoch FROM pg_postmaster_start_time())::text, pg_last_wal_replay_lsn()::text, "
    "pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_flush_lsn()::text";

Lsn lsn_or_0(std::optional<std::string_view> text) {
    return text ? parse_lsn(*text).value_or(0) : 0;
}

class Running final : public Transaction {
public:
    Running(Session& session, Clock::time_point until) : session_(session), until_(until) {}

    Task<Expected<Rows>> execute(std::string sql, Parameters parameters) override {
        if (failed) co_return std::unexpected(*failed);
        auto answer = co_await session_.run(sql, &parameters, until_, Stage::statement);
        action = classify(answer.seen);
        if (action == Action::done) co_return answer.last();
        seen = answer.seen;
        failed = Error{action == Action::reject ? Kind::rejected : Kind::unavailable,
                       answer.seen.sqlstate, answer.message, 0};
        co_return std::unexpected(*failed);
    }

    Action action = Action::done;
    std::optional<Error> failed;
    Seen seen;

private:
    Session& session_;
    Clock::time_point until_;
};

}  // namespace

struct PoolCore::Attempt {
    Action action = Action::done;
    Seen seen;
    Error error;
    std::optional<Mark> mark;
    Lsn lsn = 0;
    std::exception_ptr thrown;

    void ends_with(Action its, const Answer& answer) {
        action = its;
        seen = answer.seen;
        error = Error{Kind::rejected, answer.seen.sqlstate, answer.message, 0};
    }
};

std::string PoolCore::begin_text(Session& session, const Call& call, bool writes) const {
    std::string text = "BEGIN ISOLATION LEVEL ";
    text += isolation_text(call.isolation);
    if (!writes) return text + " READ ONLY";
    text += "; ";
    if (!options_.outcome_table.empty()) {
        const auto number = std::to_string(++session.number);
        text += "INSERT INTO " + options_.outcome_table + " (session, number) VALUES ('" +
                session.key + "', " + number +
                ") ON CONFLICT (session) DO UPDATE SET number = " + number + ", at = now(); ";
    }
    return text + mark_query;
}

void PoolCore::saw_flushed(const Life& life, Lsn lsn) {
    if (life == flushed_life_)
        flushed_ = std::max(flushed_, lsn);
    else
        flushed_life_ = life, flushed_ = lsn;
}

std::optional<Mark> PoolCore::mark_from(const Session& session, const Rows& row) {
    Mark mark;
    mark.xid = std::string(row.value(0, 0).value_or(""));
    mark.end = lsn_or_0(row.value(0, 1));
    mark.life.system_id = session.system_id();
    mark.life.started = std::string(row.value(0, 2).value_or(""));
    mark.life.recovered = lsn_or_0(row.value(0, 3));
    mark.life.timeline = timeline_of(row.value(0, 4).value_or("")).value_or(0);
    mark.server = session.server();
    if (!options_.outcome_table.empty()) {
        mark.session = session.key;
        mark.number = session.number;
    }
    if (mark.xid.empty() || mark.end == 0 || mark.life.timeline == 0) return std::nullopt;
    saw_flushed(mark.life, lsn_or_0(row.value(0, 5)));
    return mark;
}

Task<PoolCore::Attempt> PoolCore::attempt(Session& session, const Body& body, const Call& call,
                                          Clock::time_point until) {
    const bool writes = !call.read_only;
    if (session.key.empty()) session.key = key_ + "-" + std::to_string(++next_key_);
    Attempt attempt;
    const auto begun =
        co_await session.run(begin_text(session, call, writes), nullptr, until, Stage::begin);
    attempt.action = classify(begun.seen);
    if (attempt.action != Action::done) {
        attempt.ends_with(attempt.action, begun);
        session.close();  // cheaper to understand than a transaction that may be open
        co_return attempt;
    }
    if (writes) attempt.mark = mark_from(session, begun.last());

    Running running(session, until);
    Expected<void> wanted;
    try {
        wanted = co_await body(running);
    } catch (...) {
        attempt.thrown = std::current_exception();
    }
    if (!attempt.thrown && !running.failed && wanted)
        co_return co_await commit(session, std::move(attempt), call, until);

    if (running.failed) {
        attempt.action = running.action;
        attempt.seen = running.seen;
        attempt.error = wanted ? *running.failed : wanted.error();
    } else if (!wanted) {
        attempt.action = Action::reject;
        attempt.error = wanted.error();
    }
    if (session.usable()) {
        const auto rolled = co_await session.run("ROLLBACK", nullptr, until, Stage::statement);
        if (classify(rolled.seen) != Action::done) session.close();
    }
    co_return attempt;
}

Task<PoolCore::Attempt> PoolCore::commit(Session& session, Attempt attempt, const Call& call,
                                         Clock::time_point until) {
    // The second statement runs only when COMMIT succeeded; its position lies behind the COMMIT
    // record and is what a replica must have replayed to show us our own writes.
    static const std::string with_receipt =
        "COMMIT; SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text";
    static const std::string plain = "COMMIT;";
    const bool writes = !call.read_only;
    const bool receipt = writes && call.want_lsn;
    auto answer =
        co_await session.run(receipt ? with_receipt : plain, nullptr, until, Stage::commit);
    answer.seen.rolled_back = !answer.results.empty() && answer.results.front().tag() == "ROLLBACK";
    attempt.ends_with(classify(answer.seen), answer);
    if (answer.seen.rolled_back)
        attempt.error.message = "COMMIT was answered with ROLLBACK: a statement had failed";
    if (attempt.action == Action::in_doubt && !writes) attempt.action = Action::again;
    if (attempt.action != Action::done || !receipt) co_return attempt;
    attempt.lsn = lsn_or_0(answer.last().value(0, 0));
    if (attempt.mark) saw_flushed(attempt.mark->life, lsn_or_0(answer.last().value(0, 1)));
    co_return attempt;
}

Task<Expected<Receipt>> PoolCore::transaction(Body body, Call call) {
    const auto self = shared_from_this();
    if (call.target == Target::replica && !call.read_only)
        co_return std::unexpected(Error{Kind::invalid, "", "Target::replica needs read_only", 0});
    const auto until = end_of(call);
    ++counts_.calls;
    budget_.earn();
    std::optional<Mark> left;  // a transaction whose connection was lost before COMMIT
    for (int attempts = 1;; ++attempts) {
        Attempt tried;
        {
            auto lease = co_await acquire_for(call, until);
            if (!lease) {
                lease.error().attempts = attempts - 1;
                co_return std::unexpected(lease.error());
            }
            if (left) co_await end_abandoned(**lease, *left, until);
            tried = co_await attempt(**lease, body, call, until);
        }
        left = tried.seen.lost ? tried.mark : std::nullopt;
        if (tried.thrown) std::rethrow_exception(tried.thrown);
        tried.error.attempts = attempts;
        auto action = tried.action;
        if (action == Action::in_doubt) {
            Resolved resolved{Verdict::unknown, "the transaction had no mark", 0};
            if (tried.mark) resolved = co_await resolve(*tried.mark, until);
            if (resolved.verdict == Verdict::committed) {
                ++counts_.resolved;
                co_return Receipt{call.want_lsn ? resolved.behind : 0, attempts, true};
            }
            if (resolved.verdict == Verdict::aborted) {
                ++counts_.resolved;
                action = Action::again;
            } else {
                tried.error.message = "COMMIT's answer was lost (" + tried.error.message +
                                      ") and what became of it can't be told: " + resolved.why;
            }
        }
        switch (action) {
            case Action::done: co_return Receipt{tried.lsn, attempts, false};
            case Action::reject: co_return std::unexpected(tried.error);
            case Action::unconfirmed:
                tried.error.message =
                    "committed on the primary, perhaps not on any synchronous standby: the wait "
                    "for it was cancelled";
                [[fallthrough]];
            case Action::in_doubt:
                ++counts_.unknown;
                tried.error.kind = Kind::unknown;
                co_return std::unexpected(tried.error);
            case Action::again: break;
        }
        auto ends = co_await before_repeating(tried.seen, tried.error.message, attempts, until);
        if (ends) co_return std::unexpected(*std::move(ends));
    }
}

}  // namespace relevo::client
