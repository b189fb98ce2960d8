// The part of the adapter that asks the server what it found damaged, and keeps that beside the
// data directory (docs/adr/0022).
#include <chrono>

#include "base/text.h"
#include "os/clock.h"
#include "postgres/adapter.h"
#include "postgres/amcheck.h"
#include "postgres/corruption.h"

namespace relevo::postgres {

using namespace std::chrono_literals;

namespace {

constexpr Duration short_patience = 3s;
// A disk that hangs: what is found there is no news then.
constexpr Duration disk_patience = 2s;
constexpr Duration connect_patience = 10s;
constexpr int has_checksum_failures = 120000, has_table_check = 140000, stats_in_memory = 150000;

// Without data checksums both columns are NULL. Of the shared objects datname is.
constexpr const char* failures_sql = R"(
SELECT coalesce(datname, ''), checksum_failures,
       (extract(epoch FROM checksum_last_failure) * 1000000)::int8
  FROM pg_stat_database WHERE checksum_failures IS NOT NULL ORDER BY datname NULLS FIRST)";

}  // namespace

Task<std::optional<std::vector<cluster::ChecksumCount>>> Adapter::checksum_counts() {
    if (!server_.alive() || version_ < has_checksum_failures) co_return std::nullopt;
    // Before 15 the statistics come from a file that is written for whoever asks, which takes up to
    // half a second: nobody else's work waits for that.
    std::optional<Result<Rows>> rows;
    if (version_ >= stats_in_memory) {
        auto connection = co_await server_.work(short_patience);
        if (!connection) co_return std::nullopt;
        rows = co_await (*connection)->query(failures_sql, short_patience);
    } else {
        auto connection = co_await server_.new_connection(short_patience);
        if (!connection) co_return std::nullopt;
        rows = co_await (*connection)->query(failures_sql, short_patience);
    }
    if (!*rows) co_return std::nullopt;
    std::vector<cluster::ChecksumCount> counts;
    for (const auto& row : (*rows)->rows) {
        cluster::ChecksumCount one;
        one.database = row[0].value_or("");
        one.failures = static_cast<std::uint64_t>(
            std::max<std::int64_t>(parse_decimal(row[1].value_or("0")).value_or(0), 0));
        if (const auto at = row[2] ? parse_decimal(*row[2]) : std::nullopt)
            one.last = WallTime(std::chrono::microseconds(*at));
        counts.push_back(std::move(one));
    }
    co_return counts;
}

// In a thread that is alone with the follower, also when it comes back late.
Task<std::optional<LogFollower::News>> Adapter::logged() {
    // A copy may bring its source's log along: until a server is started here it is none of ours.
    if (never_started_) co_return std::nullopt;
    auto news = co_await log_aside_.run(
        disk_patience,
        [follower = log_, data = LogFollower::Data{config_().data_dir, directories_, data_since_},
         have = logged_, now = os::wall_now()] { return follower->look(data, have, now); });
    co_return news;
}

Task<Result<ports::Postgres::CorruptionLook>> Adapter::look_for_corruption(
    cluster::CorruptionNews news) {
    const auto data_dir = config_().data_dir;
    const auto directory = directories_;
    const auto now = os::wall_now();
    CorruptionLook look;
    look.counts = co_await checksum_counts();
    const auto logged = co_await this->logged();
    auto mark = co_await corruption_aside_.run(
        disk_patience, [data_dir, now] { return read_corruption(data_dir, now); });
    if (!mark) co_return fail(ErrorCode::failed, "the disk does not answer");
    look.mark = *mark;
    if (look.counts) cluster::learn_counts(look.mark, *look.counts, now);
    if (!news.backup.empty()) cluster::learn_backup(look.mark, news.backup, now);
    for (const auto& one : news.relations)
        if (one.of_data == directories_)
            cluster::learn_amcheck(look.mark, one.where, one.reports, now);
    if (logged)
        for (const auto& message : logged->messages) cluster::learn_log(look.mark, message, now);
    const auto kept = [&] {
        if (logged) logged_ = logged->last;
    };
    if (look.mark == *mark) {
        kept();
        co_return look;
    }
    // What was found of a directory that is being replaced says nothing about the new one.
    if (directory != directories_)
        co_return fail(ErrorCode::conflict, "the data is being replaced");
    auto written = co_await corruption_aside_.run(
        disk_patience, [data_dir, next = look.mark] { return write_corruption(data_dir, next); });
    if (!written) co_return fail(ErrorCode::failed, "the disk does not answer");
    if (!*written) co_return std::unexpected(written->error());
    kept();
    co_return look;
}

Task<Status> Adapter::forget_corruption() {
    const auto data_dir = config_().data_dir;
    // With the counters of now: those that the server has told already are not to come back.
    const auto counts = co_await checksum_counts();
    const auto now = os::wall_now();
    auto written = co_await corruption_aside_.run(disk_patience, [=]() -> Status {
        auto mark = read_corruption(data_dir, now);
        if (counts) cluster::learn_counts(mark, *counts, now);
        cluster::forget(mark);
        return write_corruption(data_dir, mark);
    });
    if (!written) co_return fail(ErrorCode::failed, "the disk does not answer");
    co_return *written;
}

Task<Status> Adapter::amcheck(AmcheckPlan plan) {
    if (!server_.alive()) co_return fail(ErrorCode::unavailable, "PostgreSQL does not run");
    if (version_ < has_table_check)
        co_return fail(ErrorCode::invalid,
                       "amcheck looks through tables from PostgreSQL 14 on only");
    const auto directory = directories_;
    constexpr int has_transaction_timeout = 170000;
    std::string options = amcheck_options;
    if (version_ >= has_transaction_timeout) options += " -c transaction_timeout=0";
    // Between two databases there may be another server, of other data.
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): `look` keeps its copy
    const auto connect = [this, directory, options](
                             std::string database,
                             Connection::Refused* refused) -> Task<Amcheck::Opened> {
        if (directory != directories_)
            co_return fail(ErrorCode::conflict, "the data is being replaced");
        auto opened = co_await server_.connection_to("relevo amcheck", std::move(database), options,
                                                     connect_patience, refused);
        co_return opened;
    };
    Amcheck look(connect, std::move(plan), directory);
    auto done = co_await look.run(config_().database);
    co_return done;
}

}  // namespace relevo::postgres
