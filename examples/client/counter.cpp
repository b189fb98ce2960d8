// Threads that count in one row, through whatever happens to the servers, and know what became of
// each increment:
//
//     counter "host=a,b,c user=app dbname=app password=..." THREADS SECONDS [OUTCOME_TABLE
//     [URL...]] counter --outcome-table NAME        prints how to make that table
//
// OUTCOME_TABLE may be "". The URLs are those of members' REST, as in https://a:8008.
// Prints a line "committed N unknown N failed N resolved N repeated N slowest MS" at the end. The
// row ends between `committed` and `committed + unknown`.
#include <relevo/blocking.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

using namespace relevo::client;
using Clock = std::chrono::steady_clock;

namespace {

struct Totals {
    std::atomic<long> committed = 0, unknown = 0, failed = 0, slowest_ms = 0;
};

Expected<void> increment(BlockingTransaction& t) {
    auto done = t.execute("UPDATE counter SET n = n + 1");
    if (!done) return std::unexpected(done.error());
    return {};
}

void count(BlockingPool& pool, Totals& totals, Clock::time_point until) {
    while (Clock::now() < until) {
        const auto began = Clock::now();
        const auto done = pool.transaction(increment);
        const auto took = std::chrono::ceil<std::chrono::milliseconds>(Clock::now() - began);
        totals.slowest_ms = std::max<long>(totals.slowest_ms, took.count());
        if (done) {
            ++totals.committed;
        } else {
            ++(done.error().kind == Kind::unknown ? totals.unknown : totals.failed);
            std::fprintf(stderr, "%s: %s\n", to_string(done.error().kind),
                         done.error().message.c_str());
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::string(argv[1]) == "--outcome-table") {
        std::printf("%s;\n", outcome_table_sql(argv[2]).c_str());
        return 0;
    }
    if (argc < 4) {
        std::fprintf(stderr, "usage: counter CONNINFO THREADS SECONDS [OUTCOME_TABLE [URL...]]\n");
        return 2;
    }
    const auto threads = static_cast<std::size_t>(std::atol(argv[2]));
    Options options{.conninfo = argv[1], .size = threads};
    if (argc > 4) options.outcome_table = argv[4];
    for (int i = 5; i < argc; ++i) options.rest.urls.emplace_back(argv[i]);
    const auto pool = BlockingPool::make(options);
    if (!pool) {
        std::fprintf(stderr, "%s\n", pool.error().message.c_str());
        return 1;
    }
    Totals totals;
    const auto until = Clock::now() + std::chrono::seconds(std::atol(argv[3]));
    {
        std::vector<std::jthread> running;
        for (std::size_t i = 0; i < threads; ++i)
            running.emplace_back([&] { count(**pool, totals, until); });
    }
    const auto counts = (*pool)->counts();
    std::printf("committed %ld unknown %ld failed %ld resolved %lu repeated %lu slowest %ld\n",
                totals.committed.load(), totals.unknown.load(), totals.failed.load(),
                static_cast<unsigned long>(counts.resolved),
                static_cast<unsigned long>(counts.retries), totals.slowest_ms.load());
    return 0;
}
