// Tests with real servers. PostgreSQL does not run as root, so when root starts this program it
// goes on as the user postgres.
#include "postgres/server_test.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "os/file.h"
#include "postgres/connection.h"
#include "postgres/postgres_adapter.h"
#include "postgres/process.h"

namespace relevo::postgres {

std::string installed_bin_dir() {
    for (int version = 18; version >= 13; --version) {
        auto path = "/usr/lib/postgresql/" + std::to_string(version) + "/bin";
        if (os::exists(path + "/postgres")) return path;
    }
    return {};
}

int free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    const bool ok = ::bind(fd, plain, size) == 0 && ::getsockname(fd, plain, &size) == 0;
    ::close(fd);
    return ok ? ntohs(address.sin_port) : 0;
}

ports::PostgresConfig test_config(const std::string& directory, const std::string& name) {
    ports::PostgresConfig config;
    config.scope = "test";
    config.name = name;
    config.listen_addresses = "127.0.0.1";
    config.port = config.connect_port = free_port();
    config.connect_host = "127.0.0.1";
    config.data_dir = config.config_dir = directory + "/" + name;
    config.bin_dir = installed_bin_dir();
    config.pgpass = directory + "/" + name + ".pgpass";
    config.superuser.username = "boss";
    config.superuser.password = "secret'of\\the boss";
    config.replication.username = "repl";
    config.replication.password = "secret of repl";
    config.parameters.base = {{"unix_socket_directories", directory},
                              {"max_connections", "30"},
                              {"max_wal_senders", "5"},
                              {"max_replication_slots", "5"},
                              {"max_worker_processes", "4"},
                              {"max_prepared_transactions", "0"},
                              {"max_locks_per_transaction", "64"},
                              {"track_commit_timestamp", "off"},
                              {"wal_level", "replica"},
                              {"hot_standby", "on"},
                              {"wal_log_hints", "on"},
                              {"shared_buffers", "16MB"},
                              {"logging_collector", "on"},
                              {"log_filename", "server.log"},
                              {"fsync", "off"}};
    config.pg_hba.base = {"local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256",
                          "host replication all 127.0.0.1/32 scram-sha-256"};
    config.bootstrap.present = true;
    config.bootstrap.initdb = {{"no-sync", ""}, {"encoding", "UTF8"}, {"locale", "C"}};
    config.basebackup = {{"checkpoint", "fast"}, {"no-sync", ""}};
    return config;
}

Node::Node(os::TestLoop& loop, ports::PostgresConfig its)
    : t(loop),
      config(std::move(its)),
      postgres(make_postgres(t.loop, t.threads, [this]() -> const auto& { return config; })) {}

Node::~Node() {
    postgres->on_exit({});  // what it refers to may be gone already
    const auto killed = t.await(postgres->kill());
    EXPECT_TRUE(killed) << killed.error().message;
}

void Node::start_primary() {
    const auto started =
        t.await(postgres->start({true, std::nullopt, cluster::Role::primary, patience}));
    ASSERT_TRUE(started) << started.error().message;
}

void Node::make() {
    const auto made = t.await(postgres->bootstrap(std::nullopt));
    ASSERT_TRUE(made) << made.error().message;
    start_primary();
    const auto done = t.await(postgres->post_bootstrap());
    ASSERT_TRUE(done) << done.error().message;
}

cluster::LocalPostgres Node::look() { return t.await(postgres->observe(cluster::Look::server)); }

cluster::Upstream Node::as_upstream() const { return {config.name, "127.0.0.1", config.port, ""}; }

std::string Node::sql(const std::string& statement) {
    auto connection = t.await(Connection::open(t.pool, local_options(config, "test"), patience));
    if (!connection) return "ERROR " + connection.error().message;
    auto answer = t.await((*connection)->query(statement, patience));
    if (!answer) return "ERROR " + answer.error().message;
    return answer->value().value_or("");
}

pid_t Node::postmaster() const {
    const auto file = read_pid_file(config.data_dir);
    return file && *file ? (**file).pid : 0;
}

void WithServers::SetUp() {
    if (installed_bin_dir().empty())
        GTEST_SKIP() << "NO POSTGRESQL IS INSTALLED: nothing is tested here";
    auto made = os::make_temporary_directory("relevo-pg-");
    ASSERT_TRUE(made) << made.error().message;
    dir = *made;
}

void WithServers::TearDown() {
    if (dir.empty()) return;
    const auto removed = os::remove_tree(dir);
    EXPECT_TRUE(removed) << removed.error().message;
}

std::unique_ptr<Node> WithServers::node(const std::string& name) {
    return std::make_unique<Node>(t, test_config(dir, name));
}

std::unique_ptr<Node> WithServers::made_node(const std::string& name) {
    auto made = node(name);
    made->make();
    return made;
}

}  // namespace relevo::postgres

namespace {
bool become_postgres() {
    const auto* user = ::getpwnam("postgres");
    if (user == nullptr) return false;
    return ::initgroups("postgres", user->pw_gid) == 0 && ::setgid(user->pw_gid) == 0 &&
           ::setuid(user->pw_uid) == 0 && ::prctl(PR_SET_DUMPABLE, 1) == 0 &&
           ::setenv("HOME", "/nonexistent", 1) == 0 && ::chdir("/") == 0;
}
}  // namespace

int main(int argc, char** argv) {
    if (::geteuid() == 0 && !become_postgres()) {
        std::fputs("root, and there is no user postgres to go on as\n", stderr);
        return 1;
    }
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
