#include "config/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(ControlledGucs, HaveDefaults) {
    std::vector<std::string> notes;
    EXPECT_THAT(
        controlled_gucs({}, notes),
        UnorderedElementsAre(
            Pair("max_connections", "100"), Pair("max_wal_senders", "10"),
            Pair("max_prepared_transactions", "0"), Pair("max_locks_per_transaction", "64"),
            Pair("max_worker_processes", "8"), Pair("max_replication_slots", "10"),
            Pair("wal_level", "replica"), Pair("hot_standby", "on"), Pair("wal_log_hints", "on"),
            Pair("track_commit_timestamp", "off"), Pair("wal_keep_size", "128MB")));
    EXPECT_THAT(notes, IsEmpty());
}

TEST(ControlledGucs, TakeValidValues) {
    std::vector<std::string> notes;
    const Gucs gucs = controlled_gucs({{"max_connections", "200"},
                                       {"wal_level", "logical"},
                                       {"wal_log_hints", "no"},
                                       {"track_commit_timestamp", "1"},
                                       {"wal_keep_size", "1GB"},
                                       {"hot_standby", "on"}},
                                      notes);
    EXPECT_EQ(gucs.at("max_connections"), "200");
    EXPECT_EQ(gucs.at("wal_level"), "logical");
    EXPECT_EQ(gucs.at("wal_log_hints"), "off");
    EXPECT_EQ(gucs.at("track_commit_timestamp"), "on");
    EXPECT_EQ(gucs.at("wal_keep_size"), "1GB");
    EXPECT_THAT(notes, IsEmpty());
}

TEST(ControlledGucs, FallBackToTheDefaultWithANote) {
    std::vector<std::string> notes;
    const Gucs gucs = controlled_gucs({{"max_connections", "24"},
                                       {"max_wal_senders", "2"},
                                       {"max_locks_per_transaction", "31"},
                                       {"max_worker_processes", "1"},
                                       {"max_replication_slots", "x"},
                                       {"max_prepared_transactions", "-1"},
                                       {"wal_level", "minimal"},
                                       {"hot_standby", "off"},
                                       {"wal_log_hints", "maybe"},
                                       {"wal_keep_size", "15MB"}},
                                      notes);
    std::vector<std::string> ignored;
    EXPECT_EQ(gucs, controlled_gucs({}, ignored));
    EXPECT_EQ(notes.size(), 10u);
    EXPECT_EQ(notes.front(),
              "postgresql.parameters.max_connections: found \"24\", expected a whole number of at "
              "least 25; 100 is used");
}

TEST(ControlledGucs, TurnSegmentsIntoASizeAndHotStandbyIntoReplica) {
    std::vector<std::string> notes;
    EXPECT_EQ(controlled_gucs({{"wal_keep_segments", "10"}}, notes).at("wal_keep_size"), "160MB");
    EXPECT_EQ(controlled_gucs({{"wal_keep_segments", "10"}, {"wal_keep_size", "64"}}, notes)
                  .at("wal_keep_size"),
              "64");
    EXPECT_EQ(controlled_gucs({{"wal_level", "hot_standby"}}, notes).at("wal_level"), "replica");
    EXPECT_THAT(notes, IsEmpty());
    EXPECT_EQ(controlled_gucs({{"wal_keep_segments", "0"}}, notes).at("wal_keep_size"), "128MB");
    EXPECT_THAT(notes, ElementsAre(HasSubstr("wal_keep_segments")));
}

TEST(Gucs, BecomeTexts) {
    const auto tree = parse_json(R"({"Work_Mem":"64MB","autovacuum":true,"jit":false,)"
                                 R"("random_page_cost":1.1,"n":null,"l":[1],"i":5})");
    ASSERT_TRUE(tree);
    std::vector<std::string> notes;
    EXPECT_THAT(read_gucs(*tree, "p", notes),
                ElementsAre(Pair("autovacuum", "on"), Pair("i", "5"), Pair("jit", "off"),
                            Pair("random_page_cost", "1.1"), Pair("work_mem", "64MB")));
    EXPECT_THAT(notes,
                ElementsAre("p.l: found a list, expected a text or a number; it is left out"));
}

}  // namespace
}  // namespace relevo::config
