#include "pgbackrest/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relevo::pgbackrest {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

Settings with_secrets() {
    Settings settings;
    settings.password = "hunter2";
    settings.config.options = {{"repo1-cipher-pass", {"xyzzy"}},
                               {"repo1-s3-key", {"AKIAEXAMPLE"}},
                               {"repo1-s3-key-secret", {"wJalrX"}},
                               {"repo1-s3-key-type", {"shared"}}};
    return settings;
}

Error said(const std::string& text) { return explain(text, with_secrets(), "making a backup"); }

TEST(Failure, NamesTheRemedyAndThenPgBackRestsOwnWords) {
    struct Case {
        const char* words;
        ErrorCode code;
        const char* remedy;
    };
    for (
        const Case& one : {
            Case{"ERROR: [095]: raised from local-1: cipher header invalid", ErrorCode::denied,
                 "repo-cipher-pass"},
            Case{
                "ERROR: [095]: unable to verify certificate presented by 'h:443': [10] certificate "
                "has expired",
                ErrorCode::denied, "renew it"},
            Case{
                "ERROR: [039]: HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:\nGET "
                "/\n<Code>SignatureDoesNotMatch</Code>",
                ErrorCode::denied, "repo-s3-key-secret"},
            Case{
                "ERROR: [039]: HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:\nGET "
                "/\n<Code>RequestTimeTooSkewed</Code>",
                ErrorCode::denied, "this host's clock"},
            Case{"ERROR: [039]: HTTP request failed with 404 (Not "
                 "Found):\n<Code>NoSuchBucket</Code>",
                 ErrorCode::not_found, "repo-s3-bucket"},
            Case{"ERROR: [028]: backup and archive info files exist but do not match the database",
                 ErrorCode::conflict, "another cluster"},
            Case{"ERROR: [049]: unable to connect to '127.0.0.1:9': [111] Connection refused",
                 ErrorCode::unavailable, "does not answer"},
            Case{"ERROR: [050]: unable to acquire lock on file '/tmp/main-backup.lock'",
                 ErrorCode::conflict, "another pgBackRest"},
            Case{"ERROR: [056]: unable to connect to 'dbname='postgres' port=5432': no such file",
                 ErrorCode::unavailable, "unix socket"},
            Case{"ERROR: [082]: WAL segment 000000010000000000000001 was not archived before the "
                 "60000ms timeout\nHINT: check the archive_command",
                 ErrorCode::failed, "PostgreSQL's log"},
            Case{"ERROR: [040]: unable to restore to path '/srv/new' because it contains files",
                 ErrorCode::conflict, "not empty"},
            Case{"ERROR: [038]: unable to restore while PostgreSQL is running", ErrorCode::conflict,
                 "stop it first"},
            Case{"ERROR: [027]: backup set 20260514-010000F is not valid", ErrorCode::not_found,
                 "relevoctl backup list"},
            Case{"ERROR: [075]: no backup set found to restore", ErrorCode::not_found,
                 "relevoctl backup run"},
            Case{"ERROR: [055]: unable to load backup manifest file "
                 "'/r/backup/main/20260514-010000F/backup.manifest' or "
                 "'/r/backup/main/20260514-010000F/backup.manifest.copy':\n FileMissingError: "
                 "unable to open missing file "
                 "'/r/backup/main/20260514-010000F/backup.manifest' for read",
                 ErrorCode::not_found, "this backup is not in the repository any more"},
            Case{"ERROR: [055]: raised from local-1 shim protocol: unable to open missing file "
                 "'/r/backup/main/20260514-010000F/pg_data/base/1/1255.lz4' for read",
                 ErrorCode::not_found, "take another backup"},
            Case{"ERROR: [042]: timeout after 3000ms waiting for read from '127.0.0.100:36343'",
                 ErrorCode::unavailable, "is the object store overloaded"},
            Case{"ERROR: [101]: [500] Internal Server Error", ErrorCode::unavailable,
                 "look at its log or its provider's status"},
            Case{"ERROR: [101]: raised from local-1 shim protocol: [503] Slow Down",
                 ErrorCode::unavailable, "the object store has an error itself"},
            Case{"ERROR: [063]: terminated on signal [SIGTERM]", ErrorCode::cancelled, "ended"},
        }) {
        const auto error = said(one.words);
        EXPECT_EQ(error.code, one.code) << error.message;
        EXPECT_THAT(error.message, AllOf(HasSubstr(one.remedy), HasSubstr("pgBackRest says: [")));
    }
}

// As 2.45 writes them.
TEST(Failure, NoiseThatWasDecryptedIsNotShown) {
    const auto check = said(
        "ERROR: [029]: unable to load info file '/r/archive.info' or '/r/archive.info.copy':\n"
        "       FormatError: key/value found outside of section at line 1: \x0fS\xcc\x8f\n"
        "       FormatError: key/value found outside of section at line 1: \x0fS\xcc\x8f\n"
        "       HINT: archive.info cannot be opened but is required to push/get WAL segments.\n"
        "       HINT: has a stanza-create been performed?\n");
    EXPECT_EQ(check.code, ErrorCode::denied);
    EXPECT_THAT(check.message,
                EndsWith("pgBackRest says: [029]: unable to load info file '/r/archive.info' or "
                         "'/r/archive.info.copy': FormatError: key/value found outside of section "
                         "at line 1: ?S?"));
    const auto info = said(
        "[FormatError] unable to load info file 'a': FormatError: key/value found outside of "
        "section at line 1: Salted__x HINT: has a stanza-create been performed?");
    EXPECT_THAT(info.message, AllOf(HasSubstr("no cipher is configured"), Not(HasSubstr("HINT"))));
}

TEST(Failure, WhatKeepsItFromTheRepositoryGoesBeforeTheHints) {
    const auto away = said(
        "ERROR: [049]: unable to load info file '/r/a' or '/r/a.copy':\n"
        "       HostConnectError: unable to get address for 'b.127.0.0.1': [-2] Name or service "
        "not "
        "known\n       HINT: has a stanza-create been performed?\n");
    EXPECT_EQ(away.code, ErrorCode::unavailable);
    EXPECT_THAT(away.message, AllOf(HasSubstr("cannot be looked up"), HasSubstr("b.127.0.0.1")));
    const auto stranger = said(
        "ERROR: [095]: unable to load info file '/r/a' or '/r/a.copy':\n"
        "       CryptoError: unable to verify certificate presented by '127.0.0.1:443': [20] "
        "unable "
        "to get local issuer certificate\n");
    EXPECT_EQ(stranger.code, ErrorCode::denied);
    EXPECT_THAT(stranger.message, HasSubstr("certificate is not trusted"));
    const auto missing = said(
        "ERROR: [055]: unable to load info file '/r/a' or '/r/a.copy':\n"
        "       FileMissingError: unable to open missing file '/r/a' for read\n"
        "       HINT: has a stanza-create been performed?\n");
    EXPECT_EQ(missing.code, ErrorCode::not_found);
    EXPECT_THAT(missing.message, HasSubstr("the stanza does not exist"));
    const auto shut = said(
        "WARN: unable to check pg2: [FileOpenError] raised from remote-0 tls protocol on "
        "'127.0.0.2': unable to open file '/etc/pgbackrest.conf' for read: [13] Permission "
        "denied\n"
        "ERROR: [056]: unable to find primary cluster - cannot proceed\n");
    EXPECT_EQ(shut.code, ErrorCode::denied);
    EXPECT_THAT(shut.message, HasSubstr("may not read the file"));
    EXPECT_THAT(shut.message, HasSubstr("host-config"));
    const auto server = said(
        "WARN: unable to check pg1: [DbConnectError] unable to connect to 'dbname='postgres' "
        "port=5999': connection to server on socket \"/s\" failed: No such file or directory\n"
        "      \tIs the server running locally?\n"
        "ERROR: [056]: unable to find primary cluster - cannot proceed\n"
        "       HINT: are all available clusters in recovery?\n");
    EXPECT_EQ(server.code, ErrorCode::unavailable);
    EXPECT_THAT(server.message, AllOf(HasSubstr("unix socket"), HasSubstr("on socket \"/s\"")));
}

TEST(Failure, WithoutAMeaningItsWordsStandAlone) {
    EXPECT_EQ(said("WARN: something\nERROR: [025]: a thing\n  went wrong\n").message,
              "making a backup: pgBackRest says: [025]: a thing went wrong");
    EXPECT_EQ(said("").message, "making a backup: pgBackRest says: nothing");
}

TEST(Failure, ShowsNoSecret) {
    const auto error = said("ERROR: [039]: key AKIAEXAMPLE secret wJalrX pass xyzzy for hunter2");
    EXPECT_EQ(error.message,
              "making a backup: pgBackRest says: [039]: key *** secret *** pass *** "
              "for ***");
    EXPECT_EQ(redacted("a shared key", with_secrets()), "a shared key");
}

TEST(Failure, AChildThatWasEndedIsNoFailureOfItsOwn) {
    os::Finished finished;
    finished.timed_out = true;
    EXPECT_EQ(explain(finished, with_secrets(), "x").code, ErrorCode::unavailable);
    finished = {};
    finished.signal = SIGTERM;
    EXPECT_EQ(explain(finished, with_secrets(), "x").code, ErrorCode::cancelled);
    finished = {};
    finished.exit_code = 7;
    EXPECT_THAT(explain(finished, with_secrets(), "x").message, HasSubstr("code 7"));
    EXPECT_THAT(explain(finished, with_secrets(), "x").message, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace relevo::pgbackrest
