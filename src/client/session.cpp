#include "client/session.h"

#include <libpq-fe.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace relevo::client {

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

Rows Answer::take_last() { return results.empty() ? Rows() : results.take_back(); }

namespace {

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

template <class By>
Session<By>::Session(const By& by, SessionFacts facts, pg_conn* connection)
    : SessionFacts(std::move(facts)),
      connection_(connection),
      socket_(std::make_shared<typename By::Socket>(by)) {
    ::PQsetNoticeReceiver(
        connection_,
        [](void* its, const PGresult* notice) {
            auto& self = *static_cast<Session*>(its);
            if (tells_of_no_standby(notice)) self.unconfirmed_ = true;
        },
        this);
}

template <class By>
void Session<By>::close() {
    socket_->close();
    if (connection_) ::PQfinish(connection_);
    connection_ = nullptr;
}

template <class By>
pg_conn* Session<By>::release() {
    socket_->close();
    return std::exchange(connection_, nullptr);
}

namespace {

Task<bool> connected(Session<ByAsio>& session) {
    auto state = PGRES_POLLING_WRITING;
    while (::PQstatus(session.connection()) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
           state != PGRES_POLLING_FAILED) {
        if (!session.socket().watch(::PQsocket(session.connection()))) co_return false;
        const auto came = co_await session.socket().wait(
            state == PGRES_POLLING_READING ? Direction::read : Direction::write);
        if (!session.socket().heard(came)) co_return false;
        // A step may close libpq's socket and open another one under the same number.
        session.socket().forget();
        state = ::PQconnectPoll(session.connection());
    }
    co_return true;
}

Task<Answer> identify(Session<ByAsio>& session, Clock::time_point until) {
    static const std::string question =
        "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()), "
        "CASE WHEN pg_is_in_recovery() THEN NULL "
        "ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END, "
        "extract(epoch FROM pg_postmaster_start_time())::text, pg_last_wal_replay_lsn()::text, "
        "pg_backend_pid()::text, (SELECT backend_start::text FROM "
        "pg_stat_get_activity(pg_backend_pid()))";
    auto answer = co_await session.run(question, nullptr, until, Stage::connect);
    if (answer.results.empty()) co_return answer;
    const auto& row = answer.last();
    session.primary = row.value(0, 0) == "f";
    session.system_id = std::string(row.value(0, 1).value_or(""));
    session.timeline = timeline_of(row.value(0, 2).value_or("")).value_or(0);
    // A pooler gives out process numbers of its own making.
    const auto text = [&](int column) { return std::string(row.value(0, column).value_or("")); };
    if (session.primary && text(5) == std::to_string(::PQbackendPID(session.connection())))
        session.direct = SessionFacts::Direct{{.system_id = session.system_id,
                                               .timeline = session.timeline,
                                               .started = text(3),
                                               .recovered = parse_lsn(text(4)).value_or(0)},
                                              text(5),
                                              text(6)};
    co_return answer;
}

}  // namespace

Task<Opened> open_session(boost::asio::any_io_executor executor, Keywords keywords,
                          Endpoint endpoint, Clock::time_point until) {
    Opened opened;
    opened.seen.stage = Stage::connect;
    const auto where = endpoint.host + " port " + endpoint.port;
    const auto failed = [&](std::string why) {
        opened.seen.lost = true;
        opened.message = where + ": " + std::move(why);
    };
    auto* connection = begin_connection(keywords, endpoint);
    if (!connection) {
        failed("out of memory");
        co_return opened;
    }
    ::PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    auto session =
        std::make_unique<Session<ByAsio>>(ByAsio{std::move(executor)}, SessionFacts{}, connection);
    session->socket().begin(until, Clock::now());
    const bool in_time = co_await connected(*session);
    if (!in_time) {
        failed("no connection in time");
        co_return opened;
    }
    if (::PQstatus(connection) != CONNECTION_OK) {
        const auto message = trimmed(::PQerrorMessage(connection));
        opened.seen.sqlstate = code_in(message);
        opened.seen.refused = !opened.seen.sqlstate.empty();
        failed(first_line(message));
        co_return opened;
    }
    ::PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
    ::PQsetnonblocking(connection, 1);
    session->server =
        (endpoint.address.empty() ? endpoint.host : endpoint.address) + ":" + endpoint.port;
    const auto identity = co_await identify(*session, until);
    opened.seen = identity.seen;
    opened.message = where + ": " + identity.message;
    if (classify(opened.seen) == Action::done) opened.session = std::move(session);
    co_return opened;
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
        case PGRES_COMMAND_OK: answer.results.push_back(Rows(std::move(result))); return true;
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

// The parameters as libpq has them: never null, which would ask for the simple protocol.
class Texts {
public:
    explicit Texts(const Parameters* parameters) {
        if (!parameters) return;
        size_ = parameters->size();
        if (size_ > few_.size()) {
            many_.resize(size_);
            data_ = many_.data();
        }
        for (std::size_t i = 0; i < size_; ++i)
            data_[i] = (*parameters)[i] ? (*parameters)[i]->c_str() : nullptr;
    }
    Texts(const Texts&) = delete;
    Texts& operator=(const Texts&) = delete;
    const char* const* data() const { return data_; }
    int size() const { return static_cast<int>(size_); }

private:
    std::array<const char*, 8> few_;
    std::vector<const char*> many_;
    const char** data_ = few_.data();
    std::size_t size_ = 0;
};

int send(PGconn* connection, const std::string& sql, const Parameters* parameters) {
    if (!parameters) return ::PQsendQuery(connection, sql.c_str());
    const Texts values(parameters);
    return ::PQsendQueryParams(connection, sql.c_str(), values.size(), nullptr, values.data(),
                               nullptr, nullptr, 0);
}

int send(PGconn* connection, const Message& message) {
    const Texts values(message.parameters);
    switch (message.kind) {
        case Message::Kind::statement:
            return ::PQsendQueryParams(connection, message.sql->c_str(), values.size(), nullptr,
                                       values.data(), nullptr, nullptr, 0);
        case Message::Kind::prepare:
            return ::PQsendPrepare(connection, message.name, message.sql->c_str(), 0, nullptr);
        case Message::Kind::prepared:
            return ::PQsendQueryPrepared(connection, message.name, values.size(), values.data(),
                                         nullptr, nullptr, 0);
    }
    return 0;
}

bool send_all(PGconn* connection, const std::vector<Message>& messages) {
    if (::PQenterPipelineMode(connection) != 1) return false;
    for (const auto& message : messages)
        if (send(connection, message) != 1) return false;
    return ::PQpipelineSync(connection) == 1;
}

std::shared_ptr<const PGresult> next_result(PGconn* connection) {
    const PGresult* result = ::PQgetResult(connection);
    if (!result) return nullptr;
    return {result, [](const PGresult* its) { ::PQclear(const_cast<PGresult*>(its)); }};
}

constexpr const char* no_answer = "no answer within the deadline";
constexpr const char* no_copy = "COPY is not possible here: use libpq for it";

}  // namespace

template <class By>
void Session<By>::lose(Answer& answer, std::string why) {
    answer.seen.lost = true;
    if (answer.message.empty()) answer.message = std::move(why);
    close();
}

// False: nothing can be sent.
template <class By>
bool Session<By>::may_send(Answer& answer, Clock::time_point until) {
    unconfirmed_ = false;
    const char* why = "the connection is closed";
    if (usable()) {
        const auto now = Clock::now();
        if (now >= until)
            why = "the deadline is over";
        else if (socket_->begin(until, now))
            return true;
    }
    answer.seen.sent = false;
    lose(answer, why);
    return false;
}

// What was sent leaves this host.
template <class By>
auto Session<By>::flush() -> Task<Wire> {
    for (int left = ::PQflush(connection_); left != 0; left = ::PQflush(connection_)) {
        // A server that refuses a long statement may answer before it has read all of it.
        if (!socket_->watch(::PQsocket(connection_))) co_return Wire::late;
        const auto came = co_await socket_->wait(Direction::write);
        if (!socket_->heard(came)) co_return Wire::late;
        if (left < 0 || ::PQconsumeInput(connection_) != 1) co_return Wire::broken;
    }
    co_return Wire::sound;
}

template <class By>
template <class Came>
auto Session<By>::hear(const Came& came) -> Wire {
    if (!socket_->heard(came)) return Wire::late;
    return ::PQconsumeInput(connection_) == 1 ? Wire::sound : Wire::broken;
}

template <class By>
auto Session<By>::run(const std::string& sql, const Parameters* parameters, Clock::time_point until,
                      Stage stage) -> Task<Answer> {
    Answer answer;
    answer.seen.stage = stage;
    if (!may_send(answer, until)) co_return answer;
    if (send(connection_, sql, parameters) != 1) {
        lose(answer, trimmed(::PQerrorMessage(connection_)));
        co_return answer;
    }
    auto wire = Wire::sound;
    if (::PQflush(connection_) != 0) wire = co_await flush();
    for (;;) {
        // When broken, libpq has what came before the end and then its own account of it.
        while (wire == Wire::sound && ::PQisBusy(connection_) != 0) {
            if (!socket_->watch(::PQsocket(connection_))) {
                wire = Wire::late;
                break;
            }
            const auto came = co_await socket_->wait(Direction::read);
            wire = hear(came);
        }
        if (wire == Wire::late) {
            lose(answer, no_answer);
            co_return answer;
        }
        auto result = next_result(connection_);
        if (!result) break;
        if (!take(answer, std::move(result))) {
            lose(answer, no_copy);
            co_return answer;
        }
    }
    socket_->end();
    answer.seen.unconfirmed = unconfirmed_;
    if (::PQstatus(connection_) != CONNECTION_OK)
        lose(answer, trimmed(::PQerrorMessage(connection_)));
    co_return answer;
}

template <class By>
auto Session<By>::together(std::vector<Message> messages, Clock::time_point until, Stage stage,
                           Stage tail) -> Task<Answer> {
    Answer answer;
    answer.seen.stage = messages.size() == 1 ? tail : stage;
    if (!may_send(answer, until)) co_return answer;
    if (!send_all(connection_, messages)) {
        lose(answer, trimmed(::PQerrorMessage(connection_)));
        co_return answer;
    }
    auto wire = Wire::sound;
    if (::PQflush(connection_) != 0) wire = co_await flush();
    std::size_t ended = 0;
    for (bool over = false; !over;) {
        while (wire == Wire::sound && ::PQisBusy(connection_) != 0) {
            if (!socket_->watch(::PQsocket(connection_))) {
                wire = Wire::late;
                break;
            }
            const auto came = co_await socket_->wait(Direction::read);
            wire = hear(came);
        }
        if (wire == Wire::late) {
            lose(answer, no_answer);
            co_return answer;
        }
        auto result = next_result(connection_);
        const auto status = ::PQresultStatus(result.get());
        if (!result) {  // the end of one message's results
            over = wire == Wire::broken || ::PQstatus(connection_) != CONNECTION_OK;
            if (!answer.seen.refused && ++ended + 1 >= messages.size()) answer.seen.stage = tail;
        } else if (status == PGRES_PIPELINE_SYNC) {
            over = true;
        } else if (status != PGRES_PIPELINE_ABORTED && !take(answer, std::move(result))) {
            lose(answer, no_copy);
            co_return answer;
        }
    }
    socket_->end();
    answer.seen.unconfirmed = unconfirmed_;
    if (::PQstatus(connection_) != CONNECTION_OK || ::PQexitPipelineMode(connection_) != 1)
        lose(answer, trimmed(::PQerrorMessage(connection_)));
    co_return answer;
}

template <class By>
bool Session<By>::usable() const {
    return connection_ && ::PQstatus(connection_) == CONNECTION_OK;
}

template <class By>
bool Session<By>::idle() const {
    return usable() && ::PQtransactionStatus(connection_) == PQTRANS_IDLE;
}

template <class By>
bool Session<By>::fit() {
    if (!idle()) return false;
    char first = 0;
    const auto size = ::recv(::PQsocket(connection_), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    // Something came while nothing was asked. An error is the server's goodbye; of what is
    // encrypted we can't tell. A changed setting ('S') is harmless.
    if (size == 0 || first == 'E' || ::PQsslInUse(connection_) != 0) return false;
    return ::PQconsumeInput(connection_) == 1 && usable();
}

template class Session<ByAsio>;
template class Session<ByThread>;

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
