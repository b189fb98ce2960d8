#include "cluster/backup.h"

#include <algorithm>
#include <charconv>

namespace relevo::cluster {

const char* to_string(BackupType type) {
    switch (type) {
        case BackupType::full: return "full";
        case BackupType::differential: return "differential";
        case BackupType::incremental: return "incremental";
    }
    return "?";
}

std::optional<BackupType> parse_backup_type(std::string_view text) {
    if (text == "full") return BackupType::full;
    if (text == "differential" || text == "diff") return BackupType::differential;
    if (text == "incremental" || text == "incr") return BackupType::incremental;
    return std::nullopt;
}

// A segment's name begins with its timeline, eight hexadecimal digits.
Timeline BackupRecord::timeline() const {
    const auto& name = wal_stop.empty() ? wal_start : wal_stop;
    if (name.size() < 8) return 0;
    Timeline timeline = 0;
    const char* const end = name.data() + 8;
    const auto [stopped_at, error] = std::from_chars(name.data(), end, timeline, 16);
    return error == std::errc() && stopped_at == end ? timeline : 0;
}

// pgBackRest's codes: 1 is "missing stanza path", 3 "missing stanza data".
bool Repository::has_stanza() const { return code != 1 && code != 3 && !repositories.empty(); }

BackupTimes Repository::times() const {
    BackupTimes out;
    for (const auto& backup : backups) {
        out.newest = std::max(out.newest.value_or(backup.stopped), backup.stopped);
        if (backup.type == BackupType::full)
            out.newest_full = std::max(out.newest_full.value_or(backup.stopped), backup.stopped);
    }
    return out;
}

const BackupRecord* Repository::newest() const { return newest_at_least(BackupType::incremental); }

const BackupRecord* Repository::newest_at_least(BackupType type) const {
    const BackupRecord* best = nullptr;
    for (const auto& backup : backups)
        if (backup.type <= type && (best == nullptr || best->stopped < backup.stopped))
            best = &backup;
    return best;
}

}  // namespace relevo::cluster
