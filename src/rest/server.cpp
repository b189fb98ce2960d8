#include "rest/server.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "cluster/backup_json.h"
#include "cluster/publish.h"
#include "net/http_server.h"
#include "rest/access.h"
#include "rest/health.h"
#include "rest/leader_key.h"
#include "rest/orders.h"
#include "rest/stream.h"

namespace relevo::rest {
namespace {

using net::Request;
using net::Response;
constexpr const char* json_type = "application/json";
constexpr const char* text_type = "text/plain; charset=utf-8";
constexpr const char* metrics_type = "text/plain";

Response json_answer(std::string body, int status = 200) {
    return {.status = status, .content_type = json_type, .headers = {}, .body = std::move(body)};
}

Response text_answer(int status, std::string text) {
    return {.status = status, .content_type = text_type, .headers = {}, .body = std::move(text)};
}

Response refusal(const Refusal& why) {
    auto response = text_answer(why.status, why.reason);
    if (why.status == 401)
        response.headers.push_back({"WWW-Authenticate", "Basic realm=\"Patroni\""});
    return response;
}

Response to_response(ports::Reply reply) {
    const bool is_json = reply.text.starts_with('{') || reply.text.starts_with('[');
    return {.status = reply.code,
            .content_type = is_json ? json_type : text_type,
            .headers = {},
            .body = std::move(reply.text)};
}

// "/config/x" -> "config": only the first segment selects an endpoint.
std::string_view first_segment(std::string_view path) {
    if (path.starts_with('/')) path.remove_prefix(1);
    return path.substr(0, path.find('/'));
}

std::string server_name(const RestOptions& options) {
    if (options.server_tokens == "Minimal") return "Patroni/4.1.4";
    if (options.server_tokens == "ProductOnly") return "Patroni";
    return options.relevo_version.empty() ? "relevo" : "relevo/" + options.relevo_version;
}

net::ServerOptions server_options(const RestOptions& options) {
    net::ServerOptions made;
    made.listen = options.listen;
    made.backlog = std::max(128, options.request_queue_size);
    made.tls = options.tls;
    return made;
}

}  // namespace

struct RestApi::Impl {
    Impl(boost::asio::io_context& loop, boost::asio::thread_pool& pool, ports::Control& control_,
         RestOptions options_)
        : control(control_),
          options(std::move(options_)),
          access(loop, pool),
          server(
              loop, pool, [this](Request request) { return answer(std::move(request)); },
              [this](int status, const std::string& reason) {
                  auto page = text_answer(status, reason);
                  add_headers(page, false);
                  return page;
              }) {}

    // One member function an endpoint; the table below says which.
    using Endpoint = Task<Response> (Impl::*)(Request);
    struct Order {
        const char* method;
        const char* name;
        Endpoint serve;
        bool needs_body;
    };
    static const Order orders[];

    ports::Control& control;
    RestOptions options;
    Access access;
    // The status text of the last view asked for; 10,000 health checks a second see few views.
    std::shared_ptr<const ports::View> cached_view;
    std::string cached_status;
    cluster::Revision cached_suspects = 0;  // the one thing in it that ends with time
    // What the streams were told last. Numbered from the wall clock on, so that a number of an
    // earlier life is not taken for one of this one's.
    cluster::MemberStream streamed;
    bool stopping = false;
    net::HttpServer server;

    void add_headers(Response& response, bool tls) const;
    cluster::StatusInput status_input(const ports::View& view) const;
    const std::string& status_text(const std::shared_ptr<const ports::View>& view);

    Task<Response> answer(Request request);
    Task<Response> look(const Request& request);
    Task<Response> look_at_stream(const Request& request);
    Task<Response> look_at_dcs(std::string_view what);
    Response show(const cluster::Snapshot& snapshot, std::string_view what) const;
    Response failsafe_members() const;
    Response journal(const Request& request) const;
    Task<Response> look_at_backups();
    Task<Response> order(Request request);
    Task<Response> stream(std::uint64_t since, Duration wait, bool positions);

    Task<Response> patch_config(Request request);
    Task<Response> put_config(Request request);
    Task<Response> reload(Request request);
    Task<Response> restart(Request request);
    Task<Response> cancel_restart(Request request);
    Task<Response> switchover(Request request);
    Task<Response> failover(Request request);
    Task<Response> hand_over(const Request& request, bool failover);
    Task<Response> cancel_switchover(Request request);
    Task<Response> reinitialize(Request request);
    Task<Response> failsafe(Request request);
    Task<Response> pulse(Request request);
    Task<Response> gateway(Request request);
    Task<Response> wal_tail(Request request);
    Task<Response> backup(Request request);
    Task<Response> restore(Request request);
    Task<Response> cancel_restore(Request request);
    Task<Response> forget_corruption(Request request);
    Task<Response> start_amcheck(Request request);
    Task<Response> end_amcheck(Request request);
    Task<Response> sigterm(Request request);
};

const RestApi::Impl::Order RestApi::Impl::orders[] = {
    {"PATCH", "config", &Impl::patch_config, true},
    {"PUT", "config", &Impl::put_config, true},
    {"POST", "reload", &Impl::reload, false},
    {"POST", "restart", &Impl::restart, false},
    {"DELETE", "restart", &Impl::cancel_restart, false},
    {"POST", "switchover", &Impl::switchover, true},
    {"POST", "failover", &Impl::failover, true},
    {"DELETE", "switchover", &Impl::cancel_switchover, false},
    {"POST", "reinitialize", &Impl::reinitialize, false},
    {"POST", "failsafe", &Impl::failsafe, true},
    {"POST", "pulse", &Impl::pulse, true},
    {"POST", "gateway", &Impl::gateway, true},
    {"POST", "wal", &Impl::wal_tail, true},
    {"POST", "backup", &Impl::backup, false},
    {"POST", "restore", &Impl::restore, true},
    {"DELETE", "restore", &Impl::cancel_restore, false},
    {"DELETE", "corruption", &Impl::forget_corruption, false},
    {"POST", "amcheck", &Impl::start_amcheck, false},
    {"DELETE", "amcheck", &Impl::end_amcheck, false},
    {"POST", "sigterm", &Impl::sigterm, false},
};

void RestApi::Impl::add_headers(Response& response, bool tls) const {
    response.headers.push_back({"Server", server_name(options)});
    for (const auto& [name, value] : options.http_extra_headers)
        response.headers.push_back({name, value});
    if (!tls) return;
    for (const auto& [name, value] : options.https_extra_headers)
        response.headers.push_back({name, value});
}

Task<Response> RestApi::Impl::answer(Request request) {
    const bool tls = request.tls;
    const bool options_asked = request.method == "OPTIONS";
    const bool look_only = options_asked || request.method == "GET" || request.method == "HEAD";
    Response response;
    if (look_only) {
        response = co_await look(request);
    } else {
        response = co_await order(std::move(request));
    }
    if (options_asked) response.body.clear();  // HEAD's is left out by the server
    add_headers(response, tls);
    co_return response;
}

// Everything that only shows. Never authenticated.
Task<Response> RestApi::Impl::look(const Request& request) {
    auto view = control.view();
    const auto name = first_segment(request.path);
    if (name == "stream") {
        auto response = co_await look_at_stream(request);
        co_return response;
    }
    // Whoever asks for positions compares them: they are looked up now. Plain health checks are
    // not.
    const bool lag_asked =
        std::ranges::any_of(request.query, [](const auto& item) { return item.name == "lag"; });
    const bool compares = lag_asked || name == "patroni" || name == "readiness";
    if (compares) view = co_await control.fresh_view();
    if (name == "cluster" || name == "history" || name == "config") {
        auto response = co_await look_at_dcs(name);
        co_return response;
    }
    const auto bare = [](int status) {
        return Response{.status = status, .content_type = {}, .headers = {}, .body = {}};
    };
    if (request.path == "/backup/schedule") {
        auto reply = co_await control.backup_schedule();
        co_return to_response(std::move(reply));
    }
    if (request.path == "/backup/proofs") {
        auto reply = co_await control.backup_proofs();
        co_return to_response(std::move(reply));
    }
    if (name == "liveness") co_return bare(liveness_code(*view, control.now()));
    if (name == "readiness") co_return bare(readiness_code(request.query, *view, control.now()));
    if (name == "failsafe") co_return failsafe_members();
    if (name == "journal") co_return journal(request);
    if (name == "restore") co_return to_response(control.restore_state());
    if (name == "backup") {
        auto response = co_await look_at_backups();
        co_return response;
    }
    if (name == "metrics") {
        co_return Response{.status = 200,
                           .content_type = metrics_type,
                           .headers = {},
                           .body = cluster::metrics_text(status_input(*view))};
    }
    if (name == "patroni") co_return json_answer(status_text(view));
    if (auto key = leader_key_answer(request.path, *view, control.now()))
        co_return json_answer(key->json, key->status);
    const int status = health_code(request.path, request.query, *view, control.now());
    co_return json_answer(status_text(view), status);
}

cluster::StatusInput RestApi::Impl::status_input(const ports::View& view) const {
    return {.scope = view.scope,
            .name = view.name,
            .relevo_version = options.relevo_version,
            .snapshot = view.snapshot.get(),
            .postgres = view.postgres,
            .state = view.state,
            .role = view.role,
            .settings = view.settings,
            .tags = view.tags,
            .dcs_last_seen = view.dcs_last_seen,
            .failsafe_active = view.failsafe_active,
            .watchdog_failed = view.watchdog_failed,
            .lowered_commits = view.lowered_commits,
            .admission = view.admission,
            .sealed = view.sealed,
            .suspects = view.suspects_at(control.now()),
            .tail = view.tail,
            .disk = view.disk.get(),
            .disk_age = view.disk ? control.now() - view.disk->measured : Duration{},
            .copy = view.copy,
            .archive = view.archive,
            .backups = view.backups,
            .now = control.wall(),
            .corruption = view.corruption.get(),
            .proofs = view.proofs,
            .scheduled_restart = view.scheduled_restart};
}

const std::string& RestApi::Impl::status_text(const std::shared_ptr<const ports::View>& view) {
    const auto suspects = view->suspects_at(control.now());
    if (view != cached_view || suspects != cached_suspects) {
        cached_status = cluster::status_json(status_input(*view));
        cached_view = view;
        cached_suspects = suspects;
    }
    return cached_status;
}

// A number of the query that is not negative; what it is without one.
static std::optional<std::uint64_t> number_in(const Request& request, const char* name,
                                              std::uint64_t without) {
    const auto* text = net::find_query(request.query, name);
    if (text == nullptr) return without;
    const auto number = parse_decimal(*text);
    if (!number || *number < 0) return std::nullopt;
    return static_cast<std::uint64_t>(*number);
}

Task<Response> RestApi::Impl::look_at_stream(const Request& request) {
    const auto since = number_in(request, "since", 0);
    const auto wait = number_in(request, "wait", 0);
    if (!since || !wait)
        co_return text_answer(400, "since and wait (milliseconds) are whole numbers, not negative");
    const auto most = std::chrono::milliseconds(std::min<std::uint64_t>(*wait, 60'000));
    auto response = co_await stream(*since, most, false);
    co_return response;
}

Task<Response> RestApi::Impl::gateway(Request request) {
    const auto report = cluster::parse_gateway_report(request.body);
    if (!report) co_return text_answer(400, report.error().message);
    control.gateway(*report);
    auto response = co_await stream(report->since, report->wait, report->positions);
    co_return response;
}

// Answers when there is something that `since` does not have, or the time is up.
Task<Response> RestApi::Impl::stream(std::uint64_t since, Duration wait, bool positions) {
    // Whoever went away meanwhile is noticed only then, so no wait is long.
    constexpr Duration wait_max = std::chrono::seconds(2);
    const Instant end = control.now() + std::min(wait, wait_max);
    bool more = true;
    while (true) {
        auto news = stream_of(*control.view(), control.now(), control.wall());
        if (streamed.sequence == 0)
            streamed.sequence =
                static_cast<std::uint64_t>(control.wall().time_since_epoch().count());
        news.sequence = streamed.sequence + (news.same_news(streamed) ? 0 : 1);
        streamed = news;
        const Duration left = end - control.now();
        if (news.sequence != since || left <= Duration::zero() || !more || stopping) {
            const bool looks = positions && news.standby && news.sequence == since;
            if (looks) {
                const auto seen = co_await control.fresh_view();
                const auto fresh = stream_of(*seen, control.now(), control.wall());
                news.lag_bytes = fresh.lag_bytes;
                news.lag_ms = fresh.lag_ms;
            }
            co_return json_answer(cluster::to_json(news));
        }
        // The right to serve ends without an event.
        const Duration next = news.serves() ? std::min<Duration>(left, news.serves_for) : left;
        more = co_await control.view_changed(next);
    }
}

Task<Response> RestApi::Impl::look_at_dcs(std::string_view what) {
    const std::string kept(what);
    const auto snapshot = co_await control.fresh_snapshot();
    if (!snapshot) {
        co_return text_answer(503, "the DCS cannot be read: " + snapshot.error().message);
    }
    co_return show(*snapshot, kept);
}

Response RestApi::Impl::show(const cluster::Snapshot& snapshot, std::string_view what) const {
    if (what == "history") {
        return json_answer(snapshot.history ? spaced(cluster::to_json(*snapshot.history)) : "[]");
    }
    if (what == "config") {
        if (!snapshot.config)
            return text_answer(502, "there is no dynamic configuration in the DCS yet");
        return json_answer(spaced(snapshot.config->json));
    }
    const auto view = control.view();
    // As fresh as the rest of the answer, where it can be read.
    auto settings = view->settings;
    if (snapshot.config) {
        if (auto read = cluster::read_settings(snapshot.config->json)) settings = read->settings;
    }
    return json_answer(cluster::cluster_json(view->scope, snapshot, settings));
}

Response RestApi::Impl::failsafe_members() const {
    const auto view = control.view();
    if (!view->snapshot || view->snapshot->failsafe.empty()) {
        return text_answer(502, "the failsafe key is absent: failsafe_mode is not active");
    }
    return json_answer(spaced(cluster::failsafe_json(view->snapshot->failsafe)));
}

// Ours alone: what this member noticed and did when the leader changed (cluster/journal.h).
Response RestApi::Impl::journal(const Request& request) const {
    std::uint64_t wanted[] = {0, std::numeric_limits<std::uint32_t>::max()};
    const char* const names[] = {"since", "limit"};
    for (int i = 0; i < 2; ++i) {
        const auto* text = net::find_query(request.query, names[i]);
        if (text == nullptr) continue;
        const auto number = parse_decimal(*text);
        if (!number || *number < 0)
            return text_answer(400, fmt::format("{} is a whole number, not negative", names[i]));
        wanted[i] = static_cast<std::uint64_t>(*number);
    }
    return json_answer(control.journal(wanted[0], static_cast<std::size_t>(wanted[1])));
}

// Ours alone: what the repository holds. Whoever asks needs no key to it: this member has one.
Task<Response> RestApi::Impl::look_at_backups() {
    const auto repository = co_await control.backups();
    if (repository)
        co_return json_answer(
            cluster::to_json(*repository, control.view()->archive, control.wall()));
    const auto& why = repository.error();
    co_return text_answer(why.code == ErrorCode::invalid ? 404 : 503, why.message);
}

// Everything that changes something: known at all, then allowed, then well formed.
Task<Response> RestApi::Impl::order(Request request) {
    const auto name = first_segment(request.path);
    const auto* const found = std::ranges::find_if(orders, [&](const Order& candidate) {
        return request.method == candidate.method && name == candidate.name;
    });
    if (found == std::end(orders)) {
        co_return text_answer(501, fmt::format("there is no {} for this path", request.method));
    }
    const auto view = control.view();
    const bool poll = found->serve == &Impl::pulse || found->serve == &Impl::gateway;
    const bool failsafe_asked = found->serve == &Impl::failsafe;
    const auto refused = co_await access.refuse(request, *view, failsafe_asked);
    if (refused) co_return refusal(*refused);
    if (found->needs_body && !request.has_body) {
        co_return text_answer(411, "this request needs a JSON object as its body");
    }
    if (!poll)  // several a second from each member and gateway
        log::info("received {} {} from {}", request.method, request.path, request.client_address);
    auto response = co_await (this->*found->serve)(std::move(request));
    co_return response;
}

Task<Response> RestApi::Impl::patch_config(Request request) {
    auto body = parse_object_body(request.body);
    if (!body) co_return refusal(body.error());
    auto reply = co_await control.patch_config(std::move(*body));
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::put_config(Request request) {
    auto body = parse_object_body(request.body);
    if (!body) co_return refusal(body.error());
    auto reply = co_await control.put_config(std::move(*body));
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::reload(Request) {
    auto reply = co_await control.reload();
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::restart(Request request) {
    auto wanted = parse_restart(request.body, control.view()->settings.pause, control.wall());
    if (!wanted) co_return refusal(wanted.error());
    auto reply = co_await control.restart(std::move(*wanted));
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::cancel_restart(Request) {
    auto reply = co_await control.cancel_restart();
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::hand_over(const Request& request, bool failover_asked) {
    auto wanted = parse_switchover(request.body, failover_asked, control.view()->settings.pause,
                                   control.wall());
    if (!wanted) co_return refusal(wanted.error());
    auto reply = co_await control.switchover(std::move(*wanted));
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::switchover(Request request) {
    auto response = co_await hand_over(request, false);
    co_return response;
}

Task<Response> RestApi::Impl::failover(Request request) {
    auto response = co_await hand_over(request, true);
    co_return response;
}

Task<Response> RestApi::Impl::cancel_switchover(Request) {
    auto reply = co_await control.cancel_switchover();
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::reinitialize(Request request) {
    const auto wanted = parse_reinitialize(request.body);
    if (!wanted) co_return refusal(wanted.error());
    auto reply = co_await control.reinitialize(wanted->force, wanted->from_leader);
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::failsafe(Request request) {
    auto body = parse_object_body(request.body);
    if (!body) co_return refusal(body.error());
    auto reply = co_await control.failsafe(std::move(*body));
    const bool accepted = reply.code == 200;
    auto response = to_response(std::move(reply));
    if (accepted) {
        response.headers.push_back(
            {"lsn", std::to_string(control.view()->postgres.position().value)});
    }
    co_return response;
}

Task<Response> RestApi::Impl::pulse(Request request) {
    auto pulse = parse_pulse(request.body);
    if (!pulse) co_return refusal(pulse.error());
    co_return to_response(control.pulse(*pulse));
}

// All that the database holds may be in it: beside what guards the port, the agent wants a proof.
Task<Response> RestApi::Impl::wal_tail(Request request) {
    auto ask = parse_tail_ask(request.body);
    if (!ask) co_return refusal(ask.error());
    ask->guarded = access.guards();
    auto pages = co_await control.wal_tail(*std::move(ask));
    if (!pages) {
        const auto& why = pages.error();
        const int status = why.code == ErrorCode::not_found  ? 404
                           : why.code == ErrorCode::denied   ? 403
                           : why.code == ErrorCode::conflict ? 409
                                                             : 503;
        co_return text_answer(status, why.message);
    }
    co_return Response{.status = 200,
                       .content_type = "application/octet-stream",
                       .headers = {},
                       .body = std::move(*pages)};
}

// POST /backup, /backup/expire: what changes the repository. /backup/check: whether it can be used.
Task<Response> RestApi::Impl::backup(Request request) {
    if (request.path == "/backup/check") {
        auto reply = co_await control.check_backups();
        co_return to_response(std::move(reply));
    }
    const bool expire = request.path == "/backup/expire";
    if (!expire && request.path != "/backup")
        co_return text_answer(404, "there is POST /backup, /backup/expire and /backup/check");
    const auto wanted = expire ? parse_expire(request.body) : parse_backup(request.body);
    if (!wanted) co_return refusal(wanted.error());
    auto reply = co_await control.start_backup(*wanted);
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::restore(Request request) {
    auto wanted = parse_restore(request.body);
    if (!wanted) co_return refusal(wanted.error());
    auto reply = co_await control.restore(*std::move(wanted));
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::cancel_restore(Request) {
    auto reply = co_await control.cancel_restore();
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::forget_corruption(Request) {
    auto reply = co_await control.forget_corruption();
    co_return to_response(std::move(reply));
}

Task<Response> RestApi::Impl::start_amcheck(Request) {
    co_return to_response(control.start_amcheck());
}

Task<Response> RestApi::Impl::end_amcheck(Request) { co_return to_response(control.end_amcheck()); }

// Patroni's has an effect only in a test mode on Windows; it is answered for those who ask.
Task<Response> RestApi::Impl::sigterm(Request) { co_return text_answer(202, "shutdown scheduled"); }

RestApi::RestApi(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                 ports::Control& control, RestOptions options)
    : impl_(std::make_unique<Impl>(loop, pool, control, std::move(options))) {}
RestApi::~RestApi() = default;

Task<Status> RestApi::start() { return apply(impl_->options); }

Task<Status> RestApi::apply(RestOptions options) {
    // Access first: at no moment does the listener answer under rules that are not there yet.
    co_await impl_->access.load(options);
    const auto listening = co_await impl_->server.apply(server_options(options));
    if (!listening) {
        co_await impl_->access.load(impl_->options);
        co_return within("restapi", listening.error());
    }
    impl_->options = std::move(options);
    co_return Status{};
}

Task<void> RestApi::stop() {
    impl_->stopping = true;
    return impl_->server.stop();
}
std::uint16_t RestApi::port() const { return impl_->server.port(); }

}  // namespace relevo::rest
