// What every ports::Dcs must do, as one suite of tests: run against etcd itself and against its
// in-memory twin, so that what the simulator and the tests believe is what etcd does.
//
// To add an adapter: derive a DcsWorld, and instantiate the suite with a function that makes it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/contract/dcs_support.h"
#include "tests/contract/loop.h"

namespace relevo::tests {

// One store with an empty base of its own for each test.
class DcsWorld {
public:
    virtual ~DcsWorld() = default;
    virtual std::unique_ptr<ports::Dcs> connect(boost::asio::io_context& io) = 0;
    virtual void compact(cluster::Revision revision) = 0;
    // The store is silent, yet connected, from now on; and back.
    virtual void freeze() = 0;
    virtual void resume() = 0;
};
using MakeWorld = std::function<std::unique_ptr<DcsWorld>()>;

class DcsContract : public testing::TestWithParam<MakeWorld> {
protected:
    void SetUp() override;
    void TearDown() override;
    std::unique_ptr<ports::Dcs> connect() { return world->connect(loop.io); }
    Result<cluster::TxnResult> commit(ports::Dcs& dcs, cluster::Txn txn);
    Result<cluster::KeyTree> read(ports::Dcs& dcs);
    Result<ports::Lease> keep(ports::Dcs& dcs, std::chrono::seconds ttl);
    void stop(ports::Dcs& who) { loop.run(who.stop()); }

    Loop loop;
    std::unique_ptr<DcsWorld> world;
    Seen seen;  // outlives the adapter, which may tell it something as late as in stop()
    std::unique_ptr<ports::Dcs> dcs;
};

}  // namespace relevo::tests
