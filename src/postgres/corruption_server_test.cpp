// A page that rots under a real server (docs/adr/0022).
#include <gmock/gmock.h>

#include "os/file.h"
#include "postgres/corruption.h"
#include "postgres/server_test.h"

namespace relevo::postgres {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class Rotting : public WithServers {
protected:
    std::unique_ptr<Node> with_checksums() {
        auto one = node("a");
        one->config.bootstrap.initdb.emplace_back("data-checksums", "");
        const auto config = one->config;
        one.reset();  // its end would kill the other's server
        auto made = std::make_unique<Node>(t, config);
        made->make();
        made->sql("CREATE TABLE public.t AS SELECT generate_series(1, 1000) AS n");
        return made;
    }
    cluster::Corruption look(Node& one) {
        auto seen = t.await(one.postgres->look_for_corruption({}));
        EXPECT_TRUE(seen) << seen.error().message;
        return seen ? seen->mark : cluster::Corruption{};
    }
    // The server reads the page anew only when it does not have it in memory.
    void rot(Node& one) {
        const auto path =
            one.config.data_dir + "/" + one.sql("SELECT pg_relation_filepath('public.t')");
        one.sql("CHECKPOINT");
        auto stopped = t.await(one.postgres->stop({}));
        ASSERT_TRUE(stopped) << stopped.error().message;
        const auto written = os::write_at(path, 4000, "rotten");
        ASSERT_TRUE(written) << written.error().message;
        one.start_primary();
        one.look();
    }
};

TEST_F(Rotting, a_page_that_was_read_is_a_mark_beside_the_directory_until_it_is_forgotten) {
    auto a = with_checksums();
    a->look();
    EXPECT_THAT(look(*a).found, IsEmpty());
    EXPECT_FALSE(os::exists(corruption_marker(a->config.data_dir)));
    rot(*a);
    EXPECT_THAT(look(*a).found, IsEmpty()) << "nobody has read it yet";
    EXPECT_THAT(a->sql("SELECT count(*) FROM public.t"), StartsWith("ERROR"));
    ASSERT_TRUE(t.until([&] { return look(*a).corrupted(); }, patience));
    const auto found = look(*a).found;
    ASSERT_THAT(found, SizeIs(1));
    EXPECT_EQ(found[0].where, a->config.database.empty() ? "postgres" : a->config.database);

    // The server's memory of it ends with a crash, and the next agent knows all the same.
    ASSERT_TRUE(t.await(a->postgres->kill()));
    a->start_primary();
    Node again(t, a->config);
    again.look();
    EXPECT_EQ(look(again).found, found);

    ASSERT_TRUE(t.await(again.postgres->forget_corruption()));
    EXPECT_THAT(look(again).found, IsEmpty());
    again.sql("SELECT count(*) FROM public.t");
    EXPECT_TRUE(t.until([&] { return look(again).corrupted(); }, patience)) << "once more";
}

TEST_F(Rotting, a_mark_that_cannot_be_read_counts) {
    auto a = node("a");
    ASSERT_TRUE(os::write_file(corruption_marker(a->config.data_dir), "rubbish", 0600));
    EXPECT_TRUE(look(*a).corrupted());
    ASSERT_TRUE(t.await(a->postgres->forget_corruption()));
    EXPECT_FALSE(look(*a).corrupted());
}

TEST_F(Rotting, a_log_that_a_copy_brings_is_its_sources) {
    auto a = made_node("a");
    EXPECT_THAT(
        a->sql("DO $$ BEGIN RAISE 'invalid page in block 7' USING ERRCODE = 'XX001'; END $$"),
        StartsWith("ERROR"));
    const auto log = a->config.data_dir + "/log/server.log";
    ASSERT_TRUE(
        t.until([&] { return os::read_file(log).value_or("").contains("invalid page in block 7"); },
                patience));
    auto b = node("b");
    ports::Postgres::ClonePlan plan;
    plan.source = a->as_upstream();
    const auto copied = t.await(b->postgres->clone(plan));
    ASSERT_TRUE(copied) << copied.error().message;
    ASSERT_TRUE(os::exists(b->config.data_dir + "/current_logfiles"));
    EXPECT_EQ(look(*b), cluster::Corruption{});
}

TEST_F(Rotting, it_goes_with_the_directory) {
    auto a = made_node("a");
    auto b = node("b");
    ASSERT_TRUE(os::write_file(corruption_marker(b->config.data_dir), "rubbish", 0600));
    ports::Postgres::ClonePlan plan;
    plan.source = a->as_upstream();
    const auto copied = t.await(b->postgres->clone(plan));
    ASSERT_TRUE(copied) << copied.error().message;
    EXPECT_FALSE(os::exists(corruption_marker(b->config.data_dir)));
}

}  // namespace
}  // namespace relevo::postgres
