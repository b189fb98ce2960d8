#include "config/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "config/probe.h"
#include "config/testing.h"

namespace relevo::config {
namespace {

using ::testing::HasSubstr;
using testing::load_text;
using ::testing::Not;
using testing::TemporaryDirectory;

// Somebody who listens on a free port of the loopback.
class Listener {
public:
    explicit Listener(bool listens = true)
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(socket_, generic, size) != 0 || (listens && ::listen(socket_, 8) != 0) ||
            ::getsockname(socket_, generic, &size) != 0)
            std::abort();
        port_ = ntohs(address.sin_port);
    }
    ~Listener() { ::close(socket_); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    int port() const { return port_; }

private:
    int socket_;
    int port_ = 0;
};

// Programs that only exist, but for postgres, which knows its version.
void make_programs(const TemporaryDirectory& directory, const std::string& version) {
    for (const char* name :
         {"pg_ctl", "initdb", "pg_controldata", "pg_basebackup", "postgres", "pg_isready"}) {
        const auto path =
            directory.write(name, "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n");
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    }
}

struct Member {
    TemporaryDirectory programs, data;
    Listener etcd;
    Listener rest{false},
        postgres{false};  // bound but not listening would still block: only for a free number

    std::string text(const std::string& more = "") const {
        return fmt::format(R"(scope: demo
name: pg-1
restapi: {{listen: '127.0.0.1:{}', connect_address: 'pg-1.example:8008'}}
etcd3: {{hosts: ['127.0.0.1:{}']}}
postgresql:
  listen: 127.0.0.1:{}
  connect_address: pg-1.example:5432
  data_dir: {}
  bin_dir: {}
  authentication: {{superuser: {{username: postgres}}, replication: {{username: replicator}}}}
{})",
                           rest.port(), etcd.port(), postgres.port(), data.path("pgdata"),
                           programs.path(), more);
    }
    std::string problems(const std::string& more = "", bool ignore_listen_port = true) const {
        const auto config = load_text(text(more));
        if (!config) return "does not load: " + config.error().message;
        return to_text(validate(*config, {.ignore_listen_port = ignore_listen_port}));
    }
};

TEST(Validate, FindsNothingWrongWhereNothingIs) {
    const Member member;
    make_programs(member.programs, "15.5 (Debian)");
    EXPECT_EQ(member.problems(), "");
    std::filesystem::create_directory(member.data.path("pgdata"));
    EXPECT_EQ(member.problems(), "");
    std::filesystem::create_directory(member.data.path("pgdata/pg_wal"));
    member.data.write("pgdata/PG_VERSION", "15\n");
    EXPECT_EQ(member.problems(), "");
}

TEST(Validate, FindsPortsInUseUnlessToldNotTo) {
    const Member member;
    make_programs(member.programs, "15.5");
    const Listener taken;
    const std::string text = member.text();
    auto config = load_text(text);
    ASSERT_TRUE(config);
    config->restapi.listen.port = taken.port();
    config->postgres.port = taken.port();
    EXPECT_THAT(to_text(validate(*config)),
                HasSubstr(fmt::format("restapi.listen: port {} is already in use", taken.port())));
    EXPECT_THAT(to_text(validate(*config)), HasSubstr("postgresql.listen: port"));
    EXPECT_THAT(to_text(validate(*config, {.ignore_listen_port = true})), Not(HasSubstr("in use")));
    config->restapi.listen.host = "192.0.2.1";
    EXPECT_THAT(to_text(validate(*config)), HasSubstr("192.0.2.1 is no address of this host"));
}

TEST(Validate, FindsADataDirectoryThatIsNone) {
    const Member member;
    make_programs(member.programs, "15.5");
    std::filesystem::create_directory(member.data.path("pgdata"));
    member.data.write("pgdata/precious.txt", "x");
    EXPECT_THAT(member.problems(), HasSubstr("is not empty but holds no PG_VERSION"));
    member.data.write("pgdata/PG_VERSION", "13\n");
    EXPECT_THAT(member.problems(), HasSubstr("holds no pg_wal"));
    EXPECT_THAT(member.problems(), HasSubstr("is of PostgreSQL 13, the programs are of 15"));
}

TEST(Validate, LooksForPgBackRestAndItsFile) {
    const Member member;
    make_programs(member.programs, "15.5");
    const auto with = [&](const std::string& section) {
        return member.problems(
            fmt::format("backup: {{program: {}, {}}}\n", member.programs.path("initdb"), section));
    };
    EXPECT_THAT(member.problems("backup: {program: no-such-program}\n"),
                HasSubstr("backup.program: no program no-such-program in PATH; install"));
    EXPECT_EQ(with("stanza: main"), "");
    const auto own = member.data.path("pgbackrest.conf");
    EXPECT_THAT(with("stanza: main, config: " + own), HasSubstr("pgbackrest.conf cannot be read"));
    member.data.write("pgbackrest.conf", "[global]\nrepo1-path=/x\n [main] \npg1-path=/y\n");
    EXPECT_EQ(with("stanza: main, config: " + own), "");
    EXPECT_THAT(with("stanza: other, config: " + own), HasSubstr("has no section [other]"));
}

TEST(Validate, FindsMissingPrograms) {
    const Member member;
    EXPECT_THAT(member.problems(), HasSubstr("postgresql.bin_dir: no program pg_ctl in"));
    make_programs(member.programs, "15.5");
    EXPECT_THAT(member.problems("  use_pg_rewind: true\n"), HasSubstr("no program pg_rewind"));
    EXPECT_THAT(member.problems("  bin_name: {postgres: postgres-x}\n"),
                HasSubstr("no program postgres-x"));
}

TEST(Validate, FindsAnEtcdThatDoesNotAnswer) {
    const Member member;
    make_programs(member.programs, "15.5");
    auto config = load_text(member.text());
    ASSERT_TRUE(config);
    const Listener deaf(false);  // bound, so nobody else takes it; refuses connections
    config->etcd3.hosts = {{.host = "127.0.0.1", .port = deaf.port()},
                           {.host = "nowhere.invalid", .port = 1}};
    const std::string text = to_text(validate(*config, {.ignore_listen_port = true}));
    EXPECT_THAT(text, HasSubstr(fmt::format(
                          "etcd3: 127.0.0.1:{} does not accept a connection: Connection refused",
                          deaf.port())));
    EXPECT_THAT(text, HasSubstr("nowhere.invalid:1 the name cannot be resolved"));
}

TEST(Validate, FindsAddressesThatLeadNowhere) {
    const Member member;
    make_programs(member.programs, "15.5");
    auto config = load_text(R"(scope: demo
name: pg-1
restapi: {listen: '127.0.0.1:8008', connect_address: 'localhost:8008'}
etcd3: {srv: x}
postgresql: {listen: '127.0.0.1:5432', connect_address: '0.0.0.0:5432',
             proxy_address: '[::1]:1', data_dir: /nonexistent/d}
tags: {nofailover: false, failover_priority: 1}
bootstrap: {initdb: [pwfile: /x]}
)");
    ASSERT_TRUE(config) << config.error().message;
    const std::string text = to_text(validate(*config, {.ignore_listen_port = true}));
    for (const char* line :
         {"restapi.connect_address: found localhost", "postgresql.connect_address: found 0.0.0.0",
          "postgresql.proxy_address: found ::1",
          "postgresql.authentication.replication.username: found nothing",
          "tags: found both nofailover and failover_priority",
          "bootstrap.initdb: the option pwfile is the agent's own"})
        EXPECT_THAT(text, HasSubstr(line));
}

TEST(Validate, FindsWrongValuesInBootstrapDcs) {
    const Member member;
    make_programs(member.programs, "15.5");
    const std::string text = member.problems(
        "bootstrap: {dcs: {ttl: 2, synchronous_mode: maybe, postgresql: {parameters: "
        "{max_connections: 3}}}}\n");
    EXPECT_THAT(text, HasSubstr("bootstrap.dcs: ttl"));
    EXPECT_THAT(text, HasSubstr("bootstrap.dcs: synchronous_mode"));
    EXPECT_THAT(text,
                HasSubstr("max_connections: found \"3\", expected a whole number of at least 25"));
    EXPECT_EQ(member.problems("bootstrap: {dcs: {ttl: 3, loop_wait: 1, retry_timeout: 1}}\n"), "");
    EXPECT_THAT(member.problems("bootstrap: {dcs: {ttl: 20, loop_wait: 10, retry_timeout: 10}}\n"),
                HasSubstr("loop_wait + 2*retry_timeout <= ttl"));
}

TEST(Probe, RunsAProgramAndReadsItsFirstLine) {
    EXPECT_EQ(first_line_of("/bin/echo", "hello"), "hello");
    EXPECT_EQ(first_line_of("/nonexistent/program", "x"), std::nullopt);
    EXPECT_EQ(first_line_of("/bin/false", "x"), std::nullopt);
}

}  // namespace
}  // namespace relevo::config
