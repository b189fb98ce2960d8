#include "postgres/real_server.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "os/file.h"
#include "os/process.h"
#include "postgres/bootstrap.h"
#include "postgres/control_data.h"
#include "postgres/half_made.h"
#include "postgres/pgpass.h"

namespace relevo::postgres::testing {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

const std::string bin_dir = "/usr/lib/postgresql/15/bin";
constexpr int version = 150000;

bool become_postgres() {
    if (::geteuid() != 0) return true;
    const passwd* user = ::getpwnam("postgres");
    if (user == nullptr) return false;
    return ::initgroups("postgres", user->pw_gid) == 0 && ::setgid(user->pw_gid) == 0 &&
           ::setuid(user->pw_uid) == 0;
}

int free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API is made so
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    int port = 0;
    if (::bind(fd, generic, length) == 0 && ::getsockname(fd, generic, &length) == 0)
        port = ntohs(address.sin_port);
    ::close(fd);
    return port;
}

void run_program(const std::vector<std::string>& words) {
    const auto finished = os::run_blocking({.arguments = words,
                                            .environment = {},
                                            .directory = {},
                                            .input = {},
                                            .output_limit = 1 << 20,
                                            .deadline = 60s,
                                            .on_output = {}});
    ASSERT_TRUE(finished) << finished.error().message;
    ASSERT_TRUE(finished->ok()) << os::describe(*finished) << finished->err << finished->out;
}

}  // namespace

void RealServers::SetUp() {
    if (!fs::exists(bin_dir + "/initdb"))
        GTEST_SKIP() << "PostgreSQL 15 is not installed in " << bin_dir;
    if (!become_postgres()) GTEST_SKIP() << "root, and there is no user postgres to run servers as";
    auto made = os::make_temporary_directory("relevo-postgres-test");
    ASSERT_TRUE(made) << made.error().message;
    root = *made;
}

void RealServers::TearDown() {
    for (const auto& [name, config] : running) {
        if (HasFailure()) std::cerr << "--- log of " << name << "\n" << server_log(config);
        const auto ended = os::run_blocking(
            {.arguments = {bin_dir + "/pg_ctl", "stop", "-D", config.data_dir, "-m", "immediate"},
             .environment = {},
             .directory = {},
             .input = {},
             .output_limit = 1 << 16,
             .deadline = 30s,
             .on_output = {}});
        EXPECT_TRUE(ended);
    }
    if (!root.empty()) fs::remove_all(root);
}

ports::PostgresConfig RealServers::member(const std::string& name) {
    ports::PostgresConfig config;
    config.scope = "demo";
    config.name = name;
    config.listen_addresses = "127.0.0.1";
    config.port = config.connect_port = free_port();
    config.connect_host = "127.0.0.1";
    config.data_dir = config.config_dir = root + "/" + name;
    config.bin_dir = bin_dir;
    config.pgpass = root + "/" + name + ".pgpass";
    config.superuser = {.username = "postgres", .password = "sup'er\\ $$ secret", .options = {}};
    config.replication = {.username = "replicator", .password = "rep:l secret", .options = {}};
    config.rewind =
        ports::Account{.username = "rewinder", .password = "rewind secret", .options = {}};
    config.use_pg_rewind = true;
    config.parameters.base = {{"max_connections", "30"},         {"max_wal_senders", "10"},
                              {"max_worker_processes", "8"},     {"max_replication_slots", "10"},
                              {"wal_level", "replica"},          {"hot_standby", "on"},
                              {"wal_log_hints", "on"},           {"shared_buffers", "16MB"},
                              {"unix_socket_directories", root}, {"fsync", "off"}};
    config.pg_hba.base = {"local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256",
                          "host replication all 127.0.0.1/32 scram-sha-256"};
    config.bootstrap.present = true;
    config.bootstrap.initdb = {{"encoding", "UTF8"}, {"auth", "scram-sha-256"}};
    return config;
}

cluster::Upstream RealServers::upstream(const ports::PostgresConfig& source,
                                        const std::string& slot) {
    return {.member = source.name,
            .host = source.connect_host,
            .port = source.connect_port,
            .slot_name = slot};
}

FilesRequest RealServers::request(const ports::PostgresConfig& config,
                                  const std::optional<cluster::Upstream>& source) {
    FilesRequest wanted;
    wanted.version = version;
    wanted.bootstrap = overrides;
    wanted.touch_signal_file = true;
    if (!source) {
        wanted.role = cluster::Role::primary;
        return wanted;
    }
    const auto passfile = write_pgpass(config, *source);
    EXPECT_TRUE(passfile) << passfile.error().message;
    wanted.recovery = recovery_settings(config, source, version, passfile.value_or(""));
    if (auto control = read_control_file(config)) wanted.control_minimums = control->minimums;
    return wanted;
}

void RealServers::start(const ports::PostgresConfig& config,
                        const std::optional<cluster::Upstream>& source) {
    const ConfigFiles files(config);
    const auto written = files.write(request(config, source));
    ASSERT_TRUE(written) << written.error().message;
    std::string options;
    const auto arguments = postmaster_arguments(files, written->effective, version);
    for (std::size_t i = 2; i < arguments.size(); ++i) options += "'" + arguments[i] + "' ";
    running[config.name] = config;
    run_program({bin_dir + "/pg_ctl", "start", "-w", "-D", config.data_dir, "-l",
                 root + "/" + config.name + ".log", "-o", options});
}

void RealServers::stop(const ports::PostgresConfig& config, const std::string& mode) {
    run_program({bin_dir + "/pg_ctl", "stop", "-w", "-D", config.data_dir, "-m", mode});
    running.erase(config.name);
}

void RealServers::promote(const ports::PostgresConfig& config) {
    run_program({bin_dir + "/pg_ctl", "promote", "-w", "-D", config.data_dir});
}

void RealServers::make_primary(const ports::PostgresConfig& config) {
    auto made = loop.run(bootstrap(loop.pool(), config, {}));
    ASSERT_TRUE(made) << made.error().message;
    overrides = *made;
    start(config, std::nullopt);
    auto connection = connect(config);
    ASSERT_TRUE(connection);
    const auto done = loop.run(post_bootstrap(loop.pool(), config, *connection, version));
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(clear_half_made(config.data_dir));
    overrides = {};
}

std::unique_ptr<Connection> RealServers::connect(const ports::PostgresConfig& config) {
    auto opened = loop.run(Connection::open(loop.pool(), local_options(config, "test"), 5s));
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
}

std::string RealServers::value(const ports::PostgresConfig& config, const std::string& sql) {
    auto connection = connect(config);
    if (!connection) return {};
    auto rows = loop.run(connection->query(sql, Duration(10s)));
    EXPECT_TRUE(rows) << rows.error().message << "\n" << sql;
    return rows ? rows->value().value_or("") : std::string();
}

bool RealServers::becomes(const ports::PostgresConfig& config, const std::string& sql,
                          const std::string& wanted) {
    auto connection = connect(config);
    if (!connection) return false;
    for (int i = 0; i < 1000; ++i) {
        auto rows = loop.run(connection->query(sql, Duration(10s)));
        if (rows && rows->value() == wanted) return true;
        std::this_thread::sleep_for(10ms);
    }
    return false;
}

std::string RealServers::server_log(const ports::PostgresConfig& config) const {
    std::ifstream file(root + "/" + config.name + ".log");
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace relevo::postgres::testing
