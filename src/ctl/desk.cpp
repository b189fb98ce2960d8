#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

#include "base/text.h"
#include "ctl/terminal.h"

extern char** environ;

namespace relevo::ctl {
namespace {

std::optional<std::string> variable(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
}

bool on_path(const std::string& program) {
    if (program.contains('/')) return access(program.c_str(), X_OK) == 0;
    const auto path = variable("PATH").value_or("/usr/bin:/bin");
    for (const auto& folder : split(path, ':'))
        if (access((folder + "/" + program).c_str(), X_OK) == 0) return true;
    return false;
}

// The variable may hold arguments ("code --wait"): the shell splits it.
Result<std::string> program(const char* name, const std::vector<std::string>& others,
                            const char* what) {
    if (const auto own = variable(name)) return *own;
    for (const auto& other : others)
        if (on_path(other)) return other;
    return fail(
        ErrorCode::not_found,
        fmt::format("no {} found; set {} to one, or use the options that need none", what, name));
}

std::string shell_quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

// Through sh, with the terminal as its own; waits for its end.
Result<int> run_shell(const std::string& command) {
    std::string shell = "/bin/sh", option = "-c", text = command;
    char* const args[] = {shell.data(), option.data(), text.data(), nullptr};
    pid_t child = 0;
    if (const int error = posix_spawn(&child, "/bin/sh", nullptr, nullptr, args, environ);
        error != 0)
        return fail(ErrorCode::failed,
                    fmt::format("cannot run {}: {}", command, std::strerror(error)));
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// A file of our own that goes with its owner.
class TemporaryFile {
public:
    static Result<TemporaryFile> make(const std::string& prefix, const std::string& suffix,
                                      const std::string& text) {
        auto path = variable("TMPDIR").value_or("/tmp") + "/" + prefix + "XXXXXX" + suffix;
        const int file = mkstemps(path.data(), static_cast<int>(suffix.size()));
        if (file < 0)
            return fail(ErrorCode::failed,
                        fmt::format("cannot make {}: {}", path, std::strerror(errno)));
        close(file);
        TemporaryFile made(path);
        std::ofstream(path) << text;
        return made;
    }
    TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    TemporaryFile& operator=(TemporaryFile&&) = delete;
    ~TemporaryFile() {
        if (!path_.empty()) unlink(path_.c_str());
    }
    const std::string& path() const { return path_; }

private:
    explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

}  // namespace

Result<std::string> StandardDesk::read_file(const std::string& path) {
    std::ostringstream text;
    if (path == "-") {
        text << std::cin.rdbuf();
        return text.str();
    }
    std::ifstream file(path);
    if (!file)
        return fail(ErrorCode::not_found,
                    fmt::format("cannot read {}: {}", path, std::strerror(errno)));
    text << file.rdbuf();
    return text.str();
}

Result<std::string> StandardDesk::edit(const std::string& name, const std::string& text) {
    RLV_TRY(const auto editor, program("EDITOR", {"editor", "vi"}, "editor"));
    std::string safe;
    for (const char c : name) safe += c == '/' ? '_' : c;
    RLV_TRY(const auto file, TemporaryFile::make(safe + "-config-", ".yaml", text));
    RLV_TRY(const int code, run_shell(editor + " " + shell_quoted(file.path())));
    if (code != 0)
        return fail(ErrorCode::failed,
                    fmt::format("the editor {} exited with {}; nothing was changed", editor, code));
    return read_file(file.path());
}

Status StandardDesk::page(const std::string& text) {
    RLV_TRY(const auto pager, program("PAGER", {"less", "more"}, "pager"));
    RLV_TRY(const auto file, TemporaryFile::make("relevoctl-", ".diff", text));
    // less: leave at once when all fits on the screen, keep colours, leave the text there.
    if (!variable("LESS")) setenv("LESS", "FRX", 1);
    RLV_TRY(const int code, run_shell(pager + " < " + shell_quoted(file.path())));
    if (code != 0)
        return fail(ErrorCode::failed, fmt::format("the pager {} exited with {}; set PAGER to "
                                                   "another one, or use --quiet",
                                                   pager, code));
    return {};
}

std::size_t StandardDesk::pick(std::size_t count) {
    std::random_device source;
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(source);
}

}  // namespace relevo::ctl
