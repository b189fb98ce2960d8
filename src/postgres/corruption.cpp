#include "postgres/corruption.h"

#include <utility>

#include "base/text.h"
#include "os/file.h"

namespace relevo::postgres {

std::string corruption_marker(const std::string& data_dir) {
    return path_beside(data_dir, ".corruption");
}

cluster::Corruption read_corruption(const std::string& data_dir, WallTime now) {
    constexpr std::size_t largest = 1 << 20;
    const auto text = os::read_file(corruption_marker(data_dir), largest);
    if (!text && text.error().code == ErrorCode::not_found) return {};
    auto mark = text ? cluster::parse_corruption(*text) : std::unexpected(text.error());
    if (mark) return *std::move(mark);
    cluster::Corruption unknown;
    unknown.found.push_back(
        {cluster::CorruptionFinding::What::mark, mark.error().message, 0, now, now});
    return unknown;
}

Status write_corruption(const std::string& data_dir, const cluster::Corruption& mark) {
    auto written = os::write_file(corruption_marker(data_dir), cluster::to_json(mark) + "\n", 0600);
    if (!written)
        return within(
            "marking the data directory as damaged (the directory above it must be writable)",
            written.error());
    return {};
}

Status clear_corruption(const std::string& data_dir) {
    return os::remove_file(corruption_marker(data_dir));
}

}  // namespace relevo::postgres
