// The merged tree -> LocalConfig's typed sections. Internal to the room; load() in local.cpp calls
// it.
#pragma once

#include <vector>

#include "config/local.h"
#include "config/node.h"

namespace relevo::config {

void read_sections(const Node& tree, For whom, const Environment& environment, LocalConfig& out,
                   std::vector<Problem>& problems);

// The section of the DCS alone (dcs.cpp).
void read_dcs(const Node& tree, For whom, Etcd3Config& out, std::vector<Problem>& problems);
// "etcd3://host:port/namespace" put over the tree; false with a problem when it cannot be
// understood.
void apply_dcs_url(Node& tree, const std::string& url, std::vector<Problem>& problems);

// The names that follow the primary (names.cpp).
void read_dns(const Node& tree, DnsConfig& out, std::vector<Problem>& problems);

// The repository (backup.cpp). Without a name of its own the stanza has the cluster's.
void read_backup(const Node& tree, const std::string& scope, ports::BackupConfig& out,
                 std::vector<Problem>& problems);
// After that and `bootstrap`: whether a cluster that is made out of a repository may archive where
// it would (bootstrap_origin.cpp).
void check_origin(const ports::Bootstrap& bootstrap, const ports::BackupConfig& backup,
                  std::vector<Problem>& problems);

// Tags as they are published (tags.cpp).
void read_tags(const Node& tree, LocalConfig& out, std::vector<Problem>& problems);

// What is accepted without effect, and what nobody knows (known_keys.cpp).
void name_the_rest(const Node& tree, LocalConfig& out);

}  // namespace relevo::config
