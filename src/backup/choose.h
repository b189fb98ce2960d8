// Which member makes a backup. Pure.
#pragma once

#include <string>

#include "backup/look.h"

namespace relevo::backup {

enum class From { primary, prefer_standby, standby };

struct Choice {
    MemberName member;    // empty: nobody can
    std::string why_not;  // then: a sentence for people
};

// from: what is wanted. standbys_reach_primary: pgBackRest on a standby can reach the primary's
// host; else a standby cannot make backups. Members that declined are left out, but the primary
// serves where a standby is only preferred. Of the standbys one that no commit waits for goes
// first, then one with less lag, then by name. What only reads is for a standby, if there is one.
Choice choose(const Look& look, From from, bool standbys_reach_primary,
              const cluster::BackupJob& job);

// Was chosen for that job, and cannot or did not begin.
bool declined(const cluster::BackupJob& job, const MemberName& name);
// Of the standbys that are fit the one that no commit waits for, then the one with less lag; empty:
// none is.
MemberName best_standby(const Look& look, const cluster::BackupJob& job);

}  // namespace relevo::backup
