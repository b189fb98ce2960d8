// The watch: a mirror of all keys, kept up by etcd's events, that moves from endpoint to endpoint.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "etcd/client.h"
#include "ports/dcs.h"

namespace relevo::etcd {

// One Watch stream on one endpoint. Wakes the watcher through its signal.
class WatchStream final : public Call {
public:
    using Call::Call;

    void start(pb::WatchRequest create, std::function<void()> wake);
    void ask_for_progress();  // when no write is under way
    const pb::ResponseHeader& header() const override { return answer_.header(); }

    std::deque<pb::WatchResponse> answers;

private:
    std::shared_ptr<WatchStream> self() {
        return std::static_pointer_cast<WatchStream>(shared_from_this());
    }
    void write(pb::WatchRequest request);
    void read();
    void ended();

    std::function<void()> wake_;
    pb::WatchRequest request_;
    pb::WatchResponse answer_;
    std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::WatchRequest, pb::WatchResponse>> stream_;
    bool writing_ = false;
    bool reading_ = false;
    bool ending_ = false;
};

class Watcher : public std::enable_shared_from_this<Watcher> {
public:
    Watcher(std::shared_ptr<Client> client, std::string base, ports::Dcs::ChangeHandler handler);
    static Task<void> run(std::shared_ptr<Watcher> self);  // until the client closes
    void wake() { signal_.set(); }

private:
    enum class End { broken, compacted };

    Task<void> go_on();
    Task<bool> read_all();
    Task<End> follow();
    // How following must go on after what has come; nullopt: just so.
    std::optional<End> take_answers(WatchStream& stream);
    std::optional<End> take_answer(const pb::WatchResponse& answer, const Endpoint& from);
    void check_silence(WatchStream& stream, Steady::time_point now);
    void await_answer(Steady::time_point now);
    Steady::time_point next_check() const;
    Task<void> pause();
    void publish();
    void report(Error error);

    std::shared_ptr<Client> client_;
    std::string base_;
    ports::Dcs::ChangeHandler handler_;
    Signal signal_;
    cluster::KeyTree mirror_;
    bool mirror_valid_ = false;
    int failures_ = 0;  // since the watch last stood
    std::string problem_;

    // Of the stream under way.
    bool created_ = false;
    Steady::time_point heard_{};
    std::optional<Steady::time_point> asked_;  // what we ask for is outstanding since then
    Steady::time_point suspect_at_{};
};

}  // namespace relevo::etcd
