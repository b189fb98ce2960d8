#include "postgres/wal_tail.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <string>

#include "os/file.h"

namespace relevo::postgres {
namespace {

using cluster::Lsn;

constexpr std::uint64_t segment = 1U << 20U;
constexpr std::uint64_t page_size = 8192;
constexpr std::uint64_t first = 16 * segment;  // where these tests' WAL begins

template <class Number>
void put(std::string& page, std::size_t offset, Number number) {
    std::memcpy(page.data() + offset, &number, sizeof number);
}

// A page as PostgreSQL heads it, with something in it that tells it from others.
std::string page_at(std::uint64_t address, std::uint32_t timeline = 3, std::uint64_t system = 71) {
    std::string page(page_size, static_cast<char>('a' + address / page_size % 26));
    put<std::uint16_t>(page, 0, 0xD110);
    put<std::uint16_t>(page, 2, address % segment == 0 ? 2 : 0);
    put<std::uint32_t>(page, 4, timeline);
    put<std::uint64_t>(page, 8, address);
    put<std::uint32_t>(page, 16, 0);
    if (address % segment != 0) return page;
    put<std::uint64_t>(page, 24, system);
    put<std::uint32_t>(page, 32, static_cast<std::uint32_t>(segment));
    put<std::uint32_t>(page, 36, static_cast<std::uint32_t>(page_size));
    return page;
}

std::string pages(std::uint64_t from, std::uint64_t to, std::uint32_t timeline = 3) {
    std::string all;
    for (auto at = from; at < to; at += page_size) all += page_at(at, timeline);
    return all;
}

class WalTail : public testing::Test {
protected:
    void SetUp() override {
        auto made = os::make_temporary_directory("relevo-wal-test");
        ASSERT_TRUE(made) << made.error().message;
        root = *made;
        for (const char* who : {"/old", "/new"}) ASSERT_TRUE(os::make_directory(root + who, 0700));
    }
    void TearDown() override { std::filesystem::remove_all(root); }

    // A directory whose WAL goes from `first` to `end`; the last segment was another one before.
    void write(const std::string& dir, std::uint64_t end) {
        for (auto at = first; at < end; at += segment) {
            auto content = pages(at, std::min(at + segment, end));
            for (auto old = at + content.size(); content.size() < segment; old += page_size)
                content += page_at(old - 8 * segment);
            ASSERT_TRUE(os::write_file(path(dir, at), content, 0640));
        }
    }
    std::string path(const std::string& dir, std::uint64_t at, std::uint32_t timeline = 3) const {
        char name[32];
        std::snprintf(name, sizeof name, "%08X%08X%08X", timeline,
                      static_cast<unsigned>(at / segment / 4096),
                      static_cast<unsigned>(at / segment % 4096));
        return root + dir + "/" + name;
    }
    std::string content(const std::string& dir, std::uint64_t at) {
        return os::read_file(path(dir, at)).value_or("");
    }
    std::string root;
};

TEST_F(WalTail, EndsWhereAFileThatIsUsedAgainHasItsOldPages) {
    for (const auto end : {first + page_size, first + 5 * page_size, first + segment,
                           first + segment + page_size, first + 2 * segment - page_size}) {
        SetUp();
        write("/old", end);
        // One that waits to be used, by its name the newest.
        ASSERT_TRUE(
            os::write_file(path("/old", first + 9 * segment), pages(first, first + segment), 0600));
        const auto found = find_wal_end(root + "/old", 3);
        ASSERT_TRUE(found) << found.error().message;
        EXPECT_EQ(found->end.value, end);
        EXPECT_EQ(found->timeline, 3U);
        EXPECT_FALSE(find_wal_end(root + "/old", 2));
        TearDown();
    }
}

TEST_F(WalTail, TravelsAsItIs) {
    const auto end = first + 3 * segment + 7 * page_size;
    write("/old", end);
    const std::uint64_t known = first + 5 * page_size + 1234;  // in the middle of a page
    write("/new", first + 6 * page_size);
    Lsn at{known}, has{known};
    for (;;) {
        const auto read = read_wal_tail(root + "/old", 3, at);
        ASSERT_TRUE(read) << read.error().message;
        if (read->empty()) break;
        EXPECT_LE(read->size(), cluster::tail_piece_bytes);
        const auto written = write_wal_tail(root + "/new", 3, at, has, *read);
        ASSERT_TRUE(written) << written.error().message;
        at = has = *written;
        if (read->size() < cluster::tail_piece_bytes) break;
    }
    EXPECT_EQ(has.value, end);
    EXPECT_EQ(find_wal_end(root + "/new", 3)->end.value, end);
    for (auto s = first; s < first + 3 * segment; s += segment)
        EXPECT_EQ(content("/new", s), content("/old", s));
    const auto last = content("/new", first + 3 * segment);
    EXPECT_EQ(last.size(), segment);
    EXPECT_EQ(last.substr(0, 7 * page_size), pages(first + 3 * segment, end));
    EXPECT_EQ(last.substr(7 * page_size).find_first_not_of('\0'), std::string::npos);
}

TEST_F(WalTail, OfAnotherHistoryIsRefusedAndChangesNothing) {
    write("/new", first + 2 * page_size);
    const auto before = content("/new", first);
    const Lsn known{first + page_size + 100}, at = known;
    const auto good = pages(first + page_size, first + 4 * page_size);
    const auto refused = [&](std::string bytes, const char* why, Lsn from) {
        const auto written = write_wal_tail(root + "/new", 3, from, known, bytes);
        EXPECT_FALSE(written) << why;
        if (!written) EXPECT_EQ(written.error().code, ErrorCode::conflict) << why;
        EXPECT_EQ(content("/new", first), before) << why;
    };
    refused("", "nothing", at);
    refused(good.substr(0, good.size() - 1), "cut short in a page", at);
    refused(good.substr(page_size), "a hole", at);
    refused(good, "a hole after what is known", Lsn{known.value + page_size});
    refused(pages(first + page_size, first + 4 * page_size, 4), "a newer timeline", at);
    auto other = good;
    other[60] ^= 1;
    refused(other, "it differs in what is here", at);
    other = good;
    other[2 * page_size + 1] ^= 1;
    refused(other, "another version's magic", at);
    other = good;
    other[2 * page_size + 9] ^= 1;
    refused(other, "a page from elsewhere", at);
    const auto stranger =
        pages(first + page_size, first + segment) + page_at(first + segment, 3, 72);
    refused(stranger, "another cluster's segment", at);
    EXPECT_TRUE(write_wal_tail(root + "/new", 3, at, known, good));
}

TEST_F(WalTail, ThatIsGoneIsSaidToBe) {
    write("/old", first + page_size);
    EXPECT_EQ(read_wal_tail(root + "/old", 3, Lsn{first - 10}).error().code, ErrorCode::not_found);
    EXPECT_EQ(read_wal_tail(root + "/old", 4, Lsn{first}).error().code, ErrorCode::not_found);
    EXPECT_EQ(read_wal_tail(root + "/none", 3, Lsn{first}).error().code, ErrorCode::not_found);
    EXPECT_EQ(read_wal_tail(root + "/old", 3, Lsn{first + page_size}), std::string());
}

// As fuzz/wal_tail_fuzz.cpp: whatever comes, only whole pages that belong there are taken.
TEST_F(WalTail, NoBytesAreTakenForPagesThatAreNone) {
    std::mt19937 random(20260101);
    const auto good = pages(first, first + 6 * page_size);
    const auto shape = parse_wal_shape(good);
    ASSERT_TRUE(shape);
    for (int round = 0; round < 2000; ++round) {
        auto bytes = good;
        for (auto changes = random() % 4; changes > 0; --changes)
            bytes[random() % 3 == 0 ? random() % bytes.size()
                                    : random() % 6 * page_size + random() % 40] ^=
                static_cast<char>(1U << random() % 8);
        bytes.resize(bytes.size() - random() % 2 * (random() % bytes.size()));
        (void)parse_wal_shape(bytes);
        const auto taken = whole_pages(bytes, Lsn{first}, 3, *shape);
        ASSERT_LE(taken, bytes.size());
        ASSERT_EQ(taken % page_size, 0U);
        for (std::size_t at = 0; at < taken; at += page_size)
            ASSERT_EQ(bytes.substr(at + 8, 8), good.substr(at + 8, 8));
    }
}

}  // namespace
}  // namespace relevo::postgres
