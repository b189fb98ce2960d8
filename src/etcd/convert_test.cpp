#include "etcd/convert.h"

#include <gtest/gtest.h>

namespace relevo::etcd {
namespace {

using cluster::Compare;
using cluster::Write;

void add_event(etcdserverpb::WatchResponse& reply, mvccpb::Event::EventType type,
               const std::string& key, std::int64_t revision, const std::string& value = "") {
    auto& event = *reply.add_events();
    event.set_type(type);
    event.mutable_kv()->set_key(key);
    event.mutable_kv()->set_value(value);
    event.mutable_kv()->set_mod_revision(revision);
}

TEST(Convert, the_end_of_a_prefix_is_the_next_key_that_does_not_begin_with_it) {
    EXPECT_EQ(prefix_end("/service/batman/"), "/service/batman0");
    EXPECT_EQ(prefix_end("a\xff"), "b");
    EXPECT_EQ(prefix_end("\xff\xff"), std::string(1, '\0'));
}

TEST(Convert, only_writes_that_want_the_lease_get_it) {
    const cluster::Txn txn{
        .compares =
            {{.key = "leader", .what = Compare::What::create_revision, .revision = 0, .value = {}}},
        .writes = {{.what = Write::What::put, .key = "leader", .value = "pg-1", .with_lease = true},
                   {.what = Write::What::put, .key = "config", .value = "{}"},
                   {.what = Write::What::remove_prefix, .key = "members/", .value = {}}}};
    const auto request = to_txn(txn, "/b/", 7);
    EXPECT_EQ(request.compare(0).key(), "/b/leader");
    EXPECT_EQ(request.compare(0).target(), etcdserverpb::Compare::CREATE);
    EXPECT_TRUE(request.compare(0).has_create_revision()) << "0 must be said, it means absent";
    EXPECT_EQ(request.success(0).request_put().lease(), 7);
    EXPECT_EQ(request.success(1).request_put().lease(), 0);
    EXPECT_EQ(request.success(2).request_delete_range().range_end(), "/b/members0");
}

TEST(Convert, events_of_several_revisions_are_applied_in_order) {
    cluster::KeyTree tree{.revision = 5,
                          .keys = {{"leader", {.value = "pg-1", .mod_revision = 5}}}};
    etcdserverpb::WatchResponse reply;
    add_event(reply, mvccpb::Event::DELETE, "/b/leader", 6);
    add_event(reply, mvccpb::Event::PUT, "/b/leader", 7, "pg-2");
    EXPECT_TRUE(apply(tree, reply, "/b/"));
    EXPECT_EQ(tree.revision, 7);
    EXPECT_EQ(tree.keys.at("leader").value, "pg-2");
}

TEST(Convert, events_that_the_tree_has_already_change_nothing) {
    cluster::KeyTree tree{.revision = 5,
                          .keys = {{"leader", {.value = "pg-1", .mod_revision = 5}}}};
    etcdserverpb::WatchResponse reply;
    add_event(reply, mvccpb::Event::PUT, "/b/leader", 4, "pg-0");
    EXPECT_FALSE(apply(tree, reply, "/b/"));
    EXPECT_EQ(tree.revision, 5);
    EXPECT_EQ(tree.keys.at("leader").value, "pg-1");
}

}  // namespace
}  // namespace relevo::etcd
