// How far pg_basebackup --progress is, out of what it prints. Pure; takes any bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cluster/backup.h"

namespace relevo::postgres {

class BasebackupProgress {
public:
    // Each piece may end in the middle of a line. True: there is news.
    bool read(std::string_view piece);
    const cluster::CopyProgress& progress() const { return progress_; }

private:
    std::string rest_;
    cluster::CopyProgress progress_{.method = "basebackup", .percent = {}};
};

}  // namespace relevo::postgres
