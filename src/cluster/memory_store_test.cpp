#include "cluster/memory_store.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using namespace std::chrono_literals;

Write put(std::string key, std::string value, bool with_lease = false) {
    return {.what = Write::What::put,
            .key = std::move(key),
            .value = std::move(value),
            .with_lease = with_lease};
}
Compare absent(std::string key) {
    return {
        .key = std::move(key), .what = Compare::What::create_revision, .revision = 0, .value = {}};
}

TEST(MemoryStore, a_transaction_makes_one_revision_for_all_its_writes) {
    MemoryStore store;
    const auto before = store.revision();
    ASSERT_TRUE(store.commit({{}, {put("a", "1"), put("b", "2")}}, 0).value().succeeded);
    EXPECT_EQ(store.revision(), before + 1);
    EXPECT_EQ(store.tree().keys.at("a").create_revision, store.tree().keys.at("b").mod_revision);
}

TEST(MemoryStore, a_refused_guard_writes_nothing) {
    MemoryStore store;
    ASSERT_TRUE(store.commit({{absent("leader")}, {put("leader", "pg-1")}}, 0).value().succeeded);
    const auto second = store.commit({{absent("leader")}, {put("leader", "pg-2")}}, 0);
    EXPECT_FALSE(second.value().succeeded);
    EXPECT_EQ(store.tree().keys.at("leader").value, "pg-1");
    EXPECT_EQ(second.value().revision, store.revision());
}

TEST(MemoryStore, a_refused_guard_is_answered_before_the_lease_is_looked_at) {
    MemoryStore store;
    ASSERT_TRUE(store.commit({{}, {put("leader", "pg-1")}}, 0).value().succeeded);
    EXPECT_FALSE(
        store.commit({{absent("leader")}, {put("leader", "pg-2", true)}}, 0).value().succeeded);
}

TEST(MemoryStore, a_write_under_a_lost_lease_is_not_found_and_writes_nothing) {
    MemoryStore store;
    const auto result = store.commit({{}, {put("a", "1"), put("leader", "pg-1", true)}}, 77);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::not_found);
    EXPECT_TRUE(store.tree().keys.empty());
}

TEST(MemoryStore, an_expired_lease_takes_its_keys_along_at_one_revision) {
    MemoryStore store;
    const Instant start{100s};
    const auto lease = store.grant(10s, start);
    ASSERT_TRUE(
        store.commit({{}, {put("leader", "pg-1", true), put("members/pg-1", "{}", true)}}, lease));
    ASSERT_TRUE(store.commit({{}, {put("config", "{}")}}, lease));
    ASSERT_TRUE(store.keep_alive(lease, start + 5s));
    store.advance(start + 14s);
    EXPECT_TRUE(store.tree().keys.contains("leader"));
    const auto before = store.revision();
    EXPECT_EQ(store.next_expiry(), start + 15s);
    store.advance(start + 15s);
    EXPECT_EQ(store.revision(), before + 1);
    EXPECT_EQ(store.tree().keys.size(), 1u);
    EXPECT_FALSE(store.keep_alive(lease, start + 15s));
    EXPECT_EQ(store.next_expiry(), std::nullopt);
}

TEST(MemoryStore, a_key_put_again_under_a_new_lease_outlives_the_old_one) {
    MemoryStore store;
    const auto old_lease = store.grant(5s, Instant{});
    ASSERT_TRUE(store.commit({{}, {put("leader", "pg-1", true)}}, old_lease));
    const auto new_lease = store.grant(20s, Instant{});
    ASSERT_TRUE(store.commit({{}, {put("leader", "pg-1", true)}}, new_lease));
    store.advance(Instant{10s});
    EXPECT_EQ(store.tree().keys.at("leader").lease, new_lease);
}

TEST(MemoryStore, a_put_keeps_the_create_revision_and_a_removed_key_starts_a_new_one) {
    MemoryStore store;
    ASSERT_TRUE(store.commit({{}, {put("a", "1")}}, 0));
    const auto created = store.tree().keys.at("a").create_revision;
    ASSERT_TRUE(store.commit({{}, {put("a", "2")}}, 0));
    EXPECT_EQ(store.tree().keys.at("a").create_revision, created);
    ASSERT_TRUE(store.commit({{}, {{.what = Write::What::remove, .key = "a", .value = {}}}}, 0));
    ASSERT_TRUE(store.commit({{}, {put("a", "3")}}, 0));
    EXPECT_GT(store.tree().keys.at("a").create_revision, created);
}

TEST(MemoryStore, a_prefix_is_removed_with_all_below_it_and_nothing_beside) {
    MemoryStore store;
    ASSERT_TRUE(store.commit(
        {{}, {put("members/a", "1"), put("members/b", "1"), put("membersx", "1")}}, 0));
    ASSERT_TRUE(store.commit(
        {{}, {{.what = Write::What::remove_prefix, .key = "members/", .value = {}}}}, 0));
    EXPECT_EQ(store.tree().keys.size(), 1u);
    EXPECT_TRUE(store.tree().keys.contains("membersx"));
}

TEST(MemoryStore, removing_what_is_not_there_makes_no_revision) {
    MemoryStore store;
    const auto before = store.revision();
    ASSERT_TRUE(store.commit({{}, {{.what = Write::What::remove, .key = "a", .value = {}}}}, 0));
    EXPECT_EQ(store.revision(), before);
}

TEST(MemoryStore, changes_come_in_order_until_they_are_compacted) {
    MemoryStore store;
    const auto start = store.revision();
    ASSERT_TRUE(store.commit({{}, {put("a", "1")}}, 0));
    ASSERT_TRUE(store.commit({{}, {put("a", "2"), put("b", "1")}}, 0));
    const auto changes = store.changes_since(start);
    ASSERT_TRUE(changes);
    ASSERT_EQ(changes->size(), 3u);
    EXPECT_EQ(changes->front().now->value, "1");
    EXPECT_EQ(changes->back().key, "b");
    store.compact(start + 1);
    EXPECT_EQ(store.changes_since(start), std::nullopt);
    EXPECT_EQ(store.changes_since(start + 1)->size(), 2u);
}

TEST(MemoryStore, one_key_written_twice_is_refused_as_etcd_does) {
    MemoryStore store;
    EXPECT_EQ(store.commit({{}, {put("a", "1"), put("a", "2")}}, 0).error().code,
              ErrorCode::invalid);
}

}  // namespace
}  // namespace relevo::cluster
