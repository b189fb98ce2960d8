#include "pgbouncer/disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/text.h"
#include "os/file.h"

namespace relevo::pgbouncer {

Result<UserIni> read_user_ini(const std::string& path, int depth) {
    if (path.empty()) return UserIni{};
    if (depth > 10)
        return fail(ErrorCode::invalid, fmt::format("{}: %include goes round in a circle", path));
    RLV_TRY(const auto text, os::read_file(path));
    std::vector<std::string> includes;
    auto read = parse_ini(text, &includes);
    if (!read) return fail(ErrorCode::invalid, fmt::format("{}: {}", path, read.error().message));
    for (const auto& name : includes) {
        const auto beside = std::filesystem::path(path).parent_path() / name;
        RLV_TRY(auto more, read_user_ini(beside.string(), depth + 1));
        for (auto& [key, value] : more.settings) read->settings.try_emplace(key, value);
        for (auto& one : more.databases) read->databases.push_back(std::move(one));
        for (auto& one : more.users) read->users.push_back(std::move(one));
    }
    return read;
}

namespace {

// Its lines, the oldest first; each begins with time and "[pid]".
std::vector<std::string> lines_of(const std::string& log_path, pid_t pid) {
    const auto text = os::read_file(log_path, 64 << 20);
    if (!text) return {};
    auto lines = split(*text, '\n');
    const auto mark = fmt::format(" [{}] ", pid);
    if (pid != 0) std::erase_if(lines, [&](const auto& line) { return !line.contains(mark); });
    return lines;
}

}  // namespace

std::string deaf(const std::string& log_path, pid_t pid) {
    std::string why;
    for (const auto& line : lines_of(log_path, pid)) {
        if (line.contains(" listening on ") && !line.contains("unix:")) return {};
        const auto at = line.find("cannot listen on ");
        if (at != line.npos) why = line.substr(at);
    }
    return why;
}

std::string last_words(const std::string& log_path, pid_t pid) {
    std::string last;
    for (const auto& line : lines_of(log_path, pid)) {
        const auto at =
            std::min({line.find(" FATAL "), line.find(" ERROR "), line.find(" WARNING ")});
        // What is wrong with it stands in the line before.
        if (!last.empty() && line.contains("config file loading failed")) continue;
        if (at != line.npos) last = std::string(trim(line.substr(at)));
    }
    return last;
}

}  // namespace relevo::pgbouncer
