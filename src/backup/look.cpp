#include "backup/look.h"

#include "cluster/keys.h"

namespace relevo::backup {
namespace {

MemberSeen seen(const cluster::MemberRecord& member, Revision created,
                const cluster::Snapshot& snapshot) {
    MemberSeen out;
    out.created = created;
    const auto* leader = snapshot.leader_member();
    const bool leads = snapshot.led_by(member.name);
    const bool same_line = leader == nullptr || leader->timeline == 0 || member.timeline == 0 ||
                           leader->timeline == member.timeline;
    out.standby = !leads && member.running() && member.role == cluster::Role::replica &&
                  member.replication_state == "streaming" && same_line;
    out.synchronous = snapshot.sync.names(member.name);
    const auto replayed =
        member.replay_lsn ? *member.replay_lsn : member.xlog_location.value_or(cluster::Lsn{});
    if (snapshot.status.optime > replayed) out.lag = snapshot.status.optime.value - replayed.value;
    return out;
}

}  // namespace

bool Look::runner_gone() const {
    if (!job || job->state != cluster::JobState::running) return false;
    const auto at = members.find(job->member);
    return at == members.end() || at->second.created != job->under;
}

Look look_at(const cluster::KeyTree& tree, const cluster::Snapshot& snapshot) {
    Look out;
    if (const auto at = tree.keys.find(cluster::keys::backup); at != tree.keys.end()) {
        out.job_revision = at->second.mod_revision;
        auto job = cluster::parse_backup_job(at->second.value);
        out.unreadable = !job;
        if (job) {
            out.job = *std::move(job);
            out.job->revision = out.job_revision;
        }
    }
    if (const auto at = tree.keys.find(cluster::proofs_key); at != tree.keys.end())
        if (auto proofs = cluster::parse_proofs(at->second.value)) out.proofs = *std::move(proofs);
    for (const auto& [name, member] : snapshot.members) {
        const auto key = tree.keys.find(cluster::keys::member(name));
        if (key != tree.keys.end())
            out.members[name] = seen(member, key->second.create_revision, snapshot);
    }
    if (snapshot.leader) {
        out.leader = snapshot.leader->name;
        out.term = snapshot.leader->create_revision;
    }
    return out;
}

}  // namespace relevo::backup
