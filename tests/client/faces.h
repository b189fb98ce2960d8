// For tests: the two faces of the pool behind one, so that a test runs with each. What is called
// waits; any number of threads may call at once.
#pragma once

#include <gtest/gtest.h>
#include <relevo/blocking.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

namespace relevo::client::testing {

enum class Face { blocking, coroutines };
inline void PrintTo(Face face, std::ostream* out) {  // GoogleTest's, for the names of tests
    *out << (face == Face::blocking ? "blocking" : "coroutines");
}
const auto faces = ::testing::Values(Face::blocking, Face::coroutines);
inline std::string face_name(const ::testing::TestParamInfo<Face>& info) {
    return info.param == Face::blocking ? "blocking" : "coroutines";
}

class AnyPool {
public:
    using Body = std::function<Expected<void>(BlockingTransaction&)>;
    virtual ~AnyPool() = default;
    virtual Expected<Rows> execute(std::string sql, Parameters parameters = {}, Call call = {}) = 0;
    virtual Expected<Receipt> transaction(const Body& body, Call call = {}) = 0;
    virtual void close() = 0;
    virtual Pool::Counts counts() = 0;
};

Expected<std::unique_ptr<AnyPool>> make_pool(Face face, Options options);

}  // namespace relevo::client::testing
