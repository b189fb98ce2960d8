#include "cluster/backup_json.h"

#include <algorithm>
#include <chrono>

#include "cluster/json.h"

namespace relevo::cluster {
namespace {

void put(json::Ordered& out, const char* key, const std::string& value) {
    if (!value.empty()) out[key] = value;
}

void put(json::Ordered& out, const char* key, Lsn value) {
    if (value) out[key] = to_string(value);
}

json::Ordered to_object(const BackupRecord& backup) {
    json::Ordered out;
    out["label"] = backup.label;
    out["type"] = to_string(backup.type);
    out["repository"] = backup.repository;
    put(out, "prior", backup.prior);
    if (!backup.needs.empty()) out["needs"] = backup.needs;
    out["started"] = to_iso(backup.started);
    out["stopped"] = to_iso(backup.stopped);
    if (const auto timeline = backup.timeline(); timeline != 0) out["timeline"] = timeline;
    put(out, "wal_start", backup.wal_start);
    put(out, "wal_stop", backup.wal_stop);
    put(out, "lsn_start", backup.lsn_start);
    put(out, "lsn_stop", backup.lsn_stop);
    out["database_bytes"] = backup.database_bytes;
    out["copied_bytes"] = backup.copied_bytes;
    out["stored_bytes"] = backup.stored_bytes;
    if (backup.page_errors) out["page_errors"] = *backup.page_errors;
    put(out, "system_id", backup.system_id);
    put(out, "postgres_version", backup.postgres_version);
    put(out, "pgbackrest_version", backup.pgbackrest_version);
    return out;
}

json::Ordered to_object(const RepositoryStatus& status) {
    json::Ordered out;
    out["repository"] = status.repository;
    out["code"] = status.code;
    put(out, "status", status.message);
    put(out, "cipher", status.cipher);
    return out;
}

json::Ordered to_object(const ArchiveRange& archive) {
    json::Ordered out;
    out["repository"] = archive.repository;
    put(out, "id", archive.id);
    put(out, "system_id", archive.system_id);
    put(out, "wal_min", archive.wal_min);
    put(out, "wal_max", archive.wal_max);
    return out;
}

json::Ordered to_object(const ArchiveStatus& archive, WallTime now) {
    json::Ordered out;
    // The age, and not the moment: whoever reads it has another clock.
    const auto age = archive.missing_since
                         ? std::max(WallTime::duration{}, now - *archive.missing_since)
                         : WallTime::duration{};
    out["missing_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(age).count();
    out["waiting_segments"] = archive.waiting;
    put(out, "last_archived", archive.last_archived);
    if (archive.archived_at) out["archived_at"] = to_iso(*archive.archived_at);
    put(out, "failing", archive.failing);
    if (archive.queue_full) out["queue_full"] = true;
    if (archive.hole) {
        json::Ordered hole;
        hole["after"] = archive.hole->after;
        hole["first"] = archive.hole->first;
        hole["last"] = archive.hole->last;
        hole["segments"] = archive.hole->segments;
        out["hole"] = std::move(hole);
    }
    return out;
}

template <class T>
json::Ordered to_list(const std::vector<T>& all) {
    auto out = json::Ordered::array();
    for (const T& one : all) out.push_back(to_object(one));
    return out;
}

}  // namespace

std::string to_json(const Repository& repository, const std::optional<ArchiveStatus>& archive,
                    WallTime now) {
    json::Ordered out;
    out["stanza"] = repository.stanza;
    out["code"] = repository.code;
    put(out, "status", repository.message);
    out["running"] = repository.backup_running;
    if (repository.progress) {
        json::Ordered progress;
        progress["done_bytes"] = repository.progress->done_bytes;
        if (repository.progress->total_bytes != 0)
            progress["total_bytes"] = repository.progress->total_bytes;
        if (repository.progress->percent) progress["percent"] = *repository.progress->percent;
        out["progress"] = std::move(progress);
    }
    out["repositories"] = to_list(repository.repositories);
    out["backups"] = to_list(repository.backups);
    out["archives"] = to_list(repository.archives);
    if (archive) out["archiving"] = to_object(*archive, now);
    return json::compact(out);
}

}  // namespace relevo::cluster
