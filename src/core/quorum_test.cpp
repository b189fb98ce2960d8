// The arithmetic against its meaning: sets are few, so all of them are tried.
#include "core/quorum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace relevo::core::quorum {
namespace {

const std::string leader = "L";

MemberSet set_of(std::uint32_t mask, bool with_leader = false) {
    MemberSet out;
    for (int i = 0; i < 5; ++i)
        if (mask & (1U << i)) out.insert(std::string(1, static_cast<char>('a' + i)));
    if (with_leader) out.insert(leader);
    return out;
}

std::uint32_t mask_of(const MemberSet& set) {
    std::uint32_t mask = 0;
    for (const auto& name : set)
        if (name != leader) mask |= 1U << static_cast<unsigned>(name[0] - 'a');
    return mask;
}

// By its meaning: every electorate without the leader shares a member with every set of standbys
// that lets a commit through.
bool really_intersect(const Votes& votes, const Names& names) {
    const auto voters = mask_of(votes.voters);
    const auto standbys = mask_of(names.standbys);
    for (std::uint32_t elect = 0; elect < 32; ++elect) {
        if ((elect & ~voters) || std::popcount(elect) != votes.quorum + 1) continue;
        for (std::uint32_t pass = 0; pass < 32; ++pass) {
            if ((pass & ~standbys) || std::popcount(pass) != names.count) continue;
            if ((elect & pass) == 0) return false;
        }
    }
    return true;
}

TEST(Quorum, TheFormulaIsItsMeaning) {
    int tried = 0;
    for (std::uint32_t voters = 0; voters < 32; ++voters)
        for (int quorum = 0; quorum <= 5; ++quorum)
            for (std::uint32_t standbys = 0; standbys < 32; ++standbys)
                for (int count = 0; count <= std::popcount(standbys); ++count)
                    for (const bool named : {false, true}) {
                        const Votes votes{set_of(voters, named), quorum};
                        const Names names{set_of(standbys), count};
                        ++tried;
                        EXPECT_EQ(intersect(votes, names, leader), really_intersect(votes, names))
                            << voters << ' ' << quorum << ' ' << standbys << ' ' << count;
                    }
    EXPECT_GT(tried, 30000);
}

TEST(Quorum, ElectsNoMoreIsItsMeaning) {
    for (std::uint32_t from = 0; from < 16; ++from)
        for (int q = 0; q <= 3; ++q)
            for (std::uint32_t to = 0; to < 16; ++to)
                for (int r = 0; r <= 3; ++r) {
                    bool all = true;
                    bool any = false;
                    for (std::uint32_t elect = 0; elect < 16; ++elect) {
                        if ((elect & ~to) || std::popcount(elect) != r + 1) continue;
                        any = true;
                        all = all && std::popcount(elect & from) >= q + 1;
                    }
                    const bool said = elects_no_more({set_of(from), q}, {set_of(to), r});
                    if (said) EXPECT_TRUE(all) << from << ' ' << q << " -> " << to << ' ' << r;
                    // The formula is allowed to be stricter only where nobody could be elected.
                    if (any && all && !said)
                        EXPECT_GT(std::popcount(to & ~from), r) << from << to << q << r;
                }
}

Goal steady(std::uint32_t standbys, int count) {
    const MemberSet set = set_of(standbys);
    return {{set, std::popcount(standbys) - count}, {set, count}};
}

// Every way from every steady state to every other: it ends, each step fulfils R0 and R2, and with
// everybody there no commit is ever made to wait for somebody who is not.
TEST(Quorum, EveryWayIsSafeAndEnds) {
    std::vector<Goal> states{{{}, {}}};
    for (std::uint32_t standbys = 1; standbys < 16; ++standbys)
        for (int count = 1; count <= std::popcount(standbys); ++count)
            states.push_back(steady(standbys, count));
    for (const Goal& from : states)
        for (const Goal& to : states) {
            Goal now = from;
            int moves = 0;
            while (now != to) {
                const auto move = next_move(now, to, leader, set_of(31));
                ASSERT_TRUE(move);
                ASSERT_NE(move->what, Move::What::nothing);
                if (move->what == Move::What::votes) {
                    EXPECT_TRUE(move->flushed || elects_no_more(now.votes, move->votes));
                    now.votes = move->votes;
                } else {
                    const Names mixed = while_changing(now.names, move->names);
                    ASSERT_TRUE(really_intersect(now.votes, mixed));
                    now.names = move->names;
                }
                ASSERT_TRUE(really_intersect(now.votes, now.names));
                EXPECT_LE(now.names.count, static_cast<int>(now.names.standbys.size()));
                ASSERT_LE(++moves, 4)
                    << mask_of(from.votes.voters) << " to " << mask_of(to.votes.voters);
            }
        }
}

std::string text(const Goal& from, const Goal& to, const MemberSet& live) {
    std::string out;
    Goal now = from;
    const auto list = [](const MemberSet& set) {
        std::string names;
        for (const auto& name : set) names += name;
        return names;
    };
    while (now != to) {
        const auto move = next_move(now, to, leader, live);
        if (!move || out.size() > 200) return out + "no way";
        if (!out.empty()) out += ", ";
        if (move->what == Move::What::votes) {
            now.votes = move->votes;
            out += "key " + std::to_string(now.votes.quorum) + "(" + list(now.votes.voters) + ")" +
                   (move->flushed ? " flushed" : "");
        } else {
            now.names = move->names;
            out +=
                "names " + std::to_string(now.names.count) + "(" + list(now.names.standbys) + ")";
        }
    }
    return out;
}

Goal goal(int count, const char* standbys, int quorum, const char* voters) {
    const auto set = [](std::string_view names) {
        MemberSet out;
        for (const char c : names) out.insert(std::string(1, c));
        return out;
    };
    return {{set(voters), quorum}, {set(standbys), count}};
}

// The contract's table of transitions (7.12), in our order: nothing is lowered before it is
// flushed.
TEST(Quorum, TheTransitionsOfTheContract) {
    const auto way = [](const Goal& from, const Goal& to, const char* live) {
        MemberSet there;
        for (const char c : std::string_view(live)) there.insert(std::string(1, c));
        return text(from, to, there);
    };
    const Goal none = goal(0, "", 0, "");
    EXPECT_EQ(way(none, goal(1, "b", 0, "b"), "b"), "names 1(b), key 0(b) flushed");
    EXPECT_EQ(way(none, goal(1, "bc", 1, "bc"), "bc"), "names 1(bc), key 1(bc) flushed");
    EXPECT_EQ(way(goal(1, "b", 0, "b"), goal(1, "bc", 1, "bc"), "bc"), "key 1(bc), names 1(bc)");
    EXPECT_EQ(way(goal(1, "bc", 1, "bc"), goal(1, "b", 0, "b"), "b"),
              "names 1(b), key 0(b) flushed");
    // Not key 0(b) first: while its names become 1(b), c alone could let a commit through.
    EXPECT_EQ(way(goal(2, "bc", 0, "bc"), goal(1, "b", 0, "b"), "b"),
              "key 1(bc), names 1(b), key 0(b) flushed");
    EXPECT_EQ(way(goal(1, "b", 0, "b"), goal(2, "bc", 0, "bc"), "bc"),
              "key 1(bc), names 2(bc), key 0(bc) flushed");
    EXPECT_EQ(way(goal(2, "bc", 0, "bc"), goal(1, "bc", 1, "bc"), "bc"), "key 1(bc), names 1(bc)");
    EXPECT_EQ(way(goal(1, "bc", 1, "bc"), goal(2, "bc", 0, "bc"), "bc"),
              "names 2(bc), key 0(bc) flushed");
    // One is exchanged for another: never a moment in which the new one alone could be elected
    // without, or in which a commit is let through by the old one alone.
    EXPECT_EQ(way(goal(1, "bc", 1, "bc"), goal(1, "bd", 1, "bd"), "bd"),
              "names 1(b), key 1(bd) flushed, names 1(bd)");
    EXPECT_EQ(way(goal(1, "b", 0, "b"), goal(1, "d", 0, "d"), "bd"),
              "key 1(bd), names 1(d), key 0(d) flushed");
    // Nobody is left: first only the leader itself may lead, then commits stop waiting.
    EXPECT_EQ(way(goal(1, "bc", 1, "bc"), none, ""), "key 0() flushed, names 0()");
}

TEST(Quorum, AGoalThatIsUnsafeHasNoWay) {
    EXPECT_FALSE(next_move(goal(1, "b", 0, "b"), goal(1, "bc", 0, "bc"), leader, set_of(31)));
}

TEST(Quorum, AWinnerIsPromotedWithNamesThatKeepTheVotes) {
    const auto names = [](const Goal& g, const char* winner) {
        const Names out = names_after_election(g.votes, winner, leader);
        std::string list;
        for (const auto& name : out.standbys) list += name;
        return std::to_string(out.count) + "(" + list + ")";
    };
    EXPECT_EQ(names(goal(0, "", 1, "ab"), "a"), "1(Lb)");
    EXPECT_EQ(names(goal(0, "", 0, "ab"), "a"), "2(Lb)");
    EXPECT_EQ(names(goal(0, "", 0, "a"), "a"), "1(L)");
    EXPECT_EQ(names(goal(0, "", 2, "abcd"), "a"), "2(Lbcd)");
    for (std::uint32_t voters = 1; voters < 32; ++voters)
        for (int quorum = 0; quorum < std::popcount(voters); ++quorum) {
            const Votes votes{set_of(voters), quorum};
            for (const auto& winner : votes.voters) {
                const Names out = names_after_election(votes, winner, leader);
                EXPECT_TRUE(intersect(votes, out, winner)) << voters << ' ' << quorum;
                EXPECT_GE(out.count, 1);
                EXPECT_FALSE(out.standbys.contains(winner));
            }
        }
}

}  // namespace
}  // namespace relevo::core::quorum
