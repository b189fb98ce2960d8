// The contract against real etcd, and what only real servers can show: restarts, several members,
// TLS, users. Needs etcd and etcdctl; skipped loudly without them.
#include "etcd/etcd_dcs.h"

#include <fmt/format.h>

#include "etcd/fake_name_server.h"
#include "tests/contract/dcs_contract.h"
#include "tests/contract/etcd_server.h"

namespace relevo::tests {
namespace {

using namespace std::chrono_literals;

// One server for the whole suite, a base of its own for every test.
class EtcdWorld final : public DcsWorld {
public:
    explicit EtcdWorld(EtcdServers& servers)
        : servers_(servers), base_(fmt::format("/service/test-{}/", ++last_base)) {}
    ~EtcdWorld() override { servers_.resume(0); }

    std::unique_ptr<ports::Dcs> connect(boost::asio::io_context& io) override {
        etcd::EtcdOptions options;
        options.endpoints = {{.host = "127.0.0.1", .port = servers_.port(0)}};
        return etcd::make_etcd_dcs(io, options, base_).value();
    }
    void compact(cluster::Revision revision) override {
        servers_.ctl(fmt::format("compact {}", revision));
    }
    void freeze() override { servers_.freeze(0); }
    void resume() override { servers_.resume(0); }

private:
    static inline int last_base = 0;
    EtcdServers& servers_;
    std::string base_;
};

// Ends with the program's tests, not with its static objects.
class SharedServer : public testing::Environment {
public:
    static std::unique_ptr<EtcdServers>& get() {
        static std::unique_ptr<EtcdServers> servers;
        return servers;
    }
    void TearDown() override { get().reset(); }
};
const auto* const shared_server = testing::AddGlobalTestEnvironment(new SharedServer);

std::unique_ptr<DcsWorld> make_world() {
    if (!have_etcd()) return nullptr;
    auto& servers = SharedServer::get();
    if (!servers) servers = std::make_unique<EtcdServers>();
    return std::make_unique<EtcdWorld>(*servers);
}

INSTANTIATE_TEST_SUITE_P(Etcd, DcsContract, testing::Values(MakeWorld(make_world)),
                         [](const auto&) { return "real"; });

double ms_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
}

etcd::EtcdEndpoint at(const EtcdServers& servers, int member, bool https = false) {
    return {.host = "127.0.0.1", .port = servers.port(member), .https = https};
}

// Tests with servers of their own.
class EtcdDcs : public testing::Test {
protected:
    void SetUp() override {
        if (!have_etcd())
            GTEST_SKIP() << "NOT TESTED: etcd or etcdctl is not installed (apt-get install "
                            "etcd-server etcd-client)";
    }
    void TearDown() override {
        if (dcs) loop.run(dcs->stop());
        dcs.reset();
    }
    std::unique_ptr<ports::Dcs> connect(const etcd::EtcdOptions& options) {
        return etcd::make_etcd_dcs(loop.io, options, "/service/test/").value();
    }
    Result<cluster::TxnResult> put_one(ports::Dcs& by, const std::string& value,
                                       Duration deadline = 5s) {
        return loop.run(by.commit({{}, {put("config", value)}}, deadline));
    }

    Loop loop;
    Seen seen;
    std::unique_ptr<ports::Dcs> dcs;
};

// Three members; calls go to one of them first. What the tests freeze is that one.
class ThreeEtcds : public EtcdDcs {
protected:
    void begin(bool with_leader_first, std::chrono::seconds ttl = 30s) {
        servers = std::make_unique<EtcdServers>(3);
        first = leader();
        if (!with_leader_first) first = (first + 1) % 3;
        etcd::EtcdOptions options;
        for (int i = 0; i < 3; ++i) options.endpoints.push_back(at(*servers, (first + i) % 3));
        options.shuffle = false;
        dcs = connect(options);
        options.endpoints = {at(*servers, (first + 1) % 3), at(*servers, (first + 2) % 3)};
        options.use_proxies = true;
        other = connect(options);
        ASSERT_TRUE(loop.run(dcs->keep_lease(ttl, 5s)));
        dcs->watch(seen.handler());
        ASSERT_TRUE(loop.until([&] { return !seen.trees.empty(); }));
        ASSERT_TRUE(put_one(*dcs, "before"));
        ASSERT_TRUE(put_one(*other, "before too"));
        ASSERT_TRUE(loop.until([&] { return seen.value("config") == "before too"; }));
    }
    void TearDown() override {
        if (other) loop.run(other->stop());
        other.reset();
        EtcdDcs::TearDown();
    }
    int leader() const {
        for (int i = 0; i < 3; ++i) {
            const auto line = servers->ctl_one(i, "endpoint status");
            if (line.find(", true, ") != std::string::npos) return i;
        }
        throw std::runtime_error("etcd has no leader");
    }

    std::unique_ptr<EtcdServers> servers;
    int first = 0;
    std::unique_ptr<ports::Dcs> other;
};

TEST_F(ThreeEtcds, a_read_moves_from_a_frozen_endpoint_within_half_a_second) {
    ASSERT_NO_FATAL_FAILURE(begin(false));
    servers->freeze(first);
    const auto start = std::chrono::steady_clock::now();
    const auto tree = loop.run(dcs->read(5s));
    const auto took = ms_since(start);
    ASSERT_TRUE(tree) << tree.error().message;
    fmt::print("read with the endpoint frozen: {:.0f} ms\n", took);
    EXPECT_LT(took, 500);
    servers->resume(first);
}

TEST_F(ThreeEtcds, a_lease_is_kept_from_a_frozen_endpoint_within_half_a_second) {
    ASSERT_NO_FATAL_FAILURE(begin(false));
    servers->freeze(first);
    const auto start = std::chrono::steady_clock::now();
    const auto lease = loop.run(dcs->keep_lease(30s, 5s));
    const auto took = ms_since(start);
    ASSERT_TRUE(lease) << lease.error().message;
    EXPECT_FALSE(lease->fresh);
    fmt::print("keep_lease with the endpoint frozen: {:.0f} ms\n", took);
    EXPECT_LT(took, 500);
    servers->resume(first);
}

TEST_F(ThreeEtcds,
       a_commit_caught_by_a_freeze_ends_as_unknown_and_the_next_one_succeeds_within_a_second) {
    ASSERT_NO_FATAL_FAILURE(begin(false));
    servers->freeze(first);
    const auto start = std::chrono::steady_clock::now();
    const auto caught = put_one(*dcs, "caught");
    const auto unknown_after = ms_since(start);
    ASSERT_FALSE(caught);
    EXPECT_EQ(caught.error().code, ErrorCode::outcome_unknown) << caught.error().message;
    const auto next = put_one(*dcs, "next");
    const auto took = ms_since(start);
    ASSERT_TRUE(next) << next.error().message;
    fmt::print(
        "commit with the endpoint frozen: unknown after {:.0f} ms, the next one done after {:.0f} "
        "ms\n",
        unknown_after, took);
    EXPECT_LT(took, 1000);
    servers->resume(first);
}

TEST_F(ThreeEtcds, a_watch_moves_from_a_frozen_endpoint_by_itself) {
    ASSERT_NO_FATAL_FAILURE(begin(false));
    servers->freeze(first);
    ASSERT_TRUE(put_one(*other, "written meanwhile"));
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "written meanwhile"; }));
    const auto took = ms_since(start);
    fmt::print("watch with the endpoint frozen: {:.0f} ms\n", took);
    EXPECT_LT(took, 4000) << "asked every 2 s by a lease of 30 s";
    EXPECT_TRUE(seen.errors.empty()) << seen.errors.front().message;
    servers->resume(first);
}

TEST_F(ThreeEtcds, a_watch_moves_sooner_where_the_lease_is_short) {
    ASSERT_NO_FATAL_FAILURE(begin(false, 5s));
    servers->freeze(first);
    ASSERT_TRUE(put_one(*other, "written meanwhile"));
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "written meanwhile"; }));
    const auto took = ms_since(start);
    fmt::print("watch with the endpoint frozen and a lease of 5 s: {:.0f} ms\n", took);
    EXPECT_LT(took, 2000) << "asked every 0.5 s";
    servers->resume(first);
}

TEST_F(ThreeEtcds, a_watch_moves_at_once_when_another_call_has_noticed) {
    ASSERT_NO_FATAL_FAILURE(begin(false));
    servers->freeze(first);
    ASSERT_TRUE(put_one(*other, "written meanwhile"));
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(loop.run(dcs->read(5s)));
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "written meanwhile"; }));
    const auto took = ms_since(start);
    fmt::print("watch beside a read with the endpoint frozen: {:.0f} ms\n", took);
    EXPECT_LT(took, 1000);
    servers->resume(first);
}

TEST_F(ThreeEtcds, the_death_of_etcds_leader_is_over_when_etcd_has_a_new_one) {
    ASSERT_NO_FATAL_FAILURE(begin(true));
    servers->freeze(first);
    const auto start = std::chrono::steady_clock::now();
    const auto tree = loop.run(dcs->read(10s));
    ASSERT_TRUE(tree) << tree.error().message;
    const auto read_after = ms_since(start);
    const auto written = put_one(*dcs, "after", 10s);
    ASSERT_TRUE(written) << written.error().message;
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "after"; }));
    fmt::print(
        "etcd's leader frozen: read after {:.0f} ms, write seen by the watch after {:.0f} ms\n",
        read_after, ms_since(start));
    EXPECT_LT(ms_since(start), 8000);
    servers->resume(first);
}

TEST_F(ThreeEtcds, a_killed_endpoint_costs_nobody_more_than_a_moment) {
    ASSERT_NO_FATAL_FAILURE(begin(false));
    servers->kill(first);
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(loop.run(dcs->read(5s)));
    ASSERT_TRUE(put_one(*dcs, "after"));
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "after"; }));
    const auto took = ms_since(start);
    fmt::print("endpoint killed: read, write and watch done after {:.0f} ms\n", took);
    EXPECT_LT(took, 1000);
    EXPECT_TRUE(seen.errors.empty()) << seen.errors.front().message;
}

TEST_F(ThreeEtcds, the_other_members_are_found_from_one_endpoint) {
    ASSERT_NO_FATAL_FAILURE(begin(false));
    etcd::EtcdOptions options;
    options.endpoints = {at(*servers, first)};
    const auto one = connect(options);
    ASSERT_TRUE(loop.run(one->read(5s)));
    loop.run_for(500ms);  // the list comes after the answer, there is nothing to see it by
    servers->kill(first);
    EXPECT_TRUE(loop.run(one->read(5s)));
    loop.run(one->stop());
}

TEST_F(EtcdDcs, a_restart_of_etcd_is_told_and_survived) {
    EtcdServers servers;
    etcd::EtcdOptions options;
    options.endpoints = {at(servers, 0)};
    dcs = connect(options);
    dcs->watch(seen.handler());
    ASSERT_TRUE(loop.run(dcs->keep_lease(30s, 5s)));
    ASSERT_TRUE(put_one(*dcs, "before"));
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "before"; }));

    servers.kill(0);
    ASSERT_TRUE(loop.until([&] { return !seen.errors.empty(); }, 10s));
    EXPECT_EQ(seen.errors.front().code, ErrorCode::unavailable);
    const auto read = loop.run(dcs->read(500ms));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::unavailable) << read.error().message;
    const auto written = put_one(*dcs, "while down", 500ms);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::unavailable)
        << "it surely was not sent: " << written.error().message;

    const auto trees = seen.trees.size();
    servers.start(0);
    ASSERT_TRUE(loop.until([&] { return seen.trees.size() > trees; }))
        << "a tree comes after the error";
    const auto lease = loop.run(dcs->keep_lease(30s, 5s));
    ASSERT_TRUE(lease) << lease.error().message;
    EXPECT_FALSE(lease->fresh) << "leases survive a restart";
    ASSERT_TRUE(put_one(*dcs, "after"));
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "after"; }));
}

TEST_F(EtcdDcs, a_watch_that_was_away_during_a_compaction_reads_again) {
    EtcdServers servers(3);
    etcd::EtcdOptions options;
    options.endpoints = {at(servers, 0)};
    options.use_proxies = true;
    dcs = connect(options);
    dcs->watch(seen.handler());
    ASSERT_TRUE(put_one(*dcs, "before"));
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "before"; }));

    servers.kill(0);
    options.endpoints = {at(servers, 1)};
    const auto other = connect(options);
    cluster::Revision revision = 0;
    for (int i = 0; i < 20; ++i) {
        const auto written = put_one(*other, fmt::format("{}", i), 10s);
        if (written) revision = written->revision;  // etcd may have lost its leader with member 0
    }
    ASSERT_GT(revision, 0);
    servers.ctl(fmt::format("compact {}", revision));
    servers.start(0);
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "19"; }));
    for (std::size_t i = 1; i < seen.trees.size(); ++i)
        EXPECT_GE(seen.trees[i]->revision, seen.trees[i - 1]->revision);
    loop.run(other->stop());
}

TEST_F(EtcdDcs, an_srv_record_leads_to_etcd) {
    EtcdServers servers;
    const etcd::NameServer names(
        {{"_etcd-client-blue._tcp.example.test", {{0, 0, servers.port(0), "localhost"}}}});
    etcd::EtcdOptions options;
    options.srv_domain = "example.test";
    options.srv_suffix = "blue";
    options.nameserver = names.at();
    dcs = connect(options);
    dcs->watch(seen.handler());
    ASSERT_TRUE(put_one(*dcs, "found"));
    EXPECT_TRUE(loop.until([&] { return seen.value("config") == "found"; }));
}

TEST_F(EtcdDcs, a_domain_without_records_is_named) {
    const etcd::NameServer names({});
    etcd::EtcdOptions options;
    options.srv_domain = "example.test";
    options.nameserver = names.at();
    dcs = connect(options);
    const auto tree = loop.run(dcs->read(5s));
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, ErrorCode::unavailable);
    EXPECT_NE(tree.error().message.find("example.test"), std::string::npos) << tree.error().message;
}

class EtcdUsers : public EtcdDcs {
protected:
    void SetUp() override {
        EtcdDcs::SetUp();
        if (IsSkipped()) return;
        servers = std::make_unique<EtcdServers>();
        options.endpoints = {at(*servers, 0)};
        options.username = "patroni";
        options.password = "secret-word";
    }
    void switch_on() {
        servers->ctl("user add root:root-word");
        servers->ctl("role add pg");
        servers->ctl("role grant-permission pg readwrite --prefix=true /service/");
        servers->ctl("user add patroni:secret-word");
        servers->ctl("user grant-role patroni pg");
        servers->ctl("auth enable");
    }
    std::unique_ptr<EtcdServers> servers;
    etcd::EtcdOptions options;
};

TEST_F(EtcdUsers, the_right_password_opens_everything) {
    switch_on();
    dcs = connect(options);
    dcs->watch(seen.handler());
    ASSERT_TRUE(loop.run(dcs->keep_lease(10s, 5s)));
    ASSERT_TRUE(loop.run(dcs->commit({{}, {put("leader", "pg-1", true)}}, 5s)));
    ASSERT_TRUE(loop.until([&] { return seen.value("leader") == "pg-1"; }));
    EXPECT_FALSE(loop.run(dcs->keep_lease(10s, 5s))->fresh);
    EXPECT_TRUE(loop.run(dcs->revoke_lease(5s)));
}

TEST_F(EtcdUsers, a_wrong_password_is_denied_with_the_reason_and_without_the_password) {
    switch_on();
    options.password = "wrong-word";
    dcs = connect(options);
    const auto tree = loop.run(dcs->read(5s));
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, ErrorCode::denied);
    EXPECT_NE(tree.error().message.find("patroni"), std::string::npos) << tree.error().message;
    EXPECT_EQ(tree.error().message.find("word"), tree.error().message.find("password") + 4);
}

TEST_F(EtcdUsers, without_a_user_etcds_wish_for_one_is_said) {
    switch_on();
    options.username.clear();
    dcs = connect(options);
    const auto tree = loop.run(dcs->read(5s));
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, ErrorCode::denied);
    EXPECT_NE(tree.error().message.find("username"), std::string::npos) << tree.error().message;
}

TEST_F(EtcdUsers, a_user_is_no_harm_where_authentication_is_off_and_serves_once_it_is_on) {
    dcs = connect(options);
    dcs->watch(seen.handler());
    ASSERT_TRUE(put_one(*dcs, "open"));
    switch_on();
    const auto written = put_one(*dcs, "closed");
    ASSERT_TRUE(written) << written.error().message;
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "closed"; }));
}

TEST_F(EtcdUsers, a_lost_token_is_renewed) {
    switch_on();
    dcs = connect(options);
    dcs->watch(seen.handler());
    ASSERT_TRUE(put_one(*dcs, "before"));
    servers->kill(0);  // etcd's simple tokens do not survive it
    servers->start(0);
    ASSERT_TRUE(loop.run(dcs->read(10s)));
    const auto written = put_one(*dcs, "after", 10s);
    ASSERT_TRUE(written) << written.error().message;
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "after"; }));
    servers->ctl("--user root:root-word role add later");  // makes "revision of auth store is old"
    EXPECT_TRUE(put_one(*dcs, "later"));
}

class EtcdOverTls : public EtcdDcs {
protected:
    void SetUp() override {
        EtcdDcs::SetUp();
        if (IsSkipped()) return;
        std::string name = (std::filesystem::temp_directory_path() / "relevo-tls-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory = name;
        make_authority("ca");
        make_authority("stranger");
        const auto made = std::system(
            fmt::format("cd {} && openssl req -newkey rsa:2048 -nodes -keyout server.key -out "
                        "server.csr -subj /CN=etcd "
                        ">/dev/null 2>&1 && printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > "
                        "san && openssl x509 -req -in "
                        "server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san "
                        "-out server.crt >/dev/null 2>&1",
                        name)
                .c_str());
        ASSERT_EQ(made, 0);
        tls = {.cacert = directory / "ca.crt",
               .cert = directory / "server.crt",
               .key = directory / "server.key"};
        servers = std::make_unique<EtcdServers>(1, &tls);
        options.endpoints = {at(*servers, 0, true)};
        options.cacert = tls.cacert;
    }
    void TearDown() override {
        EtcdDcs::TearDown();
        std::error_code ignored;
        if (!directory.empty()) std::filesystem::remove_all(directory, ignored);
    }
    void make_authority(const std::string& name) const {
        const auto made =
            std::system(fmt::format("cd {0} && openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
                                    "-keyout {1}.key -out {1}.crt -subj /CN={1} >/dev/null 2>&1",
                                    directory.string(), name)
                            .c_str());
        ASSERT_EQ(made, 0);
    }
    std::filesystem::path directory;
    EtcdTls tls;
    std::unique_ptr<EtcdServers> servers;
    etcd::EtcdOptions options;
};

TEST_F(EtcdOverTls, a_certificate_of_the_given_authority_is_trusted) {
    dcs = connect(options);
    dcs->watch(seen.handler());
    ASSERT_TRUE(put_one(*dcs, "over TLS"));
    EXPECT_TRUE(loop.until([&] { return seen.value("config") == "over TLS"; }));
}

TEST_F(EtcdOverTls, a_certificate_of_another_authority_is_not) {
    options.cacert = directory / "stranger.crt";
    dcs = connect(options);
    const auto tree = loop.run(dcs->read(1s));
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, ErrorCode::unavailable);
}

TEST_F(EtcdOverTls, a_file_that_is_missing_is_named) {
    options.cert = directory / "absent.crt";
    const auto made = etcd::make_etcd_dcs(loop.io, options, "/service/test/");
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::invalid);
    EXPECT_NE(made.error().message.find("absent.crt"), std::string::npos) << made.error().message;
}

}  // namespace
}  // namespace relevo::tests
