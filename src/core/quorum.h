// The arithmetic of quorum replication: which votes elect a leader, for whose flush a commit waits,
// and in which order the two may change so that whoever can be elected holds every acknowledged
// commit at every moment. Pure sets; what is done with them is in sync.cpp.
//
// The rules are R0 and R2 of docs/adr/0006-quorum-replication.md, which also says how they were
// found.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "cluster/member.h"

namespace relevo::core::quorum {

using MemberSet = std::set<cluster::MemberName>;

// What the sync key says: quorum + 1 of the voters elect one of them. The leader that the key names
// needs no votes: nobody acknowledged anything that it lacks.
struct Votes {
    MemberSet voters;
    int quorum = 0;
    bool operator==(const Votes&) const = default;
};

// What synchronous_standby_names says: a commit is acknowledged when `count` of the standbys have
// flushed it. 0: when it is on the leader's own disk.
struct Names {
    MemberSet standbys;
    int count = 0;
    bool operator==(const Names&) const = default;
};

// R0. However many of the voters elect a leader without the present one, and whichever standbys let
// a commit through, they have a member in common.
bool intersect(const Votes& votes, const Names& names, const cluster::MemberName& leader);

// What may let a commit through while a change of names is on its way: a walsender that still goes
// by the old count takes every standby for one that counts whose own walsender has read that it
// does, and the other way about.
Names while_changing(const Names& from, const Names& to);

// The first half of R2: whoever elects a leader by `to` could have elected one by `from`, so what
// held for every acknowledged commit still holds.
bool elects_no_more(const Votes& from, const Votes& to);

// The second half of R2: of the standbys of `to` this many must have flushed all that the leader
// had written when the names now in force were settled. The leader counts when it is a voter.
int flushes_needed(const Votes& to);

struct Goal {
    Votes votes;
    Names names;
    bool operator==(const Goal&) const = default;
};

// One change towards the goal, safe by R0 while it is made and afterwards, with R2's flushes where
// `flushed` says so.
struct Move {
    enum class What { nothing, votes, names } what = What::nothing;
    Votes votes;
    Names names;
    bool flushed = false;  // votes: only when flushes_needed(votes) of its voters have flushed
};

// The first move of the shortest way to the goal. live: the standbys that stream; ways on which
// commits would have to wait for others are taken only when there is no better. `now` must fulfil
// R0; what it is while a change of names settles is the caller's business. nullopt: no way (then
// the goal itself breaks R0), or there are more than 64 members. keep_r0: false only in the
// simulator, to show that it would notice.
std::optional<Move> next_move(const Goal& now, const Goal& goal, const cluster::MemberName& leader,
                              const MemberSet& live, bool keep_r0 = true);

// The names with which the winner of an election by these votes may be promoted: R0 holds with the
// votes kept as they are (R1, R15), and never fewer than one standby while there is another member
// to wait for.
Names names_after_election(const Votes& votes, const cluster::MemberName& winner,
                           const cluster::MemberName& last_leader);

}  // namespace relevo::core::quorum
