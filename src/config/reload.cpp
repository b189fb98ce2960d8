#include "config/reload.h"

#include <fmt/format.h>

#include "config/node.h"

namespace relevo::config {
namespace {

class Keeper {
public:
    std::vector<std::string> notes;

    template <class T>
    void keep(const char* key, const T& running, T& fresh) {
        if (running == fresh) return;
        fresh = running;
        notes.push_back(fmt::format(
            "{} changed in the file; it takes effect when the agent is restarted", key));
    }
};

// Effective settings are merged from this text, so what is kept must stand in it too.
std::string keep_keys(const std::string& running_json, const std::string& fresh_json,
                      std::initializer_list<const char*> keys) {
    const auto running = parse_json(running_json);
    auto fresh = parse_json(fresh_json);
    if (!running || !fresh) return fresh_json;
    for (const char* key : keys) {
        if (const Node* value = running->find(key)) {
            fresh->set(key, *value);
        } else {
            fresh->erase(key);
        }
    }
    return to_json(*fresh);
}

}  // namespace

Reloaded reload_over(const LocalConfig& running, LocalConfig fresh) {
    Keeper keeper;
    keeper.keep("name", running.name, fresh.name);
    keeper.keep("scope", running.scope, fresh.scope);
    keeper.keep("namespace", running.namespace_prefix, fresh.namespace_prefix);
    Etcd3Config etcd3 = running.etcd3;  // the account may change
    etcd3.username = fresh.etcd3.username;
    etcd3.password = fresh.etcd3.password;
    keeper.keep("etcd3", etcd3, fresh.etcd3);
    const ports::PostgresConfig& before = running.postgres;
    ports::PostgresConfig& after = fresh.postgres;
    after.name = fresh.name;
    after.scope = fresh.scope;
    keeper.keep("postgresql.data_dir", before.data_dir, after.data_dir);
    keeper.keep("postgresql.config_dir", before.config_dir, after.config_dir);
    keeper.keep("postgresql.bin_dir", before.bin_dir, after.bin_dir);
    keeper.keep("postgresql.bin_name", before.bin_name, after.bin_name);
    keeper.keep("postgresql.pgpass", before.pgpass, after.pgpass);
    fresh.postgresql_json = keep_keys(running.postgresql_json, fresh.postgresql_json,
                                      {"data_dir", "config_dir", "bin_dir", "bin_name", "pgpass"});
    return {std::move(fresh), std::move(keeper.notes)};
}

}  // namespace relevo::config
