// The pool for programs of threads: the same promises (pool.h), each call waits. All of it happens
// on the thread that called, a transaction's function included; the pool has one thread of its own,
// which opens connections and looks for the primary. Any number of threads may call at once. What a
// function throws comes out of transaction().
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "relevo/pool.h"
#include "relevo/types.h"

namespace relevo::client {

class BlockingTransaction {
public:
    virtual ~BlockingTransaction() = default;
    virtual Expected<Rows> execute(std::string sql, Parameters parameters = {}) = 0;
};

class BlockingPool {
public:
    static Expected<std::unique_ptr<BlockingPool>> make(Options options);
    ~BlockingPool();  // closes, and waits for calls that still run
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;

    Expected<Rows> execute(std::string sql, Parameters parameters = {}, Call call = {});
    Expected<Receipt> transaction(const std::function<Expected<void>(BlockingTransaction&)>& body,
                                  Call call = {});
    // From any thread. No new calls; those that wait for a connection end with `closed`, those that
    // run end as they do.
    void close();
    Pool::Counts counts() const;
    std::string rest_problem() const;  // as Pool's

private:
    struct Impl;
    explicit BlockingPool(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace relevo::client
