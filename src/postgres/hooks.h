// Commands of the operator: callbacks, which run beside us, and hooks, which we wait for
// (contract 7.14).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/member.h"
#include "ports/postgres_config.h"
#include "ports/task.h"

namespace relevo::os {
class Blocking;
}

namespace relevo::postgres {

// Runs COMMAND ACTION ROLE SCOPE on the loop. A new callback ends a running one with its children,
// except that on_reload only ever replaces another on_reload and otherwise runs beside. Stop it
// before it goes.
class Callbacks {
public:
    Callbacks(boost::asio::any_io_executor loop, os::Blocking& pool);
    ~Callbacks();
    Callbacks(const Callbacks&) = delete;
    Callbacks& operator=(const Callbacks&) = delete;

    // Returns at once. Without a command for the action nothing happens.
    void run(const ports::PostgresConfig& config, const std::string& action, cluster::Role role);
    // Ends what runs and waits for it.
    Task<void> finish(Duration within);  // waits for what runs, then stop()
    Task<void> stop();

private:
    struct State;
    std::shared_ptr<State> state_;
};

// pre_promote or before_stop; ok when none is configured. failed: it ended with another code than
// 0.
Task<Status> run_hook(os::Blocking& pool, const ports::PostgresConfig& config,
                      const std::string& which);

}  // namespace relevo::postgres
