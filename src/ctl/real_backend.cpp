#include "ctl/real_backend.h"

#include <fmt/core.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <map>

#include "base/log.h"
#include "base/text.h"
#include "cluster/keys.h"
#include "config/ctl.h"
#include "config/local.h"
#include "ctl/sql.h"
#include "ctl/terminal.h"
#include "etcd/etcd_dcs.h"
#include "net/http_client.h"

namespace relevo::ctl {
namespace {

namespace asio = boost::asio;

// One read or write, with its retries on other endpoints: longer nobody watches a silent terminal.
constexpr Duration dcs_deadline = std::chrono::seconds(5);

template <class T>
T wait_for(asio::io_context& io, Task<T> task) {
    std::optional<T> result;
    asio::co_spawn(io, std::move(task), [&](const std::exception_ptr& error, T value) {
        if (error) std::rethrow_exception(error);  // a bug: nothing of ours throws
        result = std::move(value);
    });
    io.restart();
    while (!result && io.run_one() > 0) {
    }
    return *std::move(result);
}

class EtcdStore : public Store {
public:
    EtcdStore(asio::io_context& io, std::unique_ptr<ports::Dcs> dcs, std::string what)
        : io_(io), dcs_(std::move(dcs)), what_(std::move(what)) {}
    ~EtcdStore() override {
        // The adapter goes only when its calls have ended.
        bool stopped = false;
        asio::co_spawn(io_, dcs_->stop(), [&](const std::exception_ptr&) { stopped = true; });
        io_.restart();
        while (!stopped && io_.run_one() > 0) {
        }
    }
    EtcdStore(const EtcdStore&) = delete;
    EtcdStore& operator=(const EtcdStore&) = delete;

    Result<cluster::KeyTree> read() override {
        auto tree = wait_for(io_, dcs_->read(dcs_deadline));
        if (!tree) return hinted(std::move(tree).error());
        return tree;
    }
    Result<cluster::TxnResult> commit(const cluster::Txn& txn) override {
        auto result = wait_for(io_, dcs_->commit(txn, dcs_deadline));
        if (!result) return hinted(std::move(result).error());
        return result;
    }

private:
    std::unexpected<Error> hinted(Error error) const {
        error.message += fmt::format(
            "; is {} running, and the right place? It comes from the "
            "configuration file (-c) or from -d",
            what_);
        return std::unexpected(std::move(error));
    }

    asio::io_context& io_;
    std::unique_ptr<ports::Dcs> dcs_;
    std::string what_;
};

net::ClientOptions client_options(const config::CtlConfig& ctl) {
    net::ClientOptions options;
    options.tls = {.cafile = ctl.cacert,
                   .certfile = ctl.certfile,
                   .keyfile = ctl.keyfile,
                   .keyfile_password = ctl.keyfile_password,
                   .insecure = ctl.insecure};
    if (!ctl.username.empty()) options.credentials = net::Credentials{ctl.username, ctl.password};
    options.user_agent = "relevoctl";
    return options;
}

class MemberHttp : public Http {
public:
    explicit MemberHttp(const config::CtlConfig& ctl) : options_(client_options(ctl)) {}
    Result<HttpAnswer> send(const std::string& method, const std::string& url,
                            const std::string& body, Duration deadline) override {
        net::ClientRequest request{.method = method, .url = url, .headers = {}, .body = {}};
        if (!body.empty()) request.body = body;
        RLV_TRY(auto response, net::request_blocking(options_, std::move(request), deadline));
        return HttpAnswer{response.status, std::move(response.body)};
    }

private:
    net::ClientOptions options_;
};

etcd::EtcdOptions etcd_options(const config::Etcd3Config& from) {
    etcd::EtcdOptions options;
    for (const auto& host : from.hosts)
        options.endpoints.push_back({.host = host.host,
                                     .port = static_cast<std::uint16_t>(host.port),
                                     .https = from.https});
    options.cacert = from.cacert;
    options.cert = from.cert;
    options.key = from.key;
    options.username = from.username;
    options.password = from.password;
    options.use_proxies = from.use_proxies;
    options.srv_domain = from.srv;
    options.srv_suffix = from.srv_suffix;
    return options;
}

std::string etcd_text(const etcd::EtcdOptions& options) {
    std::vector<std::string> places;
    places.reserve(options.endpoints.size() + 1);
    for (const auto& endpoint : options.endpoints) places.push_back(etcd::to_string(endpoint));
    if (!options.srv_domain.empty()) places.push_back("SRV " + options.srv_domain);
    return "etcd (" + join(places, ", ") + ")";
}

class RealBackend : public Backend {
public:
    RealBackend(Terminal& terminal, config::LocalConfig config)
        : config_(std::move(config)),
          http_(config_.ctl),
          context_{.terminal = terminal,
                   .clock = clock_,
                   .http = http_,
                   .sql = sql_,
                   .desk = desk_,
                   .store = [this](const std::string& scope) { return store(scope); },
                   .scope = config_.scope} {}
    Context& context() override { return context_; }

private:
    Result<Store*> store(const std::string& scope) {
        auto& held = stores_[scope];
        if (held) return held.get();
        auto options = etcd_options(config_.etcd3);
        const auto what = etcd_text(options);
        RLV_TRY(auto dcs,
                etcd::make_etcd_dcs(io_, std::move(options),
                                    cluster::keys::base_path(config_.namespace_prefix, scope)));
        held = std::make_unique<EtcdStore>(io_, std::move(dcs), what);
        return held.get();
    }

    asio::io_context io_;
    config::LocalConfig config_;
    SystemClock clock_;
    StandardDesk desk_;
    LibpqSql sql_;
    MemberHttp http_;
    std::map<std::string, std::unique_ptr<Store>> stores_;
    Context context_;
};

std::optional<std::string> value(const config::Environment& environment, const char* name) {
    const auto found = environment.find(name);
    if (found == environment.end() || found->second.empty()) return std::nullopt;
    return found->second;
}

// Our own names for the file come before Patroni's, which config/ctl.h knows.
std::optional<std::string> named_file(const GlobalOptions& options,
                                      const config::Environment& environment) {
    if (options.config_file) return options.config_file;
    if (const auto named = value(environment, "RELEVOCTL_CONFIG_FILE")) return named;
    if (value(environment, "PATRONICTL_CONFIG_FILE")) return std::nullopt;
    auto folder = value(environment, "XDG_CONFIG_HOME");
    if (const auto home = value(environment, "HOME"); !folder && home) folder = *home + "/.config";
    if (!folder) return std::nullopt;
    auto own = *folder + "/relevo/relevoctl.yaml";
    std::error_code ignored;
    if (!std::filesystem::exists(own, ignored)) return std::nullopt;
    return own;
}

void set_log_level(const config::Environment& environment) {
    log::set_level(log::Level::warning);
    for (const char* name : {"PATRONI_LOG_LEVEL", "PATRONI_LOGLEVEL", "LOGLEVEL"}) {
        const auto wanted = value(environment, name);
        if (!wanted) continue;
        for (const auto level : {log::Level::debug, log::Level::info, log::Level::warning,
                                 log::Level::error, log::Level::critical})
            if (iequals(log::to_string(level), *wanted)) return log::set_level(level);
    }
}

}  // namespace

Result<std::unique_ptr<Backend>> connect(Terminal& terminal, const GlobalOptions& options) {
    const auto environment = config::process_environment();
    set_log_level(environment);
    const config::CtlOptions wanted{.config_file = named_file(options, environment),
                                    .dcs_url = options.dcs_url,
                                    .insecure = options.insecure};
    auto loaded = config::load_for_ctl(wanted, environment);
    if (!loaded) {
        if (!wanted.config_file)
            loaded.error().message +=
                "; name a member's configuration file with -c FILE, or etcd with -d "
                "etcd3://host:2379";
        return std::unexpected(std::move(loaded).error());
    }
    auto& config = *loaded;
    for (const auto& warning : config.warnings) log::info("{}", warning);
    return std::make_unique<RealBackend>(terminal, std::move(config));
}

}  // namespace relevo::ctl
