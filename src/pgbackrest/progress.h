// What `pgbackrest backup` and `restore` print while they copy, and what backup and expire say when
// they are done.
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cluster/backup.h"

namespace relevo::pgbackrest {

// Reads its standard output piece by piece as it comes.
class ProgressReader {
public:
    // True: there is news.
    bool read(std::string_view piece);
    const cluster::BackupProgress& progress() const { return progress_; }
    const std::string& label() const { return label_; }  // empty until it says so

private:
    bool read_line(std::string_view line);

    std::string rest_;
    cluster::BackupProgress progress_;
    std::string label_;
};

// The lines of expire's that say what goes, without what stands before them in the log.
std::vector<std::string> expired(std::string_view output);

}  // namespace relevo::pgbackrest
