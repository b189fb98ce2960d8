// For the tests with real servers: a temporary directory with room for some of them, an adapter for
// each.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "os/test_loop.h"
#include "ports/postgres.h"
#include "ports/postgres_config.h"

namespace relevo::postgres {

inline constexpr auto patience = std::chrono::seconds(30);

std::string installed_bin_dir();  // "" when there is no PostgreSQL
int free_port();

// A configuration with everything below `directory`, for 127.0.0.1 and a free port.
ports::PostgresConfig test_config(const std::string& directory, const std::string& name);

struct Node {
    os::TestLoop& t;
    ports::PostgresConfig config;
    std::unique_ptr<ports::Postgres> postgres;

    Node(os::TestLoop& loop, ports::PostgresConfig its);
    ~Node();  // kills what runs
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    void make();  // bootstrap, start as a primary, post_bootstrap
    void start_primary();
    cluster::LocalPostgres look();
    cluster::Upstream as_upstream() const;
    std::string sql(const std::string& statement);  // the first value
    pid_t postmaster() const;
};

class WithServers : public testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;
    std::unique_ptr<Node> node(const std::string& name);
    std::unique_ptr<Node> made_node(const std::string& name);

    std::string dir;
    os::TestLoop t;
};

}  // namespace relevo::postgres
