#include "cluster/commit_level.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include "base/text.h"

namespace relevo::cluster {
namespace {

// A line under a table, and a key in the DCS, have room for these.
constexpr std::size_t shown_max = 6;

std::string shown(const std::string& name) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.' || c == '$' || c == '/';
    };
    for (const char c : name)
        if (!plain(c)) return fmt::format("{:?}", name);
    return name;
}

}  // namespace

const char* to_string(CommitLevel level) {
    switch (level) {
        case CommitLevel::off: return "off";
        case CommitLevel::local: return "local";
        case CommitLevel::remote_write: return "remote_write";
        case CommitLevel::on: return "on";
        case CommitLevel::remote_apply: return "remote_apply";
    }
    return "?";
}

std::optional<CommitLevel> parse_commit_level(std::string_view text) {
    for (const auto level : {CommitLevel::off, CommitLevel::local, CommitLevel::remote_write,
                             CommitLevel::on, CommitLevel::remote_apply})
        if (iequals(text, to_string(level))) return level;
    const auto flag = parse_bool(text);
    if (!flag) return std::nullopt;
    return *flag ? CommitLevel::on : CommitLevel::off;
}

bool CommitSetting::can_be_reset() const {
    return file.empty() || file.ends_with("/postgresql.auto.conf");
}

std::string place(const CommitSetting& setting) {
    if (!setting.file.empty()) return "in " + shown(setting.file);
    if (!setting.role.empty() && !setting.database.empty())
        return fmt::format("for role {} in database {}", shown(setting.role),
                           shown(setting.database));
    if (!setting.role.empty()) return "for role " + shown(setting.role);
    if (!setting.database.empty()) return "for database " + shown(setting.database);
    return "for all roles";
}

std::string describe(const std::vector<CommitSetting>& settings) {
    std::string out;
    for (std::size_t i = 0; i < settings.size() && i < shown_max; ++i)
        out += fmt::format("{}{} {}", i == 0 ? "" : ", ", to_string(settings[i].level),
                           place(settings[i]));
    if (settings.size() > shown_max)
        out += fmt::format(" and {} more", settings.size() - shown_max);
    return out;
}

}  // namespace relevo::cluster
