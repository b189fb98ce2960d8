// Transactions: BEGIN with its mark, the caller's function, COMMIT, and what to do with how that
// ended.
#include <algorithm>
#include <array>
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
const std::string mark_query =
    "SELECT pg_current_xact_id()::text, pg_logical_emit_message(true, 'relevo', '')::text, "
    "extract(epoch FROM pg_postmaster_start_time())::text, pg_last_wal_replay_lsn()::text, "
    "pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_flush_lsn()::text";

// The same where the rest is known of the session (Session::direct), prepared: a third of the cost.
const std::string short_mark_query =
    "SELECT pg_current_xact_id()::text, pg_logical_emit_message(true, 'relevo', '')::text, "
    "pg_current_wal_flush_lsn()::text";

// Six texts; each transaction begins with one of them.
const std::string& begin_text(Isolation isolation, bool writes) {
    static const auto texts = [] {
        std::array<std::string, 6> all;
        for (const auto each :
             {Isolation::read_committed, Isolation::repeatable_read, Isolation::serializable}) {
            const auto begin = std::string("BEGIN ISOLATION LEVEL ") + isolation_text(each);
            const auto at = 2 * static_cast<std::size_t>(each);
            all[at] = begin + " READ ONLY";
            all[at + 1] = begin;
        }
        return all;
    }();
    const auto strictest = static_cast<std::size_t>(Isolation::serializable);
    const auto which = std::min(static_cast<std::size_t>(isolation), strictest);
    return texts.at(2 * which + (writes ? 1 : 0));
}

std::string note_text(const std::string& table, const std::string& session,
                      const std::string& number) {
    return "INSERT INTO " + table + " (session, number) VALUES (" + session + ", " + number +
           ") ON CONFLICT (session) DO UPDATE SET number = excluded.number, at = now()";
}

Lsn lsn_or_0(std::optional<std::string_view> text) {
    return text ? parse_lsn(*text).value_or(0) : 0;
}

}  // namespace

template <class By>
struct PoolCore<By>::Attempt {
    Action action = Action::done;
    Seen seen;
    Error error;
    std::optional<Mark> mark;
    std::optional<Abandoned> left;  // by a connection that was lost before COMMIT
    Lsn lsn = 0;
    std::exception_ptr thrown;

    void ends_with(Action its, const Answer& answer) {
        action = its;
        seen = answer.seen;
        error = Error{Kind::rejected, answer.seen.sqlstate, answer.message, 0};
    }
};

// What the caller's function sees: BEGIN goes with its first statement.
template <class By>
class PoolCore<By>::Running final : public By::Transaction {
public:
    Running(PoolCore& pool, Session& session, const Call& call, Clock::time_point until,
            std::optional<Mark>& mark)
        : pool_(pool), session_(session), call_(call), until_(until), mark_(mark) {}

    Task<Expected<Rows>> execute(std::string sql, Parameters parameters) override {
        if (failed) co_return std::unexpected(*failed);
        Answer answer;
        if (std::exchange(begun, true))
            answer = co_await session_.run(sql, &parameters, until_, Stage::statement);
        else
            answer = co_await begin(Message{.sql = &sql, .parameters = &parameters});
        action = classify(answer.seen);
        if (action == Action::done) co_return answer.last();
        seen = answer.seen;
        failed = Error{action == Action::reject ? Kind::rejected : Kind::unavailable,
                       answer.seen.sqlstate, answer.message, 0};
        co_return std::unexpected(*failed);
    }
    // For a function that executed nothing.
    Task<Answer> begin() {
        begun = true;
        return begin(std::nullopt);
    }

    Action action = Action::done;
    std::optional<Error> failed;
    Seen seen;
    bool begun = false;

private:
    Task<Answer> begin(std::optional<Message> first);
    Task<Answer> begin_apart(std::optional<Message> first);

    PoolCore& pool_;
    Session& session_;
    const Call& call_;
    Clock::time_point until_;
    std::optional<Mark>& mark_;
};

// One round trip for all of it. The server has done, and logged, the mark before it looks at the
// first statement, and COMMIT is sent only when the mark's answer is here.
template <class By>
auto PoolCore<By>::Running::begin(std::optional<Message> first) -> Task<Answer> {
    if (!session_.direct) co_return co_await begin_apart(std::move(first));
    const bool writes = !call_.read_only, notes = writes && !pool_.options_.outcome_table.empty();
    const auto& text = begin_text(call_.isolation, writes);
    const auto note = notes ? note_text(pool_.options_.outcome_table, "$1", "$2::bigint") : "";
    if (notes) ++session_.number;
    Parameters noted;
    if (notes) noted = {session_.key, std::to_string(session_.number)};
    for (bool again = false;; again = true) {
        const auto mark_name = "relevo_mark_" + std::to_string(session_.preparations);
        const auto note_name = "relevo_note_" + std::to_string(session_.preparations);
        const bool prepares = writes && !session_.prepared;
        // BEGIN first: preparing takes a snapshot, and the isolation has to be set before.
        std::vector<Message> batch;
        batch.reserve(6);
        batch.push_back({.sql = &text});
        if (prepares)
            batch.push_back({Message::Kind::prepare, &short_mark_query, mark_name.c_str(), {}});
        if (prepares && notes)
            batch.push_back({Message::Kind::prepare, &note, note_name.c_str(), {}});
        if (notes) batch.push_back({Message::Kind::prepared, nullptr, note_name.c_str(), &noted});
        if (writes) batch.push_back({Message::Kind::prepared, nullptr, mark_name.c_str(), nullptr});
        const auto before = batch.size();  // messages until the mark's answer is complete
        if (first) batch.push_back(*first);
        const auto tail = first ? Stage::statement : Stage::begin;
        auto answer = co_await session_.together(std::move(batch), until_, Stage::begin, tail);
        const bool marked = answer.results.size() >= before;
        if (first && answer.results.size() == before)
            answer.results.push_back(Rows());  // it was empty
        if (marked && prepares) session_.prepared = true;
        if (marked && writes) mark_ = pool_.mark_of(session_, answer.results[before - 1]);
        // 26000: somebody said DEALLOCATE or DISCARD ALL. 42P05: it is there, and something that
        // was refused came between. Under new names both are over.
        const auto& code = answer.seen.sqlstate;
        if (again || marked || answer.seen.lost || (code != "26000" && code != "42P05"))
            co_return answer;
        session_.prepared = false;
        ++session_.preparations;
        if (session_.idle()) continue;
        const auto rolled = co_await session_.run("ROLLBACK", nullptr, until_, Stage::statement);
        if (classify(rolled.seen) != Action::done) co_return answer;
    }
}

// Behind a pooler the server may be another one each time, with nothing prepared and a life of its
// own: it is asked for all of it, and before anything else.
template <class By>
auto PoolCore<By>::Running::begin_apart(std::optional<Message> first) -> Task<Answer> {
    const bool writes = !call_.read_only;
    auto text = begin_text(call_.isolation, writes);
    if (writes && !pool_.options_.outcome_table.empty())
        text += "; " + note_text(pool_.options_.outcome_table, "'" + session_.key + "'",
                                 std::to_string(++session_.number));
    if (writes) text += "; " + mark_query;
    auto answer = co_await session_.run(text, nullptr, until_, Stage::begin);
    if (classify(answer.seen) != Action::done) co_return answer;
    if (writes) mark_ = pool_.mark_from(session_, answer.last());
    if (!first) co_return answer;
    co_return co_await session_.run(*first->sql, first->parameters, until_, Stage::statement);
}

template <class By>
void PoolCore<By>::saw_flushed(const Life& life, Lsn lsn) {
    const Guard lock(mutex_);
    if (life == flushed_life_)
        flushed_ = std::max(flushed_, lsn);
    else
        flushed_life_ = life, flushed_ = lsn;
}

template <class By>
std::optional<Mark> PoolCore<By>::mark_from(const Session& session, const Rows& row) {
    Mark mark;
    mark.xid = std::string(row.value(0, 0).value_or(""));
    mark.end = lsn_or_0(row.value(0, 1));
    mark.life.system_id = session.system_id;
    mark.life.started = std::string(row.value(0, 2).value_or(""));
    mark.life.recovered = lsn_or_0(row.value(0, 3));
    mark.life.timeline = timeline_of(row.value(0, 4).value_or("")).value_or(0);
    return complete(session, std::move(mark), lsn_or_0(row.value(0, 5)));
}

// The same of what the short query says.
template <class By>
std::optional<Mark> PoolCore<By>::mark_of(const Session& session, const Rows& row) {
    Mark mark;
    mark.xid = std::string(row.value(0, 0).value_or(""));
    mark.end = lsn_or_0(row.value(0, 1));
    mark.life = session.direct->life;
    return complete(session, std::move(mark), lsn_or_0(row.value(0, 2)));
}

template <class By>
std::optional<Mark> PoolCore<By>::complete(const Session& session, Mark mark, Lsn flushed) {
    mark.server = session.server;
    if (!options_.outcome_table.empty()) {
        mark.session = session.key;
        mark.number = session.number;
    }
    if (mark.xid.empty() || mark.end == 0 || mark.life.timeline == 0) return std::nullopt;
    saw_flushed(mark.life, flushed);
    return mark;
}

template <class By>
auto PoolCore<By>::attempt(Session& session, const Body& body, const Call& call,
                           Clock::time_point until) -> Task<Attempt> {
    if (session.key.empty()) {
        const Guard lock(mutex_);
        session.key = key_ + "-" + std::to_string(++next_key_);
    }
    Attempt attempt;
    Running running(*this, session, call, until, attempt.mark);
    Expected<void> wanted;
    try {
        wanted = co_await body(running);
    } catch (...) {
        attempt.thrown = std::current_exception();
    }
    if (!attempt.thrown && !running.failed && wanted) {
        if (!running.begun) {
            const auto begun = co_await running.begin();
            attempt.ends_with(classify(begun.seen), begun);
        }
        if (attempt.action == Action::done) {
            auto ended = co_await commit(session, std::move(attempt), call, until);
            if (ended.seen.lost) ended.left = abandoned(session, ended.mark);
            co_return ended;
        }
    } else if (running.failed) {
        attempt.action = running.action;
        attempt.seen = running.seen;
        attempt.error = wanted ? *running.failed : wanted.error();
    } else if (!wanted) {
        attempt.action = Action::reject;
        attempt.error = wanted.error();
    }
    if (attempt.seen.lost) attempt.left = abandoned(session, attempt.mark);
    // One that failed at its beginning is cheaper to end than to understand.
    if (attempt.action != Action::done && attempt.seen.stage == Stage::begin) session.close();
    if (session.usable() && !session.idle()) {
        const auto rolled = co_await session.run("ROLLBACK", nullptr, until, Stage::statement);
        if (classify(rolled.seen) != Action::done) session.close();
    }
    co_return attempt;
}

template <class By>
auto PoolCore<By>::commit(Session& session, Attempt attempt, const Call& call,
                          Clock::time_point until) -> Task<Attempt> {
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

template <class By>
auto PoolCore<By>::transaction(Body body, Call call) -> Task<Expected<Receipt>> {
    [[maybe_unused]] const auto self = kept();
    if (call.target == Target::replica && !call.read_only)
        co_return std::unexpected(Error{Kind::invalid, "", "Target::replica needs read_only", 0});
    const auto began = Clock::now(), until = end_of(call, began);
    std::optional<Abandoned> left;
    for (int attempts = 1;; ++attempts) {
        Attempt tried;
        {
            auto lease = at_hand(call, attempts, began);
            if (!lease) {
                auto waited = co_await acquire_for(call, until);
                if (!waited) {
                    waited.error().attempts = attempts - 1;
                    co_return std::unexpected(std::move(waited.error()));
                }
                lease.emplace(*std::move(waited));
            }
            if (left) co_await end_abandoned(**lease, *left, until);
            tried = co_await attempt(**lease, body, call, until);
        }
        left = tried.left;
        if (tried.thrown) std::rethrow_exception(tried.thrown);
        tried.error.attempts = attempts;
        auto action = tried.action;
        if (action == Action::in_doubt) {
            Resolved resolved{Verdict::unknown, "the transaction had no mark", 0};
            if (tried.mark) resolved = co_await resolve(*tried.mark, until);
            if (resolved.verdict == Verdict::committed) {
                count(&Pool::Counts::resolved);
                co_return Receipt{call.want_lsn ? resolved.behind : 0, attempts, true};
            }
            if (resolved.verdict == Verdict::aborted) {
                count(&Pool::Counts::resolved);
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
                count(&Pool::Counts::unknown);
                tried.error.kind = Kind::unknown;
                co_return std::unexpected(tried.error);
            case Action::again: break;
        }
        auto ends = co_await before_repeating(tried.seen, tried.error.message, attempts, until);
        if (ends) co_return std::unexpected(*std::move(ends));
    }
}

template class PoolCore<ByAsio>;
template class PoolCore<ByThread>;

}  // namespace relevo::client
