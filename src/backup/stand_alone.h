// What a restored data directory needs so that it starts by itself, beside the cluster that it came
// from, and touches nothing of it. Pure: texts in, texts out.
#pragma once

#include <string>
#include <string_view>

namespace relevo::backup {

// What is added to the end of its postgresql.auto.conf, where it has the last word: nothing is
// archived, no commit waits for a standby, access is ruled by its own files. has_hba, has_ident:
// these files are there.
std::string stand_alone_settings(const std::string& directory, bool has_hba, bool has_ident);

// A value as postgresql.conf wants it, with its quotes.
std::string conf_quoted(std::string_view value);

// Its postgresql.conf without what says that the data is elsewhere: started with -D, the server
// would take the data directory that the cluster's member uses.
std::string without_data_directory(std::string_view config);

}  // namespace relevo::backup
