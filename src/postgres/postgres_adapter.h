// ports::Postgres on the real thing: the server (server.h) and its files, copies, slots and hooks
// put together.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>

#include "ports/postgres.h"
#include "ports/postgres_config.h"
#include "postgres/bootstrap.h"

namespace relevo::postgres {

// `config` is asked at the beginning of every action, so a reload takes effect with the next one.
// The pool is joined by its owner after the loop has ended and before this object goes; nothing it
// runs touches this object. PostgreSQL itself is never stopped by the end of this object.
// restorer: fills the data directory, which is empty then, out of the repository; without it
// bootstrap.method pgbackrest and restores in place are refused. It ends early, with the task that
// awaits it, when kill() is called.
std::unique_ptr<ports::Postgres> make_postgres(boost::asio::io_context& loop,
                                               boost::asio::thread_pool& pool,
                                               std::function<const ports::PostgresConfig&()> config,
                                               Restorer restorer = {});

}  // namespace relevo::postgres
