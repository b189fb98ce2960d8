// The gateway: follows a cluster and drives this host's PgBouncer.
#include <fmt/core.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <csignal>
#include <exception>
#include <optional>
#include <string>

#include "agent/logging.h"
#include "agent/version.h"
#include "base/log.h"
#include "config/gateway.h"
#include "config/local.h"
#include "gateway/gateway.h"
#include "os/clock.h"
#include "os/signals.h"
#include "os/systemd.h"
#include "os/user.h"
#include "pgbouncer/pgbouncer.h"

namespace asio = boost::asio;
using namespace relevo;

namespace {

constexpr const char* usage =
    R"(usage: relevo-gateway [-h] [--version] [--validate-config] configfile

The gateway of pgrelevo: leads this host's applications to the primary and the replicas, through
PgBouncer, which it configures, starts and watches.

  configfile         a short YAML file:
                       members: [pg-node-1:8008, pg-node-2:8008]
                       pgbouncer:
                         listen: 127.0.0.1:6432
                         settings: {auth_file: /etc/pgbouncer/userlist.txt}
                       databases:
                         workflow: {to: primary}
                         workflow_ro: {to: replicas, dbname: workflow}
  --validate-config  check the configuration, one problem a line, and exit
  --version          print the version and exit

SIGHUP reads the file again. SIGTERM ends the gateway, and PgBouncer with it unless
pgbouncer.stop_with_gateway is off; one that lives on is taken over by the next gateway. A PgBouncer
that systemd runs (pgbouncer.unit) is led, and neither started nor ended.
)";

struct Arguments {
    bool version = false, help = false, validate = false;
    std::optional<std::string> file;
};

std::optional<Arguments> parse(int argc, char** argv) {
    Arguments a;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "-h" || word == "--help")
            a.help = true;
        else if (word == "--version")
            a.version = true;
        else if (word == "--validate-config")
            a.validate = true;
        else if (word.starts_with("-") || a.file) {
            fmt::print(stderr, "relevo-gateway: {} {}\n{}",
                       a.file ? "one configfile at most, not also" : "unknown option", word, usage);
            return std::nullopt;
        } else
            a.file = word;
    }
    if (!a.file && !a.help && !a.version) {
        fmt::print(stderr, "relevo-gateway: no configfile\n{}", usage);
        return std::nullopt;
    }
    return a;
}

class SystemClock final : public ports::Clock {
public:
    Instant now() const override { return os::boottime_now(); }
    WallTime wall() const override { return os::wall_now(); }
};

std::string this_host() {
    char name[256] = {};
    return gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0' ? name : "gateway";
}

pgbouncer::Options pooler_options(const config::GatewayConfig& c) {
    pgbouncer::Options o;
    o.program = c.pgbouncer.program;
    o.unit = c.pgbouncer.unit;
    o.directory = c.pgbouncer.directory;
    o.listen_host = c.pgbouncer.listen.host;
    o.listen_port = c.pgbouncer.listen.port;
    o.processes = c.pgbouncer.processes;
    o.user_ini = c.pgbouncer.include;
    o.settings = c.pgbouncer.settings;
    o.keep_own = c.pgbouncer.keep_own;
    for (const auto& one : c.databases)
        o.databases.push_back({.name = one.name,
                               .route = one.to == config::GatewayConfig::To::replicas
                                            ? ports::Route::reads
                                            : ports::Route::writes,
                               .dbname = one.dbname,
                               .options = one.options});
    return o;
}

std::optional<config::GatewayConfig> load(const std::string& path) {
    auto read = config::load_gateway(path, config::process_environment(), this_host());
    if (read) return *std::move(read);
    for (const auto& problem : read.error()) fmt::print(stderr, "{}\n", to_text(problem));
    return std::nullopt;
}

Status set_up_logging(const config::GatewayConfig& c) {
    config::LogConfig made;
    for (const auto level :
         {log::Level::debug, log::Level::info, log::Level::warning, log::Level::error})
        if (c.log_level == log::to_string(level)) made.level = level;
    return agent::set_up_logging(made);
}

// PgBouncer refuses root, and its console lets only its own user in: gateway and pooler are one.
Status leave_root(const config::GatewayConfig& c) {
    os::keep_rights_to_oneself();
    if (geteuid() != 0) return {};
    RLV_CHECK(os::make_directory_for(c.pgbouncer.directory, c.user));
    return os::become_user(c.user);
}

class Program {
public:
    Program(std::string path, config::GatewayConfig first)
        : path_(std::move(path)),
          config_(std::move(first)),
          pooler_(io_, os::Blocking(pool_), pooler_options(config_),
                  [this](const Status& outcome) { gateway_.pooler_started(outcome); }),
          gateway_({io_, pool_, clock_, pooler_,
                    [this](ports::Routes routes) { return pooler_.start(std::move(routes)); },
                    [this] { return pooler_.running(); }, agent::product_version},
                   config_) {}

    int run() {
        const os::Signals signals(io_, [this](int number) {
            if (number == SIGHUP) return spawn(reload());
            os::notify_stopping();
            spawn(leave());
        });
        spawn(begin());
        io_.run();
        pool_.join();
        return code_;
    }

private:
    std::string path_;
    config::GatewayConfig config_;
    asio::io_context io_{1};
    asio::thread_pool pool_{4};
    SystemClock clock_;
    pgbouncer::PgBouncer pooler_;
    gateway::Gateway gateway_;
    int code_ = 0;
    bool leaving_ = false;

    void spawn(Task<void> task) {
        asio::co_spawn(io_, std::move(task), [](const std::exception_ptr& error) {
            if (error) std::rethrow_exception(error);
        });
    }

    Task<void> begin() {
        auto ready = co_await pooler_.check();
        if (ready) ready = co_await gateway_.start();
        if (!ready) {
            log::error("{}", ready.error().message);
            code_ = 1;
            io_.stop();
            co_return;
        }
        os::notify_ready();
    }

    Task<void> reload() {
        os::notify_reloading();
        auto read = config::load_gateway(path_, config::process_environment(), this_host());
        Status applied;
        if (!read) {
            applied = fail(ErrorCode::invalid, to_text(read.error()));
        } else {
            applied = co_await pooler_.apply(pooler_options(*read));
            if (applied) applied = co_await gateway_.apply(*read);
            if (applied) applied = set_up_logging(*read);
        }
        if (applied) {
            config_ = *std::move(read);
            log::info("the configuration was read again");
        } else {
            log::error("the configuration is not usable, the one before stays in force: {}",
                       applied.error().message);
        }
        os::notify_ready();
    }

    Task<void> leave() {
        if (std::exchange(leaving_, true)) co_return;
        co_await pooler_.stop(config_.pgbouncer.stop_with_gateway);
        co_await gateway_.stop();
        log::info("stopped");
        io_.stop();
    }
};

int serve(const std::string& path, config::GatewayConfig config) {
    if (const auto became = leave_root(config); !became) {
        fmt::print(stderr, "relevo-gateway: {}\n", became.error().message);
        return 1;
    }
    if (const auto logging = set_up_logging(config); !logging) {
        fmt::print(stderr, "{}\n", logging.error().message);
        return 1;
    }
    log::info("relevo-gateway {}: {}", agent::product_version, config.name);
    Program program(path, std::move(config));
    return program.run();
}

}  // namespace

int main(int argc, char** argv) {
    const auto arguments = parse(argc, argv);
    if (!arguments) return 2;
    if (arguments->help) {
        fmt::print("{}", usage);
        return 0;
    }
    if (arguments->version) {
        fmt::print("relevo-gateway {}\n", agent::product_version);
        return 0;
    }
    auto config = load(*arguments->file);
    if (!config) return 1;
    if (arguments->validate) return 0;
    try {
        return serve(*arguments->file, *std::move(config));
    } catch (const std::exception& e) {
        log::error("internal error: {}", e.what());
        return 1;
    }
}
