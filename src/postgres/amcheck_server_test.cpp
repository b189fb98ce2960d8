// A look through the data of a real server (docs/adr/0022): what is damaged in a way that no
// checksum shows.
#include <gmock/gmock.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include "os/file.h"
#include "postgres/connection.h"
#include "postgres/server_test.h"

namespace relevo::postgres {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using cluster::CorruptionNews;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Looking : public WithServers {
protected:
    cluster::AmcheckRun run;
    std::vector<CorruptionNews::Relation> found;
    std::vector<std::string> seen;

    void SetUp() override {
        WithServers::SetUp();
        if (IsSkipped()) return;
        if (installed_bin_dir() < "/usr/lib/postgresql/14") GTEST_SKIP() << "amcheck needs 14";
    }
    ports::Postgres::AmcheckPlan plan() {
        run = {};
        found.clear();
        seen.clear();
        return {.progress =
                    [this](const auto& now) {
                        run = now;
                        seen.push_back(now.now);
                    },
                .found = [this](auto relation) { found.push_back(std::move(relation)); }};
    }
    Status look(Node& one) { return t.await(one.postgres->amcheck(plan())); }
    std::unique_ptr<Node> with_table() {
        auto one = made_node("a");
        if (const auto made = one->sql("CREATE EXTENSION amcheck"); made.starts_with("ERROR"))
            return nullptr;  // the package that has it is not here
        one->sql(
            "CREATE TABLE public.t WITH (autovacuum_enabled = false) AS "
            "SELECT n, repeat('x', 100) AS x FROM generate_series(1, 1000) AS n");
        one->sql("CREATE INDEX t_n ON public.t (n)");
        one->look();
        return one;
    }
    bool saw(const std::string& relation) const { return std::ranges::count(seen, relation) == 1; }
    std::string file_of(Node& one, const std::string& relation) {
        return one.config.data_dir + "/" +
               one.sql("SELECT pg_relation_filepath('" + relation + "')");
    }
    void again(Node& one) {
        const auto started =
            t.await(one.postgres->start({true, std::nullopt, cluster::Role::primary, patience}));
        ASSERT_TRUE(started) << started.error().message;
        one.look();
    }
};

TEST_F(Looking, through_good_data_finds_nothing_and_reads_all_of_it) {
    auto a = with_table();
    if (!a) GTEST_SKIP() << "the extension amcheck is not installed";
    a->sql("CREATE UNLOGGED TABLE public.u AS SELECT 1 AS n");
    a->sql("CREATE DATABASE other");
    // Whoever may make functions in the extension's schema has none of them called.
    for (const char* arguments : {"anyelement", "text, int DEFAULT 1", "oid"})
        a->sql(std::string("CREATE FUNCTION public.bt_index_check(") + arguments +
               ") RETURNS void LANGUAGE plpgsql AS "
               "$$ BEGIN RAISE 'mine' USING ERRCODE = 'XX002'; END $$");
    EXPECT_EQ(a->sql("SELECT count(*) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang "
                     "WHERE p.proname = 'bt_index_check' AND l.lanname = 'plpgsql'"),
              "3");
    const auto done = look(*a);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(found, IsEmpty());
    EXPECT_EQ(run.databases, 1U) << "the other one has no such extension";
    EXPECT_GT(run.relations, 100U);
    EXPECT_EQ(run.damaged, 0U);
    EXPECT_EQ(run.left_out, 0U) << run.left_out_first;
    for (const char* relation : {"public.t", "public.t_n", "pg_catalog.pg_class"})
        EXPECT_TRUE(saw("postgres." + std::string(relation))) << relation;
    EXPECT_FALSE(saw("postgres.public.u"));
}

// Without data checksums: nobody else would ever know.
TEST_F(Looking, finds_a_table_and_an_index_that_are_damaged_and_that_is_kept) {
    auto a = with_table();
    if (!a) GTEST_SKIP() << "the extension amcheck is not installed";
    const auto table = file_of(*a, "public.t"), index = file_of(*a, "public.t_n");
    a->sql("CHECKPOINT");
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    // Where the first tuple of the table's first page stands, and keys of the index's first leaf.
    ASSERT_TRUE(os::write_at(table, 24, std::string("\xff\xff\xc8\x00", 4)));
    ASSERT_TRUE(os::write_at(index, 2 * 8192 - 16 - 160, std::string(160, '\x77')));
    again(*a);
    const auto done = look(*a);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_THAT(found, SizeIs(2));
    EXPECT_EQ(found[0].where, "postgres.public.t");
    EXPECT_GE(found[0].reports, 1U);
    EXPECT_THAT(found[0].words, HasSubstr("block 0"));
    EXPECT_EQ(found[1].where, "postgres.public.t_n");
    EXPECT_EQ(run.damaged, 2U);

    auto kept = t.await(a->postgres->look_for_corruption({.backup = "", .relations = found}));
    ASSERT_TRUE(kept);
    ASSERT_THAT(kept->mark.found, SizeIs(2));
    EXPECT_EQ(kept->mark.found[0].where, "postgres.public.t");
    // What was found of a directory that is gone says nothing of the new one.
    ASSERT_TRUE(t.await(a->postgres->forget_corruption()));
    for (auto& one : found) one.of_data += 1;
    kept = t.await(a->postgres->look_for_corruption({.backup = "", .relations = found}));
    ASSERT_TRUE(kept);
    EXPECT_FALSE(kept->mark.corrupted());
}

TEST_F(Looking, does_not_wait_for_a_relation_that_somebody_has_locked) {
    auto a = with_table();
    if (!a) GTEST_SKIP() << "the extension amcheck is not installed";
    auto holder = t.await(Connection::open(t.pool, local_options(a->config, "test"), patience));
    ASSERT_TRUE(holder) << holder.error().message;
    ASSERT_TRUE(t.await((*holder)->query("SET statement_timeout = 0", patience)));
    ASSERT_TRUE(t.await((*holder)->query("BEGIN", patience)));
    ASSERT_TRUE(t.await((*holder)->query("LOCK public.t", patience)));
    const auto done = look(*a);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(found, IsEmpty());
    EXPECT_EQ(run.left_out, 2U) << "the table, and its index";
    EXPECT_THAT(run.left_out_first, HasSubstr("postgres.public.t: "));
}

TEST_F(Looking, ends_when_it_is_cancelled_and_with_the_server) {
    auto a = with_table();
    if (!a) GTEST_SKIP() << "the extension amcheck is not installed";
    asio::cancellation_signal signal;
    std::optional<bool> done;
    asio::co_spawn(
        t.loop, a->postgres->amcheck(plan()),
        asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr error, Status status) {
            done = error == nullptr && status.has_value();
        }));
    ASSERT_TRUE(t.until([&] { return run.relations > 2; }, patience));
    signal.emit(asio::cancellation_type::all);
    ASSERT_TRUE(t.until([&] { return done.has_value(); }, patience));
    EXPECT_FALSE(*done);
    const char* at_work =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'relevo amcheck'";
    EXPECT_TRUE(t.until([&] { return a->sql(at_work) == "0"; }, patience));

    std::optional<Status> ended;
    asio::co_spawn(t.loop, a->postgres->amcheck(plan()),
                   [&](std::exception_ptr, Status status) { ended = std::move(status); });
    ASSERT_TRUE(t.until([&] { return run.relations > 2; }, patience));
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    ASSERT_TRUE(t.until([&] { return ended.has_value(); }, patience));
    ASSERT_FALSE(*ended);
    EXPECT_EQ(ended->error().code, ErrorCode::unavailable);
    EXPECT_THAT(found, IsEmpty());
}

}  // namespace
}  // namespace relevo::postgres
