// Mutexes that clang checks (-Wthread-safety): what is RLV_GUARDED_BY one is touched only while a
// Guard of it lives. None is ever held across a co_await, that is, while something is waited for.
#pragma once

#include <mutex>

#if defined(__clang__)
#define RLV_LOCKS(x) __attribute__((x))
#else
#define RLV_LOCKS(x)
#endif
#define RLV_GUARDED_BY(mutex) RLV_LOCKS(guarded_by(mutex))
#define RLV_REQUIRES(mutex) RLV_LOCKS(requires_capability(mutex))

namespace relevo::client {

class RLV_LOCKS(capability("mutex")) Mutex {
public:
    void lock() RLV_LOCKS(acquire_capability()) { mutex_.lock(); }
    void unlock() RLV_LOCKS(release_capability()) { mutex_.unlock(); }

private:
    std::mutex mutex_;
};

// Where everything is on one thread: nothing to lock, the same rules checked.
class RLV_LOCKS(capability("mutex")) NoMutex {
public:
    void lock() RLV_LOCKS(acquire_capability()) {}
    void unlock() RLV_LOCKS(release_capability()) {}
};

template <class M>
class RLV_LOCKS(scoped_lockable) Guard {
public:
    explicit Guard(M& mutex) RLV_LOCKS(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
    ~Guard() RLV_LOCKS(release_capability()) { mutex_.unlock(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

private:
    M& mutex_;
};

}  // namespace relevo::client
