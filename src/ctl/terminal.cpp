#include "ctl/terminal.h"

#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <thread>

namespace relevo::ctl {
namespace {

// For the signal's handler, which may touch nothing else.
termios saved_echo;
volatile std::sig_atomic_t echo_is_off = 0;

void interrupted(int) {
    if (echo_is_off != 0) tcsetattr(STDIN_FILENO, TCSANOW, &saved_echo);
    constexpr char text[] = "\nAborted!\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

bool is_set(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

}  // namespace

StandardTerminal::StandardTerminal() : interactive_(isatty(STDOUT_FILENO) != 0) {
    const char* term = std::getenv("TERM");
    const bool dumb = term != nullptr && std::string_view(term) == "dumb";
    colour_ = interactive_ && !dumb && !is_set("NO_COLOR");
}

void StandardTerminal::out(std::string_view text) { std::cout << text << std::flush; }

void StandardTerminal::err(std::string_view text) { std::cerr << text << std::flush; }

std::optional<std::string> StandardTerminal::ask(std::string_view prompt) {
    out(prompt);
    std::string line;
    if (std::getline(std::cin, line)) return line;
    out("\n");
    return std::nullopt;
}

std::optional<std::string> StandardTerminal::ask_hidden(std::string_view prompt) {
    const bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &saved_echo) == 0;
    if (terminal) {
        auto silent = saved_echo;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        echo_is_off = 1;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    auto answer = ask(prompt);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved_echo);
        echo_is_off = 0;
        out("\n");
    }
    return answer;
}

void StandardTerminal::clear() {
    if (interactive_) out("\x1b[H\x1b[2J");
}

Instant SystemClock::now() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return Instant(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

WallTime SystemClock::wall() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

void SystemClock::sleep(Duration time) { std::this_thread::sleep_for(time); }

std::chrono::seconds SystemClock::zone_offset(WallTime at) {
    const auto seconds = static_cast<std::time_t>(
        std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count());
    std::tm local{};
    localtime_r(&seconds, &local);
    return std::chrono::seconds(local.tm_gmtoff);
}

void abort_on_interrupt() {
    struct sigaction action{};
    action.sa_handler = interrupted;
    sigaction(SIGINT, &action, nullptr);
}

}  // namespace relevo::ctl
