#include "gateway/gateway.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/log.h"
#include "gateway/status.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/resolve.h"
#include "os/blocking.h"
#include "os/file.h"

namespace relevo::gateway {
namespace asio = boost::asio;
namespace {

using std::chrono::milliseconds;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

// How long an answer without news may take: also the rhythm in which a silent member is noticed.
constexpr milliseconds poll_wait{300};
constexpr Duration poll_deadline = milliseconds(1300);
// A member that refuses connections is asked again after this; a new leader's agent may be
// starting.
constexpr Duration ask_again_after = milliseconds(200);
// Names of members seldom move, and an address that does shows as a member that does not answer.
constexpr Duration name_holds = std::chrono::seconds(30);
constexpr Duration lookup_deadline = milliseconds(500);

net::ClientOptions client_options(const config::GatewayConfig& config) {
    net::ClientOptions made;
    made.tls.cafile = config.restapi.cafile;
    made.tls.certfile = config.restapi.certfile;
    made.tls.keyfile = config.restapi.keyfile;
    made.tls.keyfile_password = config.restapi.keyfile_password;
    made.tls.insecure = config.restapi.insecure;
    if (!config.restapi.username.empty())
        made.credentials = net::Credentials{config.restapi.username, config.restapi.password};
    made.user_agent = "relevo-gateway";
    made.body_bytes_max = 1024 * 1024;
    return made;
}

RouterOptions router_options(const config::GatewayConfig& config) {
    RouterOptions made;
    made.scope = config.scope;
    made.drain = config.switchover.drain;
    made.hold_max = config.switchover.hold_max;
    made.let_through =
        config.switchover.after_drain == config::GatewayConfig::AfterDrain::let_through;
    for (const auto& one : config.databases)
        made.reads = made.reads || one.to == config::GatewayConfig::To::replicas;
    switch (config.reads.policy) {
        case config::GatewayConfig::Reads::any: made.policy = ReadPolicy::any; break;
        case config::GatewayConfig::Reads::replica_only:
            made.policy = ReadPolicy::replica_only;
            break;
        case config::GatewayConfig::Reads::prefer_replica:
            made.policy = ReadPolicy::prefer_replica;
            break;
    }
    made.lag_bytes = static_cast<std::uint64_t>(config.reads.lag_bytes);
    made.lag = config.reads.lag;
    return made;
}

// "http://pg-1:8008/patroni" -> "http://pg-1:8008"
std::string origin(const std::string& api_url) {
    const auto url = net::parse_url(api_url);
    if (!url) return {};
    return fmt::format("{}://{}", url->tls ? "https" : "http",
                       net::to_string(net::HostPort{url->host, url->port}));
}

}  // namespace

struct Gateway::Impl : std::enable_shared_from_this<Gateway::Impl> {
    Impl(Parts parts_, config::GatewayConfig config_)
        : parts(std::move(parts_)),
          config(std::move(config_)),
          client(parts.loop, parts.pool, client_options(config)),
          server(parts.loop, parts.pool,
                 [this](net::Request request) { return answer(std::move(request)); }),
          alarm(parts.loop),
          none_left(parts.loop) {
        none_left.expires_at(asio::steady_timer::time_point::max());
    }

    Parts parts;
    config::GatewayConfig config;
    State state;
    net::HttpClient client;
    net::HttpServer server;
    asio::steady_timer alarm, none_left;
    int running = 0;
    bool stopping = false, draining = false, pooler_up = false;
    std::deque<Event> events;
    struct Follower {
        std::uint64_t sequence = 0;
        bool only_look = false;  // it does not let us take part
        std::unique_ptr<asio::steady_timer> pause;
    };
    std::map<std::string, Follower> followers;  // by origin
    struct Lookup {
        std::string address;
        Instant until;
    };
    std::map<std::string, Lookup> names;
    std::string remembered;  // what the file shall have
    bool writing = false;

    std::string state_path() const { return config.pgbouncer.directory + "/state.json"; }

    void spawn(Task<void> task) {
        ++running;
        asio::co_spawn(parts.loop, std::move(task),
                       [self = shared_from_this()](const std::exception_ptr& error) {
                           if (--self->running == 0) self->none_left.cancel();
                           if (error) std::rethrow_exception(error);
                       });
    }

    void feed(Event event);
    void carry_out(const Effect& effect);
    void arm(Instant wake_at);
    void follow_all();
    Task<void> follow(std::string url);
    Task<Result<cluster::MemberStream>> ask(std::string url, milliseconds wait);
    Task<void> resolve_all(cluster::MemberStream& view);
    Task<std::string> address_of(std::string host);
    Task<void> recall();
    void remember(const Remember& what);
    Task<void> write_memory();
    Task<void> repoint(ports::Routes routes);
    void say_took(const char* what, Instant since) const;
    Task<net::Response> answer(net::Request request);
    net::ServerOptions server_options(const config::GatewayConfig& of) const;
};

void Gateway::Impl::feed(Event event) {
    events.push_back(std::move(event));
    if (draining || stopping) return;
    draining = true;
    while (!events.empty()) {
        const Event next = std::move(events.front());
        events.pop_front();
        auto result = step(state, next, parts.clock.now());
        for (const auto& effect : result.effects) carry_out(effect);
        arm(result.wake_at);
    }
    draining = false;
}

void Gateway::Impl::arm(Instant wake_at) {
    const Duration left = std::max<Duration>(wake_at - parts.clock.now(), Duration::zero());
    alarm.expires_after(std::chrono::ceil<std::chrono::microseconds>(left));
    alarm.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (self && !error && !self->stopping) self->feed(TimerFired{});
    });
}

void Gateway::Impl::carry_out(const Effect& effect) {
    if (const auto* note = std::get_if<Note>(&effect)) {
        switch (note->level) {
            case Note::Level::info: return log::info("{}", note->text);
            case Note::Level::warning: return log::warning("{}", note->text);
            case Note::Level::error: return log::error("{}", note->text);
        }
    } else if (const auto* hold = std::get_if<Hold>(&effect)) {
        spawn([](Impl& self, Hold what) -> Task<void> {
            const Instant since = self.parts.clock.now();
            auto outcome = co_await self.parts.pooler.hold(what.route, what.drain);
            self.say_took(what.route == ports::Route::writes ? "hold writes" : "hold reads", since);
            self.feed(HoldDone{what.route, std::move(outcome)});
        }(*this, *hold));
    } else if (const auto* way = std::get_if<Repoint>(&effect)) {
        spawn(repoint(way->routes));
    } else if (const auto* release = std::get_if<Release>(&effect)) {
        spawn([](Impl& self, Release what) -> Task<void> {
            const Instant since = self.parts.clock.now();
            auto outcome = co_await self.parts.pooler.release(what.route);
            self.say_took(what.route == ports::Route::writes ? "release writes" : "release reads",
                          since);
            self.feed(ReleaseDone{what.route, std::move(outcome)});
        }(*this, *release));
    } else if (const auto* drop = std::get_if<Drop>(&effect)) {
        if (!pooler_up) return;
        spawn([](Impl& self, Drop what) -> Task<void> {
            const auto dropped = co_await self.parts.pooler.drop(what.server);
            if (!dropped)
                log::warning("connections to {}:{}: {}", what.server.host, what.server.port,
                             dropped.error().message);
            else if (*dropped > 0)
                log::info("{} connections to {}:{} were ended", *dropped, what.server.host,
                          what.server.port);
        }(*this, *drop));
    } else if (const auto* report = std::get_if<Report>(&effect)) {
        spawn([](Impl& self, std::string url) -> Task<void> {
            // What came of it is in the state, and in every poll from now on; this one is at once.
            // The leader, and clients that wait, wait for it: one that was lost is said again.
            for (int attempt = 0; attempt < 3 && !self.stopping; ++attempt) {
                const auto said = co_await self.ask(url, milliseconds{0});
                if (said) co_return;
                log::info("what came of the hold could not be told to {}: {}", url,
                          said.error().message);
            }
        }(*this, report->url));
    } else if (const auto* memory = std::get_if<Remember>(&effect)) {
        remember(*memory);
    }
}

// For who wants to know where the time of an outage goes.
void Gateway::Impl::say_took(const char* what, Instant since) const {
    log::debug("{}: took {} ms", what, to_ms(parts.clock.now() - since));
}

Task<void> Gateway::Impl::repoint(ports::Routes routes) {
    Status outcome;
    const Instant since = parts.clock.now();
    if (!pooler_up) outcome = co_await parts.start_pooler(routes);
    if (outcome) {
        pooler_up = true;
        outcome = co_await parts.pooler.repoint(routes);
    }
    say_took("repoint", since);
    feed(RepointDone{std::move(routes), std::move(outcome)});
}

// Whoever is configured, and whoever the members name.
void Gateway::Impl::follow_all() {
    std::set<std::string> wanted(config.members.begin(), config.members.end());
    std::set<cluster::MemberName> known;
    for (const auto& [url, source] : state.sources)
        if (wanted.contains(url) && source.view) known.insert(source.view->name);
    for (const auto& [url, source] : state.sources) {
        if (!source.connected || !source.view || source.view->scope != state.scope) continue;
        for (const auto& member : source.view->members) {
            const auto place = origin(member.api_url);
            // One that is configured under another name of its host needs no second stream.
            if (!place.empty() && !known.contains(member.name)) wanted.insert(place);
        }
    }
    constexpr std::size_t followers_max = 64;
    for (const auto& url : wanted) {
        if (followers.contains(url) || followers.size() >= followers_max) continue;
        followers[url].pause = std::make_unique<asio::steady_timer>(parts.loop);
        spawn(follow(url));
    }
    std::vector<std::string> gone;
    for (const auto& [url, follower] : followers) {
        const auto source = state.sources.find(url);
        const bool heard = source != state.sources.end() && source->second.connected;
        if (!wanted.contains(url) && !heard) gone.push_back(url);
    }
    for (const auto& url : gone) {
        followers.erase(url);  // its timer ends the wait, and that its coroutine
        feed(Forgotten{url});
    }
}

Task<void> Gateway::Impl::follow(std::string url) {
    while (!stopping && followers.contains(url)) {
        const Instant asked_at = parts.clock.now();
        auto view = co_await ask(url, poll_wait);
        if (stopping || !followers.contains(url)) co_return;
        if (view) {
            followers[url].sequence = view->sequence;
            co_await resolve_all(*view);
            if (stopping) co_return;
            feed(Heard{url, *std::move(view), asked_at});
            follow_all();
            continue;
        }
        feed(Silent{url, view.error().message});
        if (!followers.contains(url)) co_return;
        auto& pause = *followers[url].pause;
        pause.expires_after(std::chrono::duration_cast<milliseconds>(ask_again_after));
        co_await pause.async_wait(quietly);
    }
}

Task<Result<cluster::MemberStream>> Gateway::Impl::ask(std::string url, milliseconds wait) {
    const auto at = followers.find(url);
    if (at == followers.end()) co_return fail(ErrorCode::cancelled, url + " is not followed");
    const auto& follower = at->second;
    net::ClientRequest request;
    request.keep = true;
    if (follower.only_look) {
        request.url =
            fmt::format("{}/stream?since={}&wait={}", url, follower.sequence, wait.count());
    } else {
        cluster::GatewayReport report{.name = config.name,
                                      .since = follower.sequence,
                                      .wait = wait,
                                      .positions = state.options.reads,
                                      .blockers = {}};
        if (state.planned && state.planned->url == url) {
            report.hold = state.planned->id;
            report.outcome = state.planned->outcome;
            report.blockers = state.planned->blockers;
        }
        request.method = "POST";
        request.url = url + "/gateway";
        request.body = cluster::to_json(report);
    }
    const auto response = co_await client.request(std::move(request), poll_deadline);
    if (!response) co_return within("member " + url, response.error());
    if (response->status == 401 || response->status == 403) {
        const auto still = followers.find(url);
        if (still != followers.end() && !std::exchange(still->second.only_look, true))
            log::warning(
                "member {} does not let this gateway take part in switchovers ({}): give it "
                "restapi.username and password, or put this host on the allowlist; until then it "
                "only looks",
                url, response->body);
        co_return fail(ErrorCode::denied, fmt::format("member {}: {}", url, response->body));
    }
    if (response->status != 200)
        co_return fail(ErrorCode::unavailable,
                       fmt::format("{} answers {}: it is no member's REST API of relevo", url,
                                   response->status));
    auto view = cluster::parse_stream(response->body);
    if (!view) co_return within("member " + url, view.error());
    co_return view;
}

Task<void> Gateway::Impl::resolve_all(cluster::MemberStream& view) {
    if (!view.host.empty()) view.host = co_await address_of(view.host);
    for (auto& member : view.members)
        if (!member.host.empty()) member.host = co_await address_of(member.host);
}

// The pooler is led to addresses: a name can move while it is in use.
Task<std::string> Gateway::Impl::address_of(std::string host) {
    if (net::parse_address(host)) co_return host;
    auto& known = names[host];
    if (!known.address.empty() && parts.clock.now() < known.until) co_return known.address;
    const auto found = co_await net::resolve(parts.loop, parts.pool, host, lookup_deadline);
    auto& entry = names[host];
    entry.until = parts.clock.now() + name_holds;
    if (found) entry.address = found->front().to_string();
    // What it was is better than nothing; a name that was never known is left to the pooler.
    co_return entry.address.empty() ? host : entry.address;
}

Task<void> Gateway::Impl::recall() {
    auto text = co_await os::Blocking(parts.pool).run([path = state_path()] {
        return os::read_file(path, 4096);
    });
    if (!text) co_return;
    const auto object = nlohmann::json::parse(*text, nullptr, false);
    if (!object.is_object()) co_return;
    const auto scope = object.find("scope"), term = object.find("term");
    if (scope == object.end() || !scope->is_string() || term == object.end() ||
        !term->is_number_unsigned())
        co_return;
    log::info(
        "{} knows of term {}: nothing older is led to. (Was the cluster made anew? Then "
        "remove that file.)",
        state_path(), term->get<std::uint64_t>());
    feed(Remembered{scope->get<std::string>(),
                    static_cast<cluster::Revision>(term->get<std::uint32_t>())});
}

void Gateway::Impl::remember(const Remember& what) {
    remembered = nlohmann::json{{"scope", what.scope}, {"term", what.term}}.dump(
        -1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (!std::exchange(writing, true)) spawn(write_memory());
}

Task<void> Gateway::Impl::write_memory() {
    std::string written;
    while (written != remembered) {
        written = remembered;
        const auto done =
            co_await os::Blocking(parts.pool).run([path = state_path(), text = written] {
                return os::write_file(path, text, 0600);
            });
        if (!done) log::warning("the term is not remembered: {}", done.error().message);
    }
    writing = false;
}

net::ServerOptions Gateway::Impl::server_options(const config::GatewayConfig& of) const {
    net::ServerOptions made;
    made.listen = config::to_text(of.listen);
    return made;
}

Task<net::Response> Gateway::Impl::answer(net::Request request) {
    net::Response out;
    if (request.method != "GET" && request.method != "HEAD") {
        out.status = 501;
        out.body = "a gateway only shows: GET /health, /status, /metrics\n";
        co_return out;
    }
    StatusInput input{.name = config.name,
                      .version = parts.version,
                      .state = state,
                      .pooler_runs = parts.pooler_runs(),
                      .pooler = {},
                      .now = parts.clock.now()};
    const bool asks = request.path == "/status" || request.path == "/metrics";
    if (asks && input.pooler_runs) {
        auto stats = co_await parts.pooler.stats();
        if (stats) input.pooler = *std::move(stats);
        input.now = parts.clock.now();
    }
    out.content_type = "application/json";
    if (request.path == "/metrics") {
        out.content_type = "text/plain";
        out.body = metrics_text(input);
    } else if (request.path == "/status") {
        out.body = status_json(input);
    } else if (request.path == "/" || request.path == "/health") {
        out.status = healthy(input) ? 200 : 503;
        out.body = status_json(input);
    } else {
        out.status = 404;
        out.content_type = "text/plain";
        out.body = "there are /health, /status and /metrics\n";
    }
    co_return out;
}

Gateway::Gateway(Parts parts, config::GatewayConfig config)
    : impl_(std::make_shared<Impl>(std::move(parts), std::move(config))) {}
Gateway::~Gateway() = default;

Task<Status> Gateway::start() {
    const auto impl = impl_;
    const auto listening = co_await impl->server.apply(impl->server_options(impl->config));
    if (!listening) co_return within("listen", listening.error());
    impl->feed(OptionsChanged{router_options(impl->config)});
    co_await impl->recall();
    impl->follow_all();
    co_return Status{};
}

Task<void> Gateway::stop() {
    const auto impl = impl_;
    impl->stopping = true;
    impl->alarm.cancel();
    for (auto& [url, follower] : impl->followers) follower.pause->cancel();
    co_await impl->server.stop();
    while (impl->running > 0) co_await impl->none_left.async_wait(quietly);
}

Task<Status> Gateway::apply(config::GatewayConfig config) {
    const auto impl = impl_;
    const auto listening = co_await impl->server.apply(impl->server_options(config));
    if (!listening) co_return within("listen", listening.error());
    impl->config = std::move(config);
    impl->client.set_options(client_options(impl->config));
    for (auto& [url, follower] : impl->followers) follower.only_look = false;
    impl->feed(OptionsChanged{router_options(impl->config)});
    impl->follow_all();
    co_return Status{};
}

void Gateway::pooler_started(const Status& outcome) { impl_->feed(PoolerStarted{outcome}); }
std::uint16_t Gateway::port() const { return impl_->server.port(); }

}  // namespace relevo::gateway
