// The merged `postgresql` tree and the `bootstrap` tree -> ports::PostgresConfig. Internal to the
// room.
#pragma once

#include <string>
#include <vector>

#include "config/node.h"
#include "config/problem.h"
#include "config/reader.h"
#include "ports/postgres_config.h"

namespace relevo::config {

// Everything that does not depend on the dynamic configuration's GUCs: `out.parameters` is left
// alone. `section` reads the merged `postgresql` mapping. Wrong values are problems and keep their
// defaults; what is allowed but left out (forbidden options) goes to notes. more_methods: replica
// methods that others (standby_cluster) name, whose sections are here.
void read_postgresql(Reader& section, const std::vector<std::string>& more_methods,
                     ports::PostgresConfig& out, std::vector<std::string>& notes);

// Addresses, directories, accounts: only ever local.
void read_postgresql_identity(Reader& section, ports::PostgresConfig& out);

void read_bootstrap(Reader& section, ports::Bootstrap& out);

// bootstrap_origin.cpp. The method is pgbackrest, and the section, if any, names no command.
bool is_origin(std::string_view method, const Node* section);
void read_origin(Reader& section, const Node* given, ports::BootstrapOrigin& out);

// A list of texts and single pairs, or a mapping -> options in order. `true` stands for a bare
// option and `false` leaves it out.
void read_options(Reader& section, std::string_view key, ports::CommandOptions& out);

}  // namespace relevo::config
