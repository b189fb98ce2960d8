// The gateway's configuration: one short YAML file (README, "An application host").
#pragma once

#include <chrono>
#include <expected>
#include <map>
#include <string>
#include <vector>

#include "config/address.h"
#include "config/problem.h"
#include "config/yaml.h"

namespace relevo::config {

struct GatewayConfig {
    enum class To { primary, replicas };
    enum class AfterDrain { call_off, let_through };
    enum class Reads { replica_only, prefer_replica, any };

    std::string name;                  // among the gateways of the cluster; the host's unless given
    std::string scope;                 // of the cluster; empty: whatever the members say first
    std::vector<std::string> members;  // "http://host:port", at least one
    Address listen{"127.0.0.1", 8009};  // of /health, /status, /metrics

    struct RestApi {  // how the members' are spoken to
        std::string username, password, cafile, certfile, keyfile, keyfile_password;
        bool insecure = false;
        bool operator==(const RestApi&) const = default;
    } restapi;

    std::string user = "postgres";  // whom it becomes when root starts it

    struct PgBouncer {
        std::string program = "pgbouncer", directory = "/run/relevo-gateway";
        std::string unit;  // systemd's that runs it ("name", "name@"); empty: the gateway does
        Address listen{"127.0.0.1", 6432};
        int processes = 1;
        std::string include;
        std::vector<std::string> keep_own;
        std::map<std::string, std::string> settings;
        bool stop_with_gateway = true;
        bool operator==(const PgBouncer&) const = default;
    } pgbouncer;

    struct Database {
        std::string name, dbname, options;
        To to = To::primary;
        bool operator==(const Database&) const = default;
    };
    std::vector<Database> databases;  // at least one

    struct Switchover {
        std::chrono::milliseconds drain{2000};  // no longer than the leader allows
        AfterDrain after_drain = AfterDrain::call_off;
        // A hold that nothing comes of is given up.
        std::chrono::milliseconds hold_max{10000};
        bool operator==(const Switchover&) const = default;
    } switchover;

    struct ReadRouting {
        Reads policy = Reads::prefer_replica;
        std::int64_t lag_bytes = 16 << 20;
        std::chrono::milliseconds lag{10000};
        bool operator==(const ReadRouting&) const = default;
    } reads;

    std::string log_level = "INFO";
    bool operator==(const GatewayConfig&) const = default;
};

// host: this host's name, for what is not given.
std::expected<GatewayConfig, std::vector<Problem>> read_gateway(std::string_view yaml,
                                                                const std::string& source,
                                                                const Environment& environment,
                                                                const std::string& host);
std::expected<GatewayConfig, std::vector<Problem>> load_gateway(const std::string& path,
                                                                const Environment& environment,
                                                                const std::string& host);

}  // namespace relevo::config
