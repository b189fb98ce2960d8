// What must hold for any bytes that pgBackRest, or what stands in its place, may print. Run by the
// mutation test always, and by libFuzzer where the build says -DRELEVO_FUZZ=ON.
#pragma once

#include <string_view>

#include "base/assert.h"
#include "pgbackrest/failure.h"
#include "pgbackrest/info.h"
#include "pgbackrest/progress.h"

namespace relevo::pgbackrest::testing {

inline void fuzz_one(std::string_view bytes) {
    const auto repository = parse_info(bytes, "main");
    if (repository) {
        const cluster::BackupRecord* before = nullptr;
        for (const auto& backup : repository->backups) {
            RLV_ASSERT(!backup.label.empty() && backup.label.find('\n') == std::string::npos);
            RLV_ASSERT(before == nullptr || before->stopped <= backup.stopped);
            before = &backup;
        }
        RLV_ASSERT(repository->newest() == nullptr || !repository->backups.empty());
        RLV_ASSERT(!repository->progress ||
                   repository->progress->done_bytes <= repository->progress->total_bytes);
    }
    if (const auto archive = parse_archive(bytes)) {
        for (const auto& name : archive->segments) RLV_ASSERT(name.size() == 24);
        RLV_ASSERT(archive->segments.size() == archive->stored.size());
        for (const auto timeline : archive->histories) RLV_ASSERT(timeline != 0);
    }
    // However it is cut into pieces, the same is read.
    ProgressReader whole, pieces;
    whole.read(bytes);
    for (std::size_t at = 0; at < bytes.size(); at += 7) pieces.read(bytes.substr(at, 7));
    RLV_ASSERT(whole.label() == pieces.label());
    RLV_ASSERT(whole.progress().done_bytes == pieces.progress().done_bytes);
    const auto& percent = whole.progress().percent;
    RLV_ASSERT(!percent || (*percent >= 0 && *percent <= 100));
    (void)expired(bytes);
    Settings settings;
    settings.password = "hunter2secret";
    settings.config.options["repo1-cipher-pass"] = {"xyzzyplugh"};
    const auto error = explain(bytes, settings, "doing it");
    RLV_ASSERT(!error.message.empty() && error.message.size() < 2000);
    RLV_ASSERT(error.message.find('\n') == std::string::npos);
    RLV_ASSERT(error.message.find("xyzzyplugh") == std::string::npos);
    RLV_ASSERT(error.message.find("hunter2secret") == std::string::npos);
}

}  // namespace relevo::pgbackrest::testing
