// What `list` and `topology` show of a cluster (contract 6.3). Pure: a snapshot in, text out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/settings.h"
#include "cluster/snapshot.h"
#include "ctl/records.h"

namespace relevo::ctl {

struct Shown {
    std::string cluster;
    cluster::Snapshot snapshot;
    cluster::Settings settings;
    WallTime now{};                               // what is over is told for a while
    std::map<std::string, std::string> copied{};  // member that is being made -> how far
};

struct ListOptions {
    bool extended = false;
    Format format = Format::pretty;
    bool colour = false;
};

// One cluster as a table with its footer: pretty or topology.
std::string cluster_table(const Shown& shown, const ListOptions& options);

// All clusters as one document: tsv, json or yaml.
std::string cluster_records(const std::vector<Shown>& clusters, const ListOptions& options);

// cluster_table for each, or cluster_records, as the format asks.
std::string list_text(const std::vector<Shown>& clusters, const ListOptions& options);

}  // namespace relevo::ctl
