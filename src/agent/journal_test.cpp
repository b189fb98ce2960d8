#include "agent/journal.h"

#include <gtest/gtest.h>

#include <random>

#include "os/file.h"
#include "os/test_loop.h"

namespace relevo::agent {
namespace {

using cluster::JournalEntry;
using cluster::JournalKind;

class JournalTest : public testing::Test {
public:
    ~JournalTest() override { (void)os::remove_tree(directory); }

protected:
    static JournalEntry entry(const std::string& text) {
        JournalEntry made;
        made.wall = WallTime(std::chrono::seconds(1'900'000'000));
        made.member = "n1";
        made.term = 7;
        made.kind = JournalKind::note;
        made.text = text;
        return made;
    }
    static std::vector<std::string> texts(const Journal& journal, std::uint64_t since = 0,
                                          std::size_t limit = 100'000) {
        const auto read = cluster::parse_journal(
            journal.answer(WallTime(std::chrono::seconds(1'900'000'001)), Instant(), since, limit));
        EXPECT_TRUE(read);
        std::vector<std::string> all;
        if (read)
            for (const auto& one : read->entries) all.push_back(one.text);
        return all;
    }
    // A journal from its opening to its end, as one run of an agent.
    template <class Body>
    void run(Body body, JournalLimits limits = {}) {
        Journal journal(loop.loop, loop.pool, "n1", limits);
        loop.await(journal.open(path));
        body(journal);
        loop.await(journal.stop());
    }

    os::TestLoop loop;
    std::string directory = *os::make_temporary_directory("relevo-journal-");
    std::string path = directory + "/data.journal";
};

using Texts = std::vector<std::string>;

TEST_F(JournalTest, ItKeepsTheNewest) {
    Journal journal(loop.loop, loop.pool, "n1", {.entries = 3});
    for (int i = 1; i <= 5; ++i) journal.add(entry(std::to_string(i)));
    EXPECT_EQ(texts(journal), (Texts{"3", "4", "5"}));
    EXPECT_EQ(texts(journal, 4), (Texts{"5"}));
    EXPECT_EQ(texts(journal, 0, 2), (Texts{"4", "5"}));
    EXPECT_EQ(texts(journal, 5), Texts{});
    EXPECT_EQ(texts(journal, 99), Texts{});
}

TEST_F(JournalTest, ItsMemoryIsBounded) {
    Journal journal(loop.loop, loop.pool, "n1", {.entries = 100'000, .bytes = 10'000});
    for (int i = 0; i < 1000; ++i) journal.add(entry(std::string(200, 'x')));
    EXPECT_LT(journal.size(), 10'000U / 200);
    EXPECT_GT(journal.size(), 20U);
}

TEST_F(JournalTest, ItOutlivesTheAgent) {
    run([](Journal& journal) { journal.add(entry("before")); });
    run([](Journal& journal) {
        EXPECT_EQ(texts(journal), Texts{"before"});
        journal.add(entry("after"));
        EXPECT_EQ(texts(journal, 1), Texts{"after"}) << "sequences go on";
    });
    run([](Journal& journal) { EXPECT_EQ(texts(journal), (Texts{"before", "after"})); });
    EXPECT_FALSE(os::exists(path + ".damaged"));
}

TEST_F(JournalTest, TheFileIsRotatedAndBothPartsAreRead) {
    const JournalLimits limits{.entries = 100'000, .bytes = 1U << 20U, .file_bytes = 4000};
    const auto fill = [&](int from, int to) {
        // One at a time, as a slow life would: each its own write.
        for (int i = from; i < to; ++i)
            run([&](Journal& journal) { journal.add(entry(std::to_string(i))); }, limits);
    };
    fill(0, 40);
    EXPECT_TRUE(os::exists(path + ".1"));
    fill(40, 200);
    EXPECT_LE(os::read_file(path).value_or("").size(), 4000U);
    EXPECT_LE(os::read_file(path + ".1")->size(), 4200U);
    run(
        [](Journal& journal) {
            const auto all = texts(journal);
            ASSERT_GT(all.size(), 25U);
            EXPECT_EQ(all.back(), "199");
            for (std::size_t i = 1; i < all.size(); ++i)
                EXPECT_EQ(std::stoi(all[i]), std::stoi(all[i - 1]) + 1) << "without a hole";
        },
        limits);
}

TEST_F(JournalTest, AFileThatIsCutShortIsSetAsideAndTheRestKept) {
    run([](Journal& journal) {
        journal.add(entry("one"));
        journal.add(entry("two"));
    });
    const auto whole = *os::read_file(path);
    ASSERT_TRUE(os::write_file(path, whole.substr(0, whole.size() - 20), 0600));
    run([](Journal& journal) {
        EXPECT_EQ(texts(journal), Texts{"one"});
        journal.add(entry("three"));
    });
    EXPECT_EQ(os::read_file(path + ".damaged"), whole.substr(0, whole.size() - 20));
    run([](Journal& journal) { EXPECT_EQ(texts(journal), (Texts{"one", "three"})); });
    // Only the line's end is missing: the next one must not go on in it.
    ASSERT_TRUE(os::write_file(path, whole.substr(0, whole.size() - 1), 0600));
    run([](Journal& journal) { journal.add(entry("three")); });
    run([](Journal& journal) { EXPECT_EQ(texts(journal), (Texts{"one", "two", "three"})); });
}

TEST_F(JournalTest, AFileOfSomethingElseIsSetAside) {
    for (const std::string& text : {std::string("select 1;\nselect 2;\n"), std::string("x"),
                                    std::string(5000, '\0'), std::string(3U << 20U, 'y')}) {
        ASSERT_TRUE(os::write_file(path, text, 0600));
        run([](Journal& journal) {
            EXPECT_EQ(texts(journal), Texts{});
            journal.add(entry("ours"));
        });
        EXPECT_EQ(os::read_file(path + ".damaged"), text);
        run([](Journal& journal) { EXPECT_EQ(texts(journal), Texts{"ours"}); });
    }
}

TEST_F(JournalTest, AnotherMembersFileIsNotOurs) {
    auto other = entry("theirs");
    other.member = "n2";
    other.sequence = 1;
    ASSERT_TRUE(os::write_file(path, to_json(other) + "\n", 0600));
    run([](Journal& journal) { EXPECT_EQ(texts(journal), Texts{}); });
    EXPECT_TRUE(os::exists(path + ".damaged"));
}

TEST_F(JournalTest, WhereNothingCanBeWrittenItIsInMemory) {
    path = directory + "/absent/data.journal";
    run([](Journal& journal) {
        journal.add(entry("one"));
        EXPECT_EQ(texts(journal), Texts{"one"});
    });
    EXPECT_FALSE(os::exists(path));
    path = directory;  // no file at all
    run([](Journal& journal) {
        journal.add(entry("one"));
        EXPECT_EQ(texts(journal), Texts{"one"});
    });
}

// Whatever a disk made of it: nothing that was whole is lost, and nothing else is believed.
TEST_F(JournalTest, DamageNeverTakesMoreThanTheLinesItHit) {
    std::string good;
    for (int i = 1; i <= 20; ++i) {
        auto one = entry(std::to_string(i));
        one.sequence = static_cast<std::uint64_t>(i);
        good += to_json(one) + "\n";
    }
    ASSERT_EQ(parse_journal_file(good, "n1").entries.size(), 20U);
    std::mt19937 random(4711);
    for (int round = 0; round < 5000; ++round) {
        auto text = good;
        const std::size_t at = random() % text.size();
        std::size_t lines_hit = 1;
        switch (random() % 3) {
            case 0:
                text[at] = static_cast<char>(random() & 0xFFU);
                lines_hit = 2;
                break;
            case 1: text.insert(at, std::string(random() % 50, static_cast<char>(random()))); break;
            default:
                lines_hit = 1 + static_cast<std::size_t>(std::count(
                                    text.begin() + static_cast<long>(at), text.end(), '\n'));
                text.resize(at);
        }
        const auto read = parse_journal_file(text, "n1");
        EXPECT_GE(read.entries.size() + lines_hit, 20U) << text;
        for (const auto& one : read.entries) EXPECT_EQ(one.member, "n1");
        if (read.entries.size() < 20 && (text.empty() || text.back() != '\n') && !text.empty())
            EXPECT_FALSE(read.damage.empty()) << text;
    }
}

}  // namespace
}  // namespace relevo::agent
