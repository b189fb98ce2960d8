#include "tests/contract/dcs_contract.h"

#include <utility>

namespace relevo::tests {

using namespace std::chrono_literals;
using namespace std::string_literals;
using cluster::Compare;
using cluster::Write;

namespace {
constexpr Duration deadline = 5s;
constexpr auto lease_min = 2s;  // etcd grants no shorter one
}  // namespace

void DcsContract::SetUp() {
    world = GetParam()();
    if (!world)
        GTEST_SKIP() << "NOT TESTED: etcd or etcdctl is not installed (apt-get install etcd-server "
                        "etcd-client)";
    dcs = connect();
}

void DcsContract::TearDown() {
    if (dcs) stop(*dcs);
    dcs.reset();
}

Result<cluster::TxnResult> DcsContract::commit(ports::Dcs& by, cluster::Txn txn) {
    return loop.run(by.commit(std::move(txn), deadline));
}
Result<cluster::KeyTree> DcsContract::read(ports::Dcs& by) { return loop.run(by.read(deadline)); }
Result<ports::Lease> DcsContract::keep(ports::Dcs& by, std::chrono::seconds ttl) {
    return loop.run(by.keep_lease(ttl, deadline));
}

TEST_P(DcsContract, an_empty_base_reads_as_an_empty_tree_with_a_revision) {
    const auto tree = read(*dcs);
    ASSERT_TRUE(tree) << tree.error().message;
    EXPECT_TRUE(tree->keys.empty());
    EXPECT_GT(tree->revision, 0);
}

TEST_P(DcsContract, what_is_committed_is_read_with_its_revisions) {
    const auto written =
        commit(*dcs, {{}, {put("config", "{}"), put("members/pg-1", "a\0b\xff"s)}});
    ASSERT_TRUE(written) << written.error().message;
    ASSERT_TRUE(written->succeeded);
    const auto tree = read(*dcs).value();
    ASSERT_EQ(tree.keys.size(), 2u);
    EXPECT_EQ(tree.keys.at("members/pg-1").value, "a\0b\xff"s);
    EXPECT_EQ(tree.keys.at("config").mod_revision, written->revision);
    EXPECT_EQ(tree.keys.at("config").create_revision, written->revision);
    EXPECT_EQ(tree.keys.at("config").lease, 0);
    EXPECT_GE(tree.revision, written->revision);
}

TEST_P(DcsContract, a_guard_that_does_not_hold_writes_nothing_and_is_no_error) {
    ASSERT_TRUE(commit(*dcs, {{absent("leader")}, {put("leader", "pg-1")}})->succeeded);
    const auto second =
        commit(*dcs, {{absent("leader")}, {put("leader", "pg-2"), put("config", "{}")}});
    ASSERT_TRUE(second);
    EXPECT_FALSE(second->succeeded);
    const auto tree = read(*dcs).value();
    EXPECT_EQ(tree.keys.at("leader").value, "pg-1");
    EXPECT_FALSE(tree.keys.contains("config"));
}

TEST_P(DcsContract, all_three_kinds_of_guard_are_kept) {
    const auto first = commit(*dcs, {{}, {put("sync", "1")}}).value().revision;
    EXPECT_TRUE(commit(*dcs, {{unchanged("sync", first)}, {put("sync", "2")}})->succeeded);
    EXPECT_FALSE(commit(*dcs, {{unchanged("sync", first)}, {put("sync", "3")}})->succeeded);
    EXPECT_TRUE(commit(*dcs, {{holds("sync", "2")}, {put("sync", "4")}})->succeeded);
    EXPECT_FALSE(commit(*dcs, {{holds("sync", "2")}, {put("sync", "5")}})->succeeded);
    EXPECT_FALSE(commit(*dcs, {{holds("absent", "")}, {put("sync", "6")}})->succeeded);
    const Compare same_term{
        .key = "sync", .what = Compare::What::create_revision, .revision = first, .value = {}};
    EXPECT_TRUE(commit(*dcs, {{same_term, holds("sync", "4")}, {remove("sync")}})->succeeded);
    EXPECT_TRUE(read(*dcs)->keys.empty());
}

TEST_P(DcsContract, one_key_written_twice_in_a_transaction_is_invalid) {
    const auto result = commit(*dcs, {{}, {put("config", "1"), put("config", "2")}});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::invalid) << result.error().message;
}

TEST_P(DcsContract, a_prefix_goes_with_all_below_it) {
    ASSERT_TRUE(
        commit(*dcs, {{}, {put("members/a", "1"), put("members/b", "1"), put("leader", "a")}}));
    ASSERT_TRUE(commit(*dcs, {{}, {remove_prefix("members/")}}));
    EXPECT_EQ(read(*dcs)->keys.size(), 1u);
    ASSERT_TRUE(commit(*dcs, {{}, {remove_prefix("")}}));
    EXPECT_TRUE(read(*dcs)->keys.empty());
}

TEST_P(DcsContract, a_write_under_a_lease_needs_one) {
    const auto result = commit(*dcs, {{}, {put("config", "{}"), put("leader", "pg-1", true)}});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::not_found);
    EXPECT_TRUE(read(*dcs)->keys.empty());
}

TEST_P(DcsContract, a_lease_is_fresh_once_and_then_kept) {
    const auto first = keep(*dcs, 10s);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_TRUE(first->fresh);
    EXPECT_EQ(first->ttl, 10s);
    const auto second = keep(*dcs, 10s).value();
    EXPECT_FALSE(second.fresh);
    EXPECT_EQ(second.id, first->id);
    EXPECT_EQ(second.ttl, 10s);
}

TEST_P(DcsContract, another_ttl_means_another_lease_and_keys_put_again_stay) {
    const auto first = keep(*dcs, 10s).value();
    ASSERT_TRUE(commit(*dcs, {{}, {put("leader", "pg-1", true)}})->succeeded);
    const auto second = keep(*dcs, 20s).value();
    EXPECT_TRUE(second.fresh);
    EXPECT_NE(second.id, first.id);
    EXPECT_EQ(read(*dcs)->keys.at("leader").lease, first.id);
    ASSERT_TRUE(commit(*dcs, {{}, {put("leader", "pg-1", true)}})->succeeded);
    EXPECT_EQ(read(*dcs)->keys.at("leader").lease, second.id);
}

TEST_P(DcsContract, keys_under_a_lease_live_while_it_is_kept_and_die_with_it) {
    dcs->watch(seen.handler());
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(keep(*dcs, lease_min));
    ASSERT_TRUE(commit(*dcs, {{}, {put("leader", "pg-1", true), put("config", "{}")}})->succeeded);
    loop.run_for(1500ms);
    ASSERT_FALSE(keep(*dcs, lease_min)->fresh);
    const auto kept = std::chrono::steady_clock::now();
    ASSERT_TRUE(loop.until([&] { return seen.value("leader") == "pg-1"; }));
    ASSERT_TRUE(loop.until([&] { return seen.value("leader").empty(); }));
    EXPECT_GE(std::chrono::steady_clock::now() - kept + 50ms, lease_min)
        << "it died before its time";
    EXPECT_LE(std::chrono::steady_clock::now() - start, 10s);
    EXPECT_EQ(seen.value("config"), "{}");
    const auto after = keep(*dcs, lease_min).value();
    EXPECT_TRUE(after.fresh);
}

TEST_P(DcsContract, a_lost_lease_is_said_by_the_write_and_a_new_one_granted) {
    ASSERT_TRUE(keep(*dcs, lease_min));
    ASSERT_TRUE(commit(*dcs, {{}, {put("leader", "pg-1", true)}})->succeeded);
    dcs->watch(seen.handler());
    ASSERT_TRUE(loop.until([&] { return seen.last() != nullptr && seen.last()->keys.empty(); }));
    const auto result = commit(*dcs, {{}, {put("leader", "pg-1", true)}});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::not_found);
    EXPECT_TRUE(keep(*dcs, lease_min)->fresh);
    EXPECT_TRUE(commit(*dcs, {{}, {put("leader", "pg-1", true)}})->succeeded);
}

TEST_P(DcsContract, a_revoked_lease_takes_its_keys_along_at_once) {
    ASSERT_TRUE(keep(*dcs, 60s));
    ASSERT_TRUE(commit(*dcs, {{}, {put("leader", "pg-1", true), put("config", "{}")}})->succeeded);
    ASSERT_TRUE(loop.run(dcs->revoke_lease(deadline)));
    EXPECT_EQ(read(*dcs)->keys.size(), 1u);
    EXPECT_TRUE(loop.run(dcs->revoke_lease(deadline))) << "revoking nothing is no error";
    EXPECT_TRUE(keep(*dcs, 60s)->fresh);
}

TEST_P(DcsContract, a_watch_begins_with_the_tree_and_tells_each_change_in_order) {
    ASSERT_TRUE(commit(*dcs, {{}, {put("config", "0")}}));
    const auto other = connect();
    dcs->watch(seen.handler());
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "0"; }));
    for (int i = 1; i <= 50; ++i)
        ASSERT_TRUE(commit(*other, {{}, {put("config", std::to_string(i))}}));
    ASSERT_TRUE(commit(*other, {{}, {remove("config"), put("leader", "pg-2")}}));
    ASSERT_TRUE(loop.until([&] { return seen.value("leader") == "pg-2"; }));
    EXPECT_EQ(seen.value("config"), "");
    for (std::size_t i = 1; i < seen.trees.size(); ++i)
        EXPECT_GT(seen.trees[i]->revision, seen.trees[i - 1]->revision);
    EXPECT_EQ(seen.trees.size(), 52u);
    EXPECT_EQ(seen.last()->keys.at("leader").mod_revision, seen.last()->revision);
    EXPECT_TRUE(seen.errors.empty());
    stop(*other);
}

TEST_P(DcsContract, two_who_race_for_one_key_have_one_winner) {
    const auto other = connect();
    for (int round = 0; round < 20; ++round) {
        const auto key = "race/" + std::to_string(round);
        std::vector<bool> won;
        const auto finished = [&](std::exception_ptr, Result<cluster::TxnResult> result) {
            won.push_back(result.value().succeeded);
        };
        boost::asio::co_spawn(loop.io, dcs->commit({{absent(key)}, {put(key, "a")}}, deadline),
                              finished);
        boost::asio::co_spawn(loop.io, other->commit({{absent(key)}, {put(key, "b")}}, deadline),
                              finished);
        ASSERT_TRUE(loop.until([&] { return won.size() == 2; }));
        EXPECT_NE(won[0], won[1]);
    }
    stop(*other);
}

TEST_P(DcsContract, a_compacted_history_does_not_disturb_readers_or_watchers) {
    dcs->watch(seen.handler());
    cluster::Revision revision = 0;
    for (int i = 0; i < 10; ++i)
        revision = commit(*dcs, {{}, {put("config", std::to_string(i))}})->revision;
    world->compact(revision);
    ASSERT_TRUE(commit(*dcs, {{}, {put("config", "after")}}));
    ASSERT_TRUE(loop.until([&] { return seen.value("config") == "after"; }));
    EXPECT_EQ(read(*dcs)->keys.at("config").value, "after");
}

TEST_P(DcsContract, every_call_returns_by_its_deadline_when_the_store_is_silent) {
    ASSERT_TRUE(keep(*dcs, 60s));
    world->freeze();
    const auto start = std::chrono::steady_clock::now();
    const auto tree = loop.run(dcs->read(300ms));
    const auto written = loop.run(dcs->commit({{}, {put("config", "{}")}}, 300ms));
    const auto lease = loop.run(dcs->keep_lease(60s, 300ms));
    const auto revoked = loop.run(dcs->revoke_lease(300ms));
    const auto took = std::chrono::steady_clock::now() - start;
    world->resume();
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, ErrorCode::unavailable);
    ASSERT_FALSE(written);
    EXPECT_TRUE(written.error().code == ErrorCode::outcome_unknown ||
                written.error().code == ErrorCode::unavailable);
    ASSERT_FALSE(lease);
    ASSERT_FALSE(revoked);
    EXPECT_LT(took, 2s);
    EXPECT_TRUE(read(*dcs)) << "it is back";
}

TEST_P(DcsContract, stop_ends_what_is_under_way) {
    dcs->watch(seen.handler());
    ASSERT_TRUE(loop.until([&] { return !seen.trees.empty(); }));
    world->freeze();
    std::optional<Result<cluster::KeyTree>> result;
    boost::asio::co_spawn(
        loop.io, dcs->read(20s),
        [&](std::exception_ptr, Result<cluster::KeyTree> ended) { result = std::move(ended); });
    loop.run_for(100ms);
    const auto start = std::chrono::steady_clock::now();
    stop(*dcs);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
    world->resume();
    ASSERT_TRUE(loop.until([&] { return result.has_value(); }, 1s));
    ASSERT_FALSE(*result);
    EXPECT_TRUE(result->error().code == ErrorCode::cancelled ||
                result->error().code == ErrorCode::unavailable);
}

}  // namespace relevo::tests
