#include "postgres/amcheck.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"

namespace relevo::postgres {
namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// An index is looked through by one statement, and a large one takes hours.
constexpr Duration patience = 24h;
// A statement about a table is to take about so long: its snapshot holds nothing up for longer, and
// it ends soon when it must.
constexpr Duration piece_short = 250ms, piece_long = 1s;
constexpr std::uint64_t piece_first = 1024, piece_least = 16, piece_most = 65'536;
// A pause of less is no rest to anybody.
constexpr Duration pause_least = 100ms;
// What is found must be there a little later, too.
constexpr Duration before_again = 1s;
constexpr std::size_t words_max = 400;

// -2: left over from a DROP DATABASE that did not end.
constexpr const char* databases_sql =
    "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 "
    "ORDER BY datistemplate, datname";

// Only functions of the extension itself, by their exact arguments: whoever may create functions in
// its schema could else have one of his own called by a superuser.
constexpr const char* functions_sql = R"(
SELECT p.proname, quote_ident(n.nspname) || '.' || p.proname
  FROM pg_extension e
  JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                  AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  JOIN pg_proc p ON p.oid = d.objid
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE e.extname = 'amcheck'
   AND (p.proname = 'bt_index_check' AND oidvectortypes(p.proargtypes) = 'regclass'
     OR p.proname = 'verify_heapam' AND oidvectortypes(p.proargtypes) =
                                        'regclass, boolean, boolean, text, bigint, bigint'))";

// Temporary and unlogged ones have nothing to be read on a standby.
constexpr const char* relations_sql = R"(
SELECT c.oid, n.nspname || '.' || c.relname, c.relkind = 'i'
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_am a ON a.oid = c.relam
  LEFT JOIN pg_index i ON i.indexrelid = c.oid
 WHERE c.relpersistence = 'p' AND (NOT c.relisshared OR $1::bool)
   AND (c.relkind IN ('r', 'm', 't') AND a.amname = 'heap'
     OR c.relkind = 'i' AND a.amname = 'btree' AND i.indisready AND i.indisvalid)
 ORDER BY c.relkind = 'i', c.oid)";

// NULL when it is gone.
constexpr const char* blocks_sql =
    "SELECT pg_relation_size($1::oid::regclass) / current_setting('block_size')::int8";
constexpr const char* there_sql = "SELECT count(*) FROM pg_class WHERE oid = $1::oid";

bool tells_of_damage(std::string_view sqlstate) {
    return sqlstate == "XX001" || sqlstate == "XX002";  // data_corrupted, index_corrupted
}

std::string bounded(std::string text) {
    if (text.size() > words_max) text.resize(words_max);
    return text;
}

std::uint64_t whole(const std::optional<std::string>& text) {
    const auto value = text ? parse_decimal(*text) : std::nullopt;
    return value ? static_cast<std::uint64_t>(std::max<std::int64_t>(*value, 0)) : 0;
}

}  // namespace

Amcheck::Amcheck(Connect connect, ports::Postgres::AmcheckPlan plan, unsigned of_data)
    : connect_(std::move(connect)),
      plan_(std::move(plan)),
      of_data_(of_data),
      piece_(piece_first) {}

Task<Status> Amcheck::run(std::string maintenance) {
    const auto all = co_await databases(maintenance);
    if (!all) co_return std::unexpected(all.error());
    bool first = true;
    for (const auto& database : *all) {
        const auto before = run_.databases;
        // One that ends under us (DROP DATABASE, a timeout that its owner set) is left out; where
        // the server is gone, the next one cannot be opened.
        if (const auto looked = co_await look_into(database, first); !looked) {
            if (!connection_) co_return looked;
            leave_out("database " + database, looked.error().message);
        }
        if (run_.databases != before) first = false;
    }
    if (!connection_ || !connection_->usable()) {
        const auto lives = co_await connect_(maintenance, nullptr);
        if (!lives) co_return std::unexpected(lives.error());
    }
    run_.now.clear();
    plan_.progress(run_);
    tell_of_databases();
    co_return Status{};
}

void Amcheck::tell_of_databases() const {
    if (without_.empty()) return;
    log::warning(
        "amcheck: not looked through, or in part, for want of the extension: {}. To do, in each of "
        "them on the primary: `CREATE EXTENSION amcheck` (`ALTER EXTENSION amcheck UPDATE` where "
        "an old one is there)",
        join(without_, ", "));
}

Task<Result<std::vector<std::string>>> Amcheck::databases(const std::string& maintenance) {
    auto opened = co_await connect_(maintenance, nullptr);
    if (!opened) co_return std::unexpected(opened.error());
    connection_ = *std::move(opened);
    const auto listed = co_await ask(databases_sql, {});
    if (!listed) co_return std::unexpected(listed.error());
    std::vector<std::string> names;
    for (const auto& row : listed->rows) names.push_back(row[0].value_or(""));
    co_return names;
}

// A null connection: this database is left out.
Task<Amcheck::Opened> Amcheck::open(const std::string& database) {
    connection_.reset();
    Connection::Refused refused;
    auto opened = co_await connect_(database, &refused);
    if (opened) co_return opened;
    if (tells_of_damage(refused.sqlstate)) {
        const auto words = opened.error().message;
        owed_ = std::max<Duration>(owed_, before_again);
        co_await rest();
        opened = co_await connect_(database, &refused);
        if (opened) co_return opened;
        if (tells_of_damage(refused.sqlstate)) {
            damaged(database, {.what = Verdict::What::damaged, .reports = 1, .words = words});
            co_return nullptr;
        }
    }
    // It is shutting down, or gone.
    if (refused.sqlstate.empty() || refused.sqlstate.starts_with("57P")) co_return opened;
    leave_out("database " + database, opened.error().message);
    co_return nullptr;
}

Task<Status> Amcheck::look_into(const std::string& database, bool shared_too) {
    auto opened = co_await open(database);
    if (!opened) co_return std::unexpected(opened.error());
    if (!*opened) co_return Status{};
    connection_ = *std::move(opened);
    std::vector<Relation> list;
    const auto verdict = co_await twice([&] { return read_catalog(database, shared_too, list); });
    switch (verdict.what) {
        case Verdict::What::lost: co_return fail(ErrorCode::unavailable, verdict.words);
        case Verdict::What::damaged: damaged(database, verdict); co_return Status{};
        case Verdict::What::left_out:
        case Verdict::What::gone:
            leave_out("database " + database, verdict.words);
            co_return Status{};
        case Verdict::What::good: break;
    }
    // Nobody works in a template.
    const bool complete = !table_check_.empty() && !index_check_.empty();
    if (!complete && !database.starts_with("template")) without_.push_back(one_line(database));
    if (table_check_.empty() && index_check_.empty()) co_return Status{};
    ++run_.databases;
    for (const auto& relation : list) RLV_CO_CHECK(co_await look_at(relation));
    co_return Status{};
}

Task<Amcheck::Verdict> Amcheck::read_catalog(const std::string& database, bool shared_too,
                                             std::vector<Relation>& list) {
    list.clear();
    table_check_.clear();
    index_check_.clear();
    const auto found = co_await ask(functions_sql, {});
    if (!found) co_return judge(found.error());
    for (const auto& row : found->rows)
        (row[0] == "verify_heapam" ? table_check_ : index_check_) = row[1].value_or("");
    const auto listed = co_await ask(relations_sql, {shared_too ? "t" : "f"});
    if (!listed) co_return judge(listed.error());
    for (const auto& row : listed->rows) {
        Relation one{.oid = row[0].value_or(""),
                     .where = database + "." + row[1].value_or(""),
                     .index = row[2] == "t"};
        const auto& check = one.index ? index_check_ : table_check_;
        if (!check.empty()) list.push_back(std::move(one));
    }
    co_return Verdict{};
}

Task<Status> Amcheck::look_at(const Relation& relation) {
    run_.now = relation.where;
    plan_.progress(run_);
    Verdict verdict;
    if (relation.index)
        verdict = co_await check_index(relation);
    else
        verdict = co_await check_table(relation);
    if (verdict.what == Verdict::What::left_out) {
        const bool gone = co_await is_gone(relation);
        if (gone) verdict.what = Verdict::What::gone;
    }
    switch (verdict.what) {
        case Verdict::What::lost: co_return fail(ErrorCode::unavailable, verdict.words);
        case Verdict::What::gone: co_return Status{};
        case Verdict::What::left_out: leave_out(relation.where, verdict.words); break;
        case Verdict::What::damaged: damaged(relation.where, verdict); [[fallthrough]];
        case Verdict::What::good: ++run_.relations;
    }
    co_await rest();
    co_return Status{};
}

Task<Amcheck::Verdict> Amcheck::check_table(const Relation& relation) {
    const auto size = co_await ask(blocks_sql, {relation.oid});
    if (!size) co_return judge(size.error());
    if (!size->value()) co_return Verdict{.what = Verdict::What::gone};
    const auto blocks = whole(size->value());
    for (std::uint64_t from = 0; from < blocks;) {
        const auto to = std::min(blocks, from + piece_) - 1;
        auto one = co_await twice(
            [this, &relation, from, to] { return check_blocks(relation, from, to); });
        // The rest of a damaged table tells nothing more, and what is found is told before anything
        // can come between.
        if (one.what != Verdict::What::good) co_return one;
        from = to + 1;
        if (last_ < piece_short) piece_ = std::min(piece_ * 2, piece_most);
        if (last_ > piece_long) piece_ = std::max(piece_ / 2, piece_least);
        co_await rest();
    }
    co_return Verdict{};
}

// TOAST tables are looked at as tables. What points into them is not followed: with a damaged one
// that could crash the server, as PostgreSQL's documentation says.
Task<Amcheck::Verdict> Amcheck::check_blocks(const Relation& relation, std::uint64_t from,
                                             std::uint64_t to) {
    const auto rows = co_await ask(
        fmt::format("SELECT count(*), (array_agg(format('block %s, item %s, column %s: %s', blkno, "
                    "offnum, coalesce(attnum::text, '-'), msg)))[1] FROM {}($1::oid::regclass, "
                    "false, false, 'none'::text, $2::int8, $3::int8)",
                    table_check_),
        {relation.oid, std::to_string(from), std::to_string(to)});
    // It has become shorter since its size was asked for.
    if (!rows && connection_->sqlstate() == "22023") co_return Verdict{};
    if (!rows) co_return judge(rows.error());
    if (rows->rows.empty()) co_return Verdict{};
    const auto reports = whole(rows->rows[0][0]);
    if (reports == 0) co_return Verdict{};
    co_return Verdict{.what = Verdict::What::damaged,
                      .reports = reports,
                      .words = bounded(rows->rows[0][1].value_or(""))};
}

Task<Amcheck::Verdict> Amcheck::check_index(const Relation& relation) {
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): twice() keeps it
    auto verdict = co_await twice([this, &relation]() -> Task<Verdict> {
        const auto done =
            co_await ask(fmt::format("SELECT {}($1::oid::regclass)", index_check_), {relation.oid});
        co_return done ? Verdict{} : judge(done.error());
    });
    co_return verdict;
}

// A mark is a grave thing. What is there is there the second time as well; what a page looked like
// while it was being changed is not.
Task<Amcheck::Verdict> Amcheck::twice(Check check) {
    auto verdict = co_await check();
    if (verdict.what != Verdict::What::damaged) co_return verdict;
    owed_ = std::max<Duration>(owed_, before_again);
    co_await rest();
    auto again = co_await check();
    co_return again;
}

Amcheck::Verdict Amcheck::judge(const Error& error) const {
    auto words = bounded(error.message);
    if (!connection_ || !connection_->usable())
        return {.what = Verdict::What::lost, .reports = 0, .words = std::move(words)};
    if (tells_of_damage(connection_->sqlstate()))
        return {.what = Verdict::What::damaged, .reports = 1, .words = std::move(words)};
    return {.what = Verdict::What::left_out, .reports = 0, .words = std::move(words)};
}

Task<bool> Amcheck::is_gone(const Relation& relation) {
    const auto there = co_await ask(there_sql, {relation.oid});
    co_return there && there->value() == "0";
}

Task<Result<Rows>> Amcheck::ask(std::string sql,
                                std::vector<std::optional<std::string>> parameters) {
    const auto began = os::boottime_now();
    auto rows = co_await connection_->query(std::move(sql), std::move(parameters), patience);
    last_ = os::boottime_now() - began;
    owed_ += last_;
    co_return rows;
}

Task<void> Amcheck::rest() {
    if (owed_ < pause_least) co_return;
    asio::steady_timer timer(co_await asio::this_coro::executor);
    timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(owed_));
    owed_ = {};
    co_await timer.async_wait(asio::use_awaitable);
}

void Amcheck::damaged(const std::string& where, const Verdict& verdict) {
    ++run_.damaged;
    plan_.found(
        {.where = where, .reports = verdict.reports, .words = verdict.words, .of_data = of_data_});
}

void Amcheck::leave_out(const std::string& where, const std::string& why) {
    if (run_.left_out++ == 0) run_.left_out_first = where + ": " + bounded(why);
    log::debug("amcheck: {} is left out: {}", one_line(where), one_line(why));
}

}  // namespace relevo::postgres
