// explain: from the members' journals to the timeline that a person reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/journal.h"
#include "config/node.h"
#include "ctl/changes.h"
#include "ctl/fake_context.h"

namespace relevo::ctl {
namespace {

using cluster::JournalEntry;
using Kind = cluster::JournalKind;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

// One cluster's journals: entries at ms after a point in time that all clocks agree about.
class Story {
public:
    JournalEntry& at(int ms, const std::string& member, Kind kind, cluster::Revision term,
                     const std::string& text = "", const std::string& about = "") {
        JournalEntry entry;
        entry.sequence = entries.size() + 1;
        entry.wall = WallTime(std::chrono::seconds(1'899'999'000)) + milliseconds(ms);
        entry.member = member;
        entry.kind = kind;
        entry.term = term;
        entry.text = text.empty() ? to_string(kind) : text;
        entry.about = about;
        entries.push_back(entry);
        return entries.back();
    }
    // n1 loses power, n2 takes over: what db-b and db-c have to tell.
    void takeover(int from, cluster::Revision term, cluster::Revision next) {
        at(from + 500, "db-b", Kind::suspects, term, "suspects db-a", "db-a").ms = 500;
        at(from + 505, "db-c", Kind::suspects, term, "suspects db-a", "db-a").ms = 480;
        at(from + 510, "db-b", Kind::asked, term, "db-c suspects db-a too", "db-c").answer =
            "suspects";
        at(from + 515, "db-b", Kind::deposed, term, "took the leader key away from db-a", "db-a");
        at(from + 517, "db-c", Kind::gone, term, "sees that db-a leads no more", "db-a");
        at(from + 518, "db-b", Kind::sealing, term);
        at(from + 538, "db-b", Kind::sealed, term, "is sealed at 0/5000128");
        at(from + 548, "db-b", Kind::counted, term, "db-c is sealed at 0/5000128", "db-c");
        at(from + 558, "db-b", Kind::took, next, "took the leader key");
        at(from + 560, "db-c", Kind::leader, next, "sees that db-b leads", "db-b");
        at(from + 560, "db-b", Kind::promotes, next);
        at(from + 600, "db-b", Kind::promoted, next, "promoted: timeline 3").timeline = 3;
        at(from + 650, "db-c", Kind::follows, next, "follows db-b", "db-b");
    }
    std::string journal(const std::string& member, milliseconds ahead = {}) const {
        std::vector<std::string> lines;
        for (auto entry : entries) {
            if (entry.member != member) continue;
            entry.wall += ahead;
            lines.push_back(to_json(entry));
        }
        const auto now = WallTime(std::chrono::seconds(1'900'000'000)) + ahead;
        return cluster::journal_json(member, now, Instant(), {lines.begin(), lines.end()});
    }

    std::vector<JournalEntry> entries;
};

class Explain : public testing::Test, public World, public Story {
protected:
    Explain() { three_members(); }
    void answer_all(milliseconds ahead_of_c = {}) {
        http.break_off("GET db-a /journal", ErrorCode::unavailable);
        http.answer("GET db-b /journal", 200, journal("db-b"));
        http.answer("GET db-c /journal", 200, journal("db-c", ahead_of_c));
    }
    config::Node json(const std::vector<std::string>& words = {}) {
        terminal.output.clear();
        std::vector<std::string> all = {"explain", "-f", "json"};
        all.insert(all.end(), words.begin(), words.end());
        EXPECT_EQ(run(all), 0) << terminal.errors;
        const auto node = config::parse_json(terminal.output);
        EXPECT_TRUE(node) << terminal.output;
        return node.value_or(config::Node());
    }
};

TEST_F(Explain, aTakeoverIsATimelineOfWhatAllMembersSaw) {
    at(0, "db-b", Kind::leader, 90, "sees that db-a leads", "db-a");
    takeover(900'000, 90, 130);
    answer_all();
    EXPECT_EQ(run({"explain"}), 0) << terminal.errors;
    EXPECT_EQ(terminal.output,
              R"(Change of leader 1 of 1 in cluster orders: db-a -> db-b, 2030-03-17 19:45:00.00

      +0 ms  db-b  hears db-a for the last time
     +25 ms  db-c  hears db-a for the last time
    +500 ms  db-b  suspects db-a
    +505 ms  db-c  suspects db-a
    +510 ms  db-b  db-c suspects db-a too
    +515 ms  db-b  took the leader key away from db-a
    +517 ms  db-c  sees that db-a leads no more
    +518 ms  db-b  sealing
    +538 ms  db-b  is sealed at 0/5000128
    +548 ms  db-b  db-c is sealed at 0/5000128
    +558 ms  db-b  took the leader key
    +560 ms  db-b  promotes
    +560 ms  db-c  sees that db-b leads
    +600 ms  db-b  promoted: timeline 3
    +650 ms  db-c  follows db-b

Cause:     db-a was silent; its voters agreed, and db-b took its leader key away
Before:    db-a, term 90
After:     db-b, term 130, timeline 3
Time:      600 ms: detect 515, seal 23, take 20, promote 42
Not asked: db-a (the connection broke)
)");
    EXPECT_THAT(http.sent, testing::Contains("GET db-b /journal"));
}

TEST_F(Explain, itsJsonHasTheSame) {
    at(0, "db-b", Kind::leader, 90, "", "db-a");
    takeover(900'000, 90, 130);
    answer_all();
    const auto out = json();
    EXPECT_EQ(out.at("before.member")->text, "db-a");
    EXPECT_EQ(out.at("after.member")->text, "db-b");
    EXPECT_EQ(out.at("after.term")->text, "130");
    EXPECT_EQ(out.at("after.timeline")->text, "3");
    EXPECT_EQ(out.at("shares_ms.detect")->text, "515");
    EXPECT_EQ(out.at("shares_ms.total")->text, "600");
    EXPECT_EQ(out.at("first_sign")->text, "2030-03-17T17:45:00+00:00");
    EXPECT_EQ(out.at("count")->text, "1");
    ASSERT_EQ(out.at("events")->items.size(), 13U);
    const auto& first = out.at("events")->items.front();
    EXPECT_EQ(first.at("offset_ms")->text, "500");
    EXPECT_EQ(first.at("kind")->text, "suspects");
    EXPECT_EQ(first.at("ms")->text, "500");
    ASSERT_EQ(out.at("not_asked")->items.size(), 1U);
    EXPECT_EQ(out.at("not_asked")->items.front().at("member")->text, "db-a");
}

TEST_F(Explain, changesAreNumberedFromTheOldest) {
    at(0, "db-b", Kind::leader, 90, "", "db-a");
    takeover(100'000, 90, 130);
    at(400'000, "db-b", Kind::released, 130);
    at(400'010, "db-c", Kind::took, 170);
    at(400'050, "db-c", Kind::promoted, 170).timeline = 4;
    answer_all();
    EXPECT_EQ(json().at("number")->text, "2");
    EXPECT_EQ(json({"last"}).at("after.member")->text, "db-c");
    EXPECT_EQ(json({"2"}).at("cause")->text, "db-b gave the leader key back");
    EXPECT_EQ(json({"1"}).at("after.member")->text, "db-b");
    EXPECT_EQ(json({"1", "orders"}).at("after.member")->text, "db-b");
    EXPECT_EQ(json({"orders"}).at("after.member")->text, "db-c");
    terminal.errors.clear();
    EXPECT_EQ(run({"explain", "3"}), 1);
    EXPECT_THAT(terminal.errors, HasSubstr("2 changes of leader are known"));
    EXPECT_EQ(run({"explain", "0"}), 1);
    EXPECT_EQ(run({"explain", "last", "1"}), 1);
    EXPECT_EQ(run({"explain", "-f", "tsv"}), 2);
}

TEST_F(Explain, withoutAChangeItSaysSo) {
    at(0, "db-b", Kind::took, 90);  // a new cluster's first leader
    at(10, "db-b", Kind::serves, 90).timeline = 1;
    answer_all();
    EXPECT_EQ(run({"explain"}), 0);
    EXPECT_THAT(terminal.output, testing::StartsWith("No change of leader is known"));
    EXPECT_THAT(terminal.output, HasSubstr("Not asked: db-a"));
    EXPECT_EQ(json().at("count")->text, "0");
}

TEST_F(Explain, aClockThatIsFarOffIsCorrectedAndNamed) {
    at(0, "db-b", Kind::leader, 90, "", "db-a");
    takeover(900'000, 90, 130);
    http.answer("GET db-a /journal", 200, journal("db-a"));
    http.answer("GET db-b /journal", 200, journal("db-b"));
    http.answer("GET db-c /journal", 200, journal("db-c", milliseconds(7000)));
    EXPECT_EQ(run({"explain"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("+517 ms  db-c  sees that db-a leads no more"));
    EXPECT_THAT(terminal.output, HasSubstr("Clocks:    db-c's is 7000 ms ahead of the others'"));
    http.answers.erase("GET db-c /journal");
    http.answer("GET db-c /journal", 200, journal("db-c", milliseconds(20)));
    terminal.output.clear();
    EXPECT_EQ(run({"explain"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("+537 ms  db-c  sees that db-a leads no more"));
    EXPECT_THAT(terminal.output, Not(HasSubstr("Clocks")));
}

TEST_F(Explain, whoKeepsNoJournalIsNamed) {
    at(0, "db-b", Kind::leader, 80, "", "db-y");  // long gone, and not in this change
    at(10, "db-b", Kind::leader, 90, "", "db-x");
    at(500'000, "db-b", Kind::gone, 90, "", "db-x");
    at(500'100, "db-b", Kind::took, 130);
    http.answer("GET db-a /journal", 404, "");
    http.answer("GET db-b /journal", 200, journal("db-b"));
    http.answer("GET db-c /journal", 200, "<html>");
    EXPECT_EQ(run({"explain"}), 0);
    EXPECT_THAT(terminal.output, HasSubstr("Not asked: db-a (it keeps no journal: answered 404)"));
    EXPECT_THAT(terminal.output, HasSubstr("Not asked: db-c (it keeps no journal: is it an"));
    EXPECT_THAT(terminal.output, HasSubstr("Not asked: db-x (it has no key in the DCS)"));
    EXPECT_THAT(terminal.output, Not(HasSubstr("Not asked: db-y")));
}

TEST(Changes, aSilenceThatWasBrokenIsNotTheFirstSign) {
    Story story;
    story.at(0, "db-b", Kind::leader, 90, "", "db-a");
    story.at(80'000, "db-b", Kind::suspects, 90, "", "db-a").ms = 500;
    story.at(80'100, "db-b", Kind::hears_again, 90, "", "db-a");
    story.takeover(100'000, 90, 130);
    const auto changes = changes_of_leader(story.entries);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].shares.detect, 515);
    EXPECT_EQ(changes[0].entries.size(), 13U);
}

TEST(Changes, anOldTroubleIsAnotherStory) {
    Story story;
    story.at(0, "db-b", Kind::leader, 90, "", "db-a");
    story.at(10'000, "db-a", Kind::crashed, 90);
    story.takeover(100'000, 90, 130);
    story.at(200'000, "db-a", Kind::leader, 130, "", "db-b");  // it is back, and sees
    const auto changes = changes_of_leader(story.entries);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].entries.size(), 13U);
    EXPECT_THAT(changes[0].cause, HasSubstr("was silent"));
}

// Members that came to follow the old leader shortly before: they were asked, stopped and started.
TEST(Changes, whatGoesWithAChangeIsNotTheFirstSignOfTheNext) {
    Story story;
    story.at(0, "db-b", Kind::leader, 90, "", "db-a");
    story.at(94'000, "db-b", Kind::counted, 90, "db-a is a standby", "db-a");
    story.at(95'000, "db-c", Kind::kills, 90);
    story.at(96'000, "db-a", Kind::counted, 90, "db-c has no vote", "db-c");
    story.takeover(100'000, 90, 130);
    const auto changes = changes_of_leader(story.entries);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].shares.detect, 515);
    EXPECT_EQ(changes[0].entries.size(), 13U);
}

TEST(Changes, theCausesAreToldApart) {
    const auto cause = [](const std::function<void(Story&)>& end) {
        Story story;
        story.at(0, "db-b", Kind::leader, 90, "", "db-a");
        end(story);
        story.at(100'200, "db-b", Kind::gone, 90, "sees that db-a leads no more", "db-a");
        story.at(100'300, "db-b", Kind::took, 130);
        const auto changes = changes_of_leader(story.entries);
        return changes.size() == 1 ? changes[0].cause : std::string("?");
    };
    EXPECT_EQ(cause([](Story&) {}), "the lease of db-a ran out");
    EXPECT_EQ(cause([](Story& s) { s.at(100'000, "db-a", Kind::released, 90); }),
              "db-a gave the leader key back");
    EXPECT_THAT(cause([](Story& s) {
                    s.at(99'000, "db-a", Kind::crashed, 90);
                    s.at(100'000, "db-a", Kind::released, 90);
                }),
                HasSubstr("PostgreSQL of db-a ended unexpectedly, and its agent gave"));
    EXPECT_THAT(cause([](Story& s) {
                    s.at(99'000, "db-a", Kind::agent, 90).answer = "stop";
                    s.at(100'000, "db-a", Kind::released, 90);
                }),
                HasSubstr("the agent of db-a was stopped"));
    EXPECT_EQ(cause([](Story& s) {
                  s.at(99'000, "db-a", Kind::ordered, 90, "an operator asks for a switchover");
                  s.at(100'000, "db-a", Kind::released, 90);
              }),
              "an operator asks for a switchover");
}

TEST(Changes, whoWasThereBeforeAnythingWasRecordedIsNoChange) {
    EXPECT_TRUE(changes_of_leader({}).empty());
    Story story;
    story.at(0, "db-b", Kind::leader, 90, "", "db-a");
    EXPECT_TRUE(changes_of_leader(story.entries).empty());
    // The ring has forgotten how that one began, not how it ended.
    story.takeover(100'000, 90, 130);
    story.entries.erase(story.entries.begin());
    const auto changes = changes_of_leader(story.entries);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].before, "db-a");
    EXPECT_EQ(changes[0].term_before, 90);
}

}  // namespace
}  // namespace relevo::ctl
