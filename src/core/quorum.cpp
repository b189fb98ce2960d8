#include "core/quorum.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

namespace relevo::core::quorum {
namespace {

MemberSet united(const MemberSet& a, const MemberSet& b) {
    MemberSet out = a;
    out.insert(b.begin(), b.end());
    return out;
}

int size(const MemberSet& set) { return static_cast<int>(set.size()); }

int in_both(const MemberSet& a, const MemberSet& b) {
    return static_cast<int>(
        std::ranges::count_if(a, [&](const cluster::MemberName& one) { return b.contains(one); }));
}

// R0 by numbers. others: the voters without the leader; both: those of them that are standbys too.
bool intersect(int others, int standbys, int both, int quorum, int count) {
    if (others < quorum + 1) return true;  // they elect nobody without the leader
    return std::max(0, quorum + 1 - (others - both)) + std::max(0, count - (standbys - both)) >
           both;
}

// A set as bits: a search looks at many thousands, on the thread that keeps the lease.
using Bits = std::uint64_t;
constexpr std::size_t members_max = 64;

int size(Bits set) { return std::popcount(set); }
int in_both(Bits a, Bits b) { return size(a & b); }

// As sets of names are ordered, when bits are given in the order of names: the ways that are
// equally good are looked at in this order.
bool before(Bits a, Bits b) {
    const Bits differ = a ^ b;
    const Bits lowest = differ & (~differ + 1);
    const Bits from_there = ~(lowest - 1);
    if (differ == 0) return false;
    return (a & lowest) != 0 ? (b & from_there) != 0 : (a & from_there) == 0;
}

struct BitVotes {
    Bits voters = 0;
    int quorum = 0;
    bool operator==(const BitVotes&) const = default;
};
struct BitNames {
    Bits standbys = 0;
    int count = 0;
    bool operator==(const BitNames&) const = default;
};
struct BitGoal {
    BitVotes votes;
    BitNames names;
    bool operator==(const BitGoal&) const = default;
};
struct BitMove {
    Move::What what = Move::What::nothing;
    BitVotes votes;
    BitNames names;
    bool flushed = false;
};

bool elects_no_more(const BitVotes& from, const BitVotes& to) {
    return to.quorum >= from.quorum + size(to.voters & ~from.voters);
}
int flushes_needed(const BitVotes& to) { return std::max(0, size(to.voters) - to.quorum); }

// The members that a search is about, in the order of their names.
class Members {
public:
    Members(const Goal& now, const Goal& goal, const cluster::MemberName& leader) {
        MemberSet all = united(now.votes.voters, now.names.standbys);
        all.insert(goal.votes.voters.begin(), goal.votes.voters.end());
        all.insert(goal.names.standbys.begin(), goal.names.standbys.end());
        all.insert(leader);
        names_.assign(all.begin(), all.end());
    }
    bool too_many() const { return names_.size() > members_max; }

    // Names that the search is not about are left out.
    Bits bits(const MemberSet& set) const {
        Bits out = 0;
        for (std::size_t i = 0; i < names_.size(); ++i)
            if (set.contains(names_[i])) out |= Bits{1} << i;
        return out;
    }
    MemberSet names(Bits set) const {
        MemberSet out;
        for (std::size_t i = 0; i < names_.size(); ++i)
            if ((set >> i & 1U) != 0) out.insert(names_[i]);
        return out;
    }
    BitGoal bits(const Goal& goal) const {
        return {{bits(goal.votes.voters), goal.votes.quorum},
                {bits(goal.names.standbys), goal.names.count}};
    }
    Move move(const BitMove& move) const {
        return {move.what,
                {names(move.votes.voters), move.votes.quorum},
                {names(move.names.standbys), move.names.count},
                move.flushed};
    }

private:
    std::vector<cluster::MemberName> names_;
};

// The states that a way may pass: sets made of what is and what is wanted, with any number.
std::vector<Bits> sets_between(Bits now, Bits goal) {
    std::vector<Bits> out{now, goal, now | goal, now & goal};
    std::ranges::sort(out, before);
    const auto rest = std::ranges::unique(out);
    out.erase(rest.begin(), rest.end());
    return out;
}

struct Way {
    int cost = 0;
    std::optional<BitMove> first;  // nullopt: the beginning
};

class Search {
public:
    Search(const BitGoal& now, const BitGoal& goal, Bits leader, Bits live, bool keep_r0)
        : now_(now),
          goal_(goal),
          leader_(leader),
          live_(live),
          keep_r0_(keep_r0),
          voter_sets_(sets_between(now.votes.voters, goal.votes.voters)),
          standby_sets_(sets_between(now.names.standbys, goal.names.standbys)) {}

    std::optional<BitMove> first_move() {
        open(now_, {});
        while (!queue_.empty()) {
            const auto [cost, state] = queue_.top();
            queue_.pop();
            const Way way = seen_.at(key_of(state));
            if (cost > way.cost) continue;
            if (state == goal_) return way.first.value_or(BitMove{});
            change_votes(state, way);
            change_names(state, way);
        }
        return std::nullopt;
    }

private:
    struct Open {
        int cost;
        BitGoal state;
        bool operator<(const Open& other) const { return cost > other.cost; }
    };
    using Key = std::tuple<Bits, int, Bits, int>;
    static Key key_of(const BitGoal& g) {
        return {g.votes.voters, g.votes.quorum, g.names.standbys, g.names.count};
    }

    const BitGoal now_, goal_;
    const Bits leader_, live_;
    const bool keep_r0_;
    const std::vector<Bits> voter_sets_, standby_sets_;
    std::map<Key, Way> seen_;
    std::priority_queue<Open> queue_;

    bool intersects(const BitVotes& votes, const BitNames& names) const {
        if (!keep_r0_) return true;
        const Bits others = votes.voters & ~leader_;
        return intersect(size(others), size(names.standbys), in_both(others, names.standbys),
                         votes.quorum, names.count);
    }

    void open(const BitGoal& state, Way way) {
        const auto [at, is_new] = seen_.try_emplace(key_of(state), way);
        if (!is_new && at->second.cost <= way.cost) return;
        at->second = way;
        queue_.push({way.cost, state});
    }

    void step(const BitGoal& next, const Way& way, const BitMove& move, int cost) {
        // A commit would wait for a standby that is not there; nobody could be elected.
        constexpr int stall = 100, orphan = 10;
        if (next.names.count > in_both(next.names.standbys, live_)) cost += stall;
        if (next.votes.quorum + 1 > in_both(next.votes.voters, live_)) cost += orphan;
        open(next, {way.cost + cost, way.first ? way.first : std::optional(move)});
    }

    void change_votes(const BitGoal& from, const Way& way) {
        for (const Bits voters : voter_sets_)
            for (int quorum = 0; quorum <= std::max(size(voters), goal_.votes.quorum); ++quorum) {
                const BitVotes votes{voters, quorum};
                if (votes == from.votes || !intersects(votes, from.names)) continue;
                const bool free = elects_no_more(from.votes, votes);
                // Nobody is waited for who is not there.
                const int there = in_both(voters, live_) + in_both(voters, leader_);
                if (!free && there < flushes_needed(votes)) continue;
                step({votes, from.names}, way, {Move::What::votes, votes, {}, !free}, free ? 2 : 3);
            }
    }

    void change_names(const BitGoal& from, const Way& way) {
        for (const Bits standbys : standby_sets_)
            for (int count = 0; count <= size(standbys); ++count) {
                const BitNames names{standbys, count};
                const BitNames meanwhile{from.names.standbys | standbys,
                                         std::min(from.names.count, count)};
                if (names == from.names || !intersects(from.votes, meanwhile)) continue;
                step({from.votes, names}, way, {Move::What::names, {}, names, false}, 2);
            }
    }
};

}  // namespace

bool intersect(const Votes& votes, const Names& names, const cluster::MemberName& leader) {
    MemberSet others = votes.voters;
    others.erase(leader);
    return intersect(size(others), size(names.standbys), in_both(others, names.standbys),
                     votes.quorum, names.count);
}

Names while_changing(const Names& from, const Names& to) {
    return {united(from.standbys, to.standbys), std::min(from.count, to.count)};
}

bool elects_no_more(const Votes& from, const Votes& to) {
    const int added = size(to.voters) - in_both(to.voters, from.voters);
    return to.quorum >= from.quorum + added;
}

int flushes_needed(const Votes& to) { return std::max(0, size(to.voters) - to.quorum); }

std::optional<Move> next_move(const Goal& now, const Goal& goal, const cluster::MemberName& leader,
                              const MemberSet& live, bool keep_r0) {
    if (now == goal) return Move{};
    if (!intersect(goal.votes, goal.names, leader)) return std::nullopt;
    const Members members(now, goal, leader);
    if (members.too_many()) return std::nullopt;
    const auto move = Search(members.bits(now), members.bits(goal), members.bits({leader}),
                             members.bits(live), keep_r0)
                          .first_move();
    return move ? std::optional(members.move(*move)) : std::nullopt;
}

Names names_after_election(const Votes& votes, const cluster::MemberName& winner,
                           const cluster::MemberName& last_leader) {
    Names names;
    names.standbys = votes.voters;
    if (!last_leader.empty()) names.standbys.insert(last_leader);
    const int all = size(names.standbys) + static_cast<int>(!names.standbys.contains(winner));
    names.standbys.erase(winner);
    const int least = names.standbys.empty() ? 0 : 1;
    names.count = std::clamp(all - votes.quorum - 1, least, std::max(least, size(names.standbys)));
    while (!intersect(votes, names, winner) && names.count < size(names.standbys)) ++names.count;
    return names;
}

}  // namespace relevo::core::quorum
