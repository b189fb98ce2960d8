#include "etcd/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <random>

#include "base/log.h"
#include "etcd/race.h"
#include "etcd/srv.h"
#include "etcd/url.h"
#include "os/blocking.h"

namespace relevo::etcd {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {
constexpr Duration members_refresh = 5min;
constexpr Duration members_deadline = 5s;
constexpr Duration dns_again_after = 1s;
constexpr Duration log_in_hedge =
    1s;  // the server hashes the password, which takes a while by design
constexpr Duration probe_limit = 1s;
constexpr Duration condemned_for = 5s;
constexpr Duration avoided_for = 500ms;
constexpr Duration watch_check_min = 500ms;
constexpr Duration watch_check_max = 2s;
}  // namespace

Client::Client(asio::io_context& io, EtcdOptions options, Credentials credentials,
               std::string probe_key)
    : io_(io),
      options_(std::move(options)),
      credentials_(std::move(credentials)),
      wire_(std::make_shared<Wire>(io)),
      probe_key_(std::move(probe_key)),
      idle_(io) {
    wire_->on_idle = [this] { check_idle(); };
    add_endpoints(options_.endpoints, false);
}

Client::~Client() { close(); }

Client::Busy::~Busy() {
    --client.tasks_;
    client.check_idle();
}

Task<Result<CallPtr>> Client::run(Request request, Duration deadline) {
    const auto self = shared_from_this();
    const Busy busy(*this);
    if (closing_)
        co_return fail(ErrorCode::cancelled, request.what + ": the connection to etcd is closed");
    const auto give_up = Steady::now() + deadline;
    if (!resolved_) {
        const auto resolved = co_await resolve(deadline);
        if (!resolved) co_return within(request.what, resolved.error());
    }
    Race race(*this, request, give_up);
    auto result = co_await race.run();
    if (result && !options_.use_proxies && Steady::now() >= members_at_ && !closing_) {
        // As Patroni: ten times the ttl.
        members_at_ = Steady::now() + (lease_ttl_ > 0s ? 10 * lease_ttl_ : members_refresh);
        spawn(refresh_members());
    }
    co_return result;
}

// On a thread of its own: DNS blocks. Whoever calls first waits for it; later it is asked again
// with the members, in the background.
Task<Status> Client::resolve(Duration patience) {
    if (options_.srv_domain.empty()) {
        resolved_ = true;
        co_return Status{};
    }
    if (!lookups_) lookups_ = std::make_unique<asio::thread_pool>(1);
    os::Blocking blocking(*lookups_);
    auto work = [question = SrvQuestion{.domain = options_.srv_domain,
                                        .suffix = options_.srv_suffix,
                                        .nameserver = options_.nameserver},
                 stopping = stop_lookups_] { return discover(question, *stopping); };
    auto found = co_await blocking.run_within(patience, std::move(work));
    if (found && *found) {
        by_dns_ = **found;
        add_endpoints(by_dns_, true);
        resolved_ = true;
        co_return Status{};
    }
    const auto why =
        found ? found->error().message : "DNS did not answer in time for " + options_.srv_domain;
    if (endpoints_.empty()) co_return fail(ErrorCode::unavailable, why);
    log::warning("{}", why);
    resolved_ = true;
    co_return Status{};
}

Task<Status> Client::log_in(Steady::time_point give_up) {
    if (options_.username.empty() || auth_off_ || !token_.empty()) co_return Status{};
    Request request{.what = "logging in as " + options_.username,
                    .kind = Request::Kind::read,
                    .start = [this](Call::Setup setup) -> CallPtr {
                        pb::AuthenticateRequest message;
                        message.set_name(options_.username);
                        message.set_password(options_.password);
                        auto call =
                            std::make_shared<Unary<pb::AuthenticateResponse>>(std::move(setup));
                        call->start([&](Stubs& stubs, auto* context, auto* queue) {
                            return stubs.auth.PrepareAsyncAuthenticate(context, message, queue);
                        });
                        return call;
                    },
                    .with_token = false,
                    .hedge_after = log_in_hedge};
    Race race(*this, request, give_up);
    const auto result = co_await race.run();
    if (!result) {
        if (result.error().code != ErrorCode::denied) co_return std::unexpected(result.error());
        co_return fail(ErrorCode::denied, "etcd refuses the user " + options_.username +
                                              ": check username and password in the etcd3 section");
    }
    const auto& call = static_cast<const Unary<pb::AuthenticateResponse>&>(**result);
    if (judge(call.status()) == Verdict::no_auth) {
        log::info("etcd has authentication switched off: going on without logging in");
        auth_off_ = true;
    } else {
        token_ = call.reply.token();
    }
    co_return Status{};
}

Call::Setup Client::setup(const EndpointPtr& endpoint, Steady::time_point give_up,
                          bool with_token) const {
    return {.wire = wire_,
            .endpoint = endpoint,
            .deadline = give_up,
            .token = with_token ? token_ : ""};
}

CallPtr Client::start_probe(const Call::Setup& setup) const {
    // A linearizable read: a member cut off from the others cannot answer it.
    pb::RangeRequest message;
    message.set_key(probe_key_);
    message.set_limit(1);
    auto call = std::make_shared<Unary<pb::RangeResponse>>(setup);
    call->start([&](Stubs& stubs, auto* context, auto* queue) {
        return stubs.kv.PrepareAsyncRange(context, message, queue);
    });
    return call;
}

Task<Status> Client::find_connected(Steady::time_point give_up) {
    const auto& first = *endpoints_.front();
    if (first.connected() && Steady::now() >= first.down_until) co_return Status{};
    const Request request{.what = "looking for a live endpoint",
                          .kind = Request::Kind::read,
                          .start = [this](Call::Setup setup) { return start_probe(setup); }};
    Race race(*this, request, give_up);
    const auto result = co_await race.run();
    if (!result) co_return std::unexpected(result.error());
    co_return Status{};
}

Task<Result<Call::Setup>> Client::setup_stream(Duration deadline) {
    const auto give_up = Steady::now() + deadline;
    const auto logged_in = co_await log_in(give_up);
    if (!logged_in) co_return std::unexpected(logged_in.error());
    if (endpoints_.empty())
        co_return fail(ErrorCode::unavailable, "no endpoint of etcd is known yet");
    co_return setup(in_order().front(), Steady::now() + 24h * 365, true);
}

Status Client::check_term(const pb::ResponseHeader& header, const Endpoint& from) {
    auto& newest = terms_[header.cluster_id()];
    if (header.raft_term() < newest)
        return fail(
            ErrorCode::unavailable,
            fmt::format(
                "{} answers from raft term {}, but {} has begun: it lags behind its cluster",
                from.name(), header.raft_term(), newest));
    newest = header.raft_term();
    return {};
}

std::vector<EndpointPtr> Client::in_order() const {
    std::vector<EndpointPtr> order;
    std::vector<EndpointPtr> down;
    const auto now = Steady::now();
    for (const auto& endpoint : endpoints_)
        (endpoint->down_until <= now ? order : down).push_back(endpoint);
    order.insert(order.end(), down.begin(), down.end());
    return order;
}

void Client::prefer(const EndpointPtr& endpoint) {
    endpoint->down_until = {};
    const auto found = std::ranges::find(endpoints_, endpoint);
    if (found != endpoints_.end()) std::rotate(endpoints_.begin(), found, found + 1);
}

void Client::avoid(Endpoint& endpoint) {
    endpoint.down_until = std::max(endpoint.down_until, Steady::now() + avoided_for);
    members_at_ = {};  // who is there has perhaps changed: asked with the next answer
}

// None of those that are known answers: etcd may have moved. Known by SRV alone it would not be
// found again otherwise, since the members can only be asked of one that lives.
void Client::ask_dns_again() {
    if (options_.srv_domain.empty() || closing_ || Steady::now() < dns_again_at_) return;
    dns_again_at_ = Steady::now() + members_deadline + dns_again_after;
    spawn([](Client& client) -> Task<void> {
        [[maybe_unused]] const auto asked = co_await client.resolve(members_deadline);
        client.dns_again_at_ = Steady::now() + dns_again_after;
    }(*this));
}

void Client::suspect(const EndpointPtr& endpoint) {
    if (endpoint->probing || endpoints_.size() < 2 || closing_) return;
    endpoint->probing = true;
    spawn(probe(endpoint));
}

Task<void> Client::probe(EndpointPtr suspected) {
    const auto start = Steady::now();
    const auto limit = start + std::max<Duration>(probe_limit, options_.probe_timeout);
    Signal signal(io_);
    waiting_.insert(&signal);
    std::vector<CallPtr> calls;  // the suspected one's first
    for (const auto& endpoint : endpoints_) {
        auto call = start_probe(setup(endpoint, limit, true));
        call->on_finish = [&signal] { signal.set(); };
        calls.insert(endpoint == suspected ? calls.begin() : calls.end(), std::move(call));
    }
    const auto alive = [](const CallPtr& call) {
        if (!call->finished()) return false;
        const auto verdict = judge(call->status());
        return verdict != Verdict::no_answer && verdict != Verdict::not_sent;
    };
    while (!closing_) {
        const auto now = Steady::now();
        // Refused at once is as good as alive: then what it owes ends by itself.
        if (calls.front()->finished() || now >= limit) break;
        const auto other = std::find_if(calls.begin() + 1, calls.end(), alive);
        if (other != calls.end() && now >= start + options_.probe_timeout) {
            log::warning("etcd endpoint {} does not answer while {} does: leaving it",
                         suspected->name(), (*other)->endpoint().name());
            prefer((*other)->endpoint_ptr());
            suspected->down_until = now + condemned_for;
            suspected->give_up();
            members_at_ = {};
            break;
        }
        co_await signal.wait_until(
            now < start + options_.probe_timeout ? start + options_.probe_timeout : limit);
    }
    waiting_.erase(&signal);
    for (const auto& call : calls) {
        call->on_finish = nullptr;
        call->cancel();
    }
    suspected->probing = false;
}

Task<void> Client::refresh_members() {
    if (!options_.srv_domain.empty()) co_await resolve(members_deadline);
    const Request request{.what = "listing etcd's members",
                          .kind = Request::Kind::read,
                          .start = [](Call::Setup setup) -> CallPtr {
                              auto call =
                                  std::make_shared<Unary<pb::MemberListResponse>>(std::move(setup));
                              call->start([](Stubs& stubs, auto* context, auto* queue) {
                                  return stubs.cluster.PrepareAsyncMemberList(context, {}, queue);
                              });
                              return call;
                          }};
    Race race(*this, request, Steady::now() + members_deadline);
    const auto result = co_await race.run();
    if (!result) {
        log::debug("{}", result.error().message);
        co_return;
    }
    std::vector<EtcdEndpoint> found;
    for (const auto& member :
         static_cast<const Unary<pb::MemberListResponse>&>(**result).reply.members())
        for (const auto& url : member.clienturls())
            if (const auto endpoint = parse_url(url)) found.push_back(*endpoint);
    add_endpoints(found, false);
    drop_endpoints_but(found);
}

// What was configured stays: it is the operator's to take away.
void Client::drop_endpoints_but(const std::vector<EtcdEndpoint>& members) {
    const auto named = [&](const EndpointPtr& endpoint) {
        const std::array<const std::vector<EtcdEndpoint>*, 3> lists{&members, &by_dns_,
                                                                    &options_.endpoints};
        return std::ranges::any_of(lists, [&](const auto* list) {
            return std::ranges::find(*list, endpoint->address()) != list->end();
        });
    };
    if (members.empty() || std::ranges::none_of(endpoints_, named)) return;
    std::erase_if(endpoints_, [&](const EndpointPtr& endpoint) {
        if (named(endpoint)) return false;
        log::info("etcd endpoint {} is gone: it is no member any more", endpoint->name());
        endpoint->give_up();
        return true;
    });
}

void Client::add_endpoints(const std::vector<EtcdEndpoint>& found, bool before) {
    std::vector<EndpointPtr> added;
    for (const auto& at : found) {
        if (at.https && !credentials_.tls) continue;
        const auto known = [&](const EndpointPtr& endpoint) { return endpoint->address() == at; };
        if (std::ranges::any_of(endpoints_, known)) continue;
        added.push_back(
            std::make_shared<Endpoint>(at, at.https ? credentials_.tls : credentials_.plain));
        log::info("etcd has an endpoint at {}", added.back()->name());
    }
    if (options_.shuffle) std::ranges::shuffle(added, std::mt19937(std::random_device{}()));
    endpoints_.insert(before ? endpoints_.begin() : endpoints_.end(), added.begin(), added.end());
}

Duration Client::watch_check_interval() const {
    if (options_.watch_check_interval > 0ms) return options_.watch_check_interval;
    if (lease_ttl_ <= 0s) return watch_check_max;
    return std::clamp<Duration>(lease_ttl_ / 10, watch_check_min, watch_check_max);
}

void Client::spawn(Task<void> task) {
    ++tasks_;
    asio::co_spawn(io_, std::move(task),
                   [self = shared_from_this()](const std::exception_ptr& error) {
                       try {
                           if (error) std::rethrow_exception(error);
                       } catch (const std::exception& problem) {
                           log::error("etcd: a background task ended: {}", problem.what());
                       }
                       --self->tasks_;
                       self->check_idle();
                   });
}

void Client::check_idle() {
    if (tasks_ == 0 && wire_->pending() == 0) idle_.set();
}

Task<void> Client::stop() {
    const auto self = shared_from_this();
    closing_ = true;
    *stop_lookups_ = true;
    if (on_stop) on_stop();
    for (auto* signal : waiting_) signal->set();
    while (tasks_ > 0 || wire_->pending() > 0) {
        // Again in each turn: what was being prepared may have started meanwhile.
        for (const auto& endpoint : endpoints_)
            for (auto* call : endpoint->calls) call->cancel();
        co_await idle_.wait_until(Steady::now() + 100ms);
    }
    wire_->close();
}

void Client::close() {
    closing_ = true;
    *stop_lookups_ = true;
    for (auto* signal : waiting_) signal->set();
    for (const auto& endpoint : endpoints_)
        for (auto* call : endpoint->calls) call->cancel();
    wire_->on_idle = nullptr;
    wire_->close();
    if (lookups_) lookups_->join();
}

}  // namespace relevo::etcd
