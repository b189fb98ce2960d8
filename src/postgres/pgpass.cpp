#include "postgres/pgpass.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "os/file.h"

namespace relevo::postgres {

namespace {

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

}  // namespace

std::string pgpass_lines(const std::string& hosts, int port, const ports::Account& account) {
    if (account.password.empty()) return {};
    std::string text;
    const auto line = [&](std::string_view host) {
        text += fmt::format("{}:{}:*:{}:{}\n", escaped(host), port, escaped(account.username),
                            escaped(account.password));
    };
    bool socket = false;
    for (const std::string& part : split(hosts, ',')) {
        const std::string host(trim(part));
        if (host.empty() || host.starts_with('/')) socket = true;
        if (!host.empty()) line(host);
    }
    if (socket) line("localhost");
    return text;
}

Result<std::string> write_pgpass(const ports::PostgresConfig& config,
                                 const cluster::Upstream& upstream) {
    const std::string lines = pgpass_lines(upstream.host, upstream.port, config.replication);
    if (lines.empty()) return std::string();
    if (config.pgpass.empty())
        return fail(ErrorCode::invalid,
                    "there is no place for the replication password; set postgresql.pgpass");
    if (const auto old = os::read_file(config.pgpass); !old || *old != lines) {
        if (auto written = os::write_file(config.pgpass, lines, 0600); !written)
            return within("writing the password file (postgresql.pgpass)", written.error());
    }
    return config.pgpass;
}

Result<TemporaryPgpass> TemporaryPgpass::make(const ports::PostgresConfig& config,
                                              const std::string& content) {
    std::string path =
        (config.pgpass.empty() ? config.data_dir + ".pgpass" : config.pgpass) + ".XXXXXX";
    const int fd = ::mkostemp(path.data(), O_CLOEXEC);  // 0600
    if (fd < 0)
        return fail(ErrorCode::failed,
                    fmt::format("a password file cannot be made beside postgresql.pgpass ({}): {}",
                                path, std::strerror(errno)));
    TemporaryPgpass file(path);
    std::string_view rest = content;
    while (!rest.empty()) {
        const ssize_t put = ::write(fd, rest.data(), rest.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(put));
    }
    ::close(fd);
    if (!rest.empty())
        return fail(ErrorCode::failed, fmt::format("{} cannot be written: disk full?", path));
    return file;
}

TemporaryPgpass& TemporaryPgpass::operator=(TemporaryPgpass&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
}

TemporaryPgpass::~TemporaryPgpass() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace relevo::postgres
