#include "cluster/journal.h"

#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

JournalEntry counted() {
    JournalEntry entry;
    entry.sequence = 7;
    entry.wall = WallTime(std::chrono::microseconds(1'900'000'000'123'456));
    entry.mono = Instant(Duration(42));
    entry.member = "n2";
    entry.term = 4711;
    entry.kind = JournalKind::counted;
    entry.text = "n3 is sealed at 0/5000128";
    entry.about = "n3";
    entry.answer = "sealed";
    entry.lsn = Lsn{0x5000128};
    entry.timeline = 3;
    entry.revision = 4710;
    entry.ms = 12;
    return entry;
}

TEST(Journal, AnEntryIsOneLineThatReadsBackTheSame) {
    EXPECT_EQ(to_json(counted()),
              R"({"seq":7,"time":"2030-03-17T17:46:40.123456+00:00","mono_ns":42,"member":"n2",)"
              R"("term":4711,"kind":"counted","about":"n3","answer":"sealed","lsn":"0/5000128",)"
              R"("timeline":3,"revision":4710,"ms":12,"text":"n3 is sealed at 0/5000128"})");
    EXPECT_EQ(parse_journal_entry(to_json(counted())), counted());
}

TEST(Journal, EveryKindReadsBack) {
    int kinds = 0;
    for (int i = 0; i <= static_cast<int>(JournalKind::agent); ++i, ++kinds) {
        auto entry = counted();
        entry.kind = static_cast<JournalKind>(i);
        EXPECT_EQ(parse_journal_entry(to_json(entry)), entry) << to_string(entry.kind);
    }
    EXPECT_EQ(kinds, 33);
}

TEST(Journal, WhatIsSaidByOthersIsEscapedAndShort) {
    auto entry = counted();
    entry.text =
        "a \"quoted\" \\ line\nwith \x1b[31m and \xFF bytes, \xC2\x9B"
        "31m";
    const auto line = to_json(entry);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_NE(line.find(R"(a \"quoted\" \\ line with  [31m and \ufffd bytes,   31m)"),
              std::string::npos)
        << line;
    entry.text = std::string(399, 'x') + "\xC3\xA4 and more";  // cut before it, not inside
    const auto read = parse_journal_entry(to_json(entry));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->text, std::string(399, 'x'));
}

TEST(Journal, ControlCharactersOfAnotherProgramDoNotReachTheTerminal) {
    auto line = to_json(counted());
    const std::string plain = "n3 is sealed";
    line.replace(line.find(plain), plain.size(), R"(\u001b]0;x\u0007\u009b2J)");
    const auto read = parse_journal_entry(line);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->text, " ]0;x   2J at 0/5000128");
}

TEST(Journal, WhatIsNoEntryIsRefused) {
    for (const char* text : {"", "{}", "[]", "5", R"({"seq":1})", "\0\0\0"})
        EXPECT_FALSE(parse_journal_entry(text)) << text;
    const auto good = to_json(counted());
    for (const auto& [from, to] :
         std::vector<std::pair<std::string, std::string>>{{"counted", "guessed"},
                                                          {"0/5000128\",", "5000128\","},
                                                          {"\"seq\":7", "\"seq\":0"},
                                                          {"2030-03", "2030-33"},
                                                          {"\"term\":4711", "\"term\":\"4711\""}}) {
        auto bad = good;
        bad.replace(bad.find(from), from.size(), to);
        EXPECT_FALSE(parse_journal_entry(bad)) << bad;
    }
    EXPECT_FALSE(parse_journal_entry(good.substr(0, good.size() / 2)));
}

TEST(Journal, AReplyHoldsWhatItsMemberSaysOfItselfAlone) {
    auto other = counted();
    other.member = "n9";
    const auto mine = to_json(counted()), theirs = to_json(other);
    const auto text = journal_json("n2", counted().wall, counted().mono,
                                   {mine, theirs, R"({"kind":"of tomorrow"})"});
    const auto read = parse_journal(text);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->member, "n2");
    EXPECT_EQ(read->wall, counted().wall);
    ASSERT_EQ(read->entries.size(), 1U);
    EXPECT_EQ(read->entries.front(), counted());
    EXPECT_EQ(read->unreadable, 2);
    EXPECT_TRUE(parse_journal(journal_json("n2", counted().wall, counted().mono, {})));
    EXPECT_FALSE(parse_journal("{}"));
    EXPECT_FALSE(parse_journal("<html>"));
}

}  // namespace
}  // namespace relevo::cluster
