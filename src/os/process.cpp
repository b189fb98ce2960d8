#include "os/process.h"

#include <dirent.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <map>
#include <set>
#include <utility>

#include "base/text.h"
#include "os/file.h"

namespace relevo::os {

namespace asio = boost::asio;
using boost::system::error_code;

PidHandle::PidHandle(PidHandle&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), fd_(std::exchange(other.fd_, -1)) {}

PidHandle& PidHandle::operator=(PidHandle&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(fd_, other.fd_);
    return *this;
}

PidHandle::~PidHandle() {
    if (fd_ >= 0) ::close(fd_);
}

Result<PidHandle> PidHandle::open(pid_t pid) {
    PidHandle handle;
    handle.pid_ = pid;
    handle.fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U));
    if (handle.fd_ >= 0) return handle;
    if (errno == ESRCH) return fail(ErrorCode::not_found, fmt::format("no process {}", pid));
    return fail(ErrorCode::failed,
                fmt::format("cannot watch process {}: {} (Linux 5.3 or newer is needed)", pid,
                            std::strerror(errno)));
}

bool PidHandle::alive() const { return fd_ >= 0 && !wait(Duration{}); }

Status PidHandle::send(int signal_number) const {
    if (fd_ >= 0 && ::syscall(SYS_pidfd_send_signal, fd_, signal_number, nullptr, 0U) == 0)
        return {};
    const int error = fd_ < 0 ? ESRCH : errno;
    return fail(error == ESRCH ? ErrorCode::not_found : ErrorCode::denied,
                fmt::format("cannot signal process {}: {}", pid_, std::strerror(error)));
}

bool PidHandle::wait(Duration patience) const {
    pollfd item{.fd = fd_, .events = POLLIN, .revents = 0};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(patience).count();
    return ::poll(&item, 1, static_cast<int>(ms)) > 0;
}

struct PidWatch::State : std::enable_shared_from_this<State> {
    asio::posix::stream_descriptor descriptor;
    PidHandle process;
    std::function<void(pid_t)> on_end;
    std::list<asio::steady_timer*> waiting;
    bool over = false;

    State(asio::io_context& loop, PidHandle handle, std::function<void(pid_t)> callback)
        : descriptor(loop, handle.fd()), process(std::move(handle)), on_end(std::move(callback)) {}
    ~State() { descriptor.release(); }  // the handle closes it
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void start() {
        descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                              [self = shared_from_this()](error_code error) {
                                  if (!error) self->end();
                              });
    }
    void end() {
        over = true;
        for (auto* timer : waiting) timer->cancel();
        const auto call = std::exchange(on_end, nullptr);
        if (call) call(process.pid());
    }
};

PidWatch::PidWatch(asio::io_context& loop, PidHandle process, std::function<void(pid_t)> on_end)
    : state_(std::make_shared<State>(loop, std::move(process), std::move(on_end))) {
    state_->start();
}

PidWatch::~PidWatch() {
    state_->on_end = nullptr;
    error_code ignored;
    state_->descriptor.cancel(ignored);
    for (auto* timer : state_->waiting) timer->cancel();
}

pid_t PidWatch::pid() const { return state_->process.pid(); }
bool PidWatch::alive() const { return !state_->over && state_->process.alive(); }
Status PidWatch::send(int signal_number) const { return state_->process.send(signal_number); }

Task<bool> PidWatch::ended(Duration patience) {
    const auto state = state_;
    if (state->over || !state->process.alive()) co_return true;
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, asio::steady_timer::time_point::max());
    if (patience > Duration{})
        timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(patience));
    struct Listed {
        std::list<asio::steady_timer*>& list;
        std::list<asio::steady_timer*>::iterator at;
        Listed(std::list<asio::steady_timer*>& to, asio::steady_timer* timer)
            : list(to), at(to.insert(to.end(), timer)) {}
        ~Listed() { list.erase(at); }
        Listed(const Listed&) = delete;
        Listed& operator=(const Listed&) = delete;
    };
    const Listed listed(state->waiting, &timer);
    error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    co_return state->over || !state->process.alive();
}

namespace {

std::string read_proc(pid_t pid, const char* what) {
    auto text = read_file(fmt::format("/proc/{}/{}", pid, what), 1 << 20);
    return text ? *std::move(text) : std::string();
}

std::string proc_link(pid_t pid, const char* what) {
    auto target = link_target(fmt::format("/proc/{}/{}", pid, what));
    return target ? *std::move(target) : std::string();
}

std::int64_t boot_time_s() {
    static const std::int64_t value = [] {
        const auto text = read_file("/proc/stat", 16 << 20);
        if (!text) return std::int64_t{0};
        const auto at = text->find("\nbtime ");
        if (at == std::string::npos) return std::int64_t{0};
        const auto line = text->substr(at + 7, text->find('\n', at + 7) - at - 7);
        return parse_decimal(line).value_or(0);
    }();
    return value;
}

}  // namespace

std::optional<ProcessInfo> process_info(pid_t pid, Detail detail) {
    const auto stat = read_proc(pid, "stat");
    // "pid (any text) S ppid ...": the name may hold blanks and brackets, so from the last one on.
    const auto bracket = stat.rfind(')');
    if (bracket == std::string::npos || bracket + 2 >= stat.size()) return std::nullopt;
    const auto fields = split(std::string_view(stat).substr(bracket + 2), ' ');
    constexpr std::size_t start_field = 19;  // field 22 of proc(5), counted from the state
    if (fields.size() <= start_field) return std::nullopt;
    ProcessInfo info;
    info.pid = pid;
    info.state = fields[0].empty() ? '?' : fields[0][0];
    info.parent = static_cast<pid_t>(parse_decimal(fields[1]).value_or(0));
    static const auto ticks = ::sysconf(_SC_CLK_TCK);
    info.started_s = boot_time_s() + parse_decimal(fields[start_field]).value_or(0) / ticks;
    if (detail == Detail::family) return info;
    info.program = proc_link(pid, "exe");
    info.directory = proc_link(pid, "cwd");
    if (detail == Detail::no_memory) return info;
    info.title = read_proc(pid, "cmdline");
    std::ranges::replace(info.title, '\0', ' ');
    info.title = trim(info.title);  // a server rewrites its own and pads it
    return info;
}

std::vector<ProcessInfo> all_processes(Detail detail) {
    std::vector<ProcessInfo> found;
    const auto names = list_directory("/proc");
    if (!names) return found;
    for (const auto& name : *names) {
        const auto pid = parse_decimal(name);
        if (!pid) continue;
        if (auto info = process_info(static_cast<pid_t>(*pid), detail))
            found.push_back(*std::move(info));
    }
    return found;
}

std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> found;
    for (const auto& info : all_processes())
        if (info.parent == pid) found.push_back(info.pid);
    return found;
}

std::vector<pid_t> kill_tree(pid_t pid) {
    // A stopped parent makes no more children while we list them; SIGKILL takes a stopped one too.
    // /proc is read as a whole each time: once for all that there are, once more to see that no
    // more came before they were stopped.
    std::vector<pid_t> tree{pid};
    std::set<pid_t> known{pid};
    ::kill(pid, SIGSTOP);
    for (std::size_t before = 0; before != tree.size();) {
        before = tree.size();
        std::multimap<pid_t, pid_t> children;
        for (const auto& info : all_processes(Detail::family))
            children.emplace(info.parent, info.pid);
        for (std::size_t i = 0; i < tree.size(); ++i)
            for (auto [at, end] = children.equal_range(tree[i]); at != end; ++at)
                if (known.insert(at->second).second) {
                    ::kill(at->second, SIGSTOP);
                    tree.push_back(at->second);
                }
    }
    for (const auto one : tree) ::kill(one, SIGKILL);
    return tree;
}

std::optional<std::string> find_program(const std::string& name) {
    const auto executable = [](const std::string& path) {
        return ::access(path.c_str(), X_OK) == 0;
    };
    if (name.find('/') != std::string::npos)
        return executable(name) ? std::optional(name) : std::nullopt;
    const char* path = std::getenv("PATH");
    for (const auto& directory : split(path ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
        auto candidate = (directory.empty() ? "." : directory) + "/" + name;
        if (executable(candidate)) return candidate;
    }
    return std::nullopt;
}

std::string describe(const Finished& finished) {
    auto text = finished.timed_out    ? std::string("it took too long and was ended")
                : finished.signal > 0 ? fmt::format("ended by signal {}", finished.signal)
                                      : fmt::format("exit code {}", finished.exit_code);
    const auto said = trim(finished.err.empty() ? finished.out : finished.err);
    if (said.empty()) return text;
    const auto last = said.substr(said.rfind('\n') + 1);
    return fmt::format("{}: {}", text, last);
}

}  // namespace relevo::os
