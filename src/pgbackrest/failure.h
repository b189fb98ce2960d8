// What pgBackRest's failures mean to an operator: one sentence, with the remedy first where we know
// it, then pgBackRest's own words. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "os/process.h"
#include "pgbackrest/settings.h"

namespace relevo::pgbackrest {

// Values of options that may be secrets, taken out of a text; the password too.
std::string redacted(std::string text, const Settings& settings);

// pgBackRest's first error in what it said, "[055] unable to open ...", on one line; empty: none.
std::string first_error(std::string_view output);

// Codes: denied (key, certificate, passphrase, rights), not_found (bucket, stanza, file),
// conflict (another cluster's repository; another pgBackRest at work), unavailable (no answer; no
// connection to PostgreSQL), cancelled (it was ended), failed.
Error explain(const os::Finished& finished, const Settings& settings, std::string_view doing);

// The same of a text alone: `info` puts an error into its answer and succeeds.
Error explain(std::string_view words, const Settings& settings, std::string_view doing);

}  // namespace relevo::pgbackrest
