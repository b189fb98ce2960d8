#include "pgbackrest/info.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/text.h"

namespace relevo::pgbackrest {
namespace {

using cluster::BackupRecord;
using cluster::Repository;
using nlohmann::json;

// pgBackRest's own is 8 deep.
constexpr std::size_t nesting_max = 32;
constexpr std::size_t text_max = 1000;

std::string printable(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = ' ';
    return out;
}

// The field of an object; null where there is none.
const json& field(const json& object, const char* key) {
    static const json nothing;
    if (!object.is_object()) return nothing;
    const auto found = object.find(key);
    return found == object.end() ? nothing : *found;
}

// Iterating over a scalar would give the scalar.
const json& list(const json& object, const char* key) {
    static const json none = json::array();
    const json& found = field(object, key);
    return found.is_array() ? found : none;
}

// One line, and no longer than somebody reads.
std::string text(const json& value) {
    if (!value.is_string()) return {};
    auto out = value.get<std::string>();
    if (out.size() > text_max) out.resize(text_max);
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    return out;
}

std::uint64_t number(const json& value) {
    return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

int small(const json& value, int otherwise) {
    if (!value.is_number_integer()) return otherwise;
    const auto wide = value.get<std::int64_t>();
    return wide >= 0 && wide <= 1'000'000 ? static_cast<int>(wide) : otherwise;
}

// Seconds since 1970; nobody's backup is of a later century.
WallTime time(const json& value) {
    constexpr std::uint64_t most = 32'503'680'000;  // the year 3000
    return WallTime(std::chrono::seconds(std::min(number(value), most)));
}

cluster::Lsn lsn(const json& value) {
    return cluster::parse_lsn(text(value)).value_or(cluster::Lsn{});
}

struct Database {
    int repository, id;
    std::string system_id, version;
};

std::vector<Database> databases(const json& stanza) {
    std::vector<Database> out;
    for (const json& each : list(stanza, "db")) {
        const json& system_id = field(each, "system-id");
        out.push_back({.repository = small(field(each, "repo-key"), 1),
                       .id = small(field(each, "id"), 0),
                       .system_id = system_id.is_number_unsigned()
                                        ? std::to_string(system_id.get<std::uint64_t>())
                                        : std::string(),
                       .version = text(field(each, "version"))});
    }
    return out;
}

// An archive and a backup name their database by repository and number.
const Database* find(const std::vector<Database>& all, const json& key) {
    const int repository = small(field(key, "repo-key"), 1);
    const int id = small(field(key, "id"), 0);
    const auto found = std::ranges::find_if(
        all, [&](const Database& one) { return one.repository == repository && one.id == id; });
    return found == all.end() ? nullptr : &*found;
}

BackupRecord backup(const json& from, const std::vector<Database>& all) {
    BackupRecord out;
    out.label = text(field(from, "label"));
    out.type = cluster::parse_backup_type(text(field(from, "type"))).value_or(out.type);
    out.prior = text(field(from, "prior"));
    for (const json& each : list(from, "reference"))
        if (auto label = text(each); !label.empty()) out.needs.push_back(std::move(label));
    const json& timestamp = field(from, "timestamp");
    out.started = time(field(timestamp, "start"));
    out.stopped = time(field(timestamp, "stop"));
    const json& archive = field(from, "archive");
    out.wal_start = text(field(archive, "start"));
    out.wal_stop = text(field(archive, "stop"));
    const json& positions = field(from, "lsn");
    out.lsn_start = lsn(field(positions, "start"));
    out.lsn_stop = lsn(field(positions, "stop"));
    const json& key = field(from, "database");
    out.repository = small(field(key, "repo-key"), 1);
    if (const auto* database = find(all, key)) {
        out.system_id = database->system_id;
        out.postgres_version = database->version;
    }
    out.pgbackrest_version = text(field(field(from, "backrest"), "version"));
    const json& info = field(from, "info");
    out.database_bytes = number(field(info, "size"));
    out.copied_bytes = number(field(info, "delta"));
    out.stored_bytes = number(field(field(info, "repository"), "delta"));
    if (const json& error = field(from, "error"); error.is_boolean())
        out.page_errors = error.get<bool>();
    return out;
}

// Told since 2.48 or so, and only to who is on the host where the backup is made.
void read_lock(const json& status, Repository& out) {
    const json& lock = field(field(status, "lock"), "backup");
    const json& held = field(lock, "held");
    out.backup_running = held.is_boolean() && held.get<bool>();
    const auto total = number(field(lock, "size"));
    if (!out.backup_running || total == 0) return;
    const auto done = std::min(total, number(field(lock, "size-cplt")));
    out.progress = cluster::BackupProgress{
        .done_bytes = done,
        .total_bytes = total,
        .percent = 100.0 * static_cast<double>(done) / static_cast<double>(total)};
}

Repository stanza_of(const json& from, std::string_view name) {
    Repository out;
    out.stanza = name;
    const json& status = field(from, "status");
    out.code = small(field(status, "code"), 99);
    out.message = text(field(status, "message"));
    read_lock(status, out);
    for (const json& each : list(from, "repo")) {
        const json& own = field(each, "status");
        out.repositories.push_back({.repository = small(field(each, "key"), 1),
                                    .code = small(field(own, "code"), 99),
                                    .message = text(field(own, "message")),
                                    .cipher = text(field(each, "cipher"))});
    }
    const auto all = databases(from);
    for (const json& each : list(from, "backup")) {
        auto one = backup(each, all);
        if (!one.label.empty()) out.backups.push_back(std::move(one));
    }
    std::ranges::sort(out.backups, {},
                      [](const BackupRecord& one) { return std::tie(one.stopped, one.label); });
    for (const json& each : list(from, "archive")) {
        const json& key = field(each, "database");
        const auto* database = find(all, key);
        out.archives.push_back({.repository = small(field(key, "repo-key"), 1),
                                .id = text(field(each, "id")),
                                .system_id = database ? database->system_id : std::string(),
                                .wal_min = text(field(each, "min")),
                                .wal_max = text(field(each, "max"))});
    }
    return out;
}

}  // namespace

Result<Repository> parse_info(std::string_view json_text, std::string_view stanza) {
    const auto odd = [] {
        return fail(ErrorCode::invalid,
                    "pgBackRest's answer is not understood: is this really pgBackRest, 2.24 or "
                    "later? Try `pgbackrest info --output=json`");
    };
    if (json_nesting(json_text) > nesting_max) return odd();
    auto all = json::parse(json_text, nullptr, false);
    // With a wrong passphrase there are raw bytes of what it decrypted in the message.
    if (all.is_discarded()) all = json::parse(printable(json_text), nullptr, false);
    if (!all.is_array()) return odd();
    for (const json& each : all)
        if (text(field(each, "name")) == stanza) return stanza_of(each, stanza);
    Repository none;
    none.stanza = stanza;
    none.code = 1;
    none.message = "missing stanza path";
    return none;
}

Result<ports::Backup::Archived> parse_archive(std::string_view json_text) {
    json all;
    if (json_nesting(json_text) <= nesting_max) all = json::parse(json_text, nullptr, false);
    if (!all.is_object())
        return fail(ErrorCode::invalid, "pgBackRest's list of the archive is not understood");
    // 15-1/0000000100000000/000000010000000000000001-0f6aa7aaf7a8b49f9a49712fccdbdbbf0c4ca74b.lz4
    constexpr std::size_t digits = 24, timeline_digits = 8;
    constexpr std::string_view hexadecimal = "0123456789ABCDEF";
    ports::Backup::Archived out;
    for (const auto& [path, about] : all.items()) {
        const auto name = path.substr(path.rfind('/') + 1);
        if (name.size() > digits && name[digits] == '-' &&
            name.find_first_not_of(hexadecimal) == digits) {
            out.segments.push_back(name.substr(0, digits));
            out.stored.push_back(time(field(about, "time")));
        } else if (name.size() > timeline_digits && name.substr(timeline_digits) == ".history" &&
                   name.find_first_not_of(hexadecimal) == timeline_digits) {
            cluster::Timeline timeline = 0;
            std::from_chars(name.data(), name.data() + timeline_digits, timeline, 16);
            if (timeline != 0) out.histories.push_back(timeline);
        }
    }
    std::ranges::sort(out.histories);
    return out;
}

}  // namespace relevo::pgbackrest
