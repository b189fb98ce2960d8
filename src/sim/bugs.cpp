#include "sim/bugs.h"

namespace relevo::sim {

const std::vector<BugName>& bug_names() {
    static const std::vector<BugName> names = {
        {Bug::fence_never_fires, Hunt::any, "fence-never-fires", "-",
         "a kill is answered with done and not done"},
        {Bug::acquire_without_guard, Hunt::any, "acquire-without-guard", "-",
         "the leader key is put over another's"},
        {Bug::race_ignores_positions, Hunt::any, "race-ignores-positions", "-",
         "the race does not see who is ahead"},
        {Bug::wipe_without_leader, Hunt::any, "wipe-without-leader", "-",
         "a data directory is emptied with no leader about"},
        {Bug::lease_counted_from_reply, Hunt::any, "lease-counted-from-reply", "-",
         "the lease is believed to last longer"},
        {Bug::late_promotion, Hunt::any, "late-promotion", "-",
         "a promotion that had to wait is not called off"},
        {Bug::pause_not_heard, Hunt::any, "pause-not-heard", "-",
         "maintenance mode never reaches a member"},
        {Bug::two_actions, Hunt::any, "two-actions", "-",
         "a start is reported done while it goes on"},
        {Bug::suspects_everybody, Hunt::aimed, "suspects-everybody", "-",
         "a voter says that it suspects the leader, whatever it hears"},
        {Bug::names_do_not_meet, Hunt::aimed, "names-do-not-meet", "R0",
         "votes and names change without a look at what they have in common"},
        {Bug::take_shrinks_votes, Hunt::aimed, "take-shrinks-votes", "R1",
         "a winner strikes itself off the voters and lowers the quorum"},
        {Bug::votes_before_flush, Hunt::aimed, "votes-before-flush", "R2",
         "voters are written before they hold what was acknowledged"},
        {Bug::sent_taken_for_flush, Hunt::story, "sent-taken-for-flush", "R2",
         "a standby becomes a voter before it has flushed what was acknowledged"},
        {Bug::names_not_settled, Hunt::story, "names-not-settled", "R3",
         "a change of synchronous_standby_names counts before every walsender has read it"},
        {Bug::timeline_by_itself, Hunt::aimed, "timeline-by-itself", "R4",
         "PostgreSQL chooses the timeline's number itself"},
        {Bug::old_seal_counts, Hunt::story, "old-seal-counts", "R5",
         "a seal that is older than the last change of leader is counted"},
        {Bug::old_view_believed, Hunt::story, "old-view-believed", "R6",
         "a view that comes late ends a seal and is followed"},
        {Bug::own_key_unguarded, Hunt::story, "own-key-unguarded", "R7",
         "a primary takes its own key again whatever happened since"},
        {Bug::positions_not_asked, Hunt::aimed, "positions-not-asked", "R8",
         "the voters' positions are not compared"},
        {Bug::lower_lsn_leads, Hunt::aimed, "lower-lsn-leads", "R8",
         "the member with less WAL goes first"},
        {Bug::vote_not_lost, Hunt::story, "vote-not-lost", "R10",
         "a rewound or copied member votes at once"},
        {Bug::vote_back_at_once, Hunt::story, "vote-back-at-once", "R10",
         "a rewound or copied member votes as soon as it streams"},
        {Bug::voteless_not_durable, Hunt::story, "voteless-not-durable", "R10",
         "a loss of power gives a copied member its vote back"},
        {Bug::seals_not_asked_for, Hunt::aimed, "seals-not-asked-for", "R11",
         "voters are counted that still receive from the last leader"},
        {Bug::old_read_at_start, Hunt::story, "old-read-at-start", "R12",
         "an agent that starts follows who led some seconds ago"},
        {Bug::seal_not_done, Hunt::aimed, "seal-not-done", "R13",
         "a sealed voter goes on streaming"},
        {Bug::seal_told_early, Hunt::story, "seal-told-early", "R13",
         "a voter says that it is sealed while its receiver still ends"},
        {Bug::seal_not_durable, Hunt::story, "seal-not-durable", "R13",
         "a sealed voter streams again after a loss of power"},
        {Bug::release_before_stopped, Hunt::any, "release-before-stopped", "R14",
         "the key is given away by a running primary"},
        {Bug::no_standby_signal, Hunt::any, "no-standby-signal", "R14",
         "a former primary may come up as one by itself"},
        {Bug::signal_not_durable, Hunt::story, "signal-not-durable", "R14",
         "after a loss of power a former primary may come up as one by itself"},
        {Bug::promoted_alone, Hunt::aimed, "promoted-alone", "R15",
         "a new primary waits for no standby"},
        {Bug::sync_key_unguarded, Hunt::story, "sync-key-unguarded", "R17",
         "the leader key is taken on an election that is void"},
        {Bug::take_leaves_sync_key, Hunt::story, "take-leaves-sync-key", "R17",
         "a primary that takes its own key again changes no other key"},
        {Bug::one_vote_too_few, Hunt::aimed, "one-vote-too-few", "step 3",
         "one vote less than needed is enough"},
    };
    return names;
}

std::optional<Bug> parse_bug(std::string_view name) {
    for (const auto& known : bug_names())
        if (name == known.name) return known.bug;
    return std::nullopt;
}

}  // namespace relevo::sim
