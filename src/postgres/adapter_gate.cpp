// The part of the adapter that keeps clients out of a primary before it may be read
// (docs/adr/0014). What cannot be kept out is said; the agent's own word, /primary, does not depend
// on it.
#include <fmt/core.h>

#include <chrono>

#include "base/log.h"
#include "postgres/adapter.h"
#include "postgres/gate.h"

namespace relevo::postgres {

using namespace std::chrono_literals;

namespace {

constexpr Duration short_patience = 3s;

GateKeys keys_of(const ports::PostgresConfig& config) {
    GateKeys keys;
    const auto options = local_options(config, "relevo");
    keys.agent = options.user;
    keys.by_socket = options.host.empty() || options.host.starts_with('/');
    // Standbys must be able to rewind before they can confirm anything.
    keys.others.push_back(config.rewind ? config.rewind->username : config.superuser.username);
    return keys;
}

}  // namespace

// The agent before this one may have left in the middle.
Task<void> Adapter::look_for_gate() {
    gate_looked_for_ = true;
    auto noted =
        co_await pool_.run([directory = config_().data_dir] { return noted_gate(directory); });
    if (noted.empty()) co_return;
    gate_file_ = std::move(noted);
    gated_ = true;
}

Task<Status> Adapter::close_gate_at(std::string hba_file) {
    const auto config = config_();
    auto closed = co_await pool_.run([&]() -> Status {
        // The note first: a gate that nobody knows of would keep clients out for ever.
        RLV_CHECK(note_gate(config.data_dir, hba_file));
        return close_gate(hba_file, keys_of(config));
    });
    if (!closed) {
        co_await pool_.run([&] { return forget_gate(config.data_dir), true; });
        log::warning(
            "clients can reach PostgreSQL before its standbys have confirmed what it holds; only "
            "/primary waits for that: {}",
            closed.error().message);
    }
    gate_file_ = std::move(hba_file);
    co_return closed;
}

// Before the server is started, by whatever rules stand in the file.
Task<void> Adapter::gate_for_start(bool hold, std::string hba_file) {
    if (hold) {
        const auto closed = co_await close_gate_at(std::move(hba_file));
        gated_ = closed.has_value();
        co_return;
    }
    const auto opened = co_await pool_.run([&, directory = config_().data_dir] {
        forget_gate(directory);
        return open_gate(hba_file);
    });
    if (!opened) log::warning("{}", opened.error().message);
    gated_ = false;
}

// Sessions of the standby go on: what they see is what a standby shows. The postmaster reads the
// signal long before it has a primary to let anybody into.
Task<void> Adapter::gate_for_promotion() {
    const auto writing = co_await writing_.take();
    const auto path = hba_file_.empty() ? ConfigFiles(config_()).hba_path() : hba_file_;
    const auto closed = co_await close_gate_at(path);
    if (!closed) co_return;
    gated_ = true;
    if (const auto told = server_.reload_by_signal(); !told)
        log::warning("{}", told.error().message);
}

Task<Status> Adapter::admit() {
    if (!gated_) co_return Status{};
    constexpr const char* what = "putting pg_hba.conf back";
    {
        const auto writing = co_await writing_.take();
        const auto opened = co_await pool_.run([path = gate_file_] { return open_gate(path); });
        if (!opened) co_return within(what, opened.error());
        const auto told = server_.reload_by_signal();
        if (!told) co_return within(what, told.error());
    }
    auto connection = co_await server_.work(short_patience);
    if (!connection) co_return within(what, connection.error());
    // With a mistake in it the server keeps the rules from before, which are the gate's.
    auto wrong = co_await (*connection)
                     ->query(
                         "SELECT line_number || ': ' || error FROM pg_hba_file_rules "
                         "WHERE error IS NOT NULL LIMIT 1",
                         short_patience);
    if (wrong && wrong->value())
        co_return fail(ErrorCode::failed, fmt::format("{} has a mistake in line {}: correct it",
                                                      gate_file_, *wrong->value()));
    co_await pool_.run([directory = config_().data_dir] { return forget_gate(directory), true; });
    gated_ = false;
    co_return Status{};
}

}  // namespace relevo::postgres
