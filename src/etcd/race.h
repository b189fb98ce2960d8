// One request's way to an answer: attempts on one endpoint after the other, side by side when
// hedged.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "etcd/client.h"

namespace relevo::etcd {

class Client::Race {
public:
    Race(Client& client, const Request& request, Steady::time_point give_up);
    ~Race();
    Race(const Race&) = delete;
    Race& operator=(const Race&) = delete;

    Task<Result<CallPtr>> run();

private:
    Task<Status> prepare();
    void start_next(Steady::time_point now);
    void suspect_late_ones(Steady::time_point now);
    Steady::time_point next_wake() const;
    // Looks at what has finished. A value: that is the end.
    std::optional<Result<CallPtr>> take_finished();
    std::optional<Result<CallPtr>> weigh(const CallPtr& call);
    std::optional<Result<CallPtr>> ask_for_login(const CallPtr& call);
    std::unexpected<Error> timed_out() const;
    std::unexpected<Error> ended(ErrorCode code, const std::string& why) const;
    // Without an answer: outcome_unknown instead of code for a write that an attempt may have done.
    std::unexpected<Error> lost(ErrorCode code, const std::string& why) const;
    bool may_start() const {
        return request_.kind != Request::Kind::single_write || running_.empty();
    }

    Client& client_;
    const Request& request_;
    Steady::time_point started_ = Steady::now();
    Steady::time_point give_up_;
    Duration hedge_after_;
    Signal signal_;

    struct Attempt {
        CallPtr call;
        Steady::time_point suspect_at;
    };
    std::vector<Attempt> running_;
    std::vector<EndpointPtr> left_;  // of this round
    Steady::time_point next_start_ = started_;
    Duration pause_;
    bool first_round_ = true;
    bool sent_ = false;  // an attempt that failed may have done it
    bool prepared_ = false;
    int logins_ = 0;
    std::string problem_;
};

}  // namespace relevo::etcd
