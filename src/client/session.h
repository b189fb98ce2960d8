// One connection: libpq without blocking; how it waits is By's (by_asio.h, by_thread.h). One
// statement at a time. Never throws for what a server or a network does; an Answer says what came.
//
// Every connection is opened on Asio (open_session) and may then be moved to a pool of threads.
// libpq reads the password file and certificates when a connection begins: small files, read on
// the loop. Names are looked up by Asio's resolver, never by libpq.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/by_asio.h"
#include "client/by_thread.h"
#include "client/classify.h"
#include "client/verdict.h"
#include "relevo/types.h"

struct pg_conn;  // libpq's PGconn

namespace relevo::client {

using Keywords = std::vector<std::pair<std::string, std::string>>;  // libpq's, without hosts

struct Endpoint {
    std::string host;     // as given: what certificates are checked against; a socket's directory
    std::string address;  // "" for a socket
    std::string port;
    bool operator==(const Endpoint&) const = default;
};

// What one message, or several together, gave. Moved several times on the way to who asked, which
// for BEGIN, the mark and a statement costs no memory and hardly any time.
class Results {
public:
    void push_back(Rows rows) {
        if (size_ < few_.size())
            few_[size_] = std::move(rows);
        else
            more_.push_back(std::move(rows));
        ++size_;
    }
    bool empty() const { return size_ == 0; }
    std::size_t size() const { return size_; }
    const Rows& operator[](std::size_t n) const {
        return n < few_.size() ? few_[n] : more_[n - few_.size()];
    }
    const Rows& front() const { return few_.front(); }
    const Rows& back() const { return (*this)[size_ - 1]; }
    Rows take_back() { return std::move(size_ <= few_.size() ? few_[size_ - 1] : more_.back()); }

private:
    std::array<Rows, 3> few_;
    std::vector<Rows> more_;
    std::size_t size_ = 0;
};

// What came of one message, or of several that were sent together.
struct Answer {
    Results results;
    Seen seen;
    std::string message;  // of the refusal or the loss
    const Rows& last() const;
    Rows take_last();
};

// One of several messages that are sent together (Session::together). What it points to outlives
// the call.
struct Message {
    enum class Kind { statement, prepare, prepared } kind = Kind::statement;
    const std::string* sql = nullptr;  // of a statement, and of what is prepared
    const char* name = "";             // of what is, or was, prepared
    const Parameters* parameters = nullptr;
};

// What is known of a connection's other end, and what was made there. It moves with the connection.
struct SessionFacts {
    bool primary = false;
    std::uint32_t timeline = 0;
    std::string system_id, server;
    std::string member;  // its name, where the members' REST led here
    // Known when nothing that hands out connections of its own stands between: then this session
    // ends with its server's process, and what is said once of both holds as long as it lasts.
    struct Direct {
        Life life;
        std::string pid, since;  // of the server's process
    };
    std::optional<Direct> direct;

    bool prepared = false;  // the statements that begin a transaction are...
    int preparations = 0;   // ...under names with this number
    // For the outcome table: our key there, and how many transactions were noted.
    std::string key;
    std::int64_t number = 0;
};

template <class By>
class Session : public SessionFacts {
public:
    template <class T>
    using Task = typename By::template Task<T>;

    Session(const By& by, SessionFacts facts, pg_conn* connection);
    ~Session() { close(); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // parameters null: a simple query, which may be several statements. After the time the
    // connection is closed and the answer is lost. What is pointed to outlives the call.
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
    void interrupt() { socket_->interrupt(); }  // a statement that waits is lost at once
    pg_conn* release();                         // and with it what socket() watched

    // For open_session.
    pg_conn* connection() const { return connection_; }
    typename By::Socket& socket() { return *socket_; }

    // PoolCore's, under its mutex: since when it is lent or lies idle, and its place in the list of
    // those that are lent.
    Clock::time_point lent_since{}, idle_since{};
    std::size_t lent_at = 0;
    std::thread::id had_by;  // whose it was last

private:
    enum class Wire { sound, broken, late };
    bool may_send(Answer& answer, Clock::time_point until);
    Task<Wire> flush();
    template <class Came>
    Wire hear(const Came& came);
    void lose(Answer& answer, std::string why);

    pg_conn* connection_ = nullptr;
    std::shared_ptr<typename By::Socket> socket_;
    bool unconfirmed_ = false;
};

extern template class Session<ByAsio>;
extern template class Session<ByThread>;

struct Opened {
    std::unique_ptr<Session<ByAsio>> session;  // null: seen and message say why
    Seen seen;
    std::string message;
};
// Connected, and asked what it is. What it gives belongs to this executor's thread.
Task<Opened> open_session(boost::asio::any_io_executor executor, Keywords keywords,
                          Endpoint endpoint, Clock::time_point until);

}  // namespace relevo::client
