// librelevo's pool of 8 beside bare libpq with as many connections on as many threads, on one
// server:
//
//     client_bench CONNINFO SECONDS RUNS [WHAT...]
//
// What is compared, all with 8 connections and the same statements, sent with their parameters
// apart and not prepared; the transaction is BEGIN, UPDATE and COMMIT, of which librelevo sends the
// first two, and its mark, together:
//
//     blocking     the blocking face from 8 threads      bare: 8 threads, PQexecParams
//     coroutines   one pool on one thread                bare: one thread, epoll, PQsendQueryParams
//     threads      2 pools of 4, each on its own thread  bare: two threads, the same with 4 each
//
// An application of coroutines that used libpq would be written like the second, so that is its
// measure; beside eight threads it has one thread's share of a machine that is busy. Its ratio to
// those is printed too.
//
// WHAT is reads, writes, or one of the above: only these are measured; with "bare" or "ours" only
// one side of each pair, for a look at it with perf or strace. In turn, so that a noisy
// second of the machine meets all. Prints statements a second, the ratio of each pair, and the CPU
// time of client and server for each, as min / median / max. tools/bench-client makes the server.
#include <libpq-fe.h>
#include <relevo/blocking.h>
#include <relevo/pool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace asio = boost::asio;
using namespace relevo::client;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t clients = 8;

// Connections are opened once in an application's life: what is done in the first half second is
// not counted.
struct Span {
    Clock::time_point from, until;
};
constexpr std::chrono::milliseconds warm_up(500);

struct Count {
    long counted = 0, all = 0;
    // One more. False: it is time to end.
    bool next(const Span& span) {
        const auto now = Clock::now();
        ++all;
        if (now >= span.from && now < span.until) ++counted;
        return now < span.until;
    }
    void add(const Count& other) {
        counted += other.counted;
        all += other.all;
    }
};

// Of several threads.
class Total {
public:
    void add(const Count& count) {
        const std::lock_guard lock(mutex_);
        count_.add(count);
    }
    Count get() const { return count_; }  // when they have ended

private:
    std::mutex mutex_;
    Count count_;
};

struct Work {
    const char* word;
    const char* name;
    const char* sql;
    bool writes;
};
constexpr Work works[] = {
    {"reads", "SELECT by key", "SELECT n FROM bench WHERE id = $1", false},
    {"writes", "transaction of one UPDATE", "UPDATE bench SET n = n + 1 WHERE id = $1", true}};

void give_up(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
}

void must(PGresult* result) {
    const auto status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        give_up(PQresultErrorMessage(result));
    PQclear(result);
}

Count one_bare(const std::string& conninfo, const Work& work, std::size_t index, Span span) {
    PGconn* connection = PQconnectdb(conninfo.c_str());
    if (PQstatus(connection) != CONNECTION_OK) give_up(PQerrorMessage(connection));
    Count done;
    const auto id = std::to_string(index);
    const char* values[] = {id.c_str()};
    do {
        if (work.writes) must(PQexec(connection, "BEGIN"));
        must(PQexecParams(connection, work.sql, 1, nullptr, values, nullptr, nullptr, 0));
        if (work.writes) must(PQexec(connection, "COMMIT"));
    } while (done.next(span));
    PQfinish(connection);
    return done;
}

// One connection of a loop: the next statement is sent when the last one's answer is complete.
class Bare {
public:
    Bare(const std::string& conninfo, const Work& work, std::size_t index)
        : connection_(PQconnectdb(conninfo.c_str())), work_(work), id_(std::to_string(index)) {
        if (PQstatus(connection_) != CONNECTION_OK) give_up(PQerrorMessage(connection_));
        PQsetnonblocking(connection_, 1);
    }
    ~Bare() { PQfinish(connection_); }
    Bare(const Bare&) = delete;
    Bare& operator=(const Bare&) = delete;

    int socket() const { return PQsocket(connection_); }
    void send() {
        const char* values[] = {id_.c_str()};
        const int sent =
            !work_.writes || step_ == 1
                ? PQsendQueryParams(connection_, work_.sql, 1, nullptr, values, nullptr, nullptr, 0)
                : PQsendQuery(connection_, step_ == 0 ? "BEGIN" : "COMMIT");
        if (sent != 1 || PQflush(connection_) != 0) give_up(PQerrorMessage(connection_));
    }
    // True: the work is done once more.
    bool hear() {
        if (PQconsumeInput(connection_) != 1) give_up(PQerrorMessage(connection_));
        while (PQisBusy(connection_) == 0) {
            PGresult* result = PQgetResult(connection_);
            if (result) {
                must(result);
                continue;
            }
            step_ = work_.writes ? (step_ + 1) % 3 : 0;
            if (step_ == 0) return true;
            send();
        }
        return false;
    }

private:
    PGconn* connection_;
    const Work& work_;
    std::string id_;
    int step_ = 0;
};

Count bare_loop(const std::string& conninfo, const Work& work, std::size_t first, std::size_t size,
                Span span) {
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    std::vector<std::unique_ptr<Bare>> all;
    for (std::size_t i = 0; i < size; ++i) {
        const auto& its = all.emplace_back(std::make_unique<Bare>(conninfo, work, first + i));
        epoll_event event{.events = EPOLLIN, .data = {.ptr = its.get()}};
        if (::epoll_ctl(epoll, EPOLL_CTL_ADD, its->socket(), &event) != 0) give_up("epoll_ctl");
        its->send();
    }
    Count done;
    std::array<epoll_event, clients> events{};
    for (std::size_t busy = size; busy > 0;) {
        const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < ready; ++i) {
            auto& its = *static_cast<Bare*>(events.at(static_cast<std::size_t>(i)).data.ptr);
            if (!its.hear()) continue;
            if (done.next(span))
                its.send();
            else
                --busy;
        }
    }
    ::close(epoll);
    return done;
}

// What a run showed.
struct Figure {
    double rate = 0, cpu_us = 0, server_us = 0;
    double all_us() const { return cpu_us + server_us; }
};

std::string ask(PGconn* connection, const char* sql) {
    PGresult* result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) give_up(PQresultErrorMessage(result));
    std::string value = PQgetvalue(result, 0, 0);
    PQclear(result);
    return value;
}

// The numbers of /proc/PID/stat behind the program's name: [1] is the parent, [13] and [14] are the
// ticks of the children that have ended.
std::vector<double> stat_of(const std::string& pid) {
    std::ifstream file("/proc/" + pid + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    std::istringstream rest(text.substr(text.rfind(')') + 1));
    std::string state;
    rest >> state;
    std::vector<double> numbers{0};
    for (double number = 0; rest >> number;) numbers.push_back(number);
    if (numbers.size() < 15) give_up("the server does not run on this machine");
    return numbers;
}

// CPU seconds of the server's sessions that have ended. Waits until all but one have.
double server_seconds(const std::string& conninfo) {
    PGconn* connection = PQconnectdb(conninfo.c_str());
    if (PQstatus(connection) != CONNECTION_OK) give_up(PQerrorMessage(connection));
    while (ask(connection,
               "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") !=
           "1")
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // it has no event for this
    const auto own = stat_of(ask(connection, "SELECT pg_backend_pid()"));
    const auto postmaster = stat_of(std::to_string(static_cast<long>(own[1])));
    PQfinish(connection);
    return (postmaster[13] + postmaster[14]) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The server's CPU is known only when its sessions have ended: that of the warm-up is in it.
template <class Run>
Figure measured(const std::string& conninfo, std::chrono::seconds length, Run run) {
    const double server = server_seconds(conninfo);
    const auto from = Clock::now() + warm_up;
    double cpu = 0;
    Count done;
    {
        const std::jthread clock([&] {
            std::this_thread::sleep_until(from);
            cpu = cpu_seconds();
        });
        done = run(Span{from, from + length});
    }
    if (done.counted == 0) give_up("nothing was done in the time");
    const auto counted = static_cast<double>(done.counted), all = static_cast<double>(done.all);
    const double rate = counted / std::chrono::duration<double>(length).count();
    const double used = (cpu_seconds() - cpu) * 1e6 / counted;
    return {rate, used, (server_seconds(conninfo) - server) * 1e6 / all};
}

// `one` for each of `size`, each on its own thread.
template <class One>
Count on_threads(std::size_t size, One one) {
    Total total;
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < size; ++i) threads.emplace_back([&, i] { total.add(one(i)); });
    }
    return total.get();
}

Count bare(const std::string& conninfo, const Work& work, Span span) {
    return on_threads(clients, [&](std::size_t i) { return one_bare(conninfo, work, i, span); });
}

Count bare_once(const std::string& conninfo, const Work& work, Span span) {
    return bare_loop(conninfo, work, 0, clients, span);
}

// `loop` twice, each on its own thread with half of the clients.
template <class Loop>
Count twice(Loop loop) {
    return on_threads(2, [&](std::size_t i) { return loop(i * clients / 2, clients / 2); });
}

Count bare_twice(const std::string& conninfo, const Work& work, Span span) {
    return twice([&](std::size_t first, std::size_t size) {
        return bare_loop(conninfo, work, first, size, span);
    });
}

Task<Count> one_pooled(std::shared_ptr<Pool> pool, Work work, std::size_t index, Span span) {
    Count done;
    const Parameters id{std::to_string(index)};
    do {
        if (work.writes) {
            const auto ok = co_await pool->transaction([&](Transaction& t) -> Task<Expected<void>> {
                auto rows = co_await t.execute(work.sql, id);
                if (!rows) co_return std::unexpected(rows.error());
                co_return Expected<void>{};
            });
            if (!ok) give_up(ok.error().message);
        } else {
            const auto rows = co_await pool->execute(work.sql, id, {.idempotent = true});
            if (!rows) give_up(rows.error().message);
        }
    } while (done.next(span));
    co_return done;
}

// One pool on one thread, with `size` of the clients from `first` on.
Count one_loop(const std::string& conninfo, const Work& work, std::size_t first, std::size_t size,
               Span span) {
    asio::io_context io(1);
    const auto pool = Pool::make(io.get_executor(), {.conninfo = conninfo, .size = size});
    if (!pool) give_up(pool.error().message);
    Count total;
    std::size_t left = size;
    for (std::size_t i = 0; i < size; ++i)
        asio::co_spawn(io, one_pooled(*pool, work, first + i, span),
                       [&](std::exception_ptr thrown, Count done) {
                           if (thrown) std::rethrow_exception(thrown);
                           total.add(done);
                           if (--left == 0) (*pool)->close();
                       });
    io.run();
    return total;
}

Count pooled(const std::string& conninfo, const Work& work, Span span) {
    return one_loop(conninfo, work, 0, clients, span);
}

Count pooled_twice(const std::string& conninfo, const Work& work, Span span) {
    return twice([&](std::size_t first, std::size_t size) {
        return one_loop(conninfo, work, first, size, span);
    });
}

Count one_blocking(BlockingPool& pool, const Work& work, std::size_t index, Span span) {
    Count done;
    const Parameters id{std::to_string(index)};
    do {
        if (work.writes) {
            const auto ok = pool.transaction([&](BlockingTransaction& t) -> Expected<void> {
                auto rows = t.execute(work.sql, id);
                if (!rows) return std::unexpected(rows.error());
                return {};
            });
            if (!ok) give_up(ok.error().message);
        } else {
            const auto rows = pool.execute(work.sql, id, {.idempotent = true});
            if (!rows) give_up(rows.error().message);
        }
    } while (done.next(span));
    return done;
}

Count blocking(const std::string& conninfo, const Work& work, Span span) {
    const auto pool = BlockingPool::make({.conninfo = conninfo, .size = clients});
    if (!pool) give_up(pool.error().message);
    return on_threads(clients, [&](std::size_t i) { return one_blocking(**pool, work, i, span); });
}

void line(const char* what, std::vector<double> values, int digits) {
    std::ranges::sort(values);
    std::printf("  %-55s %9.*f %9.*f %9.*f\n", what, digits, values.front(), digits,
                values[values.size() / 2], digits, values.back());
}

void print(const std::string& name, const std::vector<Figure>& its) {
    std::vector<double> rates, cpu, server;
    for (const auto& figure : its) {
        rates.push_back(figure.rate);
        cpu.push_back(figure.cpu_us);
        server.push_back(figure.server_us);
    }
    line((name + ", a second").c_str(), rates, 0);
    line((name + ", client CPU us each").c_str(), cpu, 1);
    line((name + ", server CPU us each").c_str(), server, 1);
}

void compare(const std::string& name, const std::vector<Figure>& its,
             const std::vector<Figure>& bare) {
    std::vector<double> ratios, costs;
    for (std::size_t i = 0; i < its.size(); ++i) {
        ratios.push_back(its[i].rate / bare[i].rate);
        costs.push_back(bare[i].all_us() / its[i].all_us());
    }
    line(name.c_str(), ratios, 3);
    line((name + ", by CPU time").c_str(), costs, 3);
}

using Run = Count (*)(const std::string& conninfo, const Work& work, Span span);
struct Way {
    const char* name;
    const char* title;
    Run run;
    const char* bare_title;
    Run bare;
};
constexpr Way ways[] = {
    {"blocking", "blocking face, 8 threads", blocking, "8 threads", bare},
    {"coroutines", "coroutines, 1 thread", pooled, "1 thread with epoll", bare_once},
    {"threads", "2 pools of 4 on 2 threads", pooled_twice, "2 threads with epoll", bare_twice}};

struct Figures {
    std::vector<Figure> bare, ours;
};

void print(const Way& way, const Figures& its, const std::vector<Figure>* eight_threads) {
    if (!its.bare.empty()) print(std::string("bare libpq, ") + way.bare_title, its.bare);
    if (!its.ours.empty()) print(std::string("librelevo, ") + way.title, its.ours);
    if (its.bare.empty() || its.ours.empty()) return;
    compare("librelevo / bare", its.ours, its.bare);
    if (eight_threads) compare("librelevo / bare on 8 threads", its.ours, *eight_threads);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) give_up("usage: client_bench CONNINFO SECONDS RUNS [WHAT...]");
    const std::chrono::seconds length(std::atol(argv[2]));
    const auto runs = std::atol(argv[3]);
    const std::vector<std::string> only(argv + 4, argv + argc);
    std::vector<Way> wanted;
    const auto named = [&](const char* name) {
        return std::ranges::find(only, name) != only.end();
    };
    const bool every_way =
        std::ranges::none_of(ways, [&](const Way& way) { return named(way.name); });
    const bool every_work =
        std::ranges::none_of(works, [&](const Work& work) { return named(work.word); });
    for (const auto& way : ways)
        if (every_way || named(way.name)) wanted.push_back(way);
    for (const auto& work : works) {
        if (!every_work && !named(work.word)) continue;
        std::vector<Figures> figures(wanted.size());
        const auto run = [&](Run how) {
            return measured(argv[1], length,
                            [&](const Span& span) { return how(argv[1], work, span); });
        };
        for (long i = 0; i < runs; ++i)
            for (std::size_t way = 0; way < wanted.size(); ++way) {
                if (!named("ours")) figures[way].bare.push_back(run(wanted[way].bare));
                if (!named("bare")) figures[way].ours.push_back(run(wanted[way].run));
            }
        std::printf("%s, 8 clients (min / median / max)\n", work.name);
        const std::vector<Figure>* eight_threads = nullptr;
        for (std::size_t way = 0; way < wanted.size(); ++way) {
            print(wanted[way], figures[way], eight_threads);
            if (wanted[way].bare == bare) eight_threads = &figures[way].bare;
        }
    }
    return 0;
}
