// os lies below ports, so it spells the coroutine type out for itself; the type is the same one.
#pragma once

#include <boost/asio/awaitable.hpp>

namespace relevo::os {
template <class T>
using Task = boost::asio::awaitable<T>;
}
