#include "net/http_connection.h"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <ctime>

#include "base/log.h"
#include "base/text.h"
#include "net/resolve.h"

namespace relevo::net::detail {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

// The Date of this second; formatting it for each of 10,000 answers a second would show.
const std::string& http_date() {
    thread_local std::time_t made_at = 0;
    thread_local std::string text;
    const std::time_t now = std::time(nullptr);
    if (now != made_at || text.empty()) {
        static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        std::tm at{};
        ::gmtime_r(&now, &at);
        text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", days[at.tm_wday], at.tm_mday,
                           months[at.tm_mon], at.tm_year + 1900, at.tm_hour, at.tm_min, at.tm_sec);
        made_at = now;
    }
    return text;
}

// Header values come from the configuration too: a line break in one must not start another header.
void append_header(std::string& out, std::string_view name, std::string_view value) {
    for (const auto part : {name, std::string_view{": "}, value}) {
        for (const char c : part)
            out += (static_cast<unsigned char>(c) < ' ' && c != '\t') ? ' ' : c;
    }
    out += "\r\n";
}

struct Form {
    bool http_1_1 = true, keep_alive = false, head = false;
};

std::string render(const Response& response, Form form) {
    std::string out;
    out.reserve(256 + response.body.size());
    out += form.http_1_1 ? "HTTP/1.1 " : "HTTP/1.0 ";
    out += fmt::format_int(response.status).c_str();
    out += ' ';
    out += reason_phrase(response.status);
    out += "\r\nDate: ";
    out += http_date();
    out += "\r\n";
    if (!response.content_type.empty()) append_header(out, "Content-Type", response.content_type);
    for (const auto& header : response.headers) append_header(out, header.name, header.value);
    out += "Content-Length: ";
    out += fmt::format_int(response.body.size()).c_str();
    out += form.http_1_1 && !form.keep_alive ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n";
    if (!form.head) out += response.body;
    return out;
}

// What to tell a client whose request could not be read; 0: nothing, it is gone or silent.
int status_for(const error_code& bad) {
    if (bad == http::error::end_of_stream) return 0;
    if (bad == http::error::header_limit) return 431;
    if (bad == http::error::body_limit) return 413;
    if (bad.category() == make_error_code(http::error::bad_method).category()) return 400;
    return 0;
}

std::string reason_for(int status, const error_code& bad, const ServerOptions& options) {
    if (status == 431)
        return fmt::format("the request's header is longer than {} bytes",
                           options.header_bytes_max);
    if (status == 413)
        return fmt::format("the request's body is longer than {} bytes", options.body_bytes_max);
    return fmt::format("the request is not HTTP: {}", bad.message());
}

Request to_request(http::request<http::string_body>&& from, bool has_body) {
    Request request;
    request.method = view(from.method_string());
    request.target = view(from.target());
    std::string_view target = request.target;
    // Absolute form, as sent to a proxy: the path is what counts.
    if (target.starts_with("http://") || target.starts_with("https://")) {
        const auto path = target.find('/', target.find("://") + 3);
        target = path == target.npos ? std::string_view{"/"} : target.substr(path);
    }
    const auto mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != target.npos) {
        request.query = parse_query(target.substr(mark + 1, target.substr(mark + 1).find('#')));
    }
    for (const auto& field : from) {
        request.headers.push_back(
            {std::string(view(field.name_string())), std::string(view(field.value()))});
    }
    request.body = std::move(from.body());
    request.has_body = has_body;
    return request;
}

Task<Response> answer(const Handler& handler, Request request) {
    try {
        auto response = co_await handler(std::move(request));
        co_return response;
    } catch (const std::exception& error) {
        log::error("answering an HTTP request failed: {}", error.what());
    }
    co_return Response{.status = 500,
                       .content_type = "text/plain",
                       .headers = {},
                       .body = "the request could not be answered; see the log\n"};
}

// The same conversation over a plain socket and over TLS.
template <class Stream>
class Conversation {
public:
    Conversation(Connection& connection, Stream& stream, Service& service)
        : connection_(connection), stream_(stream), service_(service), options_(*service.options) {}

    bool tls = false;
    bool client_cert_verified = false;

    Task<void> run() {
        bool more = true;
        bool first = true;
        while (more) {
            connection_.enter(Connection::Phase::silent,
                              first ? options_.read_timeout : options_.idle_timeout);
            first = false;
            more = co_await exchange();
        }
    }

private:
    Connection& connection_;
    Stream& stream_;
    Service& service_;
    const ServerOptions& options_;
    boost::beast::flat_buffer buffer_;

    Task<error_code> read(Parser& parser) {
        auto [bad, size] = co_await http::async_read_header(stream_, buffer_, parser, awaiting);
        if (bad || parser.is_done()) co_return bad;
        connection_.enter(Connection::Phase::silent, options_.read_timeout);
        if (iequals(view(parser.get()[http::field::expect]), "100-continue")) {
            const std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
            const auto [unsent, sent] =
                co_await asio::async_write(stream_, asio::buffer(go_on), awaiting);
            if (unsent) co_return unsent;
        }
        const auto [bad_body, body_size] =
            co_await http::async_read(stream_, buffer_, parser, awaiting);
        co_return bad_body;
    }

    // True: another request may follow.
    Task<bool> exchange() {
        Parser parser;
        parser.header_limit(static_cast<std::uint32_t>(options_.header_bytes_max));
        parser.body_limit(options_.body_bytes_max);
        const auto bad = co_await read(parser);
        if (bad) {
            co_await refuse(bad, parser.get().version() != 10);
            co_return false;
        }
        const bool has_body = parser.content_length().has_value() || parser.chunked();
        Form form{.http_1_1 = parser.get().version() == 11,
                  .keep_alive = parser.get().keep_alive() && parser.get().version() == 11,
                  .head = parser.get().method() == http::verb::head};
        auto request = to_request(parser.release(), has_body);
        request.client_address = unmapped(connection_.peer.address()).to_string();
        request.tls = tls;
        request.client_cert_verified = client_cert_verified;

        connection_.phase = Connection::Phase::handling;
        connection_.deadline = Clock::time_point::max();
        const auto response = co_await answer(service_.handler, std::move(request));
        form.keep_alive = form.keep_alive && !service_.stopping;
        const bool sent = co_await send(render(response, form));
        co_return sent&& form.keep_alive;
    }

    Task<bool> send(std::string text) {
        connection_.enter(Connection::Phase::writing, options_.write_timeout);
        const auto [bad, size] = co_await asio::async_write(stream_, asio::buffer(text), awaiting);
        co_return !bad;
    }

    Task<void> refuse(error_code bad, bool http_1_1) {
        const int status = status_for(bad);
        if (status == 0) co_return;
        const auto reason = reason_for(status, bad, options_);
        const auto response = service_.error_page ? service_.error_page(status, reason)
                                                  : Response{.status = status,
                                                             .content_type = "text/plain",
                                                             .headers = {},
                                                             .body = reason + "\n"};
        const bool sent = co_await send(
            render(response, {.http_1_1 = http_1_1, .keep_alive = false, .head = false}));
        if (sent) co_await linger();
    }

    // Closing while unread bytes wait would reset the connection, and the client might never see
    // why it was refused: so take what comes, for a short while.
    Task<void> linger() {
        connection_.enter(Connection::Phase::silent, std::chrono::milliseconds{1'000});
        error_code ignored;
        (void)connection_.socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
        char waste[4096];
        std::size_t left = 4 * options_.body_bytes_max;
        while (true) {
            const auto [bad, size] =
                co_await connection_.socket.async_read_some(asio::buffer(waste), awaiting);
            if (bad || size >= left) co_return;
            left -= size;
        }
    }
};

Task<void> serve_tls(Connection& connection, Service& service) {
    asio::ssl::stream<asio::ip::tcp::socket&> stream(connection.socket, *service.tls);
    connection.enter(Connection::Phase::silent, service.options->read_timeout);
    const auto [bad] = co_await stream.async_handshake(asio::ssl::stream_base::server, awaiting);
    if (bad) {
        log::debug("TLS handshake with {} failed: {}", connection.peer.address().to_string(),
                   bad.message());
        co_return;
    }
    Conversation conversation(connection, stream, service);
    conversation.tls = true;
    SSL* const ssl = stream.native_handle();
    conversation.client_cert_verified =
        SSL_get0_peer_certificate(ssl) != nullptr && SSL_get_verify_result(ssl) == X509_V_OK;
    co_await conversation.run();
    connection.enter(Connection::Phase::silent, std::chrono::milliseconds{1'000});
    const auto [not_said] = co_await stream.async_shutdown(awaiting);
    static_cast<void>(not_said);  // a client that does not say goodbye: we are leaving anyway
}

}  // namespace

Task<void> serve(Connection& connection, Service service) {
    // A cancelled wait in a handler shows as that wait's error, not as an exception thrown here.
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        if (service.tls) {
            co_await serve_tls(connection, service);
        } else {
            Conversation conversation(connection, connection.socket, service);
            co_await conversation.run();
        }
    } catch (const std::exception& error) {
        log::error("an HTTP connection ended with an error: {}", error.what());
    }
    connection.drop();
}

}  // namespace relevo::net::detail
