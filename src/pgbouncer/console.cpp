#include "pgbouncer/console.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "os/clock.h"
#include "os/turn.h"
#include "os/watch.h"

namespace relevo::pgbouncer {
namespace {

using Handle = std::shared_ptr<PGconn>;

Handle start(const std::string& directory, int port) {
    const auto port_text = std::to_string(port);
    const char* const names[] = {"host",    "port",       "dbname",           "user",
                                 "sslmode", "gssencmode", "application_name", nullptr};
    const char* const values[] = {
        directory.c_str(), port_text.c_str(), "pgbouncer",      "pgbouncer",
        "disable",         "disable",         "relevo-gateway", nullptr};
    Handle handle(::PQconnectStartParams(names, values, 0),
                  [](PGconn* connection) { ::PQfinish(connection); });
    if (handle) ::PQsetNoticeProcessor(handle.get(), [](void*, const char*) {}, nullptr);
    return handle;
}

std::string message_of(const PGconn* connection) {
    std::string text(trim(::PQerrorMessage(connection)));
    std::ranges::replace(text, '\n', ' ');
    return text;
}

Table table_of(const PGresult* result) {
    Table table;
    const int columns = ::PQnfields(result);
    for (int column = 0; column < columns; ++column)
        table.columns.emplace_back(::PQfname(result, column));
    for (int row = 0; row < ::PQntuples(result); ++row) {
        auto& values = table.rows.emplace_back();
        for (int column = 0; column < columns; ++column)
            values.emplace_back(::PQgetvalue(result, row, column));
    }
    return table;
}

}  // namespace

std::string Table::value(std::size_t row, std::string_view column) const {
    const auto at = std::ranges::find(columns, column);
    if (row >= rows.size() || at == columns.end()) return {};
    return rows[row][static_cast<std::size_t>(at - columns.begin())];
}

std::int64_t Table::number(std::size_t row, std::string_view column) const {
    return parse_decimal(value(row, column)).value_or(0);
}

struct Console::Impl {
    std::string directory;
    int port = 0;
    Handle kept;
    bool closing = false;
    os::Turn turn;  // one statement after the other on one connection

    Error lost(const Handle& handle, ErrorCode code, const std::string& doing) {
        kept.reset();
        if (closing) return {ErrorCode::cancelled, doing + " was given up"};
        return {code, fmt::format("PgBouncer at {}: {}: {}", directory, doing,
                                  handle ? message_of(handle.get()) : "no memory")};
    }

    static Task<bool> ready(const Handle& handle, os::Direction direction, Instant until) {
        const auto left = until - os::boottime_now();
        if (left <= Duration::zero()) co_return false;
        const bool ok = co_await os::wait_fd(::PQsocket(handle.get()), direction, left);
        co_return ok;
    }

    Task<Result<Handle>> open(Instant until) {
        auto handle = start(directory, port);
        if (!handle || ::PQstatus(handle.get()) == CONNECTION_BAD)
            co_return std::unexpected(lost(handle, ErrorCode::unavailable, "connecting"));
        kept = handle;
        for (auto polled = PGRES_POLLING_WRITING; polled != PGRES_POLLING_OK;) {
            const bool io = co_await ready(
                handle,
                polled == PGRES_POLLING_READING ? os::Direction::read : os::Direction::write,
                until);
            if (!io) {
                kept.reset();
                co_return fail(ErrorCode::unavailable,
                               fmt::format("PgBouncer at {} does not answer", directory));
            }
            polled = ::PQconnectPoll(handle.get());
            if (polled == PGRES_POLLING_FAILED) {
                const auto text = message_of(handle.get());
                const bool denied = text.contains("password") || text.contains("not allowed");
                co_return std::unexpected(lost(
                    handle, denied ? ErrorCode::denied : ErrorCode::unavailable, "connecting"));
            }
        }
        ::PQsetnonblocking(handle.get(), 1);
        co_return handle;
    }

    Task<Result<Table>> ask(std::string statement, Instant until) {
        closing = false;
        auto handle = kept;
        if (!handle || ::PQstatus(handle.get()) != CONNECTION_OK) {
            auto opened = co_await open(until);
            if (!opened) co_return std::unexpected(opened.error());
            handle = *std::move(opened);
        }
        if (::PQsendQuery(handle.get(), statement.c_str()) != 1)
            co_return std::unexpected(lost(handle, ErrorCode::unavailable, statement));
        while (true) {
            const int flushed = ::PQflush(handle.get());
            if (flushed < 0)
                co_return std::unexpected(lost(handle, ErrorCode::outcome_unknown, statement));
            if (flushed == 0) break;
            const bool writable = co_await ready(handle, os::Direction::write, until);
            if (!writable) co_return late(statement);
        }
        auto answer = co_await results(handle, statement, until);
        co_return answer;
    }

    Task<Result<Table>> results(Handle handle, std::string statement, Instant until) {
        Table table;
        std::optional<Error> refused;
        while (true) {
            while (::PQisBusy(handle.get()) != 0) {
                const bool readable = co_await ready(handle, os::Direction::read, until);
                if (!readable) co_return late(statement);
                if (::PQconsumeInput(handle.get()) != 1 || closing)
                    co_return std::unexpected(lost(handle, ErrorCode::outcome_unknown, statement));
            }
            const std::unique_ptr<PGresult, void (*)(PGresult*)> result(::PQgetResult(handle.get()),
                                                                        ::PQclear);
            if (!result) break;
            const auto status = ::PQresultStatus(result.get());
            if (status == PGRES_TUPLES_OK) {
                table = table_of(result.get());
            } else if (status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY && !refused) {
                std::string text(trim(::PQresultErrorMessage(result.get())));
                refused =
                    Error{::PQstatus(handle.get()) == CONNECTION_OK ? ErrorCode::failed
                                                                    : ErrorCode::outcome_unknown,
                          fmt::format("PgBouncer: {}: {}", statement, text)};
            }
        }
        if (::PQstatus(handle.get()) != CONNECTION_OK && !refused)
            co_return std::unexpected(lost(handle, ErrorCode::outcome_unknown, statement));
        if (refused) co_return std::unexpected(*std::move(refused));
        co_return table;
    }

    std::unexpected<Error> late(const std::string& statement) {
        kept.reset();
        return fail(ErrorCode::outcome_unknown,
                    fmt::format("PgBouncer did not answer {} in time", statement));
    }
};

Console::Console(std::string directory, int port) : impl_(std::make_shared<Impl>()) {
    impl_->directory = std::move(directory);
    impl_->port = port;
}
Console::~Console() { close(); }

Task<Result<Table>> Console::ask(std::string statement, Duration deadline) {
    const auto impl = impl_;
    const auto turn = co_await impl->turn.take_within(deadline);
    if (!turn)
        co_return fail(ErrorCode::unavailable,
                       fmt::format("PgBouncer at {} is busy with another answer", impl->directory));
    const bool fresh = !impl->kept;
    auto answer = co_await impl->ask(statement, os::boottime_now() + deadline);
    // The kept connection may be of a PgBouncer that is gone: a new one is tried at once. What was
    // said twice then is a statement that does no more the second time.
    const bool again = !answer && !fresh && !impl->closing &&
                       (answer.error().code == ErrorCode::unavailable ||
                        answer.error().code == ErrorCode::outcome_unknown) &&
                       !answer.error().message.contains("in time");
    if (!again) co_return answer;
    impl->kept.reset();
    auto second = co_await impl->ask(std::move(statement), os::boottime_now() + deadline);
    co_return second;
}

std::optional<pid_t> Console::peer() const {
    if (!impl_->kept) return std::nullopt;
    ucred who{};
    socklen_t size = sizeof(who);
    const int socket = ::PQsocket(impl_->kept.get());
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid <= 0)
        return std::nullopt;
    return who.pid;
}

void Console::close() {
    impl_->closing = true;
    // Whoever waits on the socket is woken by its end.
    if (impl_->kept) (void)::shutdown(::PQsocket(impl_->kept.get()), SHUT_RDWR);
    impl_->kept.reset();
}

}  // namespace relevo::pgbouncer
