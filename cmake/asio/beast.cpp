// The one place where Boost.Beast's own functions are compiled; see packages.cmake.
#include <boost/beast/src.hpp>
