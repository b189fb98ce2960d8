#include "core/quorum.h"

#include <algorithm>
#include <iterator>
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

MemberSet shared(const MemberSet& a, const MemberSet& b) {
    MemberSet out;
    std::ranges::set_intersection(a, b, std::inserter(out, out.end()));
    return out;
}

int size(const MemberSet& set) { return static_cast<int>(set.size()); }

int in_both(const MemberSet& a, const MemberSet& b) { return size(shared(a, b)); }

// The states that a way may pass: sets made of what is and what is wanted, with any number.
std::vector<MemberSet> sets_between(const MemberSet& now, const MemberSet& goal) {
    std::vector<MemberSet> out{now, goal, united(now, goal), shared(now, goal)};
    std::ranges::sort(out);
    const auto rest = std::ranges::unique(out);
    out.erase(rest.begin(), rest.end());
    return out;
}

struct Way {
    int cost = 0;
    std::optional<Move> first;  // nullopt: the beginning
};

using Key = std::tuple<MemberSet, int, MemberSet, int>;
Key key_of(const Goal& g) {
    return {g.votes.voters, g.votes.quorum, g.names.standbys, g.names.count};
}

class Search {
public:
    Search(const Goal& now, const Goal& goal, const cluster::MemberName& leader,
           const MemberSet& live)
        : now_(now), goal_(goal), leader_(leader), live_(live) {}

    std::optional<Move> first_move() {
        open(now_, {});
        while (!queue_.empty()) {
            const auto [cost, state] = queue_.top();
            queue_.pop();
            const Way way = seen_.at(key_of(state));
            if (cost > way.cost) continue;
            if (state == goal_) return way.first.value_or(Move{});
            change_votes(state, way);
            change_names(state, way);
        }
        return std::nullopt;
    }

private:
    struct Open {
        int cost;
        Goal state;
        bool operator<(const Open& other) const { return cost > other.cost; }
    };

    const Goal& now_;
    const Goal& goal_;
    const cluster::MemberName& leader_;
    const MemberSet& live_;
    std::map<Key, Way> seen_;
    std::priority_queue<Open> queue_;

    void open(const Goal& state, Way way) {
        const auto [at, is_new] = seen_.try_emplace(key_of(state), way);
        if (!is_new && at->second.cost <= way.cost) return;
        at->second = way;
        queue_.push({way.cost, state});
    }

    void step(const Goal& next, const Way& way, Move move, int cost) {
        // A commit would wait for a standby that is not there; nobody could be elected.
        constexpr int stall = 100, orphan = 10;
        if (next.names.count > in_both(next.names.standbys, live_)) cost += stall;
        if (next.votes.quorum + 1 > in_both(next.votes.voters, live_)) cost += orphan;
        open(next, {way.cost + cost, way.first ? way.first : std::optional(std::move(move))});
    }

    void change_votes(const Goal& from, const Way& way) {
        for (const auto& voters : sets_between(now_.votes.voters, goal_.votes.voters))
            for (int quorum = 0; quorum <= std::max(size(voters), goal_.votes.quorum); ++quorum) {
                const Votes votes{voters, quorum};
                if (votes == from.votes || !intersect(votes, from.names, leader_)) continue;
                const bool free = elects_no_more(from.votes, votes);
                // Nobody is waited for who is not there.
                const int there =
                    in_both(voters, live_) + static_cast<int>(voters.contains(leader_));
                if (!free && there < flushes_needed(votes)) continue;
                step({votes, from.names}, way, {Move::What::votes, votes, {}, !free}, free ? 2 : 3);
            }
    }

    void change_names(const Goal& from, const Way& way) {
        for (const auto& standbys : sets_between(now_.names.standbys, goal_.names.standbys))
            for (int count = 0; count <= size(standbys); ++count) {
                const Names names{standbys, count};
                if (names == from.names ||
                    !intersect(from.votes, while_changing(from.names, names), leader_))
                    continue;
                step({from.votes, names}, way, {Move::What::names, {}, names, false}, 2);
            }
    }
};

}  // namespace

bool intersect(const Votes& votes, const Names& names, const cluster::MemberName& leader) {
    MemberSet others = votes.voters;
    others.erase(leader);
    if (size(others) < votes.quorum + 1) return true;  // they elect nobody without the leader
    const int both = in_both(others, names.standbys);
    const int only_voters = size(others) - both;
    const int only_standbys = size(names.standbys) - both;
    return std::max(0, votes.quorum + 1 - only_voters) + std::max(0, names.count - only_standbys) >
           both;
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
                              const MemberSet& live) {
    if (now == goal) return Move{};
    if (!intersect(goal.votes, goal.names, leader)) return std::nullopt;
    return Search(now, goal, leader, live).first_move();
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
