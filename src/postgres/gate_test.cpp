#include "postgres/gate.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <vector>

#include "os/file.h"
#include "postgres/fuzz/gate_target.h"

namespace relevo::postgres {
namespace {

constexpr const char* usual =
    "# rules\n"
    "local   all   all   peer  # the house's\n"
    "host all all 127.0.0.1/32 scram-sha-256\n"
    "host replication rep 10.0.0.0/8 scram-sha-256\n"
    "host app \"app\",web all scram-sha-256\n";

std::string gate_of(const std::string& rules, const GateKeys& keys) {
    auto text = gate_text(rules, keys);
    EXPECT_TRUE(text) << text.error().message;
    return text.value_or("");
}

// What stands before the mark, without comments.
std::string head(const std::string& gate) {
    std::string out;
    for (std::size_t at = 0; at < gate.size();) {
        const auto end = gate.find('\n', at);
        const auto line = gate.substr(at, end - at);
        if (line.starts_with("# ----")) break;
        if (!line.starts_with('#')) out += line + "\n";
        at = end + 1;
    }
    return out;
}

TEST(Gate, LetsTheAgentInByTheServersOwnRulesAndNobodyElse) {
    EXPECT_EQ(head(gate_of(usual, {"postgres", true, {"rewinder"}})),
              "local   all   \"postgres\"   peer\n"
              "host all \"postgres\" 127.0.0.1/32 scram-sha-256\n"
              "local   all   \"rewinder\"   peer\n"
              "host all \"rewinder\" 127.0.0.1/32 scram-sha-256\n"
              "local all all reject\n"
              "host all all all reject\n");
}

TEST(Gate, HoldsTheServersOwnFileAsItWas) {
    const auto gate = gate_of(usual, {"postgres", true, {}});
    EXPECT_TRUE(is_gate(gate));
    EXPECT_FALSE(is_gate(usual));
    EXPECT_EQ(behind_gate(gate), usual);
    EXPECT_EQ(behind_gate(usual), usual);
    EXPECT_EQ(behind_gate(gate_before(gate, "local all all trust\n")), "local all all trust\n");
    EXPECT_EQ(gate_before(usual, "x"), "x");
}

TEST(Gate, ARuleOfAGroupBeforeTheAgentsIsNotGuessedAt) {
    for (const char* rule : {"local all +dba peer\n", "local all @admins peer\n",
                             "include_if_exists more\n", "local all /^p peer\n"}) {
        EXPECT_FALSE(gate_text(rule + std::string(usual), {"postgres", true, {}})) << rule;
        // After it no harm is done, and it does not let anybody in.
        const auto gate =
            gate_of("local all postgres peer\n" + std::string(rule), {"postgres", true, {}});
        EXPECT_EQ(head(gate),
                  "local all \"postgres\" peer\nlocal all all reject\nhost all all all reject\n");
    }
}

TEST(Gate, WhoIsNotLetInAnywayIsAnError) {
    EXPECT_FALSE(gate_text("", {"postgres", true, {}}));
    EXPECT_FALSE(gate_text("local all bob peer\n", {"postgres", true, {}}));
    EXPECT_FALSE(gate_text("local all all reject\nlocal all all peer\n", {"postgres", true, {}}));
    EXPECT_FALSE(gate_text("local all all peer\n", {"postgres", false, {}}));
    EXPECT_FALSE(gate_text("local replication postgres peer\n", {"postgres", true, {}}));
    EXPECT_FALSE(gate_text("local all \"all\" peer\n", {"postgres", true, {}}));
}

TEST(Gate, ReadsWhatPostgresqlReads) {
    EXPECT_EQ(head(gate_of("local all bob, \"we,ird\", \\\n  postgres peer map=\"a b\"\n",
                           {"postgres", true, {"we,ird", "with\"quote"}})),
              "local all \"postgres\" peer map=\"a b\"\nlocal all \"we,ird\" peer map=\"a b\"\n"
              "local all all reject\nhost all all all reject\n");
}

struct Files : testing::Test {
    std::string directory = os::make_temporary_directory("relevo-gate-").value();
    std::string path = directory + "/pg_hba.conf";
    GateKeys keys{"postgres", true, {}};
    void SetUp() override { ASSERT_TRUE(os::write_file(path, usual, 0640)); }
    void TearDown() override { (void)os::remove_tree(directory); }
    ino_t inode() const {
        struct stat info{};
        return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
    }
    std::string text() const { return os::read_file(path).value_or("?"); }
    std::size_t names() const { return os::list_directory(directory).value().size(); }
};

TEST_F(Files, TheSameFileComesBack) {
    const auto before = inode();
    ASSERT_TRUE(close_gate(path, keys));
    EXPECT_TRUE(is_gate(text()));
    EXPECT_NE(inode(), before);
    ASSERT_TRUE(close_gate(path, keys));  // by an agent that knows of none
    EXPECT_EQ(behind_gate(text()), usual);
    ASSERT_TRUE(open_gate(path));
    EXPECT_EQ(text(), usual);
    EXPECT_EQ(inode(), before);
    EXPECT_EQ(names(), 1U);
    ASSERT_TRUE(open_gate(path));
    EXPECT_EQ(text(), usual);
}

TEST_F(Files, IsWholeWithoutWhatWasKeptBesideIt) {
    ASSERT_TRUE(close_gate(path, keys));
    ASSERT_TRUE(os::remove_file(path + ".relevo"));
    ASSERT_TRUE(open_gate(path));
    EXPECT_EQ(text(), usual);
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0640U);
}

TEST_F(Files, WhatSomebodyChangesMeanwhileIsKept) {
    ASSERT_TRUE(close_gate(path, keys));
    ASSERT_TRUE(os::write_file(path, text() + "local all new peer\n", 0640));
    ASSERT_TRUE(open_gate(path));
    EXPECT_EQ(text(), std::string(usual) + "local all new peer\n");
    ASSERT_TRUE(close_gate(path, keys));
    ASSERT_TRUE(os::write_file(path, "local all all trust\n", 0640));
    ASSERT_TRUE(open_gate(path));
    EXPECT_EQ(text(), "local all all trust\n");
    EXPECT_EQ(names(), 1U);
}

TEST_F(Files, ThroughASymbolicLink) {
    const auto link = directory + "/link";
    ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
    ASSERT_TRUE(close_gate(link, keys));
    EXPECT_TRUE(is_gate(text()));
    ASSERT_TRUE(open_gate(link));
    EXPECT_EQ(text(), usual);
    EXPECT_TRUE(os::link_target(link));
}

TEST_F(Files, TheNoteIsForTheNextAgent) {
    const auto data = directory + "/data/";
    EXPECT_EQ(noted_gate(data), "");
    ASSERT_TRUE(note_gate(data, path));
    EXPECT_EQ(noted_gate(directory + "/data"), path);
    forget_gate(data);
    EXPECT_EQ(noted_gate(data), "");
}

TEST(Gate, ARuleThatHoldsTheMarksWordsIsNoMark) {
    const std::string rules =
        "local all postgres peer \"# ---- pg_hba.conf as it was, by relevo ----\n"
        "host all all all md5\n";
    EXPECT_EQ(behind_gate(gate_of(rules, {"postgres", true, {}})), rules);
}

TEST(Gate, MutatedRulesNeverBreakIt) {
    const std::vector<std::string> seeds = {
        usual,
        "local all postgres peer\nhost all postgres,\"rewind er\" all md5\n",
        "local all postgres peer \"# ---- pg_hba.conf as it was, by relevo ----\n",
        "local all \\\n postgres \\\r\n peer # ,\n",
        "\"local\" \"a\"\"b\",all postgres,@x,+y,/z trust\n,,,\n",
        gate_of("local all postgres peer\n", {"postgres", true, {}}),
    };
    std::mt19937 random(20261125);
    const auto below = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
    for (int round = 0; round < 20'000; ++round) {
        auto text = seeds[below(seeds.size())];
        for (auto changes = below(6); changes > 0; --changes) {
            const auto& other = seeds[below(seeds.size())];
            const auto at = below(text.size() + 1), length = below(17);
            switch (random() % 3) {
                case 0: text.insert(at, other.substr(below(other.size()), length)); break;
                case 1: text.erase(at, length); break;
                default: text.insert(at, 1, " \t\r\n\f,#\"\\@+/"[below(12)]);
            }
        }
        SCOPED_TRACE(text);
        fuzz::try_gate(text);
    }
}

}  // namespace
}  // namespace relevo::postgres
