// The contract against real etcd, and what only real servers can show: restarts, several members, TLS,
// users. Needs etcd and etcdctl; skipped loudly without them.
#include "etcd/etcd_dcs.h"

#include <fmt/format.h>

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
    void compact(cluster::Revision revision) override { servers_.ctl(fmt::format("compact {}", revision)); }
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

}  // namespace
}  // namespace relevo::tests
