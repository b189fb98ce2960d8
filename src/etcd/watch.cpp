#include "etcd/watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "etcd/convert.h"

namespace relevo::etcd {

using namespace std::chrono_literals;

namespace {
constexpr Duration read_deadline = 5s;
constexpr Duration silence_max =
    3s;  // a stream that owes an answer so long is given up in any case
constexpr Duration pause_min = 50ms;
constexpr Duration pause_max = 500ms;
}  // namespace

void WatchStream::start(pb::WatchRequest create, std::function<void()> wake) {
    wake_ = std::move(wake);
    // etcd then ends the stream itself when this member has had no leader for three election
    // timeouts.
    context_.AddMetadata("hasleader", "true");
    stream_ = stubs_->watch.PrepareAsyncWatch(&context_, &wire_->queue());
    reading_ = true;
    stream_->StartCall(
        wire_->tag([self = self(), create = std::move(create)](bool started) mutable {
            self->reading_ = false;
            if (self->wire_->closed()) return;
            if (!started) return self->ended();
            self->write(std::move(create));
            self->read();
        }));
}

void WatchStream::ask_for_progress() {
    if (writing_ || ending_ || wire_->closed()) return;
    pb::WatchRequest request;
    request.mutable_progress_request();
    write(std::move(request));
}

void WatchStream::write(pb::WatchRequest request) {
    request_ = std::move(request);
    writing_ = true;
    stream_->Write(request_, wire_->tag([self = self()](bool written) {
        self->writing_ = false;
        if (!self->wire_->closed() && (!written || self->ending_)) self->ended();
    }));
}

void WatchStream::read() {
    reading_ = true;
    answer_.Clear();
    stream_->Read(&answer_, wire_->tag([self = self()](bool got) {
        self->reading_ = false;
        if (self->wire_->closed()) return;
        if (!got) return self->ended();
        self->answers.push_back(std::move(self->answer_));
        if (!self->ending_) self->read();
        if (self->wake_) self->wake_();
    }));
}

void WatchStream::ended() {
    if (!std::exchange(ending_, true)) cancel();  // gives back the operation that is still out
    if (writing_ || reading_) return;
    stream_->Finish(&status_, wire_->tag([self = self()](bool) {
        const auto wake = std::exchange(self->wake_, nullptr);
        self->finish();
        if (wake) wake();
    }));
}

Watcher::Watcher(std::shared_ptr<Client> client, std::string base,
                 ports::Dcs::ChangeHandler handler)
    : client_(std::move(client)),
      base_(std::move(base)),
      handler_(std::move(handler)),
      signal_(client_->io()) {}

// A coroutine begins later than it is called: only its parameter keeps the watcher alive until
// then.
Task<void> Watcher::run(std::shared_ptr<Watcher> self) { co_await self->go_on(); }

Task<void> Watcher::go_on() {
    while (!client_->closing()) {
        if (!mirror_valid_) {
            const bool read = co_await read_all();
            if (!read) continue;
        }
        const auto end = co_await follow();
        if (client_->closing()) co_return;
        switch (end) {
            case End::compacted:
                log::info("etcd has compacted the revisions after {}: reading all keys again",
                          mirror_.revision);
                mirror_valid_ = false;
                break;
            case End::broken:
                // The first time it simply goes on elsewhere. When that fails too the world hears
                // of it, and the next tree is a fresh one.
                if (++failures_ > 1) {
                    mirror_valid_ = false;
                    report({ErrorCode::unavailable, "watching etcd: " + problem_});
                    co_await pause();
                }
                break;
        }
    }
}

Task<bool> Watcher::read_all() {
    const Request request{
        .what = "reading the keys to watch",
        .kind = Request::Kind::read,
        .start = [this](Call::Setup setup) -> CallPtr {
            auto call = std::make_shared<Unary<pb::RangeResponse>>(std::move(setup));
            call->start([&](Stubs& stubs, auto* context, auto* queue) {
                return stubs.kv.PrepareAsyncRange(context, to_range(base_), queue);
            });
            return call;
        }};
    const auto result = co_await client_->run(request, read_deadline);
    if (client_->closing()) co_return false;
    if (!result) {
        ++failures_;
        report(result.error());
        co_await pause();
        co_return false;
    }
    auto tree = to_tree(static_cast<const Unary<pb::RangeResponse>&>(**result).reply, base_);
    if (tree.revision < mirror_.revision) {
        // Only an etcd restored from an old backup goes back. The promise is never to show that.
        report({ErrorCode::failed,
                fmt::format("etcd is at revision {} and was at {}: was it restored from a "
                            "backup? Restart the agents after such a restore",
                            tree.revision, mirror_.revision)});
        co_await pause();
        co_return false;
    }
    mirror_ = std::move(tree);
    mirror_valid_ = true;
    publish();
    co_return true;
}

Task<Watcher::End> Watcher::follow() {
    auto setup = co_await client_->setup_stream(read_deadline);
    if (!setup) {
        problem_ = setup.error().message;
        co_return End::broken;
    }
    created_ = false;
    heard_ = Steady::now();
    await_answer(heard_);

    pb::WatchRequest create;
    create.mutable_create_request()->set_key(base_);
    create.mutable_create_request()->set_range_end(prefix_end(base_));
    create.mutable_create_request()->set_start_revision(mirror_.revision + 1);
    const auto stream = std::make_shared<WatchStream>(std::move(*setup));
    struct Leaving {
        WatchStream& stream;
        ~Leaving() { stream.cancel(); }
    } const leaving{*stream};
    stream->start(std::move(create), [weak = weak_from_this()] {
        if (const auto watcher = weak.lock()) watcher->wake();
    });

    while (!client_->closing()) {
        co_await signal_.wait_until(next_check());
        if (const auto end = take_answers(*stream)) co_return *end;
        const auto now = Steady::now();
        if (stream->finished()) {
            problem_ = fmt::format("{}: {}", stream->endpoint().name(), describe(stream->status()));
            const auto verdict = judge(stream->status());
            if (verdict == Verdict::log_in || verdict == Verdict::denied) client_->forget_token();
            client_->avoid(stream->endpoint());
            co_return End::broken;
        }
        if (asked_ && now >= *asked_ + silence_max) {
            problem_ = fmt::format("{} is silent", stream->endpoint().name());
            client_->avoid(stream->endpoint());
            co_return End::broken;
        }
        check_silence(*stream, now);
    }
    co_return End::broken;
}

std::optional<Watcher::End> Watcher::take_answers(WatchStream& stream) {
    while (!stream.answers.empty()) {
        const auto answer = std::move(stream.answers.front());
        stream.answers.pop_front();
        heard_ = Steady::now();
        asked_.reset();
        if (const auto end = take_answer(answer, stream.endpoint())) return end;
    }
    return std::nullopt;
}

std::optional<Watcher::End> Watcher::take_answer(const pb::WatchResponse& answer,
                                                 const Endpoint& from) {
    if (answer.compact_revision() != 0) return End::compacted;
    if (answer.canceled()) {
        problem_ = fmt::format("{} ended the watch: {}", from.name(), answer.cancel_reason());
        client_->forget_token();  // in case that was the reason
        return End::broken;
    }
    if (const auto fresh = client_->check_term(answer.header(), from); !fresh) {
        problem_ = fresh.error().message;
        return End::broken;
    }
    if (answer.created()) {
        created_ = true;
        failures_ = 0;
        log::debug("watching etcd at {} from revision {}", from.name(), mirror_.revision + 1);
    }
    if (apply(mirror_, answer, base_)) publish();
    return std::nullopt;
}

// A silent watch may mean that nothing happens, or that nobody is there any more. So a stream that
// has said nothing for a while is asked for its progress, which costs one small message each way;
// only what it then owes counts. Late: the endpoint is asked beside the others (Client::suspect),
// and when only others answer this stream is cancelled and follow() goes on there.
void Watcher::check_silence(WatchStream& stream, Steady::time_point now) {
    if (asked_) {
        if (now < suspect_at_) return;
        suspect_at_ = now + client_->options().hedge_after;
        client_->suspect(stream.endpoint_ptr());
    } else if (now >= heard_ + client_->watch_check_interval()) {
        await_answer(now);
        stream.ask_for_progress();
    }
}

void Watcher::await_answer(Steady::time_point now) {
    asked_ = now;
    suspect_at_ = now + client_->options().hedge_after;
}

Steady::time_point Watcher::next_check() const {
    if (!asked_) return heard_ + client_->watch_check_interval();
    return std::min(suspect_at_, Steady::time_point(*asked_ + silence_max));
}

Task<void> Watcher::pause() {
    const auto length = std::min<Duration>(pause_max, pause_min * (1 << std::min(failures_, 4)));
    const auto end = Steady::now() + length;
    while (!client_->closing() && Steady::now() < end) co_await signal_.wait_until(end);
}

void Watcher::publish() { handler_(std::make_shared<const cluster::KeyTree>(mirror_)); }

void Watcher::report(Error error) { handler_(std::unexpected(std::move(error))); }

}  // namespace relevo::etcd
