#include "postgres/voteless.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/text.h"
#include "os/file.h"

namespace relevo::postgres {
namespace {

std::string marker(const std::string& data_dir) { return path_beside(data_dir, ".voteless"); }

}  // namespace

Status mark_voteless(const std::string& data_dir) {
    // Written anew even if it is there: whoever made it may have died before it was on disk.
    if (auto made = os::write_file(
            marker(data_dir), "acknowledged rows may be missing in the directory beside\n", 0600);
        !made)
        return within(
            "marking the data directory as one that may lack acknowledged rows (the directory "
            "above it must be writable)",
            made.error());
    return {};
}

Status clear_voteless(const std::string& data_dir) { return os::remove_file(marker(data_dir)); }

bool is_voteless(const std::string& data_dir) {
    struct stat info{};
    return ::lstat(marker(data_dir).c_str(), &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace relevo::postgres
