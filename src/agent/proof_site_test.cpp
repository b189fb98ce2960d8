#include "agent/proof_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdint>

#include "os/file.h"
#include "os/process.h"

namespace relevo::agent {
namespace {

using ::testing::HasSubstr;

class ProofSiteTest : public testing::Test {
public:
    ~ProofSiteTest() override { (void)os::remove_tree(home); }

protected:
    std::string home = *os::make_temporary_directory("relevo-proof-");
    ProofSite site = proof_site("", "orders", "pg-1", home + "/data/");

    void fill(const std::string& path) { ASSERT_TRUE(os::write_file(path, "x", 0600)); }
};

TEST_F(ProofSiteTest, IsBesideTheDataOrWhereTheOperatorSays) {
    EXPECT_EQ(site.directory, home + "/data.proof");
    EXPECT_EQ(proof_site("/srv/p/", "orders", "pg/1", "/d").directory, "/srv/p/orders.pg_1.proof");
}

TEST_F(ProofSiteTest, IsMarkedBeforeAnythingStandsInItAndGoesWithoutATrace) {
    ASSERT_TRUE(begin_proof(site, 1000));
    EXPECT_TRUE(os::exists(site.data()));
    EXPECT_EQ(*os::read_file(site.note), site.directory + "\n");
    fill(site.data() + "/PG_VERSION");
    // Another proof finds what this one left, and is content.
    ASSERT_TRUE(begin_proof(site, 1000));
    EXPECT_FALSE(os::exists(site.data() + "/PG_VERSION"));
    ASSERT_TRUE(clear_proof(site));
    EXPECT_FALSE(os::exists(site.directory));
    EXPECT_FALSE(os::exists(site.note));
    EXPECT_TRUE(clear_proof(site));
}

TEST_F(ProofSiteTest, WhatHasNotItsMarkIsNeverTouched) {
    ASSERT_TRUE(os::make_directory(site.directory, 0700));
    fill(site.directory + "/precious");
    const auto done = begin_proof(site, 1000);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::conflict);
    EXPECT_TRUE(clear_proof(site));
    EXPECT_TRUE(os::exists(site.directory + "/precious"));
    // Nor what has another member's.
    fill(site.directory + "/relevo-proof");
    EXPECT_FALSE(begin_proof(site, 1000));
    EXPECT_TRUE(clear_proof(site));
    EXPECT_TRUE(os::exists(site.directory + "/precious"));
}

TEST_F(ProofSiteTest, RoomIsLookedAtFirst) {
    const auto done = begin_proof(site, std::uint64_t{1} << 60U);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("not enough room"));
    EXPECT_THAT(done.error().message, HasSubstr("backup.proof.directory"));
    EXPECT_FALSE(os::exists(site.directory));
    EXPECT_FALSE(begin_proof(proof_site("/nowhere/at/all", "o", "p", home), 1));
    EXPECT_FALSE(begin_proof(proof_site(home + "/" + std::string(100, 'x'), "o", "p", home), 1));
}

TEST_F(ProofSiteTest, WhatAnEarlierLifeLeftIsEndedAndRemovedWhereverItWas) {
    EXPECT_EQ(*clear_left_proof(site), "");
    // Through a link: the kernel tells where a process really works.
    ASSERT_TRUE(os::make_directory(home + "/disk", 0700));
    ASSERT_EQ(::symlink((home + "/disk").c_str(), (home + "/proofs").c_str()), 0);
    const auto elsewhere = proof_site(home + "/proofs", "orders", "pg-1", home + "/data");
    ASSERT_TRUE(begin_proof(elsewhere, 1000));
    os::Detached server;
    server.command.arguments = {"sleep", "600"};
    server.command.directory = elsewhere.data();
    const auto pid = os::start_detached(server);
    ASSERT_TRUE(pid);
    EXPECT_EQ(*clear_left_proof(site), elsewhere.directory);
    EXPECT_FALSE(os::exists(elsewhere.directory));
    const auto left = os::process_info(*pid);
    EXPECT_TRUE(!left || left->state == 'Z');
    EXPECT_EQ(*clear_left_proof(site), "");
}

}  // namespace
}  // namespace relevo::agent
