#include "etcd/race.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>

namespace relevo::etcd {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {
constexpr Duration pause_min = 50ms;
constexpr Duration pause_max = 500ms;
constexpr int logins_max = 3;
}  // namespace

Client::Race::Race(Client& client, const Request& request, Steady::time_point give_up)
    : client_(client),
      request_(request),
      give_up_(give_up),
      hedge_after_(request.hedge_after > 0s ? request.hedge_after : client.options_.hedge_after),
      signal_(client.io_),
      pause_(pause_min) {
    client_.waiting_.insert(&signal_);
}

Client::Race::~Race() {
    client_.waiting_.erase(&signal_);
    for (const auto& attempt : running_) {
        attempt.call->on_finish = nullptr;
        attempt.call->cancel();
    }
}

Task<Result<CallPtr>> Client::Race::run() {
    while (true) {
        if (client_.closing_)
            co_return lost(ErrorCode::cancelled, "the connection to etcd is being closed");
        if (!prepared_) {
            const auto prepared = co_await prepare();
            if (!prepared) co_return std::unexpected(prepared.error());
        }
        const auto now = Steady::now();
        if (now >= give_up_) co_return timed_out();
        if (running_.empty() && left_.empty()) {
            if (!first_round_) {
                client_.ask_dns_again();
                next_start_ = now + pause_;
                pause_ = std::min(pause_ * 2, pause_max);
            }
            first_round_ = false;
            left_ = client_.in_order();
        }
        if (now >= next_start_ && !left_.empty() && may_start()) start_next(now);
        suspect_late_ones(now);

        co_await signal_.wait_until(next_wake());
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return lost(ErrorCode::cancelled, "given up by the caller");
        if (auto end = take_finished()) co_return std::move(*end);
    }
}

Task<Status> Client::Race::prepare() {
    prepared_ = true;
    if (request_.with_token) {
        const auto logged_in = co_await client_.log_in(give_up_);
        if (!logged_in) co_return within(request_.what, logged_in.error());
    }
    // What may be sent only once goes where an answer has just come from.
    if (request_.kind == Request::Kind::single_write) {
        const auto connected = co_await client_.find_connected(give_up_);
        if (!connected) co_return within(request_.what, connected.error());
        left_.clear();
        first_round_ = true;
        next_start_ = Steady::now();
    }
    co_return Status{};
}

void Client::Race::start_next(Steady::time_point now) {
    const auto endpoint = left_.front();
    left_.erase(left_.begin());
    auto call = request_.start(client_.setup(endpoint, give_up_, request_.with_token));
    call->on_finish = [this] { signal_.set(); };
    running_.push_back({.call = std::move(call), .suspect_at = now + hedge_after_});
    next_start_ = now + hedge_after_;
}

void Client::Race::suspect_late_ones(Steady::time_point now) {
    for (auto& attempt : running_) {
        if (now < attempt.suspect_at) continue;
        // Again and again: while etcd elects a leader no endpoint answers, so none can be told
        // dead.
        attempt.suspect_at = now + hedge_after_;
        client_.suspect(attempt.call->endpoint_ptr());
    }
}

Steady::time_point Client::Race::next_wake() const {
    auto wake = give_up_;
    if (!left_.empty() && may_start()) wake = std::min(wake, next_start_);
    for (const auto& attempt : running_) wake = std::min(wake, attempt.suspect_at);
    return wake;
}

std::optional<Result<CallPtr>> Client::Race::take_finished() {
    for (std::size_t i = 0; i < running_.size();) {
        if (!running_[i].call->finished()) {
            ++i;
            continue;
        }
        const auto call = running_[i].call;
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
        if (auto end = weigh(call)) return end;
        next_start_ = Steady::now();
    }
    return std::nullopt;
}

std::optional<Result<CallPtr>> Client::Race::weigh(const CallPtr& call) {
    const auto& status = call->status();
    auto verdict = judge(status);
    problem_ = fmt::format("{}: {}", call->endpoint().name(), describe(status));
    if (verdict == Verdict::answered) {
        if (const auto fresh = client_.check_term(call->header(), call->endpoint()); !fresh) {
            verdict = Verdict::no_answer;
            problem_ = fresh.error().message;
        }
    }
    switch (verdict) {
        case Verdict::answered:
        case Verdict::lease_missing:
        case Verdict::lease_exists:
        case Verdict::no_auth: client_.prefer(call->endpoint_ptr()); return call;
        case Verdict::not_sent:
            client_.avoid(call->endpoint());
            prepared_ = request_.kind != Request::Kind::single_write;
            return std::nullopt;
        case Verdict::no_answer:
            sent_ = true;
            client_.avoid(call->endpoint());
            if (request_.kind == Request::Kind::single_write) return timed_out();
            return std::nullopt;
        case Verdict::busy: return std::nullopt;
        case Verdict::log_in: return ask_for_login(call);
        case Verdict::denied:
            // A token may be from before a change of rights: once more with a new one.
            if (request_.with_token && !client_.options_.username.empty() && logins_ == 0)
                return ask_for_login(call);
            return ended(ErrorCode::denied, problem_);
        case Verdict::refused: {
            const bool our_fault = status.error_code() == grpc::StatusCode::INVALID_ARGUMENT;
            return ended(our_fault ? ErrorCode::invalid : ErrorCode::failed, problem_);
        }
    }
    return std::nullopt;
}

std::optional<Result<CallPtr>> Client::Race::ask_for_login(const CallPtr& call) {
    if (client_.options_.username.empty())
        return ended(ErrorCode::denied,
                     problem_ + "; etcd wants a user: set username and password");
    if (++logins_ > logins_max) return ended(ErrorCode::denied, problem_);
    client_.forget_token();
    client_.auth_off_ = false;
    prepared_ = false;
    left_.insert(left_.begin(), call->endpoint_ptr());
    return std::nullopt;
}

std::unexpected<Error> Client::Race::ended(ErrorCode code, const std::string& why) const {
    return fail(code, fmt::format("{}: {}", request_.what, why));
}

std::unexpected<Error> Client::Race::lost(ErrorCode code, const std::string& why) const {
    const bool maybe_done = request_.kind != Request::Kind::read && (sent_ || !running_.empty());
    return ended(maybe_done ? ErrorCode::outcome_unknown : code, why);
}

std::unexpected<Error> Client::Race::timed_out() const {
    const auto waited = to_s(Steady::now() - started_);
    auto why = fmt::format("no answer from etcd within {:.1f} s", waited);
    if (!problem_.empty()) why += "; last: " + problem_;
    return lost(ErrorCode::unavailable, why);
}

}  // namespace relevo::etcd
