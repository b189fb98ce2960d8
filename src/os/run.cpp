#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <unistd.h>
#include <utility>

#include "os/process.h"
#include "os/spawn.h"

namespace relevo::os {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr auto grace_after_term = std::chrono::seconds(2);
// Something below the command may keep its output open for as long as it lives; we do not wait for
// that.
constexpr auto grace_after_end = std::chrono::milliseconds(200);

// One command under way. Its callbacks hold it; done() is told once.
class Running : public std::enable_shared_from_this<Running> {
public:
    Running(const asio::any_io_executor& loop, Command command, Child child)
        : command_(std::move(command)),
          process_(std::move(child.process)),
          exit_(loop, process_.fd()),
          input_(loop, std::exchange(child.input, -1)),
          output_(loop, std::exchange(child.output, -1)),
          errors_(loop, std::exchange(child.errors, -1)),
          alarm_(loop),
          done_(loop, asio::steady_timer::time_point::max()) {}
    ~Running() { exit_.release(); }  // process_ closes it
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    void start() {
        feed();
        read(output_, finished_.out, output_buffer_);
        read(errors_, finished_.err, error_buffer_);
        exit_.async_wait(asio::posix::descriptor_base::wait_read,
                         [self = shared_from_this()](error_code error) {
                             if (!error) self->exited();
                         });
        if (command_.deadline > Duration{}) {
            alarm_.expires_after(command_.deadline);
            alarm_.async_wait([self = shared_from_this()](error_code error) {
                if (error) return;
                self->finished_.timed_out = true;
                self->end();
            });
        }
    }

    // end_signal now, SIGKILL later; nothing when it is ending already.
    void end() {
        if (ending_ || gone_) return;
        ending_ = true;
        ::kill(-process_.pid(), command_.end_signal);
        alarm_.expires_after(grace_after_term);
        alarm_.async_wait([self = shared_from_this()](error_code error) {
            if (!error && !self->gone_) ::kill(-self->process_.pid(), SIGKILL);
        });
    }

    Task<void> wait() {
        while (!over_) {
            error_code ignored;
            co_await done_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            if (!over_) co_return;  // cancelled
        }
    }
    bool over() const { return over_; }
    Finished take() { return std::move(finished_); }

private:
    using Stream = asio::posix::stream_descriptor;
    using Buffer = std::array<char, 16384>;

    void feed() {
        if (command_.input.empty()) return close(input_);
        asio::async_write(
            input_, asio::buffer(command_.input),
            [self = shared_from_this()](error_code, std::size_t) { self->close(self->input_); });
    }

    void read(Stream& stream, std::string& kept, Buffer& buffer) {
        stream.async_read_some(asio::buffer(buffer), [self = shared_from_this(), &stream, &kept,
                                                      &buffer](error_code error, std::size_t size) {
            if (size > 0) {
                const std::string_view piece(buffer.data(), size);
                append_output(kept, piece, self->command_.output_limit);
                if (self->command_.on_output) self->command_.on_output(piece);
            }
            if (!error) return self->read(stream, kept, buffer);
            self->close(stream);
            self->settle();
        });
    }

    void exited() {
        // What the group still holds goes too when we ended it; before the reaping, while its
        // number is ours.
        if (ending_) ::kill(-process_.pid(), SIGKILL);
        reap(process_.pid(), finished_);
        gone_ = true;
        alarm_.expires_after(grace_after_end);
        alarm_.async_wait([self = shared_from_this()](error_code error) {
            if (error) return;
            self->close(self->output_);
            self->close(self->errors_);
            self->settle();
        });
        settle();
    }

    void settle() {
        if (over_ || !gone_ || output_.is_open() || errors_.is_open()) return;
        over_ = true;
        alarm_.cancel();
        close(input_);
        done_.cancel();
    }

    static void close(Stream& stream) {
        error_code ignored;
        stream.close(ignored);
    }

    Command command_;
    PidHandle process_;
    Stream exit_, input_, output_, errors_;
    asio::steady_timer alarm_, done_;
    Buffer output_buffer_{}, error_buffer_{};
    Finished finished_;
    bool ending_ = false, gone_ = false, over_ = false;
};

Task<Result<Finished>> run_to_end(Blocking& pool, Command command) {
    const auto executor = co_await asio::this_coro::executor;
    auto started = co_await pool.run([&command] { return spawn(command); });
    if (!started) co_return std::unexpected(started.error());
    const auto name = command.arguments[0];
    auto running = std::make_shared<Running>(executor, std::move(command), *std::move(started));
    running->start();
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    bool cancelled = cancellation.cancelled() != asio::cancellation_type::none;
    if (!cancelled) {
        co_await running->wait();
        cancelled = !running->over();
    }
    if (!cancelled) co_return running->take();
    // A signal that came once stays with the coroutine's state but does not break a wait again.
    running->end();
    while (!running->over()) co_await running->wait();
    co_return fail(ErrorCode::cancelled, name + " was ended before its time");
}

}  // namespace

Task<Result<Finished>> run(Blocking& pool, Command command) {
    // The child must be gone before the caller is told, so cancellation is asked about, not thrown.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto result = co_await run_to_end(pool, std::move(command));
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return result;
}

}  // namespace relevo::os
