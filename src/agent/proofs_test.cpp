#include "agent/proofs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "agent/fake_backup.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using namespace std::chrono_literals;
using cluster::ProofRecord;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FakeClock final : public ports::Clock {
public:
    Instant now() const override { return Instant(1h); }
    WallTime wall() const override { return {}; }
};

// Its repository is asked, and answers when the test says so, whoever ends it.
class Hanging final : public FakeRestores {
public:
    explicit Hanging(boost::asio::io_context& io) : answers(io) {
        answers.expires_at(boost::asio::steady_timer::time_point::max());
    }
    Task<Result<cluster::Repository>> info(Duration) override {
        ++asked;
        co_await answers.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        co_return repository;
    }
    boost::asio::steady_timer answers;
    int asked = 0;
};

struct ProofsTest : testing::Test {
    os::TestLoop t;
    FakeClock clock;
    ports::PostgresConfig postgres;
    Hanging backup{t.loop};
    Proofs proofs{t.loop, clock, backup, t.pool, [this]() -> auto& { return postgres; }, 100ms};
    std::optional<Result<ProofRecord>> verdict;

    ProofsTest() {
        postgres.name = "pg-1";
        postgres.scope = "lab";
        postgres.data_dir = "/nowhere/data";
        t.await(proofs.clean());
    }
    void begin(const std::string& id) {
        verdict.reset();
        Proofs::Ask ask;
        ask.id = id;
        boost::asio::co_spawn(t.loop, proofs.prove(std::move(ask)),
                              [this](const std::exception_ptr&, Result<ProofRecord> said) {
                                  verdict = std::move(said);
                              });
    }
};

// Or it would hold up every backup of the cluster.
TEST_F(ProofsTest, OneThatDoesNotEndIsLeftToItselfAndNoOtherBegins) {
    begin("1");
    ASSERT_TRUE(t.until([&] { return backup.asked == 1; }, 10s));
    proofs.end();
    ASSERT_TRUE(t.until([&] { return verdict.has_value(); }, 10s));
    ASSERT_FALSE(*verdict);
    EXPECT_EQ(verdict->error().code, ErrorCode::cancelled);

    begin("2");
    ASSERT_TRUE(t.until([&] { return verdict.has_value(); }, 10s));
    ASSERT_TRUE(*verdict) << "a verdict, or it would be asked for again and again";
    EXPECT_FALSE((*verdict)->ok);
    EXPECT_EQ((*verdict)->id, "2");
    EXPECT_THAT((*verdict)->result, AllOf(HasSubstr("has not ended"), HasSubstr("state D")));
    EXPECT_EQ(backup.asked, 1);

    backup.answers.cancel();
    ASSERT_TRUE(t.until([&] { return !proofs.at_work(); }, 10s));
    begin("3");
    ASSERT_TRUE(t.until([&] { return backup.asked == 2; }, 10s));
    backup.answers.cancel();
    ASSERT_TRUE(t.until([&] { return verdict.has_value(); }, 10s));
    EXPECT_THAT((*verdict)->result, HasSubstr("there is no backup yet"));
}

}  // namespace
}  // namespace relevo::agent
