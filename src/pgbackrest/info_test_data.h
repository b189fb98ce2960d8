// For tests only: what pgBackRest 2.45 said.
#pragma once

namespace relevo::pgbackrest::testing {

inline constexpr const char* two_backups =
    R"([{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1",)"
    R"("max":"000000020000000000000009","min":"000000010000000000000001"}],)"
    R"("backup":[{"archive":{"start":"000000010000000000000003",)"
    R"("stop":"000000010000000000000003"},"backrest":{"format":5,"version":"2.45"},)"
    R"("database":{"id":1,"repo-key":1},"error":false,"info":{"delta":23192440,)"
    R"("repository":{"delta":2948571,"size":2948571},"size":23192440},)"
    R"("label":"20260514-010000F","lsn":{"start":"0/3000028","stop":"0/3000138"},)"
    R"("prior":null,"reference":null,"timestamp":{"start":1778720400,"stop":1778720410},)"
    R"("type":"full"},{"archive":{"start":"000000020000000000000008",)"
    R"("stop":"000000020000000000000009"},"backrest":{"format":5,"version":"2.45"},)"
    R"("database":{"id":1,"repo-key":1},"error":true,"info":{"delta":8192,)"
    R"("repository":{"delta":456,"size":2949000},"size":23200000},)"
    R"("label":"20260514-010000F_20260515-010000I","lsn":{"start":"0/8000028",)"
    R"("stop":"0/9000050"},"prior":"20260514-010000F","reference":["20260514-010000F"],)"
    R"("timestamp":{"start":1778806800,"stop":1778806803},"type":"incr"}],)"
    R"("cipher":"aes-256-cbc","db":[{"id":1,"repo-key":1,"system-id":7711188255317205645,)"
    R"("version":"15"}],"name":"main","repo":[{"cipher":"aes-256-cbc","key":1,)"
    R"("status":{"code":0,"message":"ok"}}],"status":{"code":0,)"
    R"("lock":{"backup":{"held":false}},"message":"ok"}}])";

inline constexpr const char* no_stanza =
    R"([{"backup":[],"db":[],"name":"main","repo":[{"cipher":"none","key":1,)"
    R"("status":{"code":1,"message":"missing stanza path"}}],"status":{"code":1,)"
    R"("lock":{"backup":{"held":false}},"message":"missing stanza path"}}])";

}  // namespace relevo::pgbackrest::testing
