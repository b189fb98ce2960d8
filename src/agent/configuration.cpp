#include "agent/configuration.h"

#include <algorithm>
#include <utility>

#include "agent/version.h"
#include "base/log.h"
#include "base/text.h"
#include "config/reload.h"
#include "os/file.h"

namespace relevo::agent {
namespace {

void say_all(const std::vector<std::string>& lines) {
    for (const auto& line : lines) log::warning("{}", line);
}

std::string conn_url(const ports::PostgresConfig& pg, const std::string& host, int port) {
    const bool v6 = host.find(':') != std::string::npos;
    return "postgres://" + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port) + "/" +
           pg.database;
}

}  // namespace

Result<std::unique_ptr<Configuration>> Configuration::load(config::Source source) {
    auto made = std::unique_ptr<Configuration>(new Configuration);
    RLV_TRY(made->local_, config::load(source));
    made->source_ = std::move(source);
    const std::string initial = config::default_dynamic_json(made->local_);
    RLV_TRY(made->effective_, config::effective(made->local_, initial));
    made->dynamic_ = initial;
    if (!made->take_cached()) {
        // It would be written into the DCS of a new cluster. Later on nobody reads it any more.
        const auto refused = cluster::newly_refused({}, initial);
        if (!refused.empty())
            return fail(ErrorCode::invalid,
                        made->local_.origin + ": bootstrap.dcs: " + refused + "; correct it there");
    }
    say_all(made->local_.warnings);
    for (const auto& key : made->local_.not_implemented)
        log::warning("configuration: {} is accepted but not implemented yet", key);
    for (const auto& key : made->local_.unknown)
        log::warning("configuration: unknown key {} is ignored", key);
    say_all(made->effective_.notes);
    return made;
}

// What the cluster last agreed on is a better start than what it once began with.
bool Configuration::take_cached() {
    const auto cached = os::read_file(cache_path());
    if (!cached) return false;
    auto next = config::effective(local_, *cached);
    if (!next) {
        log::warning("{} is not usable and is ignored: {}", cache_path(), next.error().message);
        return false;
    }
    dynamic_ = *cached;
    effective_ = *std::move(next);
    return true;
}

Result<bool> Configuration::take_dynamic(const std::string& json) {
    if (from_dcs_ && json == dynamic_) return false;
    RLV_TRY(auto next, config::effective(local_, json));
    from_dcs_ = true;
    dynamic_ = json;
    for (const auto& note : next.notes)
        if (std::ranges::find(effective_.notes, note) == effective_.notes.end())
            log::warning("{}", note);
    effective_ = std::move(next);
    return true;
}

Status Configuration::reload() {
    RLV_TRY(auto fresh, config::load(source_));
    auto reloaded = config::reload_over(local_, std::move(fresh));
    RLV_TRY(auto next, config::effective(reloaded.config, dynamic_));
    say_all(reloaded.notes);
    auto& local = reloaded.config;
    local_ = std::move(local);
    effective_ = std::move(next);
    say_all(local_.warnings);
    return {};
}

std::string Configuration::journal_path() const {
    return path_beside(postgres().data_dir, ".journal");
}

std::string Configuration::cache_path() const {
    return postgres().data_dir + "/patroni.dynamic.json";
}

core::Self Configuration::self() const {
    const auto& pg = effective_.postgres;
    core::Self self;
    self.name = local_.name;
    self.conn_url = conn_url(pg, pg.connect_host, pg.connect_port);
    self.api_url = local_.restapi.api_url();
    if (!pg.proxy_address.empty())
        self.proxy_url = "postgres://" + pg.proxy_address + "/" + pg.database;
    self.version = cluster::compatible_version;
    self.relevo_version = product_version;
    self.tags = local_.tags;
    self.may_bootstrap = pg.bootstrap.present;
    self.initial_config = dynamic_;
    self.watchdog.mode = local_.watchdog.mode == "required"    ? core::WatchdogUse::Mode::required
                         : local_.watchdog.mode == "automatic" ? core::WatchdogUse::Mode::automatic
                                                               : core::WatchdogUse::Mode::off;
    self.watchdog.safety_margin = std::chrono::seconds(local_.watchdog.safety_margin);
    self.has_pre_promote = !pg.pre_promote.empty();
    return self;
}

}  // namespace relevo::agent
