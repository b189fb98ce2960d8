// Host names to addresses, without the loop ever waiting: getaddrinfo runs on a thread pool, and a
// literal address needs no lookup at all.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "net/task.h"

namespace relevo::net {

// "10.0.0.1", "::1", "fe80::1%eth0".
std::optional<boost::asio::ip::address> parse_address(const std::string& text);
// An IPv4 address that came over an IPv6 socket (::ffff:10.0.0.1) as the IPv4 address it is.
boost::asio::ip::address unmapped(const boost::asio::ip::address& address);

// At least one address, or unavailable (also when the deadline, counted from now, passes: the
// lookup then ends on its own in the pool). The pool must be joined before the io_context goes. An
// address twice in the answer comes once; the order is the resolver's.
Task<Result<std::vector<boost::asio::ip::address>>> resolve(boost::asio::io_context& loop,
                                                            boost::asio::thread_pool& pool,
                                                            std::string host, Duration deadline);

}  // namespace relevo::net
