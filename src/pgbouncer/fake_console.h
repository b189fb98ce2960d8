// For tests: a PgBouncer as far as its admin console goes. It listens on the socket that a real one
// would have, and answers as the version does that it is told to be: what it says comes from a
// table, what it was asked is kept. The real one (1.18) is in tests/e2e; newer ones are not in
// Debian 12.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pgbouncer/console.h"

namespace relevo::pgbouncer::testing {

namespace asio = boost::asio;

class FakeConsole {
    struct State;

public:
    // An error text, or a table (without columns: a command that was done).
    struct Answer {
        std::string error;
        Table table;
    };

    FakeConsole(asio::io_context& loop, const std::string& directory, int port)
        : state_(std::make_shared<State>(loop)) {
        const auto path = directory + "/.s.PGSQL." + std::to_string(port);
        std::filesystem::create_directories(directory);
        std::filesystem::remove(path);
        state_->acceptor.open();
        state_->acceptor.bind(asio::local::stream_protocol::endpoint(path));
        state_->acceptor.listen();
        asio::co_spawn(loop, accept(state_), asio::detached);
    }
    ~FakeConsole() {
        state_->acceptor.close();
        for (const auto& one : state_->open) one->close();
    }
    FakeConsole(const FakeConsole&) = delete;
    FakeConsole& operator=(const FakeConsole&) = delete;

    void says(const std::string& statement, Answer answer) {
        does(statement, [answer = std::move(answer)] { return answer; });
    }
    void does(const std::string& statement, std::function<Answer()> what) {
        state_->answers[statement] = std::move(what);
    }
    void shows(const std::string& statement, std::vector<std::string> columns,
               std::vector<std::vector<std::string>> rows) {
        says(statement, {"", {std::move(columns), std::move(rows)}});
    }
    // As it does with who is another user than its own.
    void asks_for_a_password() { state_->password = true; }
    const std::vector<std::string>& asked() const { return state_->asked; }
    void forget() { state_->asked.clear(); }

private:
    using Socket = asio::local::stream_protocol::socket;
    static constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

    struct State {
        explicit State(asio::io_context& loop) : acceptor(loop) {}
        asio::local::stream_protocol::acceptor acceptor;
        std::map<std::string, std::function<Answer()>> answers;
        std::vector<std::string> asked;
        std::vector<std::shared_ptr<Socket>> open;
        bool password = false;
    };

    static asio::awaitable<void> accept(std::shared_ptr<State> state) {
        while (true) {
            auto [error, socket] = co_await state->acceptor.async_accept(quietly);
            if (error) co_return;
            auto client = std::make_shared<Socket>(std::move(socket));
            state->open.push_back(client);
            asio::co_spawn(client->get_executor(), serve(state, client), asio::detached);
        }
    }

    static void number(std::string& out, std::uint32_t value, int bytes = 4) {
        for (int at = bytes - 1; at >= 0; --at) out += static_cast<char>(value >> (8 * at));
    }
    static std::string message(char type, const std::string& body) {
        std::string out(1, type);
        number(out, static_cast<std::uint32_t>(body.size() + 4));
        return out + body;
    }
    static std::string text(const std::string& value) { return value + '\0'; }

    static std::string render(const Answer& answer, const std::string& statement) {
        const auto ready = message('Z', "I");
        if (!answer.error.empty())
            return message('E', text("SERROR") + text("C08P01") + text("M" + answer.error) + '\0') +
                   ready;
        std::string out;
        const auto& table = answer.table;
        if (!table.columns.empty()) {
            std::string body;
            number(body, static_cast<std::uint32_t>(table.columns.size()), 2);
            for (const auto& name : table.columns) {
                body += text(name);
                number(body, 0);
                number(body, 0, 2);
                number(body, 25);  // text
                number(body, ~0U, 2);
                number(body, ~0U);
                number(body, 0, 2);
            }
            out += message('T', body);
        }
        for (const auto& row : table.rows) {
            std::string body;
            number(body, static_cast<std::uint32_t>(row.size()), 2);
            for (const auto& value : row) {
                number(body, static_cast<std::uint32_t>(value.size()));
                body += value;
            }
            out += message('D', body);
        }
        return out + message('C', text(statement.substr(0, statement.find(' ')))) + ready;
    }

    // A message with its length before it; nothing: the other side is gone.
    static asio::awaitable<std::optional<std::string>> receive(std::shared_ptr<Socket> client,
                                                               std::size_t header) {
        std::string head(header, '\0');
        const auto [error, got] = co_await asio::async_read(*client, asio::buffer(head), quietly);
        if (error || got != header) co_return std::nullopt;
        std::size_t length = 0;
        for (const char c : head.substr(header - 4))
            length = length * 256 + static_cast<unsigned char>(c);
        std::string body(length - 4, '\0');
        const auto [failed, read] = co_await asio::async_read(*client, asio::buffer(body), quietly);
        if (failed || read != body.size()) co_return std::nullopt;
        co_return head.substr(0, header - 4) + body;
    }

    static asio::awaitable<void> serve(std::shared_ptr<State> state,
                                       std::shared_ptr<Socket> client) {
        if (!co_await receive(client, 4)) co_return;  // the startup packet
        if (state->password) {
            std::string clear_text;
            number(clear_text, 3);
            const auto question = message('R', clear_text);
            (void)co_await asio::async_write(*client, asio::buffer(question), quietly);
            co_return;
        }
        std::string ok;
        number(ok, 0);
        const auto hello = message('R', ok) + message('S', text("client_encoding") + text("UTF8")) +
                           message('Z', "I");
        (void)co_await asio::async_write(*client, asio::buffer(hello), quietly);
        while (auto got = co_await receive(client, 5)) {
            if (got->front() != 'Q') co_return;
            const auto statement = got->substr(1, got->size() - 2);
            state->asked.push_back(statement);
            const auto found = state->answers.find(statement);
            const auto out = render(found == state->answers.end()
                                        ? Answer{"invalid command '" + statement + "'", {}}
                                        : found->second(),
                                    statement);
            (void)co_await asio::async_write(*client, asio::buffer(out), quietly);
        }
    }

    std::shared_ptr<State> state_;
};

}  // namespace relevo::pgbouncer::testing
