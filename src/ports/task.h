// The shape of everything that takes time: a coroutine on the agent's one thread (docs/adr/0002).
#pragma once

#include <boost/asio/awaitable.hpp>

namespace relevo {
template <class T>
using Task = boost::asio::awaitable<T>;
}
