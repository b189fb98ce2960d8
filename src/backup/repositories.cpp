#include "backup/repositories.h"

#include <fmt/core.h>

#include <algorithm>

namespace relevo::backup {
namespace {

using cluster::Repository;
using cluster::RepositoryStatus;

// pgBackRest's codes: 1 and 3, there is no stanza in it, as where a disk is not mounted; 99, it was
// not to be read. After stanza-create none of several is without one.
bool is_unread(const RepositoryStatus& one) {
    return one.code == 1 || one.code == 3 || one.code == 99;
}

std::string text(const RepositoryStatus& unread) {
    return fmt::format("repository {} could not be read: {}", unread.repository, unread.message);
}

}  // namespace

std::string why_unknown(const Repository& repository) {
    const auto& all = repository.repositories;
    if (!repository.has_stanza()) return {};
    const auto& first = *std::ranges::min_element(all, {}, &RepositoryStatus::repository);
    if (is_unread(first)) return text(first);
    const auto other = std::ranges::find_if(all, is_unread);
    const bool full = std::ranges::any_of(repository.backups, [&](const auto& backup) {
        return backup.type == cluster::BackupType::full && backup.repository == first.repository;
    });
    return full || other == all.end() ? std::string() : text(*other);
}

void leave_out_others(Repository& repository, std::string_view system_id) {
    if (system_id.empty()) return;
    const auto is_other = [&](const auto& one) {
        return !one.system_id.empty() && one.system_id != system_id;
    };
    std::erase_if(repository.backups, is_other);
    std::erase_if(repository.archives, is_other);
}

bool is_of(const cluster::ArchiveRange& archive, const cluster::BackupRecord& backup) {
    return archive.repository == backup.repository &&
           (archive.system_id.empty() || archive.system_id == backup.system_id) &&
           (backup.postgres_version.empty() ||
            archive.id.starts_with(backup.postgres_version + "-"));
}

const cluster::ArchiveRange* archive_of(const Repository& repository,
                                        const cluster::BackupRecord& backup) {
    const auto found = std::ranges::find_if(
        repository.archives, [&](const auto& archive) { return is_of(archive, backup); });
    return found == repository.archives.end() ? nullptr : &*found;
}

std::string or_unread(std::string sentence, const Repository& repository) {
    const auto& all = repository.repositories;
    const auto unread = std::ranges::find_if(all, is_unread);
    if (all.size() > 1 && unread != all.end()) sentence += "; but " + text(*unread);
    return sentence;
}

}  // namespace relevo::backup
