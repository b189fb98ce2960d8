#include "client/rest.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <exception>
#include <utility>

#include "client/hosts.h"

namespace relevo::client {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t body_bytes_max = std::size_t{1024} * 1024;
constexpr std::uint32_t header_bytes_max = 16 * 1024;

std::unexpected<Error> invalid(std::string message) {
    return std::unexpected(Error{Kind::invalid, "", std::move(message), 0});
}

bool is_address(const std::string& host) {
    error_code not_one;
    static_cast<void>(asio::ip::make_address(host, not_one));
    return !not_one;
}

}  // namespace

std::string RestUrl::text() const {
    const bool v6 = host.find(':') != std::string::npos;
    return (tls ? "https://" : "http://") + (v6 ? "[" + host + "]" : host) + ":" + port;
}

std::optional<RestUrl> parse_rest_url(const std::string& text) {
    RestUrl url;
    std::string_view rest = text;
    url.tls = rest.starts_with("https://");
    if (!url.tls && !rest.starts_with("http://")) return std::nullopt;
    rest.remove_prefix(url.tls ? 8 : 7);
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        url.host = rest.substr(1, end - 1);
        if (!is_address(url.host)) return std::nullopt;
        rest.remove_prefix(end + 1);
    } else {
        const auto end = std::min(rest.find(':'), rest.size());
        url.host = rest.substr(0, end);
        rest.remove_prefix(end);
        // Whatever a host can't have: a user and password, a path, a question, a line's end.
        const auto plain = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '.' || c == '-' || c == '_';
        };
        if (url.host.empty() || !std::ranges::all_of(url.host, plain)) return std::nullopt;
    }
    if (rest.empty()) rest = ":8008";
    unsigned port = 0;
    const auto* const last = rest.data() + rest.size();
    const auto read = std::from_chars(rest.data() + 1, last, port);
    if (rest.front() != ':' || read.ec != std::errc() || read.ptr != last || port == 0 ||
        port > 65535)
        return std::nullopt;
    url.port = std::to_string(port);
    return url;
}

Expected<RestWay> check_rest(const Rest& rest) {
    RestWay way{{}, rest.ca_file, rest.cert_file, rest.key_file};
    for (std::size_t i = 0; i < rest.urls.size(); ++i) {
        auto url = parse_rest_url(rest.urls[i]);
        // It is not repeated: somebody may have put a password into it.
        if (!url)
            return invalid("rest.urls: number " + std::to_string(i + 1) +
                           " is not http:// or https://, a host and a port, as in "
                           "https://pg-1:8008");
        way.urls.push_back(*std::move(url));
    }
    const bool tls = std::ranges::any_of(way.urls, &RestUrl::tls);
    if (!tls && !(way.ca_file + way.cert_file + way.key_file).empty())
        return invalid(
            "rest: ca_file, cert_file and key_file are for https:// URLs; there is none");
    if (way.cert_file.empty() && !way.key_file.empty())
        return invalid("rest.key_file: cert_file is missing");
    if (const auto made = read_tls(way); !made) return invalid("rest: " + made.error());
    return way;
}

std::expected<RestTls, std::string> read_tls(const RestWay& way) {
    if (std::ranges::none_of(way.urls, &RestUrl::tls)) return nullptr;
    const auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
    const auto failed = [](const char* what, const std::string& file, const error_code& why) {
        return std::unexpected(std::string(what) + " '" + file + "' can't be used: " +
                               why.message() + "; check its path, its rights and its content");
    };
    error_code bad;
    // Whatever OpenSSL still allows below it is for the past.
    ::SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    static_cast<void>(context->set_verify_mode(asio::ssl::verify_peer, bad));
    if (way.ca_file.empty())
        static_cast<void>(context->set_default_verify_paths(bad));
    else
        static_cast<void>(context->load_verify_file(way.ca_file, bad));
    if (bad) return failed("ca_file", way.ca_file, bad);
    if (way.cert_file.empty()) return context;
    static_cast<void>(context->use_certificate_chain_file(way.cert_file, bad));
    if (bad) return failed("cert_file", way.cert_file, bad);
    const auto& key = way.key_file.empty() ? way.cert_file : way.key_file;
    // A key with a passphrase would make OpenSSL ask for it on the terminal.
    static_cast<void>(context->set_password_callback(
        [](std::size_t, asio::ssl::context::password_purpose) { return std::string(); }, bad));
    static_cast<void>(context->use_private_key_file(key, asio::ssl::context::pem, bad));
    if (bad) return failed("key_file", key, bad);
    return context;
}

namespace {

// One question to one member.
class Exchange {
public:
    Exchange(const asio::any_io_executor& executor, RestUrl url, RestTls tls,
             Clock::time_point until)
        : executor_(executor),
          stream_(executor),
          url_(std::move(url)),
          context_(std::move(tls)),
          until_(until) {}

    // Whatever waits ends at once.
    void close() { stream_.close(); }

    Task<std::expected<Members, std::string>> ask() {
        auto problem = co_await connect();
        if (!problem && url_.tls) problem = co_await agree_on_tls();
        if (problem) co_return std::unexpected(*std::move(problem));
        std::expected<std::string, std::string> body;
        if (tls_)
            body = co_await converse(*tls_);
        else
            body = co_await converse(stream_);
        if (!body) co_return std::unexpected(std::move(body.error()));
        co_return parse_members(*body);
    }

private:
    using Problem = std::optional<std::string>;

    static std::string say(const char* doing, const error_code& bad) {
        if (bad == beast::error::timeout) return std::string(doing) + ": no answer in time";
        return std::string(doing) + ": " + bad.message();
    }

    Task<Problem> connect() {
        std::vector<Endpoint> one{{url_.host, "", url_.port}};
        const auto found = co_await look_up(executor_, std::move(one), until_);
        error_code last = asio::error::host_not_found;
        for (std::size_t i = 0; i < found.size(); ++i) {
            // A dead first address must leave time for the others.
            const auto left = until_ - Clock::now();
            stream_.expires_after(std::max<Clock::duration>(
                left / static_cast<long>(found.size() - i), std::chrono::milliseconds(1)));
            error_code not_one;
            const asio::ip::tcp::endpoint where(asio::ip::make_address(found[i].address, not_one),
                                                static_cast<std::uint16_t>(std::stoul(url_.port)));
            if (not_one) continue;
            const auto [bad] = co_await stream_.async_connect(where, awaiting);
            if (!bad) co_return std::nullopt;
            last = bad;
            if (bad == asio::error::operation_aborted) break;
            stream_.close();
        }
        co_return say("no connection", last);
    }

    Task<Problem> agree_on_tls() {
        stream_.expires_at(until_);
        tls_.emplace(stream_, *context_);
        if (!is_address(url_.host))
            ::SSL_set_tlsext_host_name(tls_->native_handle(), url_.host.c_str());
        error_code bad;
        static_cast<void>(
            tls_->set_verify_callback(asio::ssl::host_name_verification(url_.host), bad));
        const auto [refused] =
            co_await tls_->async_handshake(asio::ssl::stream_base::client, awaiting);
        if (!refused) co_return std::nullopt;
        co_return say("no agreement on TLS", refused);
    }

    template <class Stream>
    Task<std::expected<std::string, std::string>> converse(Stream& stream) {
        stream_.expires_at(until_);
        const auto question =
            "GET /cluster HTTP/1.1\r\nHost: " + url_.text().substr(url_.tls ? 8 : 7) +
            "\r\nUser-Agent: librelevo\r\nAccept: application/json\r\n"
            "Connection: close\r\n\r\n";
        const auto [unsent, sent] =
            co_await asio::async_write(stream, asio::buffer(question), awaiting);
        beast::flat_buffer buffer;
        http::response_parser<http::string_body> parser;
        parser.body_limit(body_bytes_max);
        parser.header_limit(header_bytes_max);
        auto [bad, size] = co_await http::async_read(stream, buffer, parser, awaiting);
        // Patroni's end of an answer over TLS may come without TLS's goodbye.
        if (bad == asio::ssl::error::stream_truncated && parser.is_header_done() &&
            !parser.content_length() && !parser.chunked())
            bad = {};
        if (bad) co_return std::unexpected(say("no answer", unsent ? unsent : bad));
        const auto status = parser.get().result_int();
        if (status != 200)
            co_return std::unexpected(
                "it answered " + std::to_string(status) +
                (status / 100 == 3 ? ": a redirect is not followed, give the member's own URL"
                                   : " to GET /cluster"));
        co_return std::move(parser.get().body());
    }

    asio::any_io_executor executor_;
    beast::tcp_stream stream_;
    RestUrl url_;
    RestTls context_;
    Clock::time_point until_;
    std::optional<asio::ssl::stream<beast::tcp_stream&>> tls_;
};

// Shared with the exchanges, which may end after who asked has gone.
struct Answers {
    explicit Answers(const asio::any_io_executor& executor) : bell(executor) {}
    asio::steady_timer bell;
    std::vector<std::shared_ptr<Exchange>> exchanges;
    std::size_t pending = 0;
    Asked asked;
    bool led = false;  // asked.members names a leader
};

Task<void> ask_one(std::shared_ptr<Answers> all, std::shared_ptr<Exchange> exchange,
                   std::string who) {
    auto members = co_await exchange->ask();
    --all->pending;
    all->bell.cancel();
    if (!members) {
        all->asked.problem = who + ": " + members.error();
    } else if (!all->led) {
        all->led = leader_of(*members, 0) != nullptr;
        all->asked.members = *std::move(members);
    }
}

}  // namespace

Task<Asked> ask_members(asio::any_io_executor executor, RestWay way, Clock::time_point until) {
    const auto all = std::make_shared<Answers>(executor);
    auto tls = read_tls(way);
    if (!tls) co_return Asked{std::nullopt, tls.error()};
    all->asked.problem = "the members' REST: no answer in time";
    for (const auto& url : way.urls) {
        ++all->pending;
        const auto& exchange =
            all->exchanges.emplace_back(std::make_shared<Exchange>(executor, url, *tls, until));
        asio::co_spawn(executor, ask_one(all, exchange, url.text()),
                       [](const std::exception_ptr& thrown) {
                           if (thrown) std::rethrow_exception(thrown);
                       });
    }
    while (all->pending > 0 && !all->led && Clock::now() < until) {
        all->bell.expires_at(until);
        error_code rung;
        co_await all->bell.async_wait(asio::redirect_error(asio::use_awaitable, rung));
    }
    for (const auto& exchange : all->exchanges) exchange->close();
    co_return all->asked;
}

}  // namespace relevo::client
