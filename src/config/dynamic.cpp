#include "config/dynamic.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/backup.h"
#include "config/node.h"
#include "config/parameters.h"
#include "config/postgresql.h"

namespace relevo::config {
namespace {

bool only_local(std::string_view key) {
    return key == "connect_address" || key == "proxy_address" || key == "listen" ||
           key == "config_dir" || key == "data_dir" || key == "pgpass" || key == "authentication";
}

const Node no_parameters = Node::map();

Status check_map(const Node* node, std::string_view path) {
    if (node == nullptr || node->is(Node::Kind::map)) return {};
    return fail(
        ErrorCode::invalid,
        fmt::format(
            "dynamic configuration: {} is not a mapping; the new configuration is not used, "
            "correct it with `relevoctl edit-config`",
            path));
}

// The dynamic section without what is only local, then each local key whole; parameters are merged
// apart.
Node merge_sections(const Node* dynamic, const Node& local) {
    Node out = Node::map();
    if (dynamic != nullptr)
        for (const auto& [key, value] : dynamic->fields)
            if (!only_local(key)) out.set(key, value);
    for (const auto& [key, value] : local.fields)
        if (key != "parameters" && key != "use_slots") out.set(key, value);
    return out;
}

void drop_controlled(Gucs& gucs) {
    std::erase_if(gucs, [](const auto& guc) { return is_controlled_guc(guc.first); });
}

// Recovery settings belong to recovery_conf, whose own values win; those the agent makes itself go.
void move_recovery_gucs(Gucs& gucs, std::map<std::string, std::string>& recovery_conf) {
    std::erase_if(gucs, [&](const auto& guc) {
        const auto& [name, value] = guc;
        if (!is_recovery_guc(name)) return false;
        if (!name.starts_with("recovery_target") && name != "primary_conninfo" &&
            name != "primary_slot_name" && name != "standby_mode")
            recovery_conf.try_emplace(name, value);
        return true;
    });
}

// In synchronous mode the agent says for whom a commit waits. Another's word beside its own would
// let commits go that the standbys it counts on do not have.
void take_names(Gucs& gucs, std::vector<std::string>& notes) {
    if (gucs.erase("synchronous_standby_names") > 0)
        notes.emplace_back(
            "synchronous_standby_names is the agent's own in synchronous mode; the configured "
            "value is not used");
}

// What this configuration says itself is never below the floor. base: without a word it is the
// server's default, which another file must not lower.
void keep_floor(Gucs& gucs, bool base, const cluster::Settings& settings,
                std::vector<std::string>& notes) {
    using cluster::CommitLevel;
    constexpr const char* guc = "synchronous_commit";
    const CommitLevel floor = settings.synchronous_commit_floor;
    const auto found = gucs.find(guc);
    if (found == gucs.end()) {
        if (base && floor != CommitLevel::off)
            gucs[guc] = to_string(std::max(floor, CommitLevel::on));
        return;
    }
    const auto level = cluster::parse_commit_level(found->second);
    if (level && *level < floor) {
        notes.push_back(
            fmt::format("synchronous_commit = {} is below synchronous_commit_floor: {} "
                        "is used",
                        found->second, to_string(floor)));
        found->second = to_string(floor);
    } else if (level && *level < settings.commit_level_wanted()) {
        notes.push_back(
            fmt::format("synchronous_commit = {}: commits do not wait for a standby's "
                        "disk, and synchronous_mode promises nothing to them. Take it "
                        "out, or set synchronous_commit_floor",
                        found->second));
    }
}

std::optional<Gucs> role_gucs(const Node& merged, const char* key, bool sync_mode,
                              std::vector<std::string>& notes) {
    const Node* node = merged.find(key);
    if (node == nullptr) return std::nullopt;
    const std::string path = fmt::format("postgresql.{}", key);
    if (!node->is(Node::Kind::map)) {
        notes.push_back(path + ": expected a mapping; it is left out");
        return std::nullopt;
    }
    Gucs out = read_gucs(*node, path, notes);
    drop_controlled(out);
    std::erase_if(out, [](const auto& guc) { return is_recovery_guc(guc.first); });
    if (sync_mode) take_names(out, notes);
    return out;
}

void fill_parameters(const Node* dynamic, const Node& local, const Node& merged,
                     const cluster::Settings& settings, ports::PostgresConfig& out,
                     std::vector<std::string>& notes) {
    const bool sync_mode = settings.synchronous_mode != cluster::SyncMode::off;
    const Node* dynamic_node = dynamic != nullptr ? dynamic->find("parameters") : nullptr;
    const Node* local_node = local.find("parameters");
    const Gucs from_dynamic = read_gucs(dynamic_node != nullptr ? *dynamic_node : no_parameters,
                                        "postgresql.parameters", notes);
    Gucs from_local = read_gucs(local_node != nullptr ? *local_node : no_parameters,
                                "postgresql.parameters", notes);
    drop_controlled(from_local);

    Gucs& base = out.parameters.base;
    base = from_dynamic;
    drop_controlled(base);
    for (auto& [name, value] : from_local) base[name] = value;
    move_recovery_gucs(base, out.recovery_conf);
    for (auto& [name, value] : controlled_gucs(from_dynamic, notes)) base[name] = value;
    base["listen_addresses"] = out.listen_addresses;
    base["port"] = std::to_string(out.port);
    base["cluster_name"] = out.scope;
    if (sync_mode) take_names(base, notes);
    out.parameters.primary = role_gucs(merged, "parameters_primary", sync_mode, notes);
    out.parameters.replica = role_gucs(merged, "parameters_replica", sync_mode, notes);
    out.parameters.standby_leader =
        role_gucs(merged, "parameters_standby_leader", sync_mode, notes);
    keep_floor(base, true, settings, notes);
    for (auto* gucs :
         {&out.parameters.primary, &out.parameters.replica, &out.parameters.standby_leader})
        if (*gucs) keep_floor(**gucs, false, settings, notes);
}

// A file of the operator's own in place of ours: then ours is not written.
void respect_own_files(ports::PostgresConfig& out, std::vector<std::string>& notes) {
    const auto check = [&](const char* guc, const char* file,
                           ports::ByRole<std::vector<std::string>>& lines, const char* key) {
        const auto found = out.parameters.base.find(guc);
        if (found == out.parameters.base.end() || found->second == out.config_dir + "/" + file)
            return;
        if (!lines.base.empty() || lines.primary || lines.replica || lines.standby_leader)
            notes.push_back(
                fmt::format("postgresql.{} is not used: {} names another file", key, guc));
        lines = {};
    };
    check("hba_file", "pg_hba.conf", out.pg_hba, "pg_hba");
    check("ident_file", "pg_ident.conf", out.pg_ident, "pg_ident");
}

// Two connections of one standby count as two for PostgreSQL. With a slot there is only one: the
// slot belongs to it.
void use_slots_in_sync_mode(Effective& out, std::vector<std::string>& notes) {
    cluster::Settings& settings = out.settings;
    if (settings.use_slots || settings.synchronous_mode == cluster::SyncMode::off) return;
    settings.use_slots = out.postgres.use_slots = true;
    notes.emplace_back(
        "use_slots is off: in synchronous mode members have slots all the same, since without one "
        "a standby that connects anew can count twice, and let a commit through that only it has");
}

void fill_switches(const Node* dynamic, Effective& out) {
    ports::PostgresConfig& postgres = out.postgres;
    cluster::Settings& settings = out.settings;
    const Node* use_slots = dynamic != nullptr ? dynamic->find("use_slots") : nullptr;
    const auto value =
        use_slots != nullptr && use_slots->is_scalar() ? parse_bool(use_slots->text) : std::nullopt;
    settings.use_slots = postgres.use_slots = value.value_or(true);
    settings.use_pg_rewind = postgres.use_pg_rewind;
    settings.remove_data_directory_on_rewind_failure =
        postgres.remove_data_directory_on_rewind_failure;
    settings.remove_data_directory_on_diverged_timelines =
        postgres.remove_data_directory_on_diverged_timelines;
}

void append_once(std::vector<std::string>& notes, std::string note) {
    if (std::ranges::find(notes, note) == notes.end()) notes.push_back(std::move(note));
}

// Settings of the cluster that this version accepts and does not carry out. Each changes what is
// promised about somebody's data, so each says what holds instead.
void name_what_has_no_effect(const cluster::Settings& settings, std::vector<std::string>& notes) {
    if (settings.standby_cluster)
        notes.emplace_back(
            "standby_cluster is not implemented yet: nobody is promoted while it is set");
    if (std::ranges::any_of(settings.slots, [](const auto& slot) { return slot.second.logical; }))
        notes.emplace_back(
            "logical permanent slots are not implemented yet and have NO EFFECT: they are neither "
            "made nor "
            "copied to replicas, and do not survive a failover");
}

}  // namespace

Result<Effective> effective(const LocalConfig& local, std::string_view dynamic_json) {
    if (trim(dynamic_json).empty()) dynamic_json = "{}";
    auto tree = parse_json(dynamic_json);
    if (!tree) return within("dynamic configuration", tree.error());
    if (!tree->is(Node::Kind::map))
        return fail(ErrorCode::invalid,
                    "dynamic configuration: expected a JSON object; the new one is not used");
    RLV_TRY(cluster::ReadSettings read, cluster::read_settings(dynamic_json));
    const Node* dynamic = tree->find("postgresql");
    RLV_CHECK(check_map(dynamic, "postgresql"));
    if (dynamic != nullptr)
        RLV_CHECK(check_map(dynamic->find("parameters"), "postgresql.parameters"));
    RLV_TRY(const Node own, parse_json(local.postgresql_json));

    Effective out;
    out.settings = std::move(read.settings);
    std::vector<std::string> notes = std::move(read.notes);

    // What is only local was typed when the file was read; the rest is read anew from the merged
    // section.
    const ports::PostgresConfig& typed = local.postgres;
    ports::PostgresConfig& postgres = out.postgres;
    postgres.scope = typed.scope;
    postgres.name = typed.name;
    postgres.listen_addresses = typed.listen_addresses;
    postgres.port = typed.port;
    postgres.connect_host = typed.connect_host;
    postgres.connect_port = typed.connect_port;
    postgres.proxy_address = typed.proxy_address;
    postgres.data_dir = typed.data_dir;
    postgres.config_dir = typed.config_dir;
    postgres.pgpass = typed.pgpass;
    postgres.superuser = typed.superuser;
    postgres.replication = typed.replication;
    postgres.rewind = typed.rewind;
    postgres.bootstrap = typed.bootstrap;

    const Node merged = merge_sections(dynamic, own);
    std::vector<Problem> problems;
    Reader section(&merged, "postgresql", problems);
    const auto& standby = out.settings.standby_cluster;
    read_postgresql(section, standby ? standby->create_replica_methods : std::vector<std::string>{},
                    postgres, notes);
    name_what_has_no_effect(out.settings, notes);
    const bool agent_owns_names = out.settings.synchronous_mode != cluster::SyncMode::off;
    postgres.agent_owns_names = agent_owns_names;
    fill_parameters(dynamic, own, merged, out.settings, postgres, notes);
    archive_with(local, postgres, notes);
    respect_own_files(postgres, notes);
    fill_switches(dynamic, out);
    use_slots_in_sync_mode(out, notes);
    for (const Problem& problem : problems)
        notes.push_back(to_text(problem) + "; the default is used");
    for (std::string& note : notes) append_once(out.notes, std::move(note));
    return out;
}

std::string default_dynamic_json(const LocalConfig& local) {
    return local.bootstrap_dcs_json.empty() ? "{}" : local.bootstrap_dcs_json;
}

}  // namespace relevo::config
