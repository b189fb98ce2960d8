#include "rest/leader_key.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace relevo::rest {
namespace {

using namespace std::chrono_literals;
const Instant now{100s};

ports::View view_of(const std::string& name, const std::string& leader) {
    auto snapshot = std::make_shared<cluster::Snapshot>();
    if (!leader.empty()) snapshot->leader = cluster::LeaderKey{leader, 7, 9, 1};
    ports::View view;
    view.scope = "demo";
    view.name = name;
    view.snapshot = std::move(snapshot);
    view.leading = name == leader;
    view.lead_until = now + 1s;
    view.postgres.server = cluster::Server::running;
    view.postgres.in_recovery = name != leader;
    return view;
}

const std::string path = "/v2/keys/service/demo/leader";

TEST(LeaderKey, IsShownAsEtcdWould) {
    for (const auto* name : {"a", "b"}) {
        const auto answer = leader_key_answer(path, view_of(name, "a"), now);
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->status, 200);
        const auto node = nlohmann::json::parse(answer->json)["node"];
        EXPECT_EQ(node["value"], "a");
        EXPECT_EQ(node["key"], "/service/demo/leader");
        EXPECT_EQ(node["createdIndex"], 7);
    }
}

TEST(LeaderKey, IsNotThereWithoutALeaderAndForALeaderInDoubt) {
    EXPECT_EQ(leader_key_answer(path, view_of("a", ""), now)->status, 404);
    EXPECT_EQ(leader_key_answer(path, view_of("a", "a"), now + 1s)->status, 404);
    auto promoting = view_of("a", "a");
    promoting.postgres.in_recovery = true;
    EXPECT_EQ(leader_key_answer(path, promoting, now)->status, 404);
    auto blind = view_of("a", "a");
    blind.snapshot.reset();
    EXPECT_EQ(leader_key_answer(path, blind, now)->status, 404);
}

TEST(LeaderKey, OtherPathsAreOthersBusiness) {
    for (const auto* other : {"/leader", "/v2/keys/service/other/leader", "/v2/keys/leader",
                              "/v2/keys/service/demo/leader/x", "/v2/demo/leader"})
        EXPECT_FALSE(leader_key_answer(other, view_of("a", "a"), now)) << other;
}

}  // namespace
}  // namespace relevo::rest
