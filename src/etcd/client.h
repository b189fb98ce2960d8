// What all calls to one etcd cluster share: its endpoints and which of them is good, the login, the
// newest raft term seen; and how one request finds its answer among several endpoints.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "etcd/call.h"
#include "etcd/endpoint.h"
#include "etcd/verdict.h"
#include "etcd/wire.h"

namespace relevo::etcd {

struct Request {
    std::string what;  // for errors: "reading the keys"
    // A read may be sent as often as we like and fails with unavailable. A repeatable write too,
    // but fails with outcome_unknown once it was sent. A single write is sent at most once.
    enum class Kind { read, repeatable_write, single_write } kind = Kind::read;
    std::function<CallPtr(Call::Setup)> start;
    bool with_token = true;
    Duration hedge_after{};  // 0: the client's
};

class Client : public std::enable_shared_from_this<Client> {
public:
    // probe_key: one that the user may read.
    Client(boost::asio::io_context& io, EtcdOptions options, Credentials credentials,
           std::string probe_key);
    ~Client();

    // A finished call with an answer: its verdict is answered, lease_missing or lease_exists.
    Task<Result<CallPtr>> run(Request request, Duration deadline);

    // For the watch, which keeps its call to itself.
    Task<Result<Call::Setup>> setup_stream(Duration deadline);
    Status check_term(const pb::ResponseHeader& header, const Endpoint& from);
    void forget_token() { token_.clear(); }
    void avoid(Endpoint& endpoint);  // others first, for a while
    // This endpoint owes an answer. Asks it and the others whether they live; if only others do,
    // all its calls are cancelled.
    void suspect(const EndpointPtr& endpoint);

    // Runs beside the calls; stop() waits for it.
    void spawn(Task<void> task);
    bool closing() const { return closing_; }
    // How long a watch may be silent before it is asked. From the lease's ttl unless the options
    // say it: who wants to be quick pays with more messages.
    Duration watch_check_interval() const;
    void set_lease_ttl(std::chrono::seconds ttl) { lease_ttl_ = ttl; }
    boost::asio::io_context& io() { return io_; }
    const EtcdOptions& options() const { return options_; }
    std::function<void()> on_stop;

    Task<void> stop();
    void close();  // at once, from a destructor

private:
    class Race;
    friend class Race;

    // Counts work under way, for stop().
    struct Busy {
        explicit Busy(Client& c) : client(c) { ++client.tasks_; }
        ~Busy();
        Busy(const Busy&) = delete;
        Busy& operator=(const Busy&) = delete;
        Client& client;
    };

    Task<Status> resolve(Duration patience);
    Task<Status> log_in(Steady::time_point give_up);
    Task<Status> find_connected(Steady::time_point give_up);
    Task<void> refresh_members();
    Task<void> probe(EndpointPtr suspected);
    CallPtr start_probe(const Call::Setup& setup) const;
    Call::Setup setup(const EndpointPtr& endpoint, Steady::time_point give_up,
                      bool with_token) const;
    std::vector<EndpointPtr> in_order() const;
    void add_endpoints(const std::vector<EtcdEndpoint>& found, bool before);
    void drop_endpoints_but(const std::vector<EtcdEndpoint>& members);
    void ask_dns_again();
    void prefer(const EndpointPtr& endpoint);
    void check_idle();

    boost::asio::io_context& io_;
    EtcdOptions options_;
    Credentials credentials_;
    std::shared_ptr<Wire> wire_;
    std::vector<EndpointPtr> endpoints_;  // the preferred one first
    std::string probe_key_;
    bool resolved_ = false;
    std::vector<EtcdEndpoint> by_dns_;  // as it said last
    Steady::time_point dns_again_at_{};
    std::unique_ptr<boost::asio::thread_pool> lookups_;  // only where srv is set
    std::shared_ptr<std::atomic<bool>> stop_lookups_ = std::make_shared<std::atomic<bool>>(false);
    std::string token_;
    bool auth_off_ = false;
    std::map<std::uint64_t, std::uint64_t> terms_;  // cluster id -> newest raft term seen
    Steady::time_point members_at_{};
    std::chrono::seconds lease_ttl_{};  // 0: no lease yet
    int tasks_ = 0;                     // spawned ones and run()s under way
    bool closing_ = false;
    std::set<Signal*> waiting_;  // to be woken by stop()
    Signal idle_;
};

}  // namespace relevo::etcd
