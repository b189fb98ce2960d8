// One connection: libpq without blocking, on Asio. One statement at a time. Never throws for what
// a server or a network does; an Answer says what came.
//
// libpq reads the password file and certificates when a connection begins: small files, read on
// the loop. Names are looked up by Asio's resolver, never by libpq.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/classify.h"
#include "client/verdict.h"
#include "relevo/types.h"

namespace relevo::client {

using Clock = std::chrono::steady_clock;
using Keywords = std::vector<std::pair<std::string, std::string>>;  // libpq's, without hosts

struct Endpoint {
    std::string host;     // as given: what certificates are checked against; a socket's directory
    std::string address;  // "" for a socket
    std::string port;
    bool operator==(const Endpoint&) const = default;
};

// What came of one message, or of several that were sent together.
struct Answer {
    std::vector<Rows> results;
    Seen seen;
    std::string message;  // of the refusal or the loss
    const Rows& last() const;
};

// One of several messages that are sent together (Session::together). What it points to outlives
// the call.
struct Message {
    enum class Kind { statement, prepare, prepared } kind = Kind::statement;
    const std::string* sql = nullptr;  // of a statement, and of what is prepared
    const char* name = "";             // of what is, or was, prepared
    const Parameters* parameters = nullptr;
};

class Session {
public:
    struct Opened {
        std::unique_ptr<Session> session;  // null: seen and message say why
        Seen seen;
        std::string message;
    };
    // Connected, and asked what it is.
    static Task<Opened> open(boost::asio::any_io_executor executor, Keywords keywords,
                             Endpoint endpoint, Clock::time_point until);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // parameters null: a simple query, which may be several statements. After the time the
    // connection is closed and the answer is lost.
    Task<Answer> run(const std::string& sql, const Parameters* parameters, Clock::time_point until,
                     Stage stage);
    // All of them in one round trip, each one statement; what follows one that is refused is not
    // done. results has one for each until then. `tail` is the last one's stage, `stage` that of
    // the others.
    Task<Answer> together(std::vector<Message> messages, Clock::time_point until, Stage stage,
                          Stage tail);

    // Connected, idle, outside a transaction, and the server has not said goodbye: then what is
    // sent now is surely not sent into the void of a connection that ended long ago.
    bool fit();
    bool idle() const;    // connected and outside a transaction, as far as was heard
    bool usable() const;  // connected
    void close();
    void interrupt();  // a statement that waits is lost at once

    bool primary() const { return primary_; }
    std::uint32_t timeline() const { return timeline_; }
    const std::string& system_id() const { return system_id_; }
    const std::string& server() const { return server_; }
    // Known when nothing that hands out connections of its own stands between: then this session
    // ends with its server's process, and what is said once of both holds as long as it lasts.
    struct Direct {
        Life life;
        std::string pid, since;  // of the server's process
    };
    const std::optional<Direct>& direct() const { return direct_; }

    bool prepared = false;  // the statements that begin a transaction are...
    int preparations = 0;   // ...under names with this number
    // For the outcome table: our key there, and how many transactions were noted.
    std::string key;
    std::int64_t number = 0;

private:
    struct Core;
    explicit Session(std::shared_ptr<Core> core);
    Task<Answer> identify(Clock::time_point until);
    bool may_send(Answer& answer, Clock::time_point until);

    std::shared_ptr<Core> core_;
    bool primary_ = false;
    std::uint32_t timeline_ = 0;
    std::string system_id_, server_;
    std::optional<Direct> direct_;
};

}  // namespace relevo::client
