// Deliberate bugs, for the simulator's own honesty: each leaves out one rule, and must be found
// (bugs_test.cpp, holes_test.cpp; docs/adr/0008-simulator-honesty.md has the table). They sit in
// the simulated shell and PostgreSQL; where a rule is a decision of the core, in core::Rules.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace relevo::sim {

enum class Bug {
    none,
    fence_never_fires,         // a kill is answered with "done" and not done
    acquire_without_guard,     // the leader key is put without asking whether it is free
    race_ignores_positions,    // peers' positions never reach the race
    release_before_stopped,    // a switchover gives the key away while PostgreSQL still runs
    wipe_without_leader,       // a standby that starts with no leader about is emptied
    lease_counted_from_reply,  // the lease is believed to begin when the answer came
    late_promotion,            // not_after is ignored by a promotion that had to wait
    pause_not_heard,           // a member never learns of maintenance mode
    two_actions,               // the core is told that a start is done while it still goes on
    no_standby_signal,         // a stopped former primary is left to come up as a primary
    timeline_by_itself,        // the granted timeline number never reaches PostgreSQL
    suspects_everybody,        // a voter says that it suspects the leader, whatever it hears
    // Synchronous replication (docs/adr/0006).
    names_do_not_meet,     // votes and names are changed without a look at what they share
    take_shrinks_votes,    // a winner strikes itself off the voters, with one vote less to need
    votes_before_flush,    // voters are written before they hold what was acknowledged
    sent_taken_for_flush,  // a standby counts as caught up with what is on its way to it
    names_not_settled,     // a change of names is taken for read by every walsender at once
    old_seal_counts,       // a seal of an earlier election is counted
    old_view_believed,     // a view that comes late is taken for the newest
    old_read_at_start,     // the first reads of an agent may be of some seconds ago
    own_key_unguarded,     // a primary puts its own key again whatever happened since
    sync_key_unguarded,    // a candidate takes the key whatever happened since it counted
    take_leaves_sync_key,  // taking one's own key again changes no other key
    positions_not_asked,   // every voter's position is taken for less than one's own
    lower_lsn_leads,       // of two members the one with less goes first
    vote_not_lost,         // a member that was rewound or copied goes on voting
    vote_back_at_once,     // it votes again as soon as it streams
    voteless_not_durable,  // that it has no vote is lost with the power
    seals_not_asked_for,   // voters are counted that still receive
    seal_not_done,         // a voter says that it has cut itself off and goes on streaming
    seal_told_early,       // it says so before its receiver has ended
    seal_not_durable,      // the emptied primary_conninfo is lost with the power
    signal_not_durable,    // so is standby.signal
    promoted_alone,        // a winner acknowledges before anybody follows it
    one_vote_too_few,      // a candidate counts one voter less than it needs
    tail_ignored,          // what a crashed primary wrote last is not fetched, and said to be there
    followed_unasked,      // a standby is given a new leader whatever it holds
    vote_by_old_view,      // a copied member votes again without a look at who leads
    follows_deposed,       // replicatefrom may name a primary that does not lead any more
    admitted_unconfirmed,  // a new primary is read before what it holds is confirmed
    // A disk that fills (docs/adr/0018).
    handed_over_to_full,  // nobody looks whether the one handed over to has room
    writes_not_refused,   // they are said to be refused and go on
    refused_for_ever,     // they are said to go on and are refused
    started_on_full,      // what ended on a full disk is started there whoever else has room
    // Damaged data (docs/adr/0022).
    damaged_goes_first,   // nobody looks whose data is damaged
    damaged_all_at_once,  // a damaged replica is made anew whoever else is
    last_copy_remade,     // and whether another copy is left or not
    // A restore in place (docs/adr/0020).
    restored_open,     // clients get at the restored server before it leads
    old_data_joins,    // a member with data from before goes on as if nothing had happened
    old_data_removed,  // what is set aside is removed
    // The watchdog device.
    watchdog_not_armed,       // it is said to count and does not
    watchdog_disarmed_early,  // it is laid to rest when a kill begins, not when it has worked
};

// How it is found.
enum class Hunt {
    any,         // in schedules drawn from a seed
    aimed,       // in such as are aimed at synchronous replication
    aimed_five,  // the same with five members
    filling,     // drawn from a seed, and disks fill
    rotting,     // drawn from a seed, and pages rot
    remaking,    // the same, and damaged replicas are made anew
    restoring,   // drawn from a seed, and the cluster is restored in place
    story,       // by its story alone: it takes several things at one moment
};

struct BugName {
    Bug bug;
    Hunt hunt;
    const char* name;
    const char* rule;  // of takeover-rules, which docs/adr/0006 names too; "-": of the lease
    const char* what;
};
const std::vector<BugName>& bug_names();
std::optional<Bug> parse_bug(std::string_view name);

}  // namespace relevo::sim
