#include "rest/peer_client.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"
#include "net/tcp_probe.h"
#include "rest/orders.h"

namespace relevo::rest {
namespace {

using nlohmann::json;

net::ClientOptions client_options(PeerOptions options) {
    net::ClientOptions made;
    made.tls = std::move(options.tls);
    made.credentials = std::move(options.credentials);
    made.body_bytes_max = 2 * cluster::tail_piece_bytes;
    return made;
}

const json* find(const json& object, const char* key) {
    const auto at = object.find(key);
    return at == object.end() || at->is_null() ? nullptr : &*at;
}

std::string text_of(const json& object, const char* key) {
    const auto* value = find(object, key);
    return value != nullptr && value->is_string() ? value->get<std::string>() : std::string{};
}

std::optional<cluster::Lsn> lsn_of(const json& object, const char* key) {
    const auto* value = find(object, key);
    if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
    return cluster::Lsn{value->get<std::uint64_t>()};
}

cluster::Revision revision_of(const json& object, const char* key) {
    const auto* value = find(object, key);
    if (value == nullptr || !value->is_number_unsigned()) return 0;
    const auto number = value->get<std::uint64_t>();
    return std::in_range<cluster::Revision>(number) ? static_cast<cluster::Revision>(number) : 0;
}

std::optional<cluster::WalTail> tail_of(const json& object) {
    const auto* tail = find(object, "wal_tail");
    if (tail == nullptr || !tail->is_object()) return std::nullopt;
    const auto* timeline = find(*tail, "timeline");
    const auto end = lsn_of(*tail, "end");
    if (timeline == nullptr || !timeline->is_number_unsigned() || !end) return std::nullopt;
    const auto number = timeline->get<std::uint64_t>();
    if (number == 0 || number > UINT32_MAX) return std::nullopt;
    return cluster::WalTail{static_cast<cluster::Timeline>(number), *end};
}

// api_url with another path: ".../patroni" -> ".../failsafe".
Result<std::string> beside(const std::string& api_url, std::string_view path) {
    RLV_TRY(const auto url, net::parse_url(api_url));
    return fmt::format("{}://{}{}", url.tls ? "https" : "http",
                       net::to_string(net::HostPort{url.host, url.port}), path);
}

}  // namespace

Result<cluster::PeerStatus> parse_peer_status(std::string_view text) {
    if (json_nesting(text) > nesting_max)
        return fail(ErrorCode::invalid, "the answer is nested too deeply");
    const auto object = json::parse(text, nullptr, false);
    if (!object.is_object()) return fail(ErrorCode::invalid, "the answer is not a JSON object");
    cluster::PeerStatus status;
    const auto role = text_of(object, "role");
    status.primary = role == "primary" || role == "master";
    status.running = text_of(object, "state") == "running";
    status.streams = text_of(object, "replication_state") == "streaming";
    status.system_id = text_of(object, "database_system_identifier");
    const auto* failed = find(object, "watchdog_failed");
    status.watchdog_failed = failed != nullptr && *failed == true;
    const auto* voteless = find(object, "voteless");
    status.voteless = voteless != nullptr && *voteless == true;
    status.sealed = revision_of(object, "sealed");
    status.suspects = revision_of(object, "suspects");
    status.tail = tail_of(object);
    if (const auto* disk = find(object, "disk"); disk != nullptr && disk->is_object())
        status.disk = cluster::parse_disk_state(text_of(*disk, "state"));
    if (const auto* corrupted = find(object, "corrupted");
        corrupted != nullptr && corrupted->is_boolean())
        status.corrupted = corrupted->get<bool>();
    const auto* timeline = find(object, "timeline");
    if (timeline != nullptr && timeline->is_number_unsigned()) {
        const auto number = timeline->get<std::uint64_t>();
        if (number <= UINT32_MAX) status.timeline = static_cast<cluster::Timeline>(number);
    }
    if (const auto* xlog = find(object, "xlog"); xlog != nullptr && xlog->is_object()) {
        if (const auto location = lsn_of(*xlog, "location")) {
            status.primary = true;
            status.position = *location;
        } else {
            status.position = std::max(lsn_of(*xlog, "received_location").value_or(cluster::Lsn{}),
                                       lsn_of(*xlog, "replayed_location").value_or(cluster::Lsn{}));
        }
    }
    if (const auto* tags = find(object, "tags"); tags != nullptr && tags->is_object()) {
        for (const auto& [name, value] : tags->items()) {
            status.tags.published[name].json =
                value.dump(-1, ' ', false, json::error_handler_t::replace);
        }
    }
    status.nofailover = status.tags.nofailover();
    status.failover_priority = status.tags.failover_priority();
    return status;
}

Result<cluster::PulseAnswer> parse_pulse_answer(std::string_view text) {
    if (json_nesting(text) > nesting_max)
        return fail(ErrorCode::invalid, "the answer is nested too deeply");
    const auto object = json::parse(text, nullptr, false);
    if (!object.is_object()) return fail(ErrorCode::invalid, "the answer is not a JSON object");
    cluster::PulseAnswer answer{text_of(object, "name"), text_of(object, "system_id")};
    if (answer.name.empty()) return fail(ErrorCode::invalid, "the answer names nobody");
    return answer;
}

HttpPeers::HttpPeers(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                     PeerOptions options)
    : loop_(loop), pool_(pool), client_(loop, pool, client_options(std::move(options))) {}

void HttpPeers::set_options(PeerOptions options) {
    client_.set_options(client_options(std::move(options)));
}

Task<Result<cluster::PeerStatus>> HttpPeers::status(const cluster::MemberRecord& member,
                                                    Duration deadline) {
    const auto name = member.name;
    net::ClientRequest request{.method = "GET", .url = member.api_url, .headers = {}, .body = {}};
    const auto answer = co_await client_.request(std::move(request), deadline);
    if (!answer) {
        // Asking again is harmless, so that it may have been heard does not matter here.
        auto why = answer.error();
        if (why.code == ErrorCode::outcome_unknown) why.code = ErrorCode::unavailable;
        co_return within(fmt::format("member {}", name), std::move(why));
    }
    auto status = parse_peer_status(answer->body);
    if (!status) {
        co_return fail(ErrorCode::unavailable, fmt::format("member {} answered {}: {}", name,
                                                           answer->status, status.error().message));
    }
    co_return status;
}

Task<Result<cluster::Lsn>> HttpPeers::failsafe(const cluster::MemberRecord& member,
                                               std::string body, Duration deadline) {
    const auto name = member.name;
    auto url = beside(member.api_url, "/failsafe");
    if (!url) co_return within(fmt::format("member {}", name), url.error());
    net::ClientRequest request{
        .method = "POST", .url = std::move(*url), .headers = {}, .body = std::move(body)};
    const auto answer = co_await client_.request(std::move(request), deadline);
    if (!answer) co_return within(fmt::format("member {}", name), answer.error());
    if (answer->status != 200 || trim(answer->body) != "Accepted") {
        co_return fail(ErrorCode::denied,
                       fmt::format("member {} does not agree that we go on: {} {}", name,
                                   answer->status, answer->body.substr(0, 200)));
    }
    const auto* lsn = net::find_header(answer->headers, "lsn");
    const auto position = lsn == nullptr ? std::nullopt : parse_decimal(trim(*lsn));
    co_return cluster::Lsn{position && *position > 0 ? static_cast<std::uint64_t>(*position) : 0};
}

Task<Result<cluster::PulseAnswer>> HttpPeers::pulse(const cluster::MemberRecord& member,
                                                    cluster::Pulse from, Duration deadline) {
    const auto name = member.name;
    auto url = beside(member.api_url, "/pulse");
    if (!url) co_return within(fmt::format("member {}", name), url.error());
    json body{{"from", from.from}, {"follows", from.follows}};
    if (!from.system_id.empty()) body["system_id"] = from.system_id;
    net::ClientRequest request{.method = "POST",
                               .url = std::move(*url),
                               .headers = {},
                               .body = body.dump(-1, ' ', true, json::error_handler_t::replace),
                               .keep = true};
    const auto answer = co_await client_.request(std::move(request), deadline);
    if (!answer) co_return within(fmt::format("member {}", name), answer.error());
    if (answer->status != 200)
        co_return fail(ErrorCode::denied,
                       fmt::format("member {} does not take our pulse: {} {}", name, answer->status,
                                   answer->body.substr(0, 200)));
    auto read = parse_pulse_answer(answer->body);
    if (!read) co_return within(fmt::format("member {}", name), read.error());
    co_return read;
}

Task<Result<std::string>> HttpPeers::wal_tail(const cluster::MemberRecord& member,
                                              cluster::TailAsk ask, Duration deadline) {
    const auto name = member.name;
    auto url = beside(member.api_url, "/wal");
    if (!url) co_return within(fmt::format("member {}", name), url.error());
    const json body{{"from", ask.from},
                    {"system_id", ask.system_id},
                    {"timeline", ask.timeline},
                    {"lsn", to_string(ask.at)},
                    {"proof", ask.proof}};
    net::ClientRequest request{.method = "POST",
                               .url = std::move(*url),
                               .headers = {},
                               .body = body.dump(-1, ' ', true, json::error_handler_t::replace)};
    auto answer = co_await client_.request(std::move(request), deadline);
    if (!answer) co_return within(fmt::format("member {}", name), answer.error());
    if (answer->status != 200)
        co_return fail(ErrorCode::denied, fmt::format("member {} gives no WAL: {} {}", name,
                                                      answer->status, answer->body.substr(0, 200)));
    co_return std::move(answer->body);
}

Task<bool> HttpPeers::postgres_answers(const cluster::MemberRecord& member, Duration deadline) {
    // SSLRequest: the shortest question that a server answers before it knows who asks.
    static constexpr std::string_view ssl_request("\x00\x00\x00\x08\x04\xd2\x16\x2f", 8);
    const int port = member.port();
    if (member.host().empty() || !std::in_range<std::uint16_t>(port)) co_return false;
    const bool answers = co_await net::answers_at(
        loop_, pool_, member.host(), static_cast<std::uint16_t>(port), ssl_request, deadline);
    co_return answers;
}

Task<bool> HttpPeers::alive(const std::string& api_url, Duration deadline) {
    auto url = beside(api_url, "/liveness");
    if (!url) co_return false;
    net::ClientRequest request{.method = "GET", .url = std::move(*url), .headers = {}, .body = {}};
    const auto answer = co_await client_.request(std::move(request), deadline);
    co_return answer.has_value();
}

std::unique_ptr<HttpPeers> make_peers(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                                      PeerOptions options) {
    return std::make_unique<HttpPeers>(loop, pool, std::move(options));
}

}  // namespace relevo::rest
