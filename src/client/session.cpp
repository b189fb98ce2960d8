#include "client/session.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string_view>

namespace relevo::client {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// libpq's own constant is part of a header that says more than we want to (postgres_ext.h has it).
constexpr int diag_sqlstate = PG_DIAG_SQLSTATE;

std::string trimmed(const char* text) {
    std::string s = text ? text : "";
    while (!s.empty() && (s.back() == '\n' || s.back() == ' ')) s.pop_back();
    return s;
}

// The warning of a COMMIT that no longer waits for its standby. Its text is translated and its
// code is that of any warning; where in PostgreSQL it comes from is neither.
bool tells_of_no_standby(const PGresult* notice) {
    const char* function = ::PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);
    if (function) return std::string_view(function) == "SyncRepWaitForLSN";
    const char* severity = ::PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity && std::string_view(severity) == "WARNING";
}

}  // namespace

const Rows& Answer::last() const {
    static const Rows none;
    return results.empty() ? none : results.back();
}

// Shared with the handlers of the alarm, which may outlive the session by a turn of the loop.
struct Session::Core : std::enable_shared_from_this<Session::Core> {
    explicit Core(const asio::any_io_executor& executor) : socket(executor), alarm(executor) {}
    ~Core() { close(); }
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    PGconn* connection = nullptr;
    // A duplicate: libpq closes its own when it likes, and the reactor must be told before.
    asio::posix::stream_descriptor socket;
    int watched = -1;  // libpq's descriptor that `socket` duplicates
    asio::steady_timer alarm;
    Clock::time_point until = Clock::time_point::max(), armed = Clock::time_point::max();
    bool late = false, unconfirmed = false;

    void unwatch() {
        error_code ignored;
        if (socket.is_open()) socket.close(ignored);
        watched = -1;
    }

    void close() {
        unwatch();
        alarm.cancel();
        armed = Clock::time_point::max();
        if (connection) ::PQfinish(connection);
        connection = nullptr;
    }

    bool watch() {
        const int fd = connection ? ::PQsocket(connection) : -1;
        if (fd < 0) return false;
        if (watched == fd) return true;
        unwatch();
        const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) return false;
        error_code failed;
        socket.assign(copy, failed);
        if (failed) {
            ::close(copy);
            return false;
        }
        watched = fd;
        return true;
    }

    // The alarm is left running from one statement to the next and looks at the time when it
    // fires: setting and cancelling it for each would cost a tenth of a short statement.
    void arm(Clock::time_point time) {
        until = time;
        late = false;
        if (armed <= until) return;
        armed = until;
        alarm.expires_at(until);
        alarm.async_wait([weak = weak_from_this()](error_code error) {
            const auto self = weak.lock();
            if (error || !self) return;
            self->armed = Clock::time_point::max();
            if (self->until == Clock::time_point::max()) return;
            if (Clock::now() < self->until) return self->arm(self->until);
            self->late = true;
            error_code ignored;
            self->socket.cancel(ignored);
        });
    }
    void disarm() { until = Clock::time_point::max(); }
};

namespace {

// False: too late, or there is no socket.
template <class Core>
Task<bool> ready(std::shared_ptr<Core> core, asio::posix::descriptor_base::wait_type type) {
    if (core->late || !core->watch()) co_return false;
    error_code error;
    co_await core->socket.async_wait(type, asio::redirect_error(asio::use_awaitable, error));
    co_return !core->late && !error;
}

PGconn* begin_connection(const Keywords& keywords, const Endpoint& endpoint) {
    std::vector<const char*> names, values;
    const auto add = [&](const char* name, const std::string& value) {
        names.push_back(name);
        values.push_back(value.c_str());
    };
    for (const auto& [name, value] : keywords) add(name.c_str(), value);
    add("host", endpoint.host);
    if (!endpoint.address.empty()) add("hostaddr", endpoint.address);
    add("port", endpoint.port);
    names.push_back(nullptr);
    values.push_back(nullptr);
    return ::PQconnectStartParams(names.data(), values.data(), 0);
}

// PostgreSQL's refusal of a connection has its code only in this form (PQerrorMessage has no
// fields): "FATAL:  57P03: the database system is starting up" with PQERRORS_VERBOSE.
std::string code_in(const std::string& message) {
    for (std::size_t at = message.find(":  "); at != std::string::npos;
         at = message.find(":  ", at + 3)) {
        const auto code = message.substr(at + 3, 5);
        if (code.size() == 5 && message.substr(at + 8, 2) == ": " &&
            code.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos)
            return code;
    }
    return {};
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

Session::Session(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Session::~Session() { core_->close(); }
void Session::close() { core_->close(); }

void Session::interrupt() {
    core_->late = true;
    error_code ignored;
    if (core_->socket.is_open()) core_->socket.cancel(ignored);
}

Task<Session::Opened> Session::open(asio::any_io_executor executor, Keywords keywords,
                                    Endpoint endpoint, Clock::time_point until) {
    Opened opened;
    opened.seen.stage = Stage::connect;
    const auto core = std::make_shared<Core>(executor);
    const auto where = endpoint.host + " port " + endpoint.port;
    const auto failed = [&](std::string why) {
        opened.seen.lost = true;
        opened.message = where + ": " + std::move(why);
        core->close();
    };
    core->connection = begin_connection(keywords, endpoint);
    if (!core->connection) {
        failed("out of memory");
        co_return opened;
    }
    ::PQsetErrorVerbosity(core->connection, PQERRORS_VERBOSE);
    core->arm(until);
    auto state = PGRES_POLLING_WRITING;
    while (::PQstatus(core->connection) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
           state != PGRES_POLLING_FAILED) {
        const auto type = state == PGRES_POLLING_READING ? asio::posix::descriptor_base::wait_read
                                                         : asio::posix::descriptor_base::wait_write;
        const bool is_ready = co_await ready(core, type);
        if (!is_ready) {
            failed("no connection in time");
            co_return opened;
        }
        // A step may close libpq's socket and open another one under the same number.
        core->unwatch();
        state = ::PQconnectPoll(core->connection);
    }
    if (state != PGRES_POLLING_OK) {
        const auto message = trimmed(::PQerrorMessage(core->connection));
        opened.seen.sqlstate = code_in(message);
        opened.seen.refused = !opened.seen.sqlstate.empty();
        failed(first_line(message));
        co_return opened;
    }
    ::PQsetErrorVerbosity(core->connection, PQERRORS_DEFAULT);
    ::PQsetnonblocking(core->connection, 1);
    ::PQsetNoticeReceiver(
        core->connection,
        [](void* its, const PGresult* notice) {
            auto& self = *static_cast<Core*>(its);
            if (tells_of_no_standby(notice)) self.unconfirmed = true;
        },
        core.get());
    std::unique_ptr<Session> session(new Session(core));
    session->server_ =
        (endpoint.address.empty() ? endpoint.host : endpoint.address) + ":" + endpoint.port;
    const auto identity = co_await session->identify(until);
    opened.seen = identity.seen;
    opened.message = where + ": " + identity.message;
    if (classify(opened.seen) == Action::done) opened.session = std::move(session);
    co_return opened;
}

Task<Answer> Session::identify(Clock::time_point until) {
    static const std::string question =
        "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()), "
        "CASE WHEN pg_is_in_recovery() THEN NULL "
        "ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END, "
        "extract(epoch FROM pg_postmaster_start_time())::text, pg_last_wal_replay_lsn()::text, "
        "pg_backend_pid()::text, (SELECT backend_start::text FROM "
        "pg_stat_get_activity(pg_backend_pid()))";
    auto answer = co_await run(question, nullptr, until, Stage::connect);
    if (answer.results.empty()) co_return answer;
    const auto& row = answer.last();
    primary_ = row.value(0, 0) == "f";
    system_id_ = std::string(row.value(0, 1).value_or(""));
    timeline_ = timeline_of(row.value(0, 2).value_or("")).value_or(0);
    // A pooler gives out process numbers of its own making.
    const auto text = [&](int column) { return std::string(row.value(0, column).value_or("")); };
    if (primary_ && text(5) == std::to_string(::PQbackendPID(core_->connection)))
        direct_ = Direct{{.system_id = system_id_,
                          .timeline = timeline_,
                          .started = text(3),
                          .recovered = parse_lsn(text(4)).value_or(0)},
                         text(5),
                         text(6)};
    co_return answer;
}

namespace {

void refuse(Answer& answer, const PGresult* result) {
    const char* code = ::PQresultErrorField(result, diag_sqlstate);
    if (!code) {  // libpq's own: the connection broke
        answer.seen.lost = true;
        if (answer.message.empty()) answer.message = trimmed(::PQresultErrorMessage(result));
        return;
    }
    if (answer.seen.refused) return;
    const char* severity = ::PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    answer.seen.refused = true;
    answer.seen.sqlstate = code;
    answer.seen.fatal = severity && std::string_view(severity) != "ERROR";
    answer.message = trimmed(::PQresultErrorMessage(result));
}

// False: a COPY, which we do not speak.
bool take(Answer& answer, std::shared_ptr<const PGresult> result) {
    switch (::PQresultStatus(result.get())) {
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK: answer.results.emplace_back(std::move(result)); return true;
        case PGRES_EMPTY_QUERY: return true;
        case PGRES_COPY_IN:
        case PGRES_COPY_OUT:
        case PGRES_COPY_BOTH: return false;
        case PGRES_BAD_RESPONSE:
        case PGRES_NONFATAL_ERROR:
        case PGRES_FATAL_ERROR:
        case PGRES_SINGLE_TUPLE:
        case PGRES_PIPELINE_SYNC:
        case PGRES_PIPELINE_ABORTED: refuse(answer, result.get()); return true;
    }
    return true;
}

// The parameters as libpq has them. Empty is not null: it asks for the extended protocol.
std::vector<const char*> texts(const Parameters* parameters) {
    std::vector<const char*> values;
    if (!parameters) return values;
    values.reserve(parameters->size());
    for (const auto& value : *parameters) values.push_back(value ? value->c_str() : nullptr);
    return values;
}

int send(PGconn* connection, const std::string& sql, const Parameters* parameters) {
    if (!parameters) return ::PQsendQuery(connection, sql.c_str());
    const auto values = texts(parameters);
    return ::PQsendQueryParams(connection, sql.c_str(), static_cast<int>(values.size()), nullptr,
                               values.data(), nullptr, nullptr, 0);
}

int send(PGconn* connection, const Message& message) {
    const auto values = texts(message.parameters);
    const auto count = static_cast<int>(values.size());
    switch (message.kind) {
        case Message::Kind::statement:
            return ::PQsendQueryParams(connection, message.sql->c_str(), count, nullptr,
                                       values.data(), nullptr, nullptr, 0);
        case Message::Kind::prepare:
            return ::PQsendPrepare(connection, message.name, message.sql->c_str(), 0, nullptr);
        case Message::Kind::prepared:
            return ::PQsendQueryPrepared(connection, message.name, count, values.data(), nullptr,
                                         nullptr, 0);
    }
    return 0;
}

bool send_all(PGconn* connection, const std::vector<Message>& messages) {
    if (::PQenterPipelineMode(connection) != 1) return false;
    for (const auto& message : messages)
        if (send(connection, message) != 1) return false;
    return ::PQpipelineSync(connection) == 1;
}

enum class Wire { sound, broken, late };

// What was sent leaves this host.
template <class Core>
Task<Wire> flush(std::shared_ptr<Core> core) {
    for (int left = ::PQflush(core->connection); left != 0; left = ::PQflush(core->connection)) {
        // A server that refuses a long statement may answer before it has read all of it.
        const bool is_ready = co_await ready(core, asio::posix::descriptor_base::wait_write);
        if (!is_ready) co_return Wire::late;
        if (left < 0 || ::PQconsumeInput(core->connection) != 1) co_return Wire::broken;
    }
    co_return Wire::sound;
}

// Until libpq has a result, or its end.
template <class Core>
Task<Wire> receive(std::shared_ptr<Core> core) {
    while (::PQisBusy(core->connection) != 0) {
        const bool is_ready = co_await ready(core, asio::posix::descriptor_base::wait_read);
        if (!is_ready) co_return Wire::late;
        if (::PQconsumeInput(core->connection) != 1) co_return Wire::broken;
    }
    co_return Wire::sound;
}

std::shared_ptr<const PGresult> next_result(PGconn* connection) {
    return {::PQgetResult(connection),
            [](const PGresult* its) { ::PQclear(const_cast<PGresult*>(its)); }};
}

void lose(Answer& answer, std::string why) {
    answer.seen.lost = true;
    if (answer.message.empty()) answer.message = std::move(why);
}

constexpr const char* no_answer = "no answer within the deadline";
constexpr const char* no_copy = "COPY is not possible here: use libpq for it";

}  // namespace

// False: nothing can be sent.
bool Session::may_send(Answer& answer, Clock::time_point until) {
    core_->unconfirmed = false;
    if (usable() && Clock::now() < until) {
        core_->arm(until);
        return true;
    }
    answer.seen.sent = false;
    lose(answer, usable() ? "the deadline is over" : "the connection is closed");
    core_->close();
    return false;
}

Task<Answer> Session::run(const std::string& sql, const Parameters* parameters,
                          Clock::time_point until, Stage stage) {
    Answer answer;
    answer.seen.stage = stage;
    const auto core = core_;
    const auto lost = [&](std::string why) {
        lose(answer, std::move(why));
        core->close();
    };
    if (!may_send(answer, until)) co_return answer;
    if (send(core->connection, sql, parameters) != 1) {
        lost(trimmed(::PQerrorMessage(core->connection)));
        co_return answer;
    }
    auto wire = co_await flush(core);
    for (;;) {
        // When broken, libpq has what came before the end and then its own account of it.
        if (wire == Wire::sound) wire = co_await receive(core);
        if (wire == Wire::late) {
            lost(no_answer);
            co_return answer;
        }
        auto result = next_result(core->connection);
        if (!result) break;
        if (!take(answer, std::move(result))) {
            lost(no_copy);
            co_return answer;
        }
    }
    core->disarm();
    answer.seen.unconfirmed = core->unconfirmed;
    if (::PQstatus(core->connection) != CONNECTION_OK)
        lost(trimmed(::PQerrorMessage(core->connection)));
    co_return answer;
}

Task<Answer> Session::together(std::vector<Message> messages, Clock::time_point until, Stage stage,
                               Stage tail) {
    Answer answer;
    answer.seen.stage = messages.size() == 1 ? tail : stage;
    const auto core = core_;
    const auto lost = [&](std::string why) {
        lose(answer, std::move(why));
        core->close();
    };
    if (!may_send(answer, until)) co_return answer;
    if (!send_all(core->connection, messages)) {
        lost(trimmed(::PQerrorMessage(core->connection)));
        co_return answer;
    }
    auto wire = co_await flush(core);
    std::size_t ended = 0;
    for (bool over = false; !over;) {
        if (wire == Wire::sound) wire = co_await receive(core);
        if (wire == Wire::late) {
            lost(no_answer);
            co_return answer;
        }
        auto result = next_result(core->connection);
        const auto status = ::PQresultStatus(result.get());
        if (!result) {  // the end of one message's results
            over = wire == Wire::broken || ::PQstatus(core->connection) != CONNECTION_OK;
            if (!answer.seen.refused && ++ended + 1 >= messages.size()) answer.seen.stage = tail;
        } else if (status == PGRES_PIPELINE_SYNC) {
            over = true;
        } else if (status != PGRES_PIPELINE_ABORTED && !take(answer, std::move(result))) {
            lost(no_copy);
            co_return answer;
        }
    }
    core->disarm();
    answer.seen.unconfirmed = core->unconfirmed;
    if (::PQstatus(core->connection) != CONNECTION_OK ||
        ::PQexitPipelineMode(core->connection) != 1)
        lost(trimmed(::PQerrorMessage(core->connection)));
    co_return answer;
}

bool Session::usable() const {
    return core_->connection && ::PQstatus(core_->connection) == CONNECTION_OK;
}

bool Session::idle() const {
    return usable() && ::PQtransactionStatus(core_->connection) == PQTRANS_IDLE;
}

bool Session::fit() {
    if (!idle()) return false;
    char first = 0;
    const auto size = ::recv(::PQsocket(core_->connection), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    // Something came while nothing was asked. An error is the server's goodbye; of what is
    // encrypted we can't tell. A changed setting ('S') is harmless.
    if (size == 0 || first == 'E' || ::PQsslInUse(core_->connection) != 0) return false;
    return ::PQconsumeInput(core_->connection) == 1 && usable();
}

int Rows::size() const { return result_ ? ::PQntuples(result_.get()) : 0; }
int Rows::columns() const { return result_ ? ::PQnfields(result_.get()) : 0; }

std::string_view Rows::name(int column) const {
    const char* text = result_ ? ::PQfname(result_.get(), column) : nullptr;
    return text ? text : "";
}

std::optional<std::string_view> Rows::value(int row, int column) const {
    if (row < 0 || column < 0 || row >= size() || column >= columns()) return std::nullopt;
    if (::PQgetisnull(result_.get(), row, column) != 0) return std::nullopt;
    return std::string_view(::PQgetvalue(result_.get(), row, column),
                            static_cast<std::size_t>(::PQgetlength(result_.get(), row, column)));
}

namespace {
// libpq's signatures lack the const; they only read.
PGresult* readable(const std::shared_ptr<const PGresult>& result) {
    return const_cast<PGresult*>(result.get());
}
}  // namespace

std::string_view Rows::tag() const {
    const char* text = result_ ? ::PQcmdStatus(readable(result_)) : nullptr;
    return text ? text : "";
}

long Rows::affected() const {
    const char* text = result_ ? ::PQcmdTuples(readable(result_)) : nullptr;
    return text && *text ? std::stol(text) : 0;
}

}  // namespace relevo::client
