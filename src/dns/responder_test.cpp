#include "dns/responder.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <optional>

#include "dns/link.h"

namespace relevo::dns {
namespace {

using namespace std::chrono_literals;

const Names names{
    .primary = "primary.pg.test", .replica = "replica.pg.test", .ttl_s = 1, .addresses = {}};
const Wanted known{.term = 7,
                   .member = "a",
                   .primary = {"10.0.0.1", "fd00::1"},
                   .replicas = {"10.0.0.2", "10.0.0.3"}};

Answer asked(const std::string& name, std::uint16_t type,
             const std::optional<Wanted>& facts = known) {
    Query query;
    query.name = name;
    query.type = type;
    query.klass = 1;
    return answer_for(query, "pg.test", names, facts);
}

constexpr std::uint16_t a = 1, soa = 6, mx = 15, aaaa = 28;
using Set = std::set<std::string>;

TEST(AnswerFor, TheTwoNamesByFamily) {
    EXPECT_EQ(asked("primary.pg.test.", a).addresses, Set{"10.0.0.1"});
    EXPECT_EQ(asked("primary.pg.test.", aaaa).addresses, Set{"fd00::1"});
    EXPECT_EQ(asked("replica.pg.test.", a).addresses, (Set{"10.0.0.2", "10.0.0.3"}));
    const auto none = asked("replica.pg.test.", aaaa);
    EXPECT_EQ(none.code, Code::no_error);
    EXPECT_TRUE(none.addresses.empty());
    EXPECT_EQ(asked("primary.pg.test.", mx).code, Code::no_error);
    EXPECT_TRUE(asked("primary.pg.test.", mx).addresses.empty());
}

TEST(AnswerFor, InDoubtItIsServfailAndNeverAnAddress) {
    for (const auto* name : {"primary.pg.test.", "replica.pg.test."})
        for (const auto type : {a, aaaa, mx, std::uint16_t{255}}) {
            const auto answer = asked(name, type, std::nullopt);
            EXPECT_EQ(answer.code, Code::server_failure);
            EXPECT_TRUE(answer.addresses.empty() && answer.alias.empty());
        }
}

TEST(AnswerFor, OtherNamesAreUnknownInsideTheZoneAndRefusedOutside) {
    EXPECT_EQ(asked("x.pg.test.", a).code, Code::no_such_name);
    EXPECT_EQ(asked("xpg.test.", a).code, Code::refused);
    EXPECT_EQ(asked("test.", a).code, Code::refused);
    EXPECT_TRUE(asked("pg.test.", soa).soa);
    Query chaos;
    chaos.name = "primary.pg.test.";
    chaos.type = a;
    chaos.klass = 3;
    EXPECT_EQ(answer_for(chaos, "pg.test", names, known).code, Code::refused);
}

TEST(AnswerFor, AHostThatIsANameIsAnAlias) {
    auto named = known;
    named.primary = {"pg-1.internal"};
    EXPECT_EQ(asked("primary.pg.test.", a, named).alias, "pg-1.internal");
}

TEST(Respond, AnswersAreWholeMessagesAndAnswersAreNotAnswered) {
    const auto reply =
        respond(question("PRIMARY.pg.test", Type::a), false, "pg.test", names, known);
    const auto records = read_answer(reply);
    ASSERT_TRUE(records) << records.error().message;
    ASSERT_EQ(records->size(), 1u);
    EXPECT_EQ(records->front().text, "10.0.0.1");
    EXPECT_EQ(respond(reply, false, "pg.test", names, known), "");
    EXPECT_EQ(respond("short", false, "pg.test", names, known), "");
    const auto garbage = respond(std::string(12, '\0') + "junk", false, "pg.test", names, known);
    ASSERT_EQ(garbage.size(), 12u);
    EXPECT_EQ(garbage[3], 1);  // FORMERR
}

TEST(Respond, WhatDoesNotFitADatagramIsCutShortAndWholeOverTcp) {
    auto many = known;
    many.replicas.clear();
    for (int i = 0; i < 100; ++i) many.replicas.push_back("10.0.1." + std::to_string(i));
    const auto query = question("replica.pg.test", Type::a);
    const auto cut = respond(query, false, "pg.test", names, many);
    EXPECT_LE(cut.size(), 512u);
    EXPECT_NE(cut[2] & 2, 0);  // TC
    const auto whole = read_answer(respond(query, true, "pg.test", names, many));
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->size(), 100u);
}

TEST(ResponderTest, AnswersOverTcpUntilItIsStopped) {
    boost::asio::io_context loop;
    boost::asio::thread_pool pool(1);
    std::optional<Wanted> facts = known;
    Responder responder(loop, {"127.0.0.1", 0, "pg.test", names}, [&] { return facts; });
    ASSERT_TRUE(responder.start());
    // The port is taken now.
    Responder second(loop, {"127.0.0.1", responder.port(), "pg.test", names},
                     [&] { return facts; });
    EXPECT_FALSE(second.start());
    bool finished = false;
    boost::asio::co_spawn(
        loop,
        [&]() -> net::Task<void> {
            const auto link = co_await Link::open(loop, pool, {"127.0.0.1", responder.port()}, 5s);
            EXPECT_TRUE(link);
            for (int i = 0; i < 3 && link; ++i) {
                const auto bytes = co_await (*link)->ask(question("primary.pg.test", Type::a));
                EXPECT_TRUE(bytes && read_answer(*bytes) && read_answer(*bytes)->size() == 1);
            }
            facts.reset();
            const auto doubt = co_await (*link)->ask(question("primary.pg.test", Type::a));
            EXPECT_TRUE(doubt && !read_answer(*doubt));
            co_await responder.stop();
            co_await second.stop();
            finished = true;
        },
        [](const std::exception_ptr& thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
    loop.run_for(20s);
    EXPECT_TRUE(finished);
    pool.join();
}

}  // namespace
}  // namespace relevo::dns
