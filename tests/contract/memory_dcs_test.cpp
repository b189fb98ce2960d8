#include "etcd/memory_dcs.h"

#include "tests/contract/dcs_contract.h"

namespace relevo::tests {
namespace {

using namespace std::chrono_literals;
using etcd::MemoryDcs;
using etcd::MemoryServer;

class MemoryWorld final : public DcsWorld {
public:
    std::unique_ptr<ports::Dcs> connect(boost::asio::io_context& io) override {
        auto dcs = etcd::make_memory_dcs(io, server_);
        connected_.push_back(dcs.get());
        return dcs;
    }
    void compact(cluster::Revision revision) override { server_->store().compact(revision); }
    void freeze() override { connected_.front()->set_faults({.frozen = true}); }
    void resume() override { connected_.front()->set_faults({}); }

private:
    std::shared_ptr<MemoryServer> server_ = std::make_shared<MemoryServer>(MemoryServer::Clock{});
    std::vector<MemoryDcs*> connected_;
};

INSTANTIATE_TEST_SUITE_P(Memory, DcsContract,
                         testing::Values(MakeWorld([] { return std::make_unique<MemoryWorld>(); })),
                         [](const auto&) { return "twin"; });

TEST(MemoryDcs, a_lost_answer_is_a_write_done_with_its_outcome_unknown) {
    Loop loop;
    const auto server = std::make_shared<MemoryServer>(MemoryServer::Clock{});
    const auto dcs = etcd::make_memory_dcs(loop.io, server);
    dcs->set_faults({.lose_next_answer = true});
    const auto result = loop.run(dcs->commit({{}, {put("leader", "pg-1")}}, 1s));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::outcome_unknown);
    EXPECT_EQ(loop.run(dcs->read(1s)).value().keys.at("leader").value, "pg-1");
    loop.run(dcs->stop());
}

TEST(MemoryDcs, a_cut_off_watch_says_so_and_comes_back_with_a_tree) {
    Loop loop;
    const auto server = std::make_shared<MemoryServer>(MemoryServer::Clock{});
    const auto dcs = etcd::make_memory_dcs(loop.io, server);
    const auto other = etcd::make_memory_dcs(loop.io, server);
    Seen seen;
    dcs->watch(seen.handler());
    dcs->set_faults({.unreachable = true});
    ASSERT_TRUE(loop.until([&] { return seen.errors.size() == 1; }));
    ASSERT_TRUE(loop.run(other->commit({{}, {put("leader", "pg-2")}}, 1s)));
    EXPECT_EQ(loop.run(dcs->read(1s)).error().code, ErrorCode::unavailable);
    dcs->set_faults({});
    ASSERT_TRUE(loop.until([&] { return seen.value("leader") == "pg-2"; }));
    loop.run(dcs->stop());
    loop.run(other->stop());
}

TEST(MemoryDcs, a_clock_moved_by_hand_expires_leases) {
    Loop loop;
    Instant now{};
    const auto server = std::make_shared<MemoryServer>([&] { return now; });
    const auto dcs = etcd::make_memory_dcs(loop.io, server);
    Seen seen;
    dcs->watch(seen.handler());
    ASSERT_TRUE(loop.run(dcs->keep_lease(30s, 1s)));
    ASSERT_TRUE(loop.run(dcs->commit({{}, {put("leader", "pg-1", true)}}, 1s)));
    ASSERT_TRUE(loop.until([&] { return seen.value("leader") == "pg-1"; }));
    now += 30s;
    server->settle();
    ASSERT_TRUE(loop.until([&] { return seen.value("leader").empty(); }, 1s));
    loop.run(dcs->stop());
}

}  // namespace
}  // namespace relevo::tests
