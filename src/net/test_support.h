// For tests only: a loop with a pool, run to the end of one coroutine; raw bytes over a socket; a
// small certificate authority made with the openssl program in a directory that is removed.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include "net/task.h"

namespace relevo::net::testing {

inline constexpr auto awaiting = boost::asio::as_tuple(boost::asio::use_awaitable);

struct Loop {
    // The pool's destructor joins it while the io_context still is.
    boost::asio::io_context io{1};
    boost::asio::thread_pool pool{2};

    // Runs the coroutine to its end; what it throws fails the test. Bounded, so that a hang is a
    // failure.
    void run(Task<void> task, std::chrono::seconds at_most = std::chrono::seconds{30}) {
        bool ended = false;
        boost::asio::co_spawn(io, std::move(task), [&](const std::exception_ptr& thrown) {
            ended = true;
            io.stop();
            if (thrown) std::rethrow_exception(thrown);
        });
        io.restart();
        io.run_for(at_most);
        EXPECT_TRUE(ended) << "the test did not end in time";
    }
};

// Sends the bytes, in two parts when split_at is given, and returns all that comes until the server
// closes (or 5 s have passed: then the text ends in "<timeout>").
inline Task<std::string> raw_exchange(boost::asio::io_context& io, std::uint16_t port,
                                      std::string bytes, bool half_close = false) {
    boost::asio::ip::tcp::socket socket(io);
    const boost::asio::ip::tcp::endpoint where(boost::asio::ip::address_v4::loopback(), port);
    const auto [bad] = co_await socket.async_connect(where, awaiting);
    if (bad) co_return "<cannot connect>";
    boost::asio::steady_timer timer(io, std::chrono::seconds{5});
    bool late = false;
    timer.async_wait([&](const boost::system::error_code& cancelled) {
        if (cancelled) return;
        late = true;
        socket.close();
    });
    (void)co_await boost::asio::async_write(socket, boost::asio::buffer(bytes), awaiting);
    boost::system::error_code ignored;
    if (half_close) (void)socket.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
    std::string answer;
    char part[4096];
    while (true) {
        const auto [ended, size] =
            co_await socket.async_read_some(boost::asio::buffer(part), awaiting);
        answer.append(part, size);
        if (ended) break;
    }
    timer.cancel();
    // The handler above refers to this frame: let it run before the frame goes.
    co_await boost::asio::post(io, boost::asio::use_awaitable);
    if (late) answer += "<timeout>";
    co_return answer;
}

class TempDir {
public:
    TempDir() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "relevo-net-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

// ca.crt; NAME.crt and NAME.key signed by it, for 127.0.0.1 and localhost unless hosts says else.
class Authority {
public:
    Authority() {
        shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            "-subj /CN=relevo-test-ca -keyout ca.key -out ca.crt");
    }
    void issue(const std::string& name, const std::string& hosts = "IP:127.0.0.1,DNS:localhost") {
        shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=" +
              name + " -keyout " + name + ".key -out " + name + ".csr && printf 'subjectAltName=" +
              hosts + "' > " + name + ".ext && openssl x509 -req -in " + name +
              ".csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile " + name +
              ".ext -out " + name + ".crt");
    }
    std::string ca() const { return dir_.file("ca.crt"); }
    std::string cert(const std::string& name) const { return dir_.file(name + ".crt"); }
    std::string key(const std::string& name) const { return dir_.file(name + ".key"); }
    std::string file(const std::string& name) const { return dir_.file(name); }

private:
    TempDir dir_;
    void shell(const std::string& command) const {
        const auto line = "cd '" + dir_.file("") + "' && { " + command + "; } >openssl.log 2>&1";
        if (std::system(line.c_str()) != 0) {
            throw std::runtime_error("the openssl program is needed for the TLS tests: " + command);
        }
    }
};

}  // namespace relevo::net::testing
