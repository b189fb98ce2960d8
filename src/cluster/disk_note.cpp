#include "cluster/disk_note.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"

namespace relevo::cluster {
namespace {

constexpr std::uint64_t segment = std::uint64_t{16} << 20U;
// A few segments are always there: whoever holds no more than these is no reason.
constexpr std::uint64_t next_to_none = 4 * segment;
constexpr std::size_t slots_shown = 3;

std::string slots_text(const std::vector<WalHolders::HoldingSlot>& slots) {
    std::vector<std::string> parts;
    for (const auto& slot : slots) {
        if (parts.size() == slots_shown) {
            parts.push_back(fmt::format("{} more", slots.size() - slots_shown));
            break;
        }
        parts.push_back(fmt::format("{} {} ({})", slot.name, size_text(slot.bytes),
                                    slot.active ? "its reader is slow" : "nobody reads it"));
    }
    return (slots.size() == 1 ? "slot " : "slots ") + join(parts, ", ");
}

}  // namespace

std::vector<WalHolders::HoldingSlot> holding_slots(const LocalPostgres& postgres) {
    const Lsn end = postgres.in_recovery ? postgres.position() : postgres.wal;
    std::vector<WalHolders::HoldingSlot> out;
    for (const Slot& slot : postgres.slots) {
        if (!slot.restart || slot.lost) continue;
        const auto bytes = distance(end, slot.restart);
        if (bytes > next_to_none) out.push_back({slot.name, bytes, slot.active});
    }
    std::ranges::sort(out, [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
    return out;
}

std::string failed_note(const std::vector<FailedPlace>& places, std::string_view scope,
                        std::string_view member) {
    std::vector<std::string> shown;
    shown.reserve(places.size());
    for (const auto& place : places) shown.push_back(fmt::format("{}: {}", place.what, place.why));
    return fmt::format(
        "{}. To do: see what the kernel says of it (journalctl -k, dmesg) and whether its storage "
        "is there; repair the file system (end relevo, unmount, fsck, mount, start relevo), or "
        "replace the disk and then `relevoctl reinit {} {}`",
        join(shown, "; "), scope, member);
}

std::string disk_note(const std::vector<DiskPlace>& places, const WalHolders& holders) {
    std::vector<std::string> shown;
    for (const DiskPlace& place : places)
        if (place.state != DiskState::ok) shown.push_back(describe(place));
    if (shown.empty()) return {};
    std::vector<std::string> holding, todo;
    if (!holders.slots.empty()) {
        holding.push_back(slots_text(holders.slots));
        const auto& worst = holders.slots.front();
        todo.push_back(
            worst.active
                ? fmt::format("speed up the reader of slot {}", worst.name)
                : fmt::format("bring back the reader of slot {}, or drop the slot", worst.name));
    }
    if (holders.queue_bytes > next_to_none) {
        holding.push_back(fmt::format("the archiver's queue {} ({} segments)",
                                      size_text(holders.queue_bytes), holders.queue_segments));
        todo.emplace_back("see in the server log why archive_command fails or is slow");
    }
    const auto kept = parse_int(holders.wal_keep_size, "MB");
    if (kept && static_cast<std::uint64_t>(std::max<std::int64_t>(*kept, 0)) << 20U > next_to_none)
        holding.push_back("wal_keep_size " + holders.wal_keep_size);
    todo.emplace_back("delete what is not needed (never files of pg_wal), or enlarge the disk");
    auto out = join(shown, "; ");
    if (holders.wal_bytes > 0) out += fmt::format(". pg_wal has {}", size_text(holders.wal_bytes));
    if (!holding.empty()) out += ". WAL is held by " + join(holding, ", ");
    return out + ". To do: " + join(todo, "; ");
}

}  // namespace relevo::cluster
