// The agent: puts the parts together, and leaves.
#include <fmt/core.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/host_watchdog.h"
#include "agent/logging.h"
#include "agent/origin.h"
#include "agent/version.h"
#include "base/log.h"
#include "base/text.h"
#include "bin/names.h"
#include "config/backup.h"
#include "config/generate.h"
#include "config/validate.h"
#include "etcd/etcd_dcs.h"
#include "os/clock.h"
#include "os/init.h"
#include "os/priority.h"
#include "os/signals.h"
#include "os/systemd.h"
#include "pgbackrest/pgbackrest.h"
#include "postgres/postgres_adapter.h"
#include "rest/peer_client.h"
#include "rest/server.h"

namespace asio = boost::asio;
using namespace relevo;

namespace {

constexpr const char* usage =
    R"(usage: relevo [-h] [--version] [--validate-config [-i] [-p]] [--generate-sample-config]
              [configfile]

The agent of pgrelevo: runs this host's PostgreSQL as one member of a cluster.

  configfile                a YAML file or a directory of them; without it the configuration comes
                            from PATRONI_CONFIGURATION or the PATRONI_* environment
  --validate-config         check the configuration, one problem a line, and exit
  -i, --ignore-listen-port  with it: ports in use are no problem
  -p, --print               with it: print the merged configuration
  --generate-sample-config  print a configuration to start from (to configfile, when given)
  --version                 print the version and exit
)";

struct Arguments {
    bool version = false, help = false, validate = false, sample = false, ignore_ports = false,
         print = false;
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
        else if (word == "--generate-sample-config")
            a.sample = true;
        else if (word == "-i" || word == "--ignore-listen-port")
            a.ignore_ports = true;
        else if (word == "-p" || word == "--print")
            a.print = true;
        else if (word.starts_with("-")) {
            fmt::print(stderr, "relevo: unknown option {}\n{}", word, usage);
            return std::nullopt;
        } else if (a.file) {
            fmt::print(stderr, "relevo: one configfile at most\n{}", usage);
            return std::nullopt;
        } else
            a.file = word;
    }
    if (a.validate && a.sample) {
        fmt::print(stderr,
                   "relevo: --validate-config and --generate-sample-config exclude each other\n{}",
                   usage);
        return std::nullopt;
    }
    return a;
}

class SystemClock final : public ports::Clock {
public:
    Instant now() const override { return os::boottime_now(); }
    WallTime wall() const override { return os::wall_now(); }
};

etcd::EtcdOptions etcd_options(const config::Etcd3Config& c) {
    etcd::EtcdOptions o;
    for (const auto& host : c.hosts)
        o.endpoints.push_back({host.host, static_cast<std::uint16_t>(host.port), c.https});
    o.cacert = c.cacert;
    o.cert = c.cert;
    o.key = c.key;
    o.username = c.username;
    o.password = c.password;
    o.use_proxies = c.use_proxies;
    o.srv_domain = c.srv;
    o.srv_suffix = c.srv_suffix;
    return o;
}

rest::RestOptions rest_options(const config::LocalConfig& local) {
    const auto& c = local.restapi;
    rest::RestOptions o;
    const bool v6 = c.listen.host.find(':') != std::string::npos;
    o.listen = fmt::format("{}:{}", v6 ? "[" + c.listen.host + "]" : c.listen.host, c.listen.port);
    if (!c.username.empty()) o.authentication = net::Credentials{c.username, c.password};
    o.tls.certfile = c.certfile;
    o.tls.keyfile = c.keyfile;
    o.tls.keyfile_password = c.keyfile_password;
    o.tls.cafile = c.cafile;
    o.tls.ciphers = c.ciphers;
    switch (c.verify_client) {
        case config::VerifyClient::none: o.tls.verify_client = net::VerifyClient::none; break;
        case config::VerifyClient::optional:
            o.tls.verify_client = net::VerifyClient::optional;
            break;
        case config::VerifyClient::required:
            o.tls.verify_client = net::VerifyClient::required;
            break;
    }
    o.allowlist = c.allowlist;
    o.allowlist_include_members = c.allowlist_include_members;
    o.http_extra_headers = c.http_extra_headers;
    o.https_extra_headers = c.https_extra_headers;
    o.request_queue_size = c.request_queue_size;
    o.server_tokens = c.server_tokens;
    o.relevo_version = agent::product_version;
    return o;
}

rest::PeerOptions peer_options(const config::LocalConfig& local) {
    rest::PeerOptions o;
    o.tls.cafile = local.ctl.cacert;
    o.tls.certfile = local.ctl.certfile;
    o.tls.keyfile = local.ctl.keyfile;
    o.tls.keyfile_password = local.ctl.keyfile_password;
    if (!local.restapi.username.empty())
        o.credentials = net::Credentials{local.restapi.username, local.restapi.password};
    return o;
}

// pgBackRest connects over a unix socket only.
std::string socket_directory(const ports::PostgresConfig& postgres) {
    const auto set = postgres.parameters.base.find("unix_socket_directories");
    if (set == postgres.parameters.base.end()) return {};
    for (const auto& each : split(set->second, ',')) {
        auto path = trim(each);
        if (path.size() > 1 && path.starts_with('"') && path.ends_with('"'))
            path = path.substr(1, path.size() - 2);
        if (path.starts_with('/')) return std::string(path);
    }
    return {};
}

pgbackrest::Settings backup_settings(const agent::Configuration& conf) {
    const auto& local = conf.local();
    const auto& postgres = conf.postgres();
    return {.config = local.backup,
            .directory = config::backup_directory(local),
            .file = config::backup_file(local),
            .gate = config::backup_gate(local),
            .data_dir = postgres.data_dir,
            .port = postgres.port,
            .socket_dir = socket_directory(postgres),
            .user = postgres.superuser.username,
            .password = postgres.superuser.password,
            .database = postgres.database};
}

// The repository that a new cluster is made from.
pgbackrest::Settings origin_settings(const agent::Configuration& conf) {
    auto out = backup_settings(conf);
    out.config = agent::origin_config(conf);
    if (!out.config.config.empty()) out.file = out.config.config;
    return out;
}

int validate(const Arguments& a, const config::Source& source) {
    auto local = config::load_or_problems(source);
    std::vector<config::Problem> problems;
    if (local)
        problems = config::validate(*local, {.ignore_listen_port = a.ignore_ports});
    else
        problems = local.error();
    for (const auto& problem : problems) fmt::print(stderr, "{}\n", to_text(problem));
    if (!problems.empty()) return 1;
    if (a.print) fmt::print("{}", config::to_yaml(*local));
    return 0;
}

// What keeps the lease and fences runs in this thread.
void get_ready_for_the_worst() {
    if (const auto locked = os::lock_memory(); !locked) log::warning("{}", locked.error().message);
    const auto raised = os::raise_priority();
    if (raised)
        log::info("the agent's loop runs with {}", *raised);
    else
        log::warning("{}", raised.error().message);
}

int serve(config::Source source) {
    if (geteuid() == 0) {
        fmt::print(stderr,
                   "relevo: PostgreSQL does not run as root, and neither does its agent. Start it "
                   "as the user that owns "
                   "the data directory:\n  systemd: User=postgres in the unit\n  by hand: runuser "
                   "-u postgres -- "
                   "relevo /etc/patroni/patroni.yml\n");
        return 1;
    }
    auto configuration = agent::Configuration::load(std::move(source));
    if (!configuration) {
        fmt::print(stderr, "{}\n", configuration.error().message);
        return 1;
    }
    agent::Configuration& conf = **configuration;
    for (const auto& name : conf.local().consumed) unsetenv(name.c_str());
    if (const auto logging = agent::set_up_logging(conf.local().log); !logging) {
        fmt::print(stderr, "{}\n", logging.error().message);
        return 1;
    }
    struct LastLines {
        ~LastLines() { agent::drain_logging(std::chrono::seconds(1)); }
    } const last_lines;
    log::info("relevo {} (compatible with Patroni {}): member {} of {}", agent::product_version,
              cluster::compatible_version, conf.local().name, conf.local().scope);

    asio::io_context io(1);
    asio::thread_pool pool(4);
    SystemClock clock;
    auto dcs =
        etcd::make_etcd_dcs(io, etcd_options(conf.local().etcd3), conf.local().base_key() + "/");
    if (!dcs) {
        log::error("{}", dcs.error().message);
        return 1;
    }
    pgbackrest::PgBackRest backup(io, os::Blocking(pool),
                                  {.section = [&]() -> const auto& { return conf.local().backup; },
                                   .settings = [&] { return backup_settings(conf); }});
    ports::BackupConfig origin_section;
    pgbackrest::PgBackRest origin(io, os::Blocking(pool),
                                  {.section = [&]() -> const auto& {
                                       origin_section = agent::origin_config(conf);
                                       return origin_section;
                                   },
                                   .settings = [&] { return origin_settings(conf); }});
    agent::InPlaceWork in_place(backup, conf);
    auto postgres = postgres::make_postgres(
        io, pool, [&]() -> const ports::PostgresConfig& { return conf.postgres(); },
        [&](std::optional<cluster::Restoration> record) {
            return record ? in_place.restore(*std::move(record))
                          : agent::restore_origin(origin, backup, conf, clock);
        });
    agent::HostWatchdog watchdog([&] { return conf.local().watchdog; });
    auto peers = rest::make_peers(io, pool, peer_options(conf.local()));
    rest::RestApi* serving = nullptr;
    NameService* naming = nullptr;
    agent::Agent agent(
        io, {clock, **dcs, *postgres, *peers, watchdog, backup, conf, os::Blocking(pool),
             // This function's closures outlive the loop, and so their coroutines.
             // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
             [&]() -> Task<void> {
                 if (const auto logging = agent::set_up_logging(conf.local().log); !logging)
                     log::error("{}", logging.error().message);
                 peers->set_options(peer_options(conf.local()));
                 if (!serving) co_return;
                 const auto applied = co_await serving->apply(rest_options(conf.local()));
                 if (!applied) log::error("restapi: {}", applied.error().message);
                 if (naming) co_await naming->apply(conf.local().dns);
             },
             [&] {
                 if (naming) naming->changed();
             },
             &in_place});
    NameService names(io, pool, agent, conf.local().dns);
    rest::RestApi api(io, pool, agent, rest_options(conf.local()));
    serving = &api;
    const os::Signals signals(io, [&](int number) {
        if (number == SIGHUP) {
            os::notify_reloading();
            agent.ask_reload();
            os::notify_ready();
        } else {
            os::notify_stopping();
            agent.ask_stop();
        }
    });

    int code = 1;
    asio::co_spawn(
        io,
        // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): as above
        [&]() -> Task<void> {
            // The API answers from the moment the DCS has, not before: whoever asks gets the truth.
            // And a second agent of our name must not find itself.
            const auto early = co_await agent.prepare();
            if (early) {
                code = *early;
                co_await agent.stop();
            } else if (const auto listening = co_await api.start(); !listening) {
                log::error("restapi: {}", listening.error().message);
                co_await agent.stop();
            } else {
                naming = &names;
                names.start();
                os::notify_ready();
                code = co_await agent.run();
                naming = nullptr;
                co_await names.stop();
                co_await api.stop();
            }
            io.stop();
        },
        [](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
        });
    get_ready_for_the_worst();
    io.run();
    pool.join();
    return code;
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
        fmt::print("relevo {} (compatible with Patroni {})\n", agent::product_version,
                   cluster::compatible_version);
        return 0;
    }
    config::Source source{arguments->file, config::process_environment()};
    if (arguments->sample) {
        const auto sample = config::sample_config(source.environment, config::this_host());
        if (!sample) {
            fmt::print(stderr, "{}\n", sample.error().message);
            return 1;
        }
        fmt::print("{}", *sample);
        return 0;
    }
    if (arguments->validate) return validate(*arguments, source);
    if (const auto code = os::init_if_first_process()) {
        if (*code < 0) fmt::print(stderr, "as process 1: cannot fork the agent\n");
        return *code < 0 ? 1 : *code;
    }
    // One arena: the pool's threads allocate little, and each arena of its own costs resident
    // memory.
    mallopt(M_ARENA_MAX, 1);
    try {
        return serve(std::move(source));
    } catch (const std::exception& e) {
        log::error("internal error: {}", e.what());
        return 1;
    }
}
