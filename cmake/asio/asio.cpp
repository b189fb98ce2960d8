// The one place where Boost.Asio's own functions are compiled; see packages.cmake.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
