// With coroutines: a transfer between two accounts, and a read of one's own write from a replica.
//
//     transfer "host=a,b,c user=app dbname=app password=..."
//
// Needs: CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0))
#include <relevo/pool.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <exception>

using namespace relevo::client;

namespace {

Task<Expected<void>> move_money(Transaction& t, int from, int to, int amount) {
    const auto what = std::to_string(amount);
    auto taken = co_await t.execute("UPDATE account SET balance = balance - $1 WHERE id = $2",
                                    {what, std::to_string(from)});
    if (!taken) co_return std::unexpected(taken.error());
    auto given = co_await t.execute("UPDATE account SET balance = balance + $1 WHERE id = $2",
                                    {what, std::to_string(to)});
    if (!given) co_return std::unexpected(given.error());
    co_return Expected<void>{};
}

Task<int> run(std::shared_ptr<Pool> pool) {
    const auto done =
        co_await pool->transaction([](Transaction& t) { return move_money(t, 1, 2, 10); },
                                   {.want_lsn = true, .isolation = Isolation::serializable});
    if (!done) {
        // Three different things to tell whoever asked for the transfer.
        const auto& error = done.error();
        std::fprintf(stderr, "%s: %s\n", to_string(error.kind), error.message.c_str());
        co_return error.kind == Kind::unknown ? 3 : 1;
    }
    const auto seen = co_await pool->execute(
        "SELECT balance FROM account WHERE id = $1", {"2"},
        {.idempotent = true, .target = Target::replica, .at_least = done->lsn});
    if (!seen) co_return 1;
    std::printf("account 2 has %s\n", std::string(seen->value().value_or("nothing")).c_str());
    pool->close();
    co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: transfer CONNINFO\n");
        return 2;
    }
    boost::asio::io_context io(1);
    const auto pool = Pool::make(io.get_executor(), {.conninfo = argv[1]});
    if (!pool) {
        std::fprintf(stderr, "%s\n", pool.error().message.c_str());
        return 1;
    }
    int code = 1;
    boost::asio::co_spawn(io, run(*pool), [&](std::exception_ptr thrown, int its) {
        if (thrown) std::rethrow_exception(thrown);
        code = its;
    });
    io.run();
    return code;
}
