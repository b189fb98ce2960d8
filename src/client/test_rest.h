// For tests: a member's REST API on loopback that says what it is told to, over TLS where it has a
// certificate. On a thread of its own.
#pragma once

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace relevo::client::testing {

class FakeRest {
public:
    // The whole answer, from "HTTP/1.1" on; nullopt: it never answers.
    using Text = std::optional<std::string>;

    explicit FakeRest(Text text, std::shared_ptr<boost::asio::ssl::context> tls = nullptr)
        : text_(std::move(text)),
          tls_(std::move(tls)),
          acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {
        boost::asio::co_spawn(io_, accept(), boost::asio::detached);
        thread_ = std::thread([this] { io_.run(); });
    }
    ~FakeRest() {
        io_.stop();
        thread_.join();
    }
    FakeRest(const FakeRest&) = delete;
    FakeRest& operator=(const FakeRest&) = delete;

    static std::string ok(const std::string& body) {
        return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body;
    }
    std::string url(const std::string& host = "127.0.0.1") const {
        return (tls_ ? "https://" : "http://") + host + ":" +
               std::to_string(acceptor_.local_endpoint().port());
    }
    void say(Text text) {
        const std::lock_guard lock(mutex_);
        text_ = std::move(text);
    }
    int asked() const { return asked_; }
    std::string question() const {
        const std::lock_guard lock(mutex_);
        return question_;
    }

private:
    using Awaited = boost::asio::awaitable<void>;
    static constexpr auto awaiting = boost::asio::as_tuple(boost::asio::use_awaitable);

    Awaited accept() {
        for (;;) {
            auto [bad, socket] = co_await acceptor_.async_accept(awaiting);
            if (bad) co_return;
            boost::asio::co_spawn(io_, serve(std::move(socket)), boost::asio::detached);
        }
    }
    Awaited serve(boost::asio::ip::tcp::socket socket) {
        if (!tls_) co_return co_await answer(socket);
        boost::asio::ssl::stream<boost::asio::ip::tcp::socket&> stream(socket, *tls_);
        const auto [bad] =
            co_await stream.async_handshake(boost::asio::ssl::stream_base::server, awaiting);
        if (!bad) co_await answer(stream);
    }
    template <class Stream>
    Awaited answer(Stream& stream) {
        std::string question;
        co_await boost::asio::async_read_until(stream, boost::asio::dynamic_buffer(question),
                                               "\r\n\r\n", awaiting);
        Text text;
        {
            const std::lock_guard lock(mutex_);
            question_ = question;
            text = text_;
        }
        ++asked_;
        if (text)
            co_await boost::asio::async_write(stream, boost::asio::buffer(*text), awaiting);
        else  // until the other side gives up
            co_await boost::asio::async_read_until(stream, boost::asio::dynamic_buffer(question),
                                                   "never", awaiting);
    }

    mutable std::mutex mutex_;
    Text text_;
    std::string question_;
    std::atomic<int> asked_ = 0;
    std::shared_ptr<boost::asio::ssl::context> tls_;
    boost::asio::io_context io_{1};
    boost::asio::ip::tcp::acceptor acceptor_;
    std::thread thread_;
};

}  // namespace relevo::client::testing
