#include "postgres/reconfigure.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/log.h"
#include "base/text.h"
#include "os/blocking.h"
#include "postgres/connection.h"

namespace relevo::postgres {

using namespace std::chrono_literals;

namespace {

constexpr Duration patience = 5s;

Setting setting_of(const std::vector<std::optional<std::string>>& row) {
    return {.value = row[1].value_or(""),
            .unit = row[2].value_or(""),
            .type = row[3].value_or(""),
            .context = row[4].value_or(""),
            .boot_value = row[5].value_or(""),
            .pending_restart = row[6] == "t"};
}

constexpr const char* pending_sql =
    "SELECT s.name, s.setting, s.unit, s.vartype, s.context, s.boot_val, s.pending_restart, "
    "f.setting "
    "FROM pg_settings s LEFT JOIN LATERAL (SELECT setting FROM pg_file_settings "
    "WHERE lower(name) = lower(s.name) ORDER BY seqno DESC LIMIT 1) f ON true "
    "WHERE s.pending_restart OR lower(s.name) = ANY ($1::text[])";

std::string array_literal(const std::vector<std::string>& names) {
    return "{" + join(names, ",") + "}";
}

}  // namespace

Task<Result<Settings>> read_settings(Connection& connection) {
    auto rows = co_await connection.query(
        "SELECT lower(name), setting, unit, vartype, context, boot_val, pending_restart FROM "
        "pg_settings",
        patience);
    if (!rows) co_return within("reading the server's parameters", rows.error());
    Settings settings;
    for (const auto& row : rows->rows) settings[row[0].value_or("")] = setting_of(row);
    co_return settings;
}

Task<Status> reload(Connection& connection) {
    // The statement that asks runs before this backend reads the files itself: what it says first
    // is "before".
    auto asked =
        co_await connection.query("SELECT pg_conf_load_time(), pg_reload_conf()", patience);
    if (!asked) co_return within("asking for a reload", asked.error());
    if (asked->rows.at(0).at(1) != "t")
        co_return fail(ErrorCode::failed, "the server refused to reload its files");
    const std::string before = asked->rows.at(0).at(0).value_or("");

    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    auto wait = 1ms;  // a postmaster that is not busy needs about as long
    for (auto waited = 0ms; waited < 2s; waited += wait, wait = std::min(2 * wait, 10ms)) {
        auto now = co_await connection.query("SELECT pg_conf_load_time()", patience);
        if (!now) co_return within("waiting for a reload", now.error());
        if (now->value().value_or("") != before) co_return Status();
        // PostgreSQL tells nobody that it has read its files: looking is all there is.
        timer.expires_after(wait);
        const auto [error] =
            co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        if (error) co_return fail(ErrorCode::cancelled, "waiting for a reload was given up");
    }
    co_return fail(ErrorCode::outcome_unknown, "the server has not read its files anew within 2 s");
}

Task<Result<PendingRestart>> pending_restart(Connection& connection, const Parameters& configured,
                                             const std::vector<std::string>& raised) {
    auto rows = co_await connection.query(pending_sql, {array_literal(raised)}, patience);
    if (!rows) co_return within("reading what waits for a restart", rows.error());
    PendingRestart pending;
    for (const auto& row : rows->rows) {
        const Setting setting = setting_of(row);
        const std::string name = row[0].value_or("");
        const auto ours = configured.find(lower(name));
        const std::string wanted =
            ours != configured.end() ? ours->second : row[7].value_or(setting.boot_value);
        if (same_value(setting, wanted)) continue;
        pending[name] = {.old_value = humanise(setting.value, setting.unit, setting.type),
                         .new_value = humanise(wanted, setting.unit, setting.type)};
    }
    co_return pending;
}

Task<Result<Reconfigured>> reconfigure(os::Blocking& pool, const ConfigFiles& files,
                                       FilesRequest request, Connection& connection, bool force) {
    Reconfigured done;
    request.server_running = true;
    request.touch_signal_file = false;
    auto written = co_await pool.run([&files, &request] { return files.write(request); });
    if (!written) co_return std::unexpected(written.error());
    done.files = *std::move(written);
    for (const std::string& warning : done.files.warnings) log::warning("{}", warning);

    // A file may have been written by somebody before us (or by us, before a crash) and never been
    // read.
    auto settings = co_await read_settings(connection);
    if (!settings) co_return std::unexpected(settings.error());
    const auto changed = changed_parameters(*settings, done.files.effective);
    const bool takes_effect = std::ranges::any_of(changed, [&](const std::string& name) {
        const auto found = settings->find(name);
        return found != settings->end() && found->second.context != "postmaster" &&
               found->second.context != "internal";
    });
    if (force || done.files.any() || takes_effect) {
        Status reloaded = co_await reload(connection);
        if (!reloaded && reloaded.error().code != ErrorCode::outcome_unknown)
            co_return std::unexpected(reloaded.error());
        done.reloaded = true;
    }

    // What was configured counts, not what a standby had to raise it to.
    Parameters configured = done.files.effective;
    for (const std::string& name : done.files.raised)
        if (const auto given = files.config().parameters.base.find(name);
            given != files.config().parameters.base.end())
            configured[name] = given->second;
    auto pending = co_await pending_restart(connection, configured, done.files.raised);
    if (!pending) co_return std::unexpected(pending.error());
    done.pending = *std::move(pending);
    co_return done;
}

}  // namespace relevo::postgres
