#include "agent/proof_site.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <csignal>
#include <filesystem>
#include <system_error>
#include <vector>

#include "backup/proof_server.h"
#include "base/text.h"
#include "os/file.h"
#include "os/process.h"

namespace relevo::agent {
namespace fs = std::filesystem;

namespace {

constexpr const char* mark = "relevo-proof";

// Beside the data: WAL that recovery has fetched (backup/proof_server.cpp bounds it), and what a
// server writes by itself.
constexpr std::uint64_t wal_room = 1ULL << 30U;

std::string parent_of(const std::string& path) { return fs::path(path).parent_path().string(); }

bool is_ours(const ProofSite& site) {
    const auto text = os::read_file(site.file(mark));
    return text && *text == site.owner;
}

Status judge_room(const ProofSite& site, std::uint64_t database_bytes) {
    std::error_code error;
    const auto space = fs::space(parent_of(site.directory), error);
    if (error)
        return fail(ErrorCode::failed,
                    fmt::format("how much room there is for {} cannot be told: {}", site.directory,
                                error.message()));
    // Others live on this file system too, a server of the cluster perhaps: some stays free.
    const auto needed = database_bytes + database_bytes / 10 + wal_room + space.capacity / 20;
    if (space.available >= needed) return {};
    return fail(ErrorCode::failed,
                fmt::format("there is not enough room for {}: {} MB are free, and {} MB are needed "
                            "(the backup restores to {} MB; WAL, and a twentieth of the file "
                            "system that stays free); name a larger disk in "
                            "backup.proof.directory",
                            site.directory, space.available >> 20U, (needed >> 20U) + 1,
                            (database_bytes >> 20U) + 1));
}

Status judge_place(const ProofSite& site) {
    if (!fs::is_directory(parent_of(site.directory)))
        return fail(ErrorCode::not_found,
                    fmt::format("there is no directory {}: make it, for the user that PostgreSQL "
                                "runs as, or name another in backup.proof.directory",
                                parent_of(site.directory)));
    const auto socket =
        fmt::format("{}/.s.PGSQL.{}.lock", site.sockets(), backup::proof_port).size();
    if (socket >= sizeof(sockaddr_un::sun_path))
        return fail(ErrorCode::invalid,
                    fmt::format("the path {} is too long for a server's socket in it: name a "
                                "shorter one in backup.proof.directory",
                                site.directory));
    RLV_TRY(const auto state, os::directory_state(site.directory));
    if (state == os::DirectoryState::absent || state == os::DirectoryState::empty) return {};
    if (state == os::DirectoryState::filled && is_ours(site)) return clear_proof(site);
    return fail(ErrorCode::conflict,
                fmt::format("{} is there, and no proof of this member's: nothing is restored over "
                            "it; move it away, or name another in backup.proof.directory",
                            site.directory));
}

// Servers and the programs that they start work in the data directory; pgBackRest's helpers, which
// outlive it for a moment, name it.
std::vector<pid_t> at_work(const ProofSite& site) {
    const auto data = site.data();
    // As the kernel tells it: links on the way to it are followed.
    std::error_code ignored;
    const auto real = fs::weakly_canonical(data, ignored).string();
    std::vector<pid_t> out;
    for (const auto& process : os::all_processes()) {
        const bool inside = !real.empty() && (process.directory == real ||
                                              process.directory.starts_with(real + "/") ||
                                              process.directory == real + " (deleted)");
        const bool helps = process.title.contains(data) && process.title.contains("restore:local");
        if (inside || helps) out.push_back(process.pid);
    }
    return out;
}

Status end_all(const ProofSite& site) {
    // Each look finds what came while those before it were ended; SIGKILL leaves none of them.
    constexpr int looks = 5;
    for (int i = 0; i < looks; ++i) {
        const auto found = at_work(site);
        if (found.empty()) return {};
        for (const auto pid : found) {
            auto handle = os::PidHandle::open(pid);
            if (!handle) continue;
            (void)os::kill_tree(pid);
            (void)handle->wait(std::chrono::seconds(2));
        }
    }
    if (at_work(site).empty()) return {};
    return fail(ErrorCode::failed,
                fmt::format("what runs in {} does not end: it is left there", site.directory));
}

}  // namespace

ProofSite proof_site(const std::string& under, const std::string& scope, const std::string& member,
                     const std::string& data_dir) {
    auto data = fs::path(data_dir).lexically_normal().string();
    while (data.size() > 1 && data.back() == '/') data.pop_back();
    auto above = fs::path(under).lexically_normal().string();
    while (above.size() > 1 && above.back() == '/') above.pop_back();
    auto name = fmt::format("{}.{}.proof", scope, member);
    for (char& c : name)
        if (c == '/' || static_cast<unsigned char>(c) < 0x20) c = '_';
    return {
        .directory = under.empty() ? data + ".proof" : above + "/" + name,
        .owner = fmt::format("a proof of restore of {} of {}, data in {}\n", member, scope, data),
        .note = data + ".pgbackrest/proof"};
}

Status begin_proof(const ProofSite& site, std::uint64_t database_bytes) {
    RLV_CHECK(judge_place(site));
    RLV_CHECK(judge_room(site, database_bytes));
    RLV_CHECK(os::make_directory(parent_of(site.note), 0700));
    RLV_CHECK(os::write_file(site.note, site.directory + "\n", 0600));
    RLV_CHECK(os::make_directory(site.directory, 0700));
    RLV_CHECK(os::write_file(site.file(mark), site.owner, 0600));
    RLV_CHECK(os::make_directory(site.data(), 0700));
    return os::make_directory(site.sockets(), 0700);
}

Status clear_proof(const ProofSite& site) {
    if (!os::exists(site.directory)) return os::remove_file(site.note);
    if (is_ours(site)) {
        RLV_CHECK(end_all(site));
        RLV_TRY(const auto names, os::list_directory(site.directory));
        // The mark goes last: what a crash leaves meanwhile is still known as ours.
        for (const auto& name : names)
            if (name != mark) RLV_CHECK(os::remove_tree(site.file(name.c_str())));
        RLV_CHECK(os::remove_file(site.file(mark)));
    }
    // It has no mark, or none any more: then it goes only when it is empty.
    std::error_code ignored;
    fs::remove(site.directory, ignored);
    return os::remove_file(site.note);
}

Result<std::string> clear_left_proof(const ProofSite& site) {
    const auto note = os::read_file(site.note);
    if (!note) {
        if (note.error().code == ErrorCode::not_found) return std::string();
        return std::unexpected(note.error());
    }
    auto left = site;
    left.directory = std::string(trim(*note));
    if (!left.directory.starts_with('/'))
        return fail(ErrorCode::failed, site.note + " does not tell where a proof was made");
    const bool there = os::exists(left.directory);
    RLV_CHECK(clear_proof(left));
    return there ? left.directory : std::string();
}

}  // namespace relevo::agent
