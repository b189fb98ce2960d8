#include "postgres/slots.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "base/log.h"
#include "postgres/connection.h"

namespace relevo::postgres {

namespace {

using Kind = SlotChange::Kind;

const cluster::Slot* find(const std::vector<cluster::Slot>& slots, const std::string& name) {
    const auto found = std::ranges::find(slots, name, &cluster::Slot::name);
    return found == slots.end() ? nullptr : &*found;
}

SlotChange change(Kind kind, const cluster::SlotPlan::Wanted& wanted, std::string why) {
    return {.kind = kind,
            .name = wanted.name,
            .advance_to = wanted.advance_to,
            .logical = wanted.logical,
            .database = wanted.database,
            .plugin = wanted.plugin,
            .why = std::move(why)};
}

// Why an existing slot cannot stay as it is; empty: it can.
std::string broken(const cluster::SlotPlan::Wanted& wanted, const cluster::Slot& slot,
                   bool primary) {
    if (slot.type != (wanted.logical ? "logical" : "physical")) return "it is of another kind";
    if (wanted.logical && (slot.plugin != wanted.plugin || slot.database != wanted.database))
        return "it is of another database or plugin";
    if (wanted.logical) return {};
    if (slot.lost) return "its WAL is lost";
    if (!slot.restart) return "it reserves no WAL";
    // An xmin that nobody moves any more holds back vacuum for ever.
    if (slot.has_xmin && !wanted.expected_active && primary)
        return "its xmin would hold back vacuum";
    return {};
}

}  // namespace

std::vector<SlotChange> plan_slots(const cluster::SlotPlan& plan,
                                   const std::vector<cluster::Slot>& slots, bool primary) {
    std::vector<SlotChange> changes;
    std::set<std::string, std::less<>> known(plan.keep.begin(), plan.keep.end());
    for (const auto& wanted : plan.wanted) {
        known.insert(wanted.name);
        const cluster::Slot* slot = find(slots, wanted.name);
        if (slot == nullptr) {
            // A logical slot cannot be made on a standby; it is copied from the primary instead.
            if (!wanted.logical || primary)
                changes.push_back(change(Kind::create, wanted, "it is wanted"));
            continue;
        }
        if (std::string why = broken(wanted, *slot, primary); !why.empty()) {
            if (!slot->active && (!wanted.logical || primary))
                changes.push_back(change(Kind::recreate, wanted, std::move(why)));
            continue;
        }
        if (!slot->active && !wanted.expected_active && wanted.advance_to > slot->restart &&
            !wanted.logical)
            changes.push_back(change(Kind::advance, wanted, "its member moved on"));
    }
    if (!plan.drop_others) return changes;
    for (const cluster::Slot& slot : slots)
        if (!known.contains(slot.name) && !slot.active)
            changes.push_back({.kind = Kind::drop,
                               .name = slot.name,
                               .advance_to = {},
                               .logical = slot.type == "logical",
                               .database = slot.database,
                               .plugin = slot.plugin,
                               .why = "nobody wants it"});
    return changes;
}

namespace {

constexpr std::chrono::seconds patience{10};

// One answer with the role in every row, so that the plan fits the server as it is at this instant.
constexpr const char* read_slots =
    "SELECT NOT pg_is_in_recovery(), s.slot_name, s.slot_type, s.database, s.plugin, s.active, "
    "s.restart_lsn, "
    "s.confirmed_flush_lsn, s.xmin IS NOT NULL, {} "
    "FROM (VALUES (1)) one LEFT JOIN pg_replication_slots s ON NOT s.temporary";

cluster::Lsn lsn_of(const std::optional<std::string>& text) {
    return text ? cluster::parse_lsn(*text).value_or(cluster::Lsn{}) : cluster::Lsn{};
}

struct SlotsThere {
    bool primary = false;
    std::vector<cluster::Slot> slots;
};

SlotsThere parse_slots(const Rows& rows) {
    SlotsThere there;
    for (const auto& row : rows.rows) {
        there.primary = row[0] == "t";
        if (!row[1]) continue;  // no slot at all
        cluster::Slot slot;
        slot.name = *row[1];
        slot.type = row[2].value_or("");
        slot.database = row[3].value_or("");
        slot.plugin = row[4].value_or("");
        slot.active = row[5] == "t";
        slot.restart = lsn_of(row[6]);
        slot.confirmed_flush = lsn_of(row[7]);
        slot.has_xmin = row[8] == "t";
        slot.lost = row[9] == "lost";
        there.slots.push_back(std::move(slot));
    }
    return there;
}

std::string creation(const Connection& connection, const SlotChange& change) {
    return change.logical
               ? fmt::format("pg_create_logical_replication_slot({}, {})",
                             connection.literal(change.name), connection.literal(change.plugin))
               : fmt::format("pg_create_physical_replication_slot({}, true)",
                             connection.literal(change.name));
}

std::string statement(const Connection& connection, const SlotChange& change) {
    const std::string name = connection.literal(change.name);
    switch (change.kind) {
        case Kind::create: return "SELECT " + creation(connection, change);
        case Kind::drop: return fmt::format("SELECT pg_drop_replication_slot({})", name);
        case Kind::recreate:
            return fmt::format("SELECT pg_drop_replication_slot({}); SELECT {}", name,
                               creation(connection, change));
        case Kind::advance:
            return fmt::format("SELECT pg_replication_slot_advance({}, {}::pg_lsn)", name,
                               connection.literal(cluster::to_string(change.advance_to)));
    }
    return {};
}

const char* word(Kind kind) {
    switch (kind) {
        case Kind::create: return "created";
        case Kind::drop: return "dropped";
        case Kind::recreate: return "dropped and created again";
        case Kind::advance: return "advanced";
    }
    return "";
}

}  // namespace

Task<Status> sync_slots(Connection& connection, const cluster::SlotPlan& plan) {
    const std::string sql = fmt::format(
        fmt::runtime(read_slots), connection.server_version() >= 130000 ? "s.wal_status" : "NULL");
    auto rows = co_await connection.query(sql, patience);
    if (!rows) co_return within("reading the replication slots", rows.error());
    const SlotsThere there = parse_slots(*rows);

    Status first;
    for (const SlotChange& change : plan_slots(plan, there.slots, there.primary)) {
        // A database's slot is made from within it; that connection belongs to the caller of
        // logical slots.
        if (change.logical && (change.kind == Kind::create || change.kind == Kind::recreate))
            continue;
        auto made = co_await connection.script(statement(connection, change), patience);
        if (made) {
            if (change.kind != Kind::advance)
                log::info("slot {} {}: {}", change.name, word(change.kind), change.why);
            continue;
        }
        log::warning("slot {} could not be {}: {}", change.name, word(change.kind),
                     made.error().message);
        if (first) first = within(fmt::format("replication slot {}", change.name), made.error());
        if (!connection.usable()) break;
    }
    co_return first;
}

}  // namespace relevo::postgres
