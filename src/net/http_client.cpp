#include "net/http_client.h"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <map>
#include <vector>

#include "base/text.h"
#include "net/descriptor.h"
#include "net/resolve.h"
#include "os/blocking.h"

namespace relevo::net {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Addresses = std::vector<asio::ip::address>;
using Parser = http::response_parser<http::string_body>;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

bool breaks_line(std::string_view text) {
    return std::ranges::any_of(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

Result<std::string> render(const ClientRequest& request, const Url& url,
                           const ClientOptions& options) {
    Headers headers = request.headers;
    const bool tls_default = url.tls && url.port == 443;
    const bool default_port = tls_default || (!url.tls && url.port == 80);
    const bool v6 = url.host.find(':') != url.host.npos;
    const auto host = default_port ? (v6 ? "[" + url.host + "]" : url.host)
                                   : to_string(HostPort{url.host, url.port});
    headers.push_back({"Host", host});
    headers.push_back({"User-Agent", options.user_agent});
    headers.push_back({"Accept", "*/*"});
    if (!request.keep) headers.push_back({"Connection", "close"});
    if (options.credentials && find_header(headers, "Authorization") == nullptr) {
        headers.push_back({"Authorization", basic_authorization(*options.credentials)});
    }
    if (request.body) {
        headers.push_back({"Content-Length", std::to_string(request.body->size())});
        if (find_header(headers, "Content-Type") == nullptr) {
            headers.push_back({"Content-Type", "application/json"});
        }
    }
    std::string out = request.method + " " + url.target + " HTTP/1.1\r\n";
    if (request.method.empty() || request.method.find_first_of(" \r\n") != request.method.npos) {
        return fail(ErrorCode::invalid, "not an HTTP method");
    }
    for (const auto& header : headers) {
        if (breaks_line(header.name) || breaks_line(header.value)) {
            return fail(ErrorCode::invalid,
                        fmt::format("the header {} has a line break in it", header.name));
        }
        out += header.name + ": " + header.value + "\r\n";
    }
    out += "\r\n";
    if (request.body) out += *request.body;
    return out;
}

// One request on its way. The deadline closes the socket; whatever was waited for then ends.
class Exchange : public std::enable_shared_from_this<Exchange> {
public:
    Exchange(asio::io_context& loop, Url url, Duration deadline)
        : loop_(loop),
          socket_(loop),
          timer_(loop),
          url_(std::move(url)),
          allowed_(deadline),
          ends_(Clock::now() + std::chrono::duration_cast<Clock::duration>(deadline)) {}

    Duration left() const { return std::max<Duration>(ends_ - Clock::now(), Duration{0}); }

    Task<Status> connect(Addresses addresses) {
        error_code last;
        for (std::size_t i = 0; i < addresses.size(); ++i) {
            // A dead first address must leave time for the others.
            arm(left() / static_cast<std::int64_t>(addresses.size() - i));
            socket_ = tcp::socket(loop_);
            const tcp::endpoint where(addresses[i], url_.port);
            error_code unopened;  // said by async_connect, which then tries by itself
            (void)socket_.open(where.protocol(), unopened);
            if (!unopened) close_on_exec(socket_.native_handle());
            const auto [bad] = co_await socket_.async_connect(where, awaiting);
            timer_.cancel();
            if (!bad && !expired_) co_return Status{};
            last = expired_ ? make_error_code(asio::error::timed_out) : bad;
            if (bad == asio::error::operation_aborted && !expired_) break;
        }
        co_return std::unexpected(problem("connect to", last));
    }

    Task<Status> agree_on_tls(TlsContext context, const ClientOptions& options) {
        arm(left());
        tls_ = std::move(context);
        stream_.emplace(socket_, *tls_);
        if (!parse_address(url_.host))
            SSL_set_tlsext_host_name(stream_->native_handle(), url_.host.c_str());
        error_code bad;
        if (!options.tls.insecure)
            (void)stream_->set_verify_callback(asio::ssl::host_name_verification(url_.host), bad);
        const auto [refused] =
            co_await stream_->async_handshake(asio::ssl::stream_base::client, awaiting);
        timer_.cancel();
        if (refused) co_return std::unexpected(problem("agree on TLS with", refused));
        co_return Status{};
    }

    Task<Result<ClientResponse>> talk(std::string text, bool head, const ClientOptions& options) {
        arm(left());
        auto response = stream_ ? co_await converse(*stream_, std::move(text), head, options)
                                : co_await converse(socket_, std::move(text), head, options);
        timer_.cancel();
        co_return response;
    }

    // For another request over the same connection.
    void begin_again(Duration deadline) {
        allowed_ = deadline;
        ends_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(deadline);
        sent_ = false;
    }
    bool stays_open() const { return stays_open_; }
    // The server ends a connection that nothing was asked on for a while; the next request would
    // meet that as an error.
    bool was_closed() {
        pollfd state{.fd = socket_.native_handle(), .events = POLLIN | POLLRDHUP, .revents = 0};
        return ::poll(&state, 1, 0) != 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    }

private:
    asio::io_context& loop_;
    tcp::socket socket_;
    asio::steady_timer timer_;
    Url url_;
    Duration allowed_;
    Clock::time_point ends_;
    bool expired_ = false, sent_ = false, stays_open_ = false;
    TlsContext tls_;
    std::optional<asio::ssl::stream<tcp::socket&>> stream_;

    void arm(Duration after) {
        expired_ = false;
        timer_.expires_after(std::chrono::duration_cast<Clock::duration>(after));
        timer_.async_wait([weak = weak_from_this()](const error_code& cancelled) {
            const auto self = weak.lock();
            if (!self || cancelled || self->timer_.expiry() > Clock::now()) return;
            self->expired_ = true;
            error_code ignored;
            (void)self->socket_.close(ignored);
        });
    }

    Error problem(const char* doing, const error_code& bad) const {
        const auto who = to_string(HostPort{url_.host, url_.port});
        const auto lost = sent_ ? ErrorCode::outcome_unknown : ErrorCode::unavailable;
        if (expired_ || bad == asio::error::timed_out) {
            return {lost,
                    fmt::format("cannot {} {}: nothing within {} ms", doing, who, to_ms(allowed_))};
        }
        if (bad == asio::error::operation_aborted) {
            return {sent_ ? lost : ErrorCode::cancelled,
                    fmt::format("the request to {} was given up", who)};
        }
        return {lost, fmt::format("cannot {} {}: {}", doing, who, bad.message())};
    }

    template <class Stream>
    Task<Result<ClientResponse>> converse(Stream& stream, std::string text, bool head,
                                          const ClientOptions& options) {
        sent_ = true;
        stays_open_ = false;
        // An error here is not the end: who refuses a large body answers before having read it all.
        const auto [unsent, size] =
            co_await asio::async_write(stream, asio::buffer(text), awaiting);
        boost::beast::flat_buffer buffer;
        Parser parser;
        parser.body_limit(options.body_bytes_max);
        parser.header_limit(64 * 1024);
        parser.skip(head);
        auto [bad, read] = co_await http::async_read(stream, buffer, parser, awaiting);
        // A server that ends a body without a length by closing, and forgets TLS's goodbye.
        if (bad == asio::ssl::error::stream_truncated && parser.is_header_done() &&
            !parser.content_length() && !parser.chunked()) {
            bad = {};
        }
        if (bad)
            co_return std::unexpected(
                problem("get an answer from", unsent && !expired_ ? unsent : bad));
        stays_open_ = parser.keep_alive() && !expired_ && !unsent && buffer.size() == 0;
        auto message = parser.release();
        ClientResponse response{.status = static_cast<int>(message.result_int()),
                                .headers = {},
                                .body = std::move(message.body())};
        for (const auto& field : message) {
            response.headers.push_back(
                {std::string(field.name_string().data(), field.name_string().size()),
                 std::string(field.value().data(), field.value().size())});
        }
        co_return response;
    }
};

}  // namespace

std::string basic_authorization(const Credentials& credentials) {
    const auto plain = credentials.username + ":" + credentials.password;
    std::string coded(4 * ((plain.size() + 2) / 3) + 1, '\0');
    const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(coded.data()),
                                     reinterpret_cast<const unsigned char*>(plain.data()),
                                     static_cast<int>(plain.size()));
    coded.resize(static_cast<std::size_t>(size));
    return "Basic " + coded;
}

struct HttpClient::Impl {
    asio::io_context& loop;
    asio::thread_pool& pool;
    std::shared_ptr<const ClientOptions> options;
    TlsContext tls;  // made at the first https request
    std::map<std::string, std::vector<std::shared_ptr<Exchange>>> kept;  // by origin, unused now

    // Only for requests that ask for it.
    std::shared_ptr<Exchange> take_kept(const std::string& origin) {
        const auto at = kept.find(origin);
        while (at != kept.end() && !at->second.empty()) {
            auto exchange = std::move(at->second.back());
            at->second.pop_back();
            if (!exchange->was_closed()) return exchange;
        }
        return nullptr;
    }
    void keep(const std::string& origin, std::shared_ptr<Exchange> exchange) {
        constexpr std::size_t origins_max = 16, connections_max = 4;
        if (kept.size() >= origins_max && !kept.contains(origin)) kept.clear();
        auto& list = kept[origin];
        if (list.size() < connections_max) list.push_back(std::move(exchange));
    }

    Task<Result<TlsContext>> tls_context() {
        if (tls) co_return tls;
        const auto used = options;
        auto made = co_await os::Blocking(pool).run(
            [settings = used->tls] { return make_client_context(settings); });
        if (made && used == options) tls = *made;
        co_return made;
    }

    Task<Status> open(Exchange& exchange, Url url, const ClientOptions& used) {
        TlsContext context;
        if (url.tls) {
            auto made = co_await tls_context();
            if (!made) co_return std::unexpected(made.error());
            context = std::move(*made);
        }
        auto addresses = co_await resolve(loop, pool, url.host, exchange.left());
        if (!addresses) co_return std::unexpected(addresses.error());
        const auto connected = co_await exchange.connect(std::move(*addresses));
        if (!connected) co_return std::unexpected(connected.error());
        if (!url.tls) co_return Status{};
        const auto agreed = co_await exchange.agree_on_tls(std::move(context), used);
        co_return agreed;
    }
};

HttpClient::HttpClient(asio::io_context& loop, asio::thread_pool& pool, ClientOptions options)
    : impl_(std::make_shared<Impl>(
          loop, pool, std::make_shared<const ClientOptions>(std::move(options)), nullptr)) {}
HttpClient::~HttpClient() = default;

void HttpClient::set_options(ClientOptions options) {
    impl_->options = std::make_shared<const ClientOptions>(std::move(options));
    impl_->tls.reset();
    impl_->kept.clear();
}

Task<Result<ClientResponse>> HttpClient::request(ClientRequest request, Duration deadline) {
    const auto impl = impl_;
    const auto options = impl->options;
    auto url = parse_url(request.url);
    if (!url) co_return std::unexpected(url.error());
    auto text = render(request, *url, *options);
    if (!text) co_return std::unexpected(text.error());
    const bool head = request.method == "HEAD";
    const auto origin =
        (url->tls ? "https://" : "http://") + to_string(HostPort{url->host, url->port});
    auto exchange = request.keep ? impl->take_kept(origin) : nullptr;
    if (exchange) {
        exchange->begin_again(deadline);
    } else {
        exchange = std::make_shared<Exchange>(impl->loop, *url, deadline);
        const auto opened = co_await impl->open(*exchange, *url, *options);
        if (!opened) co_return std::unexpected(opened.error());
    }
    auto response = co_await exchange->talk(std::move(*text), head, *options);
    if (request.keep && exchange->stays_open() && options == impl->options)
        impl->keep(origin, std::move(exchange));
    co_return response;
}

Result<ClientResponse> request_blocking(const ClientOptions& options, ClientRequest request,
                                        Duration deadline) {
    Result<ClientResponse> answer = fail(ErrorCode::failed, "the request did not end");
    asio::io_context loop(1);
    asio::thread_pool pool(1);
    HttpClient client(loop, pool, options);
    asio::co_spawn(loop, client.request(std::move(request), deadline),
                   [&answer](const std::exception_ptr& thrown, Result<ClientResponse> result) {
                       if (!thrown) answer = std::move(result);
                   });
    loop.run();
    pool.join();
    return answer;
}

}  // namespace relevo::net
