// Whether anything answers at an address: one connection, a few bytes to say, one byte to hear.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"
#include "net/task.h"

namespace relevo::net {

// The deadline bounds name lookup, connect and answer together. Never throws.
Task<bool> answers_at(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                      std::string host, std::uint16_t port, std::string_view say,
                      Duration deadline);

}  // namespace relevo::net
