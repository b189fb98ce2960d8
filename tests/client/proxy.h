// For tests: a TCP proxy on loopback that does one thing wrong, exactly when told. One thread,
// plain poll(); what it forwards it does not understand, it only looks for a text on its way to the
// server ("COMMIT;").
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace relevo::client::testing {

enum class Fault {
    none,
    cut_before,  // both ends closed; the text is not forwarded
    cut_answer,  // forwarded; the server's answer is thrown away and both ends closed
    half_open,   // the client's end closed, the text swallowed, the server's end kept
    only_tell    // forwarded; `when` is called first
};

class Proxy {
public:
    explicit Proxy(int server_port);  // on 127.0.0.1, as is the proxy
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    int port() const { return port_; }
    // Once: the next time that `text` passes. `when` runs on the proxy's thread before anything is
    // done with it, for cut_answer after the text was forwarded and the answer has come.
    void next(Fault fault, std::string text, std::function<void()> when = {});
    void refuse(bool all);           // new connections are closed at once
    void redirect(int server_port);  // new connections go there
    bool happened();

private:
    struct Pair;
    void run();
    void accept_one();
    bool forward_up(Pair& pair);
    bool forward_down(Pair& pair);

    int listener_ = -1, port_ = 0, wake_[2] = {-1, -1};
    std::mutex mutex_;
    int server_port_;
    bool stop_ = false, refuse_ = false, happened_ = false;
    Fault fault_ = Fault::none;
    std::string text_;
    std::function<void()> when_;
    std::vector<std::unique_ptr<Pair>> pairs_;
    std::thread thread_;
};

}  // namespace relevo::client::testing
