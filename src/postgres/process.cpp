#include "postgres/process.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>

#include "base/text.h"
#include "os/file.h"
#include "os/priority.h"
#include "postgres/commands.h"

namespace relevo::postgres {

namespace {

std::string_view file_name(std::string_view path) {
    // The kernel marks a program that was replaced while it runs (an upgrade).
    constexpr std::string_view deleted = " (deleted)";
    if (path.ends_with(deleted)) path.remove_suffix(deleted.size());
    return path.substr(path.rfind('/') + 1);
}

bool is_server_program(std::string_view path, std::string_view program) {
    const auto name = file_name(path);
    return !name.empty() &&
           (name == file_name(program) || name == "postgres" || name == "postmaster");
}

}  // namespace

std::optional<PidFile> parse_pid_file(std::string_view text) {
    const auto lines = split(text, '\n');
    const auto line = [&](std::size_t number) {
        return number < lines.size() ? std::string(trim(lines[number])) : std::string();
    };
    const auto pid = parse_decimal(line(0));
    if (!pid || *pid == 0) return std::nullopt;
    PidFile file;
    file.single_user = *pid < 0;  // PostgreSQL's way of saying so
    file.pid = static_cast<pid_t>(*pid < 0 ? -*pid : *pid);
    file.data_dir = line(1);
    file.started_s = parse_decimal(line(2)).value_or(0);
    file.port = static_cast<int>(parse_decimal(line(3)).value_or(0));
    file.socket_directory = line(4);
    file.listen_address = line(5);
    file.status = line(7);
    return file;
}

Result<std::optional<PidFile>> read_pid_file(const std::string& data_dir) {
    const auto path = data_dir + "/postmaster.pid";
    const auto text = os::read_file(path, 65536);
    if (!text) {
        if (text.error().code == ErrorCode::not_found) return std::optional<PidFile>();
        return std::unexpected(text.error());
    }
    auto file = parse_pid_file(*text);
    if (!file) return fail(ErrorCode::invalid, path + " holds no process number");
    return file;
}

bool is_our_postmaster(const PidFile& file, const os::ProcessInfo& process,
                       const std::string& data_dir, const std::string& program, pid_t self,
                       pid_t parent) {
    if (file.single_user) return false;
    if (process.pid == self || process.pid == parent || process.parent == self) return false;
    if (process.state == 'Z' || process.state == 'X') return false;
    constexpr std::int64_t tolerance_s = 3;
    if (file.started_s > 0 && std::llabs(process.started_s - file.started_s) <= tolerance_s)
        return true;
    return is_server_program(process.program, program) && process.directory == data_dir;
}

std::vector<os::ProcessInfo> server_processes(const std::string& data_dir,
                                              const std::string& program, os::Detail detail) {
    auto all = os::all_processes(detail);
    std::erase_if(all, [&](const os::ProcessInfo& process) {
        return process.state == 'Z' || process.directory != data_dir || process.pid == ::getpid() ||
               !is_server_program(process.program, program);
    });
    return all;
}

std::map<std::string, std::optional<std::string>> postmaster_environment(pid_t grandparent) {
    std::map<std::string, std::optional<std::string>> changes{{"NOTIFY_SOCKET", std::nullopt},
                                                              {"PATRONI_*", std::nullopt},
                                                              {"RELEVO_*", std::nullopt},
                                                              {"KUBERNETES_*", std::nullopt}};
    if (const char* arenas = std::getenv("PG_MALLOC_ARENA_MAX")) {
        changes["PG_MALLOC_ARENA_MAX"] = std::nullopt;
        changes["MALLOC_ARENA_MAX"] = arenas;
    }
    // The postmaster may be as safe as the agent (PostgreSQL recommends it); its backends, which
    // take the memory, never are.
    if (os::oom_score_adjustment() < 0 && !std::getenv("PG_OOM_ADJUST_FILE")) {
        changes["PG_OOM_ADJUST_FILE"] = "/proc/self/oom_score_adj";
        changes["PG_OOM_ADJUST_VALUE"] = "0";
    }
    if (grandparent > 0) changes["PG_GRANDPARENT_PID"] = std::to_string(grandparent);
    return changes;
}

std::vector<std::string> options_of_last_start(std::string_view postmaster_opts) {
    std::vector<std::string> kept;
    const auto words = shell_split(trim(postmaster_opts));
    if (!words) return kept;
    for (std::size_t i = 1; i < words->size(); ++i) {
        const auto& word = (*words)[i];
        if (word == "-D") {
            ++i;
        } else if (word.starts_with("--")) {
            kept.push_back(word);
        } else if (word == "-c" && i + 1 < words->size()) {
            kept.insert(kept.end(), {word, (*words)[++i]});
        }
    }
    return kept;
}

Status may_run_servers() {
    if (::geteuid() != 0) return {};
    return fail(ErrorCode::denied,
                "PostgreSQL refuses to run as root. Run relevo as the user that owns the data "
                "directory, as in `sudo -u postgres relevo patroni.yml`, or with User=postgres in "
                "the systemd unit");
}

}  // namespace relevo::postgres
