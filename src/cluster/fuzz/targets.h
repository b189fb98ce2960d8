// What the fuzzers call, and what must hold whatever they are given: no crash, no exception, and
// that what was understood is written and read back to the same. A broken promise aborts
// (RLV_ASSERT). fuzz_test.cpp runs each with a small corpus and its mutations in every test run;
// libFuzzer programs come with -DRELEVO_FUZZ=ON.
#pragma once

#include <string_view>

namespace relevo::cluster::fuzz {

void backup_job(std::string_view text);
void backup_proofs(std::string_view text);
void corruption(std::string_view text);  // the mark beside a data directory
void cron(std::string_view text);
void journal(std::string_view text);  // a reply, or a line of the file
void member(std::string_view text);
void rebuild(std::string_view text);          // the key `rebuild`
void restoration(std::string_view text);      // the key `restore`
void recovery_target(std::string_view text);  // a time, an LSN, a transaction, a timeline
void server_log(std::string_view text);       // in each of the three formats
void settings(std::string_view text);
void stream(std::string_view text);  // a member's, or a gateway's report
// Keys and values of a tree in turn, separated by line ends; the same key may come again, as its
// next revision.
void snapshot(std::string_view text);

}  // namespace relevo::cluster::fuzz
