// What the room's tests share: a directory that goes away, and short ways to load.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "config/local.h"

namespace relevo::config::testing {

class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "relevo-config-XXXXXX").string();
        if (mkdtemp(pattern.data()) == nullptr) std::abort();
        path_ = pattern;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    std::string path(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }

private:
    std::string path_;
};

// The least an agent needs; tests add lines to it.
inline const std::string minimal = R"(scope: demo
name: pg-1
restapi: {listen: '127.0.0.1:8008', connect_address: 'pg-1.example:8008'}
etcd3: {hosts: ['etcd-1:2379']}
postgresql:
  listen: 127.0.0.1:5432
  connect_address: pg-1.example:5432
  data_dir: /srv/data
)";

inline Result<LocalConfig> load_text(const std::string& yaml, Environment environment = {}) {
    environment["PATRONI_CONFIGURATION"] = yaml;
    return load({.path = std::nullopt, .environment = std::move(environment)});
}

// The problems' lines, or "" when it loads.
inline std::string problems_of(const std::string& yaml, Environment environment = {}) {
    const auto config = load_text(yaml, std::move(environment));
    return config ? "" : config.error().message;
}

}  // namespace relevo::config::testing
