// With lines that PostgreSQL 15 wrote: a page's header overwritten, an index page zeroed, reads and
// writes that failed with EIO.
#include "cluster/server_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = ServerLog::Kind;

constexpr std::string_view lines =
    "2026-11-26 19:59:55.406 UTC [17502] boss@app LOG:  statement: select count(*) from t"
    "\n"
    "2026-11-26 19:59:55.407 UTC [17502] boss@app ERROR:  invalid page in block 0 of rela"
    "tion base/5/16384\n"
    "2026-11-26 19:59:55.407 UTC [17502] boss@app STATEMENT:  select count(*) from t\n"
    R"(2026-11-26 19:59:55.483 UTC [17504] boss@app ERROR:  index "t_n" contains unexpected)"
    " zero page at block 1\n"
    "2026-11-26 19:59:55.483 UTC [17504] boss@app HINT:  Please REINDEX it.\n"
    "2026-11-26 19:59:55.611 UTC [17508] boss@app ERROR:  could not read block 0 in file "
    R"("base/5/16393": Input/output error)"
    "\n"
    R"(2026-11-26 19:59:55.857 UTC [17495] ERROR:  could not write block 0 in file "base/5/)"
    R"(16393": Input/output error)"
    "\n"
    "2026-11-26 19:59:55.857 UTC [17495] CONTEXT:  writing block 0 of relation base/5/163"
    "93\n"
    "2026-11-26 19:59:55.857 UTC [17513] boss@app ERROR:  checkpoint request failed\n"
    "2026-11-26 19:59:56.010 UTC [17521] boss@app LOG:  statement: select 'x\n"
    "\t2026-11-26 20:00:00.000 UTC [1] FATAL:  XX001: invalid page in block 0 of relation "
    "base/5/1'\n";

constexpr std::string_view csv =
    R"(2026-11-26 19:59:55.407 UTC,"boss","app",17502,"[local]",6b088fbb.445e,2,"SELECT",20)"
    R"(26-11-26 19:59:55 UTC,3/2,0,ERROR,XX001,"invalid page in block 0 of relation base/5/)"
    R"(16384",,,,,,"select count(*) from t",,,"psql","client backend",,0)"
    "\n"
    R"(2026-11-26 19:59:55.483 UTC,"boss","app",17504,"[local]",6b088fbb.4460,4,"SELECT",20)"
    R"(26-11-26 19:59:55 UTC,3/6,0,ERROR,XX002,"index ""t_n"" contains unexpected zero page)"
    R"( at block 1",,"Please REINDEX it.",,,,"select n from t where n=5",,,"psql","client b)"
    R"(ackend",,0)"
    "\n"
    "2026-11-26 19:59:55.857 UTC,,,17495,,6b088fbb.4457,2,,2026-11-26 19:59:55 UTC,,0,ERR"
    R"(OR,58030,"could not write block 0 in file ""base/5/16393"": Input/output error",,,,,)"
    R"("writing block 0 of relation base/5/16393",,,,"","checkpointer",,0)"
    "\n"
    R"(2026-11-26 19:59:55.926 UTC,"boss","app",17516,"[local]",6b088fbb.446c,1,"idle",2026)"
    R"(-11-26 19:59:55 UTC,3/17,0,LOG,00000,"statement: do $$ begin raise exception 'invali)"
    R"(d page in block 0 of relation base/5/16384' using errcode='XX001'; end $$",,,,,,,,,")"
    R"(psql","client backend",,0)"
    "\n"
    R"(2026-11-26 19:59:55.928 UTC,"boss","app",17516,"[local]",6b088fbb.446c,2,"DO",2026-1)"
    R"(1-26 19:59:55 UTC,3/17,0,ERROR,XX001,"invalid page in block 0 of relation base/5/163)"
    R"(84",,,,,"PL/pgSQL function inline_code_block line 1 at RAISE","do $$ begin raise exc)"
    "eption 'invalid page in block 0 of relation base/5/16384' using errcode='XX001'; end"
    R"( $$",,,"psql","client backend",,0)"
    "\n"
    R"(2026-11-26 19:59:56.010 UTC,"boss","app",17521,"[local]",6b088fbb.4471,1,"idle",2026)"
    R"(-11-26 19:59:55 UTC,3/19,0,LOG,00000,"statement: select 'x)"
    "\n"
    R"(2026-11-26 20:00:00.000 UTC,""boss"",""app"",1,,,2,,,,0,FATAL,XX001,""invalid page"")"
    R"(,,,,,,,,,,,,'",,,,,,,,,"psql","client backend",,0)"
    "\n";

constexpr std::string_view json =
    R"({"timestamp":"2026-11-26 19:59:55.407 UTC","user":"boss","dbname":"app","pid":17502,)"
    R"("remote_host":"[local]","session_id":"6b088fbb.445e","line_num":2,"ps":"SELECT","ses)"
    R"(sion_start":"2026-11-26 19:59:55 UTC","vxid":"3/2","txid":0,"error_severity":"ERROR")"
    R"(,"state_code":"XX001","message":"invalid page in block 0 of relation base/5/16384",")"
    R"(statement":"select count(*) from t","application_name":"psql","backend_type":"client)"
    R"( backend","query_id":0})"
    "\n"
    R"({"timestamp":"2026-11-26 19:59:55.483 UTC","user":"boss","dbname":"app","pid":17504,)"
    R"("error_severity":"ERROR","state_code":"XX002","message":"index \"t_n\" contains unex)"
    R"(pected zero page at block 1","hint":"Please REINDEX it.","statement":"select n from )"
    R"(t where n=5","query_id":0})"
    "\n"
    R"({"timestamp":"2026-11-26 19:59:55.857 UTC","pid":17495,"error_severity":"ERROR","sta)"
    R"(te_code":"58030","message":"could not write block 0 in file \"base/5/16393\": Input/)"
    R"(output error","context":"writing block 0 of relation base/5/16393","backend_type":"c)"
    R"(heckpointer","query_id":0})"
    "\n"
    R"({"timestamp":"2026-11-26 19:59:55.928 UTC","user":"boss","dbname":"app","pid":17516,)"
    R"("error_severity":"ERROR","state_code":"XX001","message":"invalid page in block 0 of )"
    R"(relation base/5/16384","context":"PL/pgSQL function inline_code_block line 1 at RAIS)"
    R"(E","query_id":0})"
    "\n"
    R"({"timestamp":"2026-11-26 19:59:56.010 UTC","user":"boss","dbname":"app","pid":17521,)"
    R"("error_severity":"LOG","message":"statement: select 'x\n2026-11-26 20:00:00.000 UTC )"
    R"([1] FATAL:  XX001: invalid page in block 0 of relation base/5/1'","query_id":0})"
    "\n";

constexpr const char* page = "invalid page in block 0 of relation base/5/16384";
constexpr const char* index = R"(index "t_n" contains unexpected zero page at block 1)";
constexpr const char* read_error =
    R"(could not read block 0 in file "base/5/16393": Input/output error)";
constexpr const char* write_error =
    R"(could not write block 0 in file "base/5/16393": Input/output error)";

std::vector<std::string> read(Kind kind, std::string_view text) {
    return ServerLog(kind).read(text);
}

TEST(ServerLog, PlainLinesAreToldByTheirWords) {
    EXPECT_THAT(read(Kind::lines, lines), ElementsAre(page, index, read_error, write_error));
}

TEST(ServerLog, PlainLinesWithAStateAreToldByThat) {
    EXPECT_THAT(read(Kind::lines,
                     "2026-11-26 [1] XX001 FEHLER: x\n"
                     "2026-11-26 [1] XX001 ERROR:  ungültige Seite in Block 0\n"
                     "2026-11-26 [1] ERROR:  XX002: defekt\n"
                     "2026-11-26 [1] 22012 ERROR:  division by zero\n"
                     "2026-11-26 [1] XX001x ERROR:  division by zero\n"
                     "2026-11-26 [1] LOG:  statement: select 'ERROR:  invalid page in block 0'\n"
                     "2026-11-26 [1] XX001 WARNING:  page verification failed\n"),
                ElementsAre("ungültige Seite in Block 0", "defekt"));
}

TEST(ServerLog, CsvIsReadInWholeRecords) {
    EXPECT_THAT(read(Kind::csv, csv), ElementsAre(page, index, write_error));
}

TEST(ServerLog, JsonIsReadInWholeRecords) {
    EXPECT_THAT(read(Kind::json, json), ElementsAre(page, index, write_error));
}

TEST(ServerLog, TheSameComesOutInPiecesOfAnySize) {
    for (const auto& [kind, text] :
         {std::pair(Kind::lines, lines), std::pair(Kind::csv, csv), std::pair(Kind::json, json)})
        for (const std::size_t size : {1U, 7U, 100U}) {
            ServerLog log(kind);
            std::vector<std::string> all;
            for (std::size_t at = 0; at < text.size(); at += size)
                for (auto& one : log.read(text.substr(at, size))) all.push_back(std::move(one));
            EXPECT_EQ(all, read(kind, text));
        }
}

TEST(ServerLog, ALineWithoutItsEndWaitsForIt) {
    ServerLog log(Kind::lines);
    EXPECT_THAT(log.read("[1] ERROR:  invalid page in block 0"), IsEmpty());
    EXPECT_THAT(log.read(" of relation x\n"), ElementsAre("invalid page in block 0 of relation x"));
}

TEST(ServerLog, WhatIsTooLongIsLeftOutAndWhatComesAfterItIsRead) {
    const std::string huge(1UL << 20U, 'x');
    for (const auto& [kind, text] :
         {std::pair(Kind::lines, lines), std::pair(Kind::csv, csv), std::pair(Kind::json, json)}) {
        ServerLog log(kind);
        const auto all = log.read('"' + huge + "\n" + std::string(text));
        EXPECT_THAT(all, SizeIs(testing::Ge(3U)));
        const auto many = log.read("[1] ERROR:  invalid page in block 0 of " + huge + "\n");
        EXPECT_THAT(many, IsEmpty());
    }
}

TEST(ServerLog, NothingIsUnbounded) {
    std::string many;
    for (int i = 0; i < 1000; ++i)
        many += "[1] ERROR:  invalid page in block " + std::string(1000, '\x01') + "\n";
    const auto all = read(Kind::lines, many);
    EXPECT_THAT(all, SizeIs(50));
    for (const auto& one : all) {
        EXPECT_LE(one.size(), 200U);
        EXPECT_EQ(one.find('\x01'), std::string::npos);
    }
}

}  // namespace
}  // namespace relevo::cluster
