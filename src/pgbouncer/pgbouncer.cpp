#include "pgbouncer/pgbouncer.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "pgbouncer/disk.h"
#include "pgbouncer/impl.h"
#include "pgbouncer/together.h"

namespace relevo::pgbouncer {
namespace asio = boost::asio;
namespace {

using ports::Route;
using ports::Routes;

std::string identifier(const std::string& name) {
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + "\"";
}

// Their rows: of the connections to this server.
std::vector<std::size_t> rows_of(const Table& servers, const ports::Endpoint& server) {
    std::vector<std::size_t> rows;
    for (std::size_t row = 0; row < servers.rows.size(); ++row)
        if (servers.value(row, "addr") == server.host && servers.number(row, "port") == server.port)
            rows.push_back(row);
    return rows;
}

std::uint64_t count_in(const Table& table, std::size_t row, const char* column) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, table.number(row, column)));
}

// Newer ones may call it as SHOW STATS does.
std::uint64_t total_in(const Table& table, std::size_t row, const std::string& column) {
    return std::max(count_in(table, row, column.c_str()),
                    count_in(table, row, ("total_" + column).c_str()));
}

}  // namespace

std::vector<std::string> PgBouncer::Impl::databases(Route route) const {
    std::vector<std::string> names;
    for (const auto& one : options.databases)
        if (one.route == route) names.push_back(one.name);
    return names;
}

// Before 1.25 RELOAD succeeds also when the file could not be used, and reads it only to its first
// mistake: what is in force tells.
Task<Status> PgBouncer::Impl::reload(Process& process) {
    const auto generation = process.generation;
    const auto done = co_await process.console->ask("RELOAD", answers_within);
    if (!done) co_return std::unexpected(done.error());
    const auto table = co_await process.console->ask("SHOW DATABASES", answers_within);
    if (!table) co_return std::unexpected(table.error());
    for (std::size_t row = 0; row < table->rows.size(); ++row)
        if (table->value(row, "name") == marker && table->value(row, "database") == generation)
            co_return Status{};
    const auto why = co_await pool.run([path = process.log()] { return last_words(path, 0); });
    co_return fail(ErrorCode::invalid,
                   fmt::format("PgBouncer does not take {} and goes on as before: {}",
                               process.ini(), why.empty() ? "it does not say why" : why));
}

Task<Result<Table>> PgBouncer::Impl::servers(Process& process) {
    auto table = co_await process.console->ask("SHOW SERVERS", answers_within);
    co_return table;
}

Task<void> PgBouncer::Impl::pause(Process& process, std::string database, Duration drain,
                                  Result<std::vector<cluster::Blocker>>& out) {
    auto& console = process.pausing[database];
    if (!console) console = std::make_unique<Console>(process.directory, options.listen_port);
    const auto paused = co_await console->ask("PAUSE " + identifier(database), drain);
    if (paused || !out) co_return;
    if (paused.error().code != ErrorCode::outcome_unknown || process.pausing[database] == nullptr) {
        out = std::unexpected(paused.error());
        co_return;
    }
    const auto table = co_await servers(process);
    if (!table) {
        out = std::unexpected(table.error());
        co_return;
    }
    for (std::size_t row = 0; row < table->rows.size(); ++row) {
        if (table->value(row, "database") != database || table->value(row, "state") != "active")
            continue;
        cluster::Blocker blocker;
        blocker.pid = static_cast<int>(table->number(row, "remote_pid"));
        blocker.user = table->value(row, "user");
        blocker.database = database;
        out->push_back(std::move(blocker));
    }
}

Task<void> PgBouncer::Impl::resume(Process& process, std::string database, Status& out) {
    if (const auto at = process.pausing.find(database); at != process.pausing.end() && at->second)
        at->second->close();
    const auto resumed =
        co_await process.console->ask("RESUME " + identifier(database), answers_within);
    if (!resumed && !resumed.error().message.contains("not paused"))
        out = std::unexpected(resumed.error());
    open_for_pause(process, database);
}

// What comes of it does not matter: a PAUSE opens it itself, if need be.
void PgBouncer::Impl::open_for_pause(Process& process, const std::string& database) {
    auto& console = process.pausing[database];
    if (!console) console = std::make_unique<Console>(process.directory, options.listen_port);
    asio::co_spawn(loop, console->ask("SHOW VERSION", answers_within),
                   [](const std::exception_ptr& error, const Result<Table>&) {
                       if (error) std::rethrow_exception(error);
                   });
}

PgBouncer::PgBouncer(asio::io_context& loop, os::Blocking pool, Options options,
                     std::function<void(const Status&)> on_start)
    : impl_(std::make_shared<Impl>(loop, pool, std::move(options), std::move(on_start))) {}
PgBouncer::~PgBouncer() = default;

Task<Status> PgBouncer::check() { return impl_->read_user(); }

Task<Status> PgBouncer::start(Routes routes) {
    const auto impl = impl_;
    RLV_CO_CHECK(co_await impl->read_user());
    impl->routes = std::move(routes);
    impl->stopping = false;
    for (int number = 0; number < impl->options.processes; ++number) {
        if (static_cast<std::size_t>(number) < impl->processes.size()) continue;
        auto process = std::make_unique<Impl::Process>();
        process->number = number;
        process->directory = impl->directory_of(number);
        process->coming_up = true;
        const auto up = co_await impl->come_up(*process);
        if (!up) {
            if (impl->is_ours() && process->watch) (void)process->watch->send(SIGKILL);
            co_return std::unexpected(up.error());
        }
        process->coming_up = false;
        impl->processes.push_back(std::move(process));
    }
    co_return Status{};
}

Task<Status> PgBouncer::apply(Options options) {
    const auto impl = impl_;
    const auto before = std::exchange(impl->options, std::move(options));
    auto& now = impl->options;
    const auto read = co_await impl->read_user();
    if (!read) {
        impl->options = before;
        (void)co_await impl->read_user();
        co_return read;
    }
    if (now.listen_host != before.listen_host || now.listen_port != before.listen_port ||
        now.processes != before.processes || now.directory != before.directory ||
        now.unit != before.unit) {
        log::warning(
            "pgbouncer.listen, processes, directory and unit take effect when the gateway starts "
            "anew");
        now.listen_host = before.listen_host;
        now.listen_port = before.listen_port;
        now.processes = before.processes;
        now.directory = before.directory;
        now.unit = before.unit;
    }
    const auto taken = co_await repoint(impl->routes);
    if (taken || taken.error().code != ErrorCode::invalid) co_return taken;
    // It would take no other route either, and not start again.
    impl->options = before;
    (void)co_await impl->read_user();
    const auto back = co_await repoint(impl->routes);
    if (!back) log::error("{}", back.error().message);
    co_return taken;
}

Task<void> PgBouncer::stop(bool end_processes) {
    const auto impl = impl_;
    impl->stopping = true;
    impl->again.cancel();
    for (auto& process : impl->processes) {
        if (!process->watch) continue;
        if (end_processes && impl->is_ours()) {
            (void)process->watch->send(sigterm_waits(process->version) ? SIGQUIT : SIGTERM);
            constexpr Duration ends_within = std::chrono::seconds(3);
            const bool ended = co_await process->watch->ended(ends_within);
            if (!ended) (void)process->watch->send(SIGKILL);
        }
        process->watch.reset();
    }
}

bool PgBouncer::running() const {
    return !impl_->processes.empty() && std::ranges::all_of(impl_->processes, [](const auto& one) {
        // One that was started again is not there for clients before it answers.
        return one->settled && one->watch && one->watch->alive();
    });
}

void PgBouncer::end_connections_by(std::function<Result<int>(const std::vector<TcpPair>&)> end) {
    impl_->end_connections = std::move(end);
}

Task<Result<std::vector<cluster::Blocker>>> PgBouncer::hold(Route route, Duration drain) {
    const auto impl = impl_;
    Result<std::vector<cluster::Blocker>> out = std::vector<cluster::Blocker>{};
    Together all(impl->loop);
    for (auto& process : impl->processes)
        for (auto& database : impl->databases(route))
            all.add(impl->pause(*process, database, drain, out));
    co_await all.wait();
    co_return out;
}

Task<Status> PgBouncer::repoint(Routes routes) {
    const auto impl = impl_;
    const auto turn = co_await impl->repointing.take();
    impl->routes = std::move(routes);
    Status out;
    Together all(impl->loop);
    for (auto& process : impl->processes)
        all.add([](Impl& self, Impl::Process& one, Status& result) -> Task<void> {
            auto done = co_await self.write(one);
            if (done) done = co_await self.reload(one);
            if (!done) result = done;
        }(*impl, *process, out));
    co_await all.wait();
    co_return out;
}

Task<Status> PgBouncer::release(Route route) {
    const auto impl = impl_;
    Status out;
    Together all(impl->loop);
    for (auto& process : impl->processes)
        for (auto& database : impl->databases(route))
            all.add(impl->resume(*process, database, out));
    co_await all.wait();
    co_return out;
}

// Where this host does not let us end connections: the clients in the middle of something with that
// server are ended one by one, which ends their server connections. Those that only wait are not
// touched (KILL would end them too).
Task<Result<int>> PgBouncer::Impl::kill_clients_of(Process& process, ports::Endpoint server) {
    const auto table = co_await servers(process);
    if (!table) co_return std::unexpected(table.error());
    const auto clients = co_await process.console->ask("SHOW CLIENTS", answers_within);
    if (!clients) co_return std::unexpected(clients.error());
    int ended = 0;
    for (const auto row : rows_of(*table, server)) {
        const auto link = table->value(row, "link");
        if (link.empty()) continue;  // nobody's
        for (std::size_t at = 0; at < clients->rows.size(); ++at) {
            const auto id = clients->value(at, "id");
            if (id.empty() || (clients->value(at, "ptr") != link && id != link)) continue;
            const auto killed = co_await process.console->ask("KILL_CLIENT " + id, answers_within);
            // It has gone by itself.
            if (!killed && killed.error().code != ErrorCode::failed)
                co_return std::unexpected(killed.error());
            if (killed) ++ended;
        }
    }
    co_return ended;
}

Task<Result<int>> PgBouncer::drop(ports::Endpoint server) {
    const auto impl = impl_;
    std::vector<TcpPair> pairs;
    for (auto& process : impl->processes) {
        const auto table = co_await impl->servers(*process);
        if (!table) co_return std::unexpected(table.error());
        for (const auto row : rows_of(*table, server))
            pairs.push_back({.local = table->value(row, "local_addr"),
                             .remote = server.host,
                             .local_port = static_cast<int>(table->number(row, "local_port")),
                             .remote_port = server.port});
    }
    const auto destroyed = impl->end_connections(pairs);
    const bool other_way = std::ranges::all_of(
        impl->processes, [](const auto& one) { return kills_clients(one->version); });
    if (destroyed || !other_way) co_return destroyed;
    int ended = 0;
    for (auto& process : impl->processes) {
        const auto killed = co_await impl->kill_clients_of(*process, server);
        if (!killed) co_return std::unexpected(killed.error());
        ended += *killed;
    }
    co_return ended;
}

Task<Status> PgBouncer::Impl::count(Process& process, ports::PoolerStats& out,
                                    std::map<std::string, ports::PoolerStats::Database>& by_name) {
    auto& console = *process.console;
    const auto pools = co_await console.ask("SHOW POOLS", answers_within);
    if (!pools) co_return std::unexpected(pools.error());
    for (std::size_t row = 0; row < pools->rows.size(); ++row) {
        auto& one = by_name[pools->value(row, "database")];
        one.clients_active += count_in(*pools, row, "cl_active");
        one.clients_waiting += count_in(*pools, row, "cl_waiting");
        one.servers_active += count_in(*pools, row, "sv_active");
        one.servers_idle += count_in(*pools, row, "sv_idle") + count_in(*pools, row, "sv_used");
        const auto wait = std::chrono::microseconds(pools->number(row, "maxwait") * 1'000'000 +
                                                    pools->number(row, "maxwait_us"));
        one.longest_wait = std::max(one.longest_wait, wait);
    }
    const auto totals = co_await console.ask("SHOW STATS_TOTALS", answers_within);
    if (!totals) co_return std::unexpected(totals.error());
    for (std::size_t row = 0; row < totals->rows.size(); ++row) {
        auto& one = by_name[totals->value(row, "database")];
        one.transactions += total_in(*totals, row, "xact_count");
        one.queries += total_in(*totals, row, "query_count");
        one.received_bytes += total_in(*totals, row, "bytes_received");
        one.sent_bytes += total_in(*totals, row, "bytes_sent");
    }
    const auto listed = co_await console.ask("SHOW DATABASES", answers_within);
    if (!listed) co_return std::unexpected(listed.error());
    for (std::size_t row = 0; row < listed->rows.size(); ++row)
        if (listed->value(row, "paused") == "1") by_name[listed->value(row, "name")].paused = true;
    if (!shows_state(process.version)) co_return Status{};
    const auto state = co_await console.ask("SHOW STATE", answers_within);
    if (!state) co_return std::unexpected(state.error());
    for (std::size_t row = 0; row < state->rows.size(); ++row)
        for (const char* word : {"paused", "suspended"})
            if (state->value(row, "key") == word && lower(state->value(row, "value")) == "yes")
                out.stopped_by_hand = word;
    co_return Status{};
}

Task<Result<ports::PoolerStats>> PgBouncer::stats() {
    const auto impl = impl_;
    ports::PoolerStats out;
    std::map<std::string, ports::PoolerStats::Database> by_name;
    for (auto& process : impl->processes) {
        out.version = process->version ? "PgBouncer " + to_string(process->version) : "";
        RLV_CO_CHECK(co_await impl->count(*process, out, by_name));
    }
    for (auto& [name, one] : by_name) {
        if (name == "pgbouncer" || name == marker) continue;
        one.name = name;
        out.databases.push_back(std::move(one));
    }
    co_return out;
}

}  // namespace relevo::pgbouncer
