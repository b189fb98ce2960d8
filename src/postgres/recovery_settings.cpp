#include "postgres/recovery_settings.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "postgres/parameter_catalog.h"

namespace relevo::postgres {

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// From which version a change needs only a reload; before it, and for all others, a restart.
struct Reloadable {
    const char* name;
    int since;
};
constexpr std::array reloadable{
    Reloadable{.name = "primary_conninfo", .since = 130000},
    Reloadable{.name = "primary_slot_name", .since = 130000},
    Reloadable{.name = "promote_trigger_file", .since = 120000},
    Reloadable{.name = "recovery_min_apply_delay", .since = 120000},
    Reloadable{.name = "archive_cleanup_command", .since = 120000},
    Reloadable{.name = "recovery_end_command", .since = 120000},
    Reloadable{.name = "restore_command", .since = 140000},
};

bool needs_quotes(std::string_view value) {
    return value.empty() || value.find_first_of(" \t\n\r\\'") != std::string_view::npos;
}

// 17 began to use the database of a physical connection (slot synchronisation).
bool same_conninfo(std::string_view a, std::string_view b, int version) {
    auto left = parse_conninfo(a);
    auto right = parse_conninfo(b);
    if (!left || !right) return a == b;
    if (version < 170000) {
        left->erase("dbname");
        right->erase("dbname");
    }
    return *left == *right;
}

}  // namespace

std::string make_conninfo(const Pairs& pairs) {
    std::string text;
    for (const auto& [key, value] : pairs) {
        if (value.empty()) continue;
        if (!text.empty()) text += ' ';
        text += key;
        text += '=';
        if (!needs_quotes(value)) {
            text += value;
            continue;
        }
        text += '\'';
        for (const char c : value) {
            if (c == '\'' || c == '\\') text += '\\';
            text += c;
        }
        text += '\'';
    }
    return text;
}

std::optional<std::map<std::string, std::string>> parse_conninfo(std::string_view text) {
    std::map<std::string, std::string> pairs;
    const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
    std::size_t at = 0;
    const auto skip = [&] {
        while (at < text.size() && blank(text[at])) ++at;
    };
    for (skip(); at < text.size(); skip()) {
        std::string key, value;
        while (at < text.size() && text[at] != '=' && !blank(text[at])) key += text[at++];
        skip();
        if (key.empty() || at >= text.size() || text[at] != '=') return std::nullopt;
        ++at;
        skip();
        const bool quoted = at < text.size() && text[at] == '\'';
        if (quoted) ++at;
        for (; at < text.size() && (quoted ? text[at] != '\'' : !blank(text[at])); ++at) {
            if (text[at] == '\\' && ++at >= text.size()) break;
            value += text[at];
        }
        if (quoted) {
            if (at >= text.size()) return std::nullopt;
            ++at;
        }
        pairs[key] = value;
    }
    return pairs;
}

Pairs account_options(const ports::Account& account, int version) {
    static constexpr std::array names{
        "sslmode", "sslcert",   "sslkey",     "sslpassword",     "sslrootcert",
        "sslcrl",  "sslcrldir", "gssencmode", "channel_binding", "sslnegotiation"};
    const auto fallback = [version](std::string_view name) -> std::string {
        if (name == "sslmode") return "prefer";
        if (name == "gssencmode" && version >= 120000) return "prefer";
        if (name == "channel_binding" && version >= 130000) return "prefer";
        if (name == "sslnegotiation" && version >= 170000) return "postgres";
        return {};
    };
    const auto understood = [version](std::string_view name) {
        if (name == "gssencmode") return version >= 120000;
        if (name == "channel_binding" || name == "sslpassword") return version >= 130000;
        if (name == "sslcrldir") return version >= 140000;
        if (name == "sslnegotiation") return version >= 170000;
        return true;
    };
    Pairs pairs;
    for (const char* name : names) {
        if (!understood(name)) continue;
        const auto given = account.options.find(name);
        std::string value = given != account.options.end() ? given->second : fallback(name);
        if (!value.empty()) pairs.emplace_back(name, std::move(value));
    }
    return pairs;
}

std::string primary_conninfo(const ports::PostgresConfig& config, const cluster::Upstream& upstream,
                             int version, const std::string& pgpass_file) {
    Pairs pairs;
    if (version >= 170000) pairs.emplace_back("dbname", config.database);
    pairs.emplace_back("user", config.replication.username);
    pairs.emplace_back("passfile", pgpass_file);
    pairs.emplace_back("host", upstream.host);
    pairs.emplace_back("port", std::to_string(upstream.port));
    const auto options = account_options(config.replication, version);
    pairs.insert(pairs.end(), options.begin(), options.end());
    pairs.emplace_back("application_name", config.name);
    pairs.emplace_back("krbsrvname", config.krbsrvname);
    // A cut that heals is noticed when TCP sends again, up to twice its own length later. Both ends
    // give the connection up after a few seconds instead, and a new one is made within a moment. (A
    // server before 13 would have to be restarted for a change of this.)
    if (version >= 130000) {
        pairs.emplace_back("keepalives_idle", "2");
        pairs.emplace_back("keepalives_interval", "1");
        pairs.emplace_back("keepalives_count", "3");
        pairs.emplace_back("tcp_user_timeout", "5000");
        pairs.emplace_back("options",
                           "-ctcp_user_timeout=5000 -ctcp_keepalives_idle=2 "
                           "-ctcp_keepalives_interval=1 -ctcp_keepalives_count=3");
    }
    // A list of hosts outside the cluster, of which only the primary has our slot.
    if (upstream.host.contains(',') && !upstream.slot_name.empty())
        pairs.emplace_back("target_session_attrs", "read-write");
    return make_conninfo(pairs);
}

RecoverySettings recovery_settings(const ports::PostgresConfig& config,
                                   const std::optional<cluster::Upstream>& upstream, int version,
                                   const std::string& pgpass_file) {
    RecoverySettings settings;
    for (const auto& [name, value] : config.recovery_conf) {
        const std::string key = lower(name);
        if (key.starts_with("recovery_target") || key == "standby_mode") continue;
        // Promotion by file is gone since 16; before that the agent promotes and a file must not.
        if (key == "promote_trigger_file" || key == "trigger_file") continue;
        settings.values[key] = value;
    }
    settings.values["primary_conninfo"] =
        upstream ? primary_conninfo(config, *upstream, version, pgpass_file) : "";
    settings.values["primary_slot_name"] = upstream && config.use_slots ? upstream->slot_name : "";
    for (auto& [name, value] : no_recovery_target()) settings.values[name] = value;
    return settings;
}

std::map<std::string, std::string> no_recovery_target() {
    std::map<std::string, std::string> values{{"recovery_target_timeline", "latest"}};
    for (const char* name : {"recovery_target", "recovery_target_lsn", "recovery_target_name",
                             "recovery_target_time", "recovery_target_xid"})
        values[name] = "";
    return values;
}

RecoveryChange compare_recovery(const std::map<std::string, std::string>& wanted,
                                const std::map<std::string, std::string>& actual, int version) {
    RecoveryChange change = RecoveryChange::nothing;
    const auto raise = [&](const std::string& name) {
        const auto known =
            std::ranges::find_if(reloadable, [&](const Reloadable& r) { return name == r.name; });
        const bool reload_serves = known != reloadable.end() && version >= known->since;
        change = std::max(change, reload_serves ? RecoveryChange::reload : RecoveryChange::restart);
    };
    for (const auto& [name, value] : wanted) {
        const auto found = actual.find(name);
        if (found == actual.end()) continue;  // a parameter that this server does not have
        const bool same = name == "primary_conninfo" ? same_conninfo(value, found->second, version)
                          : name == "recovery_min_apply_delay"
                              ? parse_int(value, "ms") == parse_int(found->second, "ms")
                              : value == found->second;
        if (!same) raise(name);
    }
    return change;
}

}  // namespace relevo::postgres
