#include "postgres/half_made.h"

#include "base/text.h"
#include "os/file.h"
#include "ports/postgres.h"

namespace relevo::postgres {

std::string half_made_marker(const std::string& data_dir) {
    return path_beside(data_dir, ports::half_made_suffix);
}

Status mark_half_made(const std::string& data_dir, const std::string& by) {
    if (half_made_by(data_dir) == by) return {};
    if (auto made = os::write_file(half_made_marker(data_dir), by + "\n", 0600); !made)
        return within(
            "marking the data directory as unfinished (the directory above it must be writable)",
            made.error());
    return {};
}

Status clear_half_made(const std::string& data_dir) {
    return os::remove_file(half_made_marker(data_dir));
}

Result<std::optional<std::string>> read_half_made(const std::string& data_dir) {
    const auto text = os::read_file(half_made_marker(data_dir));
    if (text) return std::string(trim(*text));
    if (text.error().code == ErrorCode::not_found) return std::nullopt;
    return std::unexpected(text.error());
}

std::optional<std::string> half_made_by(const std::string& data_dir) {
    return read_half_made(data_dir).value_or(std::nullopt);
}

}  // namespace relevo::postgres
