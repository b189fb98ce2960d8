#include "os/process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <thread>

#include "base/text.h"
#include "os/file.h"
#include "os/test_loop.h"
#include "os/watch.h"

namespace relevo::os {
namespace {

using namespace std::chrono_literals;

Command shell(const std::string& script) {
    Command command;
    command.arguments = {"sh", "-c", script};
    return command;
}

TEST(Process, what_a_command_says_and_how_it_ends_is_captured) {
    TestLoop t;
    auto command = shell("cat; echo problem >&2; exit 3");
    command.input = std::string(300'000, 'x');
    const auto ended = t.await(run(t.pool, std::move(command)));
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(ended->out, std::string(300'000, 'x'));
    EXPECT_EQ(ended->err, "problem\n");
    EXPECT_EQ(ended->exit_code, 3);
    EXPECT_EQ(describe(*ended), "exit code 3: problem");
}

TEST(Process, the_blocking_form_does_the_same) {
    auto command = shell("cat; echo $RELEVO_TEST >&2; kill -9 $$");
    command.input = std::string(300'000, 'y');
    command.environment["RELEVO_TEST"] = "seen";
    const auto ended = run_blocking(command);
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->out.size(), 300'000U);
    EXPECT_EQ(ended->err, "seen\n");
    EXPECT_EQ(ended->signal, SIGKILL);
    auto slow = shell("sleep 60");
    slow.deadline = 50ms;
    const auto late = run_blocking(slow);
    ASSERT_TRUE(late);
    EXPECT_TRUE(late->timed_out);
}

TEST(Process, variables_are_set_and_unset_also_by_prefix) {
    ::setenv("RELEVO_A", "1", 1);
    ::setenv("RELEVO_B", "2", 1);
    auto command = shell("echo \"[$RELEVO_A][$RELEVO_B][$OTHER]\"; pwd");
    command.environment = {{"RELEVO_*", std::nullopt}, {"OTHER", "3"}};
    command.directory = "/";
    const auto ended = run_blocking(command);
    ::unsetenv("RELEVO_A");
    ::unsetenv("RELEVO_B");
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->out, "[][][3]\n/\n");
}

TEST(Process, a_missing_program_is_an_error_and_not_an_exit_code) {
    TestLoop t;
    Command command;
    command.arguments = {"/nowhere/at/all"};
    EXPECT_EQ(t.await(run(t.pool, command)).error().code, ErrorCode::not_found);
    EXPECT_EQ(run_blocking(command).error().code, ErrorCode::not_found);
    EXPECT_EQ(start_detached({command, 077}).error().code, ErrorCode::not_found);
}

TEST(Process, the_deadline_ends_the_whole_group) {
    TestLoop t;
    auto command = shell("sleep 60 & echo $!; wait");
    command.deadline = 100ms;
    const auto ended = t.await(run(t.pool, std::move(command)));
    ASSERT_TRUE(ended);
    EXPECT_TRUE(ended->timed_out);
    const auto sleeper = static_cast<pid_t>(parse_decimal(trim(ended->out)).value());
    const auto handle = PidHandle::open(sleeper);
    EXPECT_TRUE(!handle || handle->wait(5s));
}

TEST(Process, cancelling_the_coroutine_ends_the_command_first) {
    TestLoop t;
    boost::asio::cancellation_signal cancel;
    std::optional<Result<Finished>> result;
    pid_t child = 0;
    auto command = shell("trap 'echo bye; exit 0' TERM; echo $$; while :; do sleep 0.05; done");
    command.on_output = [&](std::string_view text) {
        if (child != 0) return;
        child = static_cast<pid_t>(parse_decimal(trim(text)).value_or(-1));
        cancel.emit(boost::asio::cancellation_type::all);
    };
    boost::asio::co_spawn(
        t.loop, run(t.pool, std::move(command)),
        boost::asio::bind_cancellation_slot(cancel.slot(),
                                            [&](std::exception_ptr thrown, Result<Finished> value) {
                                                EXPECT_FALSE(thrown);
                                                result = std::move(value);
                                            }));
    ASSERT_TRUE(t.until([&] { return result.has_value(); }, 10s));
    EXPECT_EQ(result->error().code, ErrorCode::cancelled);
    ASSERT_GT(child, 0);
    EXPECT_FALSE(PidHandle::open(child)) << "it is gone and reaped";
}

TEST(Process, it_is_asked_to_end_in_its_own_way) {
    TestLoop t;
    boost::asio::cancellation_signal cancel;
    std::optional<Result<Finished>> result;
    std::string said;
    auto command =
        shell("trap '' TERM; trap 'echo bye; exit 0' QUIT; echo up; while :; do sleep 0.05; done");
    command.end_signal = SIGQUIT;
    command.on_output = [&](std::string_view text) {
        if (said.empty()) cancel.emit(boost::asio::cancellation_type::all);
        said += text;
    };
    boost::asio::co_spawn(
        t.loop, run(t.pool, std::move(command)),
        boost::asio::bind_cancellation_slot(cancel.slot(),
                                            [&](std::exception_ptr thrown, Result<Finished> value) {
                                                EXPECT_FALSE(thrown);
                                                result = std::move(value);
                                            }));
    ASSERT_TRUE(t.until([&] { return result.has_value(); }, 10s));
    // The shell may also say what became of its sleep.
    EXPECT_NE(said.find("bye"), std::string::npos) << said;
}

TEST(Process, a_detached_one_belongs_to_init_and_its_end_is_seen_at_once) {
    TestLoop t;
    auto started = start_detached({shell("exec sleep 60"), 077});
    ASSERT_TRUE(started) << started.error().message;
    const auto info = process_info(*started);
    ASSERT_TRUE(info);
    EXPECT_NE(info->parent, ::getpid());
    EXPECT_EQ(::getsid(*started), *started);
    EXPECT_LT(std::abs(info->started_s - std::time(nullptr)), 5);

    auto handle = PidHandle::open(*started);
    ASSERT_TRUE(handle);
    std::optional<std::chrono::steady_clock::time_point> seen;
    PidWatch watch(t.loop, *std::move(handle),
                   [&](pid_t) { seen = std::chrono::steady_clock::now(); });
    EXPECT_FALSE(t.await(watch.ended(20ms)));
    const auto killed = std::chrono::steady_clock::now();
    ASSERT_TRUE(watch.send(SIGKILL));
    EXPECT_TRUE(t.await(watch.ended(5s)));
    ASSERT_TRUE(t.until([&] { return seen.has_value(); }, 1s));
    EXPECT_LT(*seen - killed, 500ms);
    EXPECT_FALSE(watch.alive());
}

TEST(Process, a_tree_is_killed_whole) {
    auto started = start_detached({shell("sleep 61 & sleep 62 & wait"), 077});
    ASSERT_TRUE(started);
    std::vector<pid_t> children;
    for (int i = 0; i < 200 && children.size() < 2; ++i) {
        children = children_of(*started);
        std::this_thread::sleep_for(5ms);
    }
    ASSERT_EQ(children.size(), 2U);
    std::vector<PidHandle> handles;
    handles.reserve(children.size());
    for (const auto pid : children) handles.push_back(PidHandle::open(pid).value());
    kill_tree(*started);
    for (const auto& handle : handles) EXPECT_TRUE(handle.wait(5s));
}

TEST(FileWatch, a_write_is_seen_and_nothing_is_seen_without_one) {
    TestLoop t;
    const auto dir = make_temporary_directory("relevo-watch-").value();
    auto watch = t.await(FileWatch::open(t.pool, dir));
    EXPECT_FALSE(t.await(watch->changed("a", 20ms)));
    ASSERT_TRUE(write_file(dir + "/b", "x", 0600));
    EXPECT_FALSE(t.await(watch->changed("a", 20ms)));
    ASSERT_TRUE(write_file(dir + "/a", "x", 0600));
    EXPECT_TRUE(t.await(watch->changed("a", 5s)));
    EXPECT_TRUE(t.await(watch->changed("b", 5s)));
    EXPECT_TRUE(remove_tree(dir));
}

TEST(Blocking, who_does_not_want_to_wait_gets_nothing) {
    TestLoop t;
    auto slow = t.await(t.pool.run_within(20ms, [] {
        std::this_thread::sleep_for(200ms);
        return 1;
    }));
    EXPECT_FALSE(slow);
    auto fast = t.await(t.pool.run_within(5s, [] { return 2; }));
    EXPECT_EQ(fast, 2);
    EXPECT_EQ(t.await(t.pool.run([] { return 3; })), 3);
}

}  // namespace
}  // namespace relevo::os
