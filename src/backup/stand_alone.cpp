#include "backup/stand_alone.h"

#include <fmt/format.h>

#include "base/text.h"

namespace relevo::backup {
namespace {

bool sets_data_directory(std::string_view line) {
    constexpr std::string_view name = "data_directory";
    line = trim(line);
    if (line.size() <= name.size() || !iequals(line.substr(0, name.size()), name)) return false;
    const char after = line[name.size()];
    return after == ' ' || after == '\t' || after == '=';
}

}  // namespace

std::string conf_quoted(std::string_view value) {
    std::string out = "'";
    for (const char c : value) {
        if (c == '\'' || c == '\\') out += c;
        out += c;
    }
    return out + "'";
}

std::string stand_alone_settings(const std::string& directory, bool has_hba, bool has_ident) {
    std::string out =
        "\n# Written by relevo: this server was restored to stand alone. Nothing of it reaches "
        "the\n"
        "# repository that it came from until archive_mode and archive_command are reset, nor "
        "does\n"
        "# it take over the subscriptions of whom it was copied from until "
        "max_logical_replication_workers is.\n"
        "archive_mode = 'off'\n"
        "archive_command = ''\n"
        "max_logical_replication_workers = '0'\n"
        "synchronous_standby_names = ''\n"
        "restart_after_crash = 'on'\n";
    if (has_hba) out += fmt::format("hba_file = {}\n", conf_quoted(directory + "/pg_hba.conf"));
    if (has_ident)
        out += fmt::format("ident_file = {}\n", conf_quoted(directory + "/pg_ident.conf"));
    return out;
}

std::string without_data_directory(std::string_view config) {
    std::string out;
    for (std::size_t at = 0; at < config.size();) {
        auto end = config.find('\n', at);
        end = end == config.npos ? config.size() : end + 1;
        const auto line = config.substr(at, end - at);
        if (!sets_data_directory(line)) out += line;
        at = end;
    }
    return out;
}

}  // namespace relevo::backup
