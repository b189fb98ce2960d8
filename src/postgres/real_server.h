// For tests only: real servers under a temporary directory, on loopback with ports of the moment.
// As root the whole test process becomes the postgres user first, since PostgreSQL refuses to run
// as root.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "os/blocking.h"
#include "ports/postgres_config.h"
#include "postgres/config_files.h"
#include "postgres/connection.h"

namespace relevo::postgres::testing {

// A loop that runs one coroutine at a time to its end.
class Loop {
public:
    template <class T>
    T run(Task<T> task) {
        std::optional<T> result;
        std::exception_ptr thrown;
        boost::asio::co_spawn(io_, std::move(task), [&](const std::exception_ptr& error, T value) {
            thrown = error;
            result.emplace(std::move(value));
        });
        io_.restart();
        io_.run();
        if (thrown) std::rethrow_exception(thrown);
        return std::move(*result);
    }
    boost::asio::io_context& io() { return io_; }
    os::Blocking& pool() { return pool_; }

private:
    boost::asio::io_context io_;
    boost::asio::thread_pool threads_{4};
    os::Blocking pool_{threads_};
};

class RealServers : public ::testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;  // stops what still runs, removes the directory

    // A member's configuration: own data directory, own port, the accounts below.
    ports::PostgresConfig member(const std::string& name);
    static cluster::Upstream upstream(const ports::PostgresConfig& source,
                                      const std::string& slot = {});

    // bootstrap, files, start, post_bootstrap.
    void make_primary(const ports::PostgresConfig& config);
    // Writes the files and starts; a standby when source is given.
    void start(const ports::PostgresConfig& config, const std::optional<cluster::Upstream>& source);
    void stop(const ports::PostgresConfig& config, const std::string& mode = "fast");
    void promote(const ports::PostgresConfig& config);

    std::string value(const ports::PostgresConfig& config,
                      const std::string& sql);  // as the superuser
    // Until the query gives the wanted value; false after some seconds.
    bool becomes(const ports::PostgresConfig& config, const std::string& sql,
                 const std::string& wanted);
    std::unique_ptr<Connection> connect(const ports::PostgresConfig& config);

    FilesRequest request(const ports::PostgresConfig& config,
                         const std::optional<cluster::Upstream>& source);
    std::string server_log(const ports::PostgresConfig& config) const;

    Loop loop;
    std::string root;
    std::map<std::string, ports::PostgresConfig> running;
    BootstrapOverrides overrides;
};

}  // namespace relevo::postgres::testing
