#include "postgres/hooks.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <list>

#include "base/log.h"
#include "os/blocking.h"
#include "os/process.h"
#include "postgres/commands.h"

namespace relevo::postgres {

namespace asio = boost::asio;

namespace {

// A promoted member calls itself primary to a callback.
const char* role_word(cluster::Role role) {
    return cluster::to_string(role == cluster::Role::promoted ? cluster::Role::primary : role);
}

}  // namespace

struct Callbacks::State : std::enable_shared_from_this<Callbacks::State> {
    struct Running {
        bool is_reload = false;
        asio::cancellation_signal cancel;
    };

    State(asio::any_io_executor loop_executor, os::Blocking& blocking)
        : loop(std::move(loop_executor)), pool(blocking), idle(loop) {}

    asio::any_io_executor loop;
    os::Blocking& pool;
    std::list<Running> running;
    asio::steady_timer idle;  // cancelled whenever one ended

    void start(std::vector<std::string> words, bool is_reload);

    template <class Which>
    void end_running(Which which) {
        // Ending one may take it off the list: nobody walks it meanwhile.
        std::vector<Running*> old;
        for (auto& one : running)
            if (which(one)) old.push_back(&one);
        for (auto* one : old) one->cancel.emit(asio::cancellation_type::terminal);
    }
};

// The list's entry lives until the command has ended; the shared state holds both.
void Callbacks::State::start(std::vector<std::string> words, bool is_reload) {
    running.emplace_back();
    const auto entry = std::prev(running.end());
    entry->is_reload = is_reload;
    os::Command command;
    command.arguments = std::move(words);
    auto self = shared_from_this();
    asio::co_spawn(loop, os::run(pool, std::move(command)),
                   asio::bind_cancellation_slot(
                       entry->cancel.slot(), [self, entry](const std::exception_ptr& thrown,
                                                           Result<os::Finished> finished) {
                           if (thrown)
                               log::error("callback: broke off");
                           else if (!finished && finished.error().code != ErrorCode::cancelled)
                               log::error("callback: {}", finished.error().message);
                           else if (finished && !finished->ok())
                               log::warning("callback: {}", os::describe(*finished));
                           self->running.erase(entry);
                           self->idle.cancel();
                       }));
}

Callbacks::Callbacks(asio::any_io_executor loop, os::Blocking& pool)
    : state_(std::make_shared<State>(std::move(loop), pool)) {}

Callbacks::~Callbacks() = default;

void Callbacks::run(const ports::PostgresConfig& config, const std::string& action,
                    cluster::Role role) {
    const auto configured = config.callbacks.find(action);
    if (configured == config.callbacks.end() || configured->second.empty()) return;
    auto words = shell_split(configured->second);
    if (!words || words->empty()) {
        log::error("callback {}: the command is empty or has an open quote", action);
        return;
    }
    words->insert(words->end(), {action, role_word(role), config.scope});
    const bool is_reload = action == "on_reload";
    state_->end_running(
        [is_reload](const State::Running& one) { return one.is_reload == is_reload; });
    state_->start(*std::move(words), is_reload);
}

Task<void> Callbacks::finish(Duration within) {
    auto state = state_;
    const auto until = std::chrono::steady_clock::now() + within;
    while (!state->running.empty() && std::chrono::steady_clock::now() < until) {
        state->idle.expires_at(until);
        [[maybe_unused]] const auto woken =
            co_await state->idle.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    co_await stop();
}

Task<void> Callbacks::stop() {
    auto state = state_;
    state->end_running([](const State::Running&) { return true; });
    while (!state->running.empty()) {
        state->idle.expires_at(asio::steady_timer::time_point::max());
        [[maybe_unused]] const auto woken =
            co_await state->idle.async_wait(asio::as_tuple(asio::use_awaitable));
    }
}

Task<Status> run_hook(os::Blocking& pool, const ports::PostgresConfig& config,
                      const std::string& which) {
    const std::string& text = which == "pre_promote" ? config.pre_promote : config.before_stop;
    if (text.empty()) co_return Status();
    auto words = shell_split(text);
    if (!words || words->empty())
        co_return fail(ErrorCode::invalid,
                       fmt::format("postgresql.{} is empty or has an open quote", which));
    os::Command command;
    command.arguments = *std::move(words);
    auto finished = co_await os::run(pool, std::move(command));
    if (!finished) co_return within(fmt::format("running postgresql.{}", which), finished.error());
    if (!finished->ok())
        co_return fail(ErrorCode::failed,
                       fmt::format("postgresql.{}: {}", which, os::describe(*finished)));
    co_return Status();
}

}  // namespace relevo::postgres
