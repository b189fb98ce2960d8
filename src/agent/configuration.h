// The configuration in force: the local file and environment, the dynamic configuration of the DCS,
// and what both together mean. One owner; everybody else reads it through here.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "config/dynamic.h"
#include "config/local.h"
#include "core/event.h"

namespace relevo::agent {

class Configuration {
public:
    // source is kept for reloads.
    static Result<std::unique_ptr<Configuration>> load(config::Source source);

    const config::LocalConfig& local() const { return local_; }
    const cluster::Settings& settings() const { return effective_.settings; }
    const ports::PostgresConfig& postgres() const { return effective_.postgres; }
    const std::string& dynamic_json() const { return dynamic_; }

    // The DCS's config key. Error: not usable; the one before stays in force. True: something
    // changed.
    Result<bool> take_dynamic(const std::string& json);
    // Reads the local file again. Error: the one before stays in force.
    Status reload();

    // The last dynamic configuration, kept in the data directory for a start without a config key.
    std::string cache_path() const;

    // Beside the data directory, which may be thrown away: what happened is asked for afterwards.
    std::string journal_path() const;

    core::Self self() const;

private:
    bool take_cached();  // false: there is none that can be used

    config::Source source_;
    config::LocalConfig local_;
    std::string dynamic_ = "{}";
    bool from_dcs_ = false;
    config::Effective effective_;
};

}  // namespace relevo::agent
