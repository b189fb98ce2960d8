"""Backups on the real pgBackRest, with an encrypted repository in a directory (docs/adr/0015-backups.md).

  tests/e2e/backup_scenarios.py NAME ...   run some      tests/e2e/backup_scenarios.py --list   their names
"""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

import psycopg2

from registry import FAST, check, log_of, logged, ours, run, run_as_postgres, scenario, script, verify
from lab import Authority, Lab, Process, Writers, wait_for
from leaks import Watch, secrets_of, shown
from ports import free_port

PASSPHRASE = "correct-horse-battery-staple"
SECTION = {"stanza": "main", "archive_timeout": 5, "schedule": {"full": False}}


def lab_with_repository(members=3, dynamic=None, **section):
    lab = Lab(members=members, dynamic={**FAST, **(dynamic or {})})
    repository = ours(lab, "repository")
    environment = lab.agent_environment
    lab.agent_environment = lambda: {**environment(), "BACKUP_PASSPHRASE": PASSPHRASE}
    for member in lab:
        member.config["backup"] = {
            **SECTION, "options": {"repo1-path": repository, "repo1-cipher-type": "aes-256-cbc",
                                   "repo1-cipher-pass": "${BACKUP_PASSPHRASE}"}, **section}
    return lab, repository


def directory(member):
    return member.data + ".pgbackrest"


def pgbackrest(member, *words, config=None):
    """By hand, as an operator would, with the file that the agent rendered. While a pgBackRest of the agent's has the
    stanza's lock it is refused, and asked again."""
    locked, end = 50, time.monotonic() + 60
    while True:
        try:
            return run_as_postgres(
                ["env", f"PGPASSFILE={directory(member)}/pgpass", "pgbackrest",
                 f"--config={config or directory(member) + '/pgbackrest.conf'}", "--stanza=main", *words])
        except subprocess.CalledProcessError as e:
            if e.returncode != locked or time.monotonic() > end:
                raise
            time.sleep(0.2)


def archived(member, segment):
    row = member.sql("select last_archived_wal >= %s from pg_stat_archiver", segment)
    return row[0][0] is True


def has(member, lsn):
    try:
        return member.sql("select pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)[0][0]
    except psycopg2.Error:
        return False


def switch(member):
    """The segment that this ends."""
    member.sql("create table if not exists filler (t text)")
    member.sql("insert into filler select repeat('x', 100) from generate_series(1, 100)")
    return member.sql("select pg_walfile_name(pg_switch_wal())")[0][0]


def stop_archiver(member):
    pid = member.sql("select pid from pg_stat_activity where backend_type = 'archiver'")[0][0]
    os.kill(pid, signal.SIGSTOP)


def in_repository(lab, segment):
    folder = os.path.join(lab.directory, "repository", "archive", "main", "15-1", segment[:16])
    return any(name.startswith(segment + "-") for name in os.listdir(folder))


def backups(lab):
    done = lab.ctl("backup", "list", "-f", "json")
    check(done.returncode == 0, done.stderr)
    return json.loads(done.stdout)


def secrets_are_kept(lab, **more):
    """more: what is secret besides, and no more in the configuration: name=value."""
    found = shown(lab, secrets_of(lab, **more))
    check(not found, "\n".join(found))
    for member in lab:
        for name in ("pgbackrest.conf", "pgpass"):
            mode = stat.S_IMODE(os.stat(os.path.join(directory(member), name)).st_mode)
            check(mode == 0o600, f"{name} of {member.name} is {mode:o}")


def watched(lab, commands):
    """with watched(lab, {...}): what runs meanwhile shows no secret among its words or in its environment; of
    pgBackRest's commands these were seen."""
    return Watched(lab, secrets_of(lab), commands)


class Watched(Watch):
    def __init__(self, lab, secrets, commands):
        super().__init__(lab, secrets)
        self.wanted = commands

    def __exit__(self, kind, *rest):
        super().__exit__(kind, *rest)
        if kind is None:
            check(not self.found, "\n".join(sorted(self.found)))
            check(self.wanted <= self.commands, f"of {self.wanted} only {self.commands} seen, {self.looks} looks")
            print(f"  no secret in {self.looks} looks at the programs, with pgBackRest's {sorted(self.commands)}")


def reload(member):
    member.write_config()
    code, said = member.api("/reload", "POST")
    check(code == 202, said)


def has_stanza(member):
    return "the stanza main is there, and WAL reaches the repository" in log_of(member)


@scenario
def backup_archives_and_lists_across_a_failover():
    lab, _ = lab_with_repository(dynamic={"primary_start_timeout": 0})
    with lab:
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        check(backups(lab) == [], "no backup yet")
        with watched(lab, {"backup"}):
            pgbackrest(primary, "--type=full", "backup")
        listed = backups(lab)
        check(len(listed) == 1 and listed[0]["Type"] == "full" and listed[0]["TL"] == 1, str(listed))
        check(listed[0]["Page errors"] is False and listed[0]["Database"] > 1 << 20, str(listed))
        print(lab.ctl("backup", "list").stdout)
        segment = switch(primary)
        wait_for("the segment in the repository", 20, lambda: archived(primary, segment))
        # The archiver of this one is stopped: what follows reaches its standbys alone.
        stop_archiver(primary)
        left = [switch(primary) for _ in range(3)]

        writers = Writers(lab).start()
        time.sleep(1)
        primary.kill_postmaster()
        new = lab.wait_primary(20, other_than=primary)
        wait_for("the new primary's check", 60, lambda: has_stanza(new))
        segment = switch(new)
        check(segment.startswith("00000002"), segment)
        check(all(in_repository(lab, s) for s in left), f"{left} were streamed, and are not in the repository")
        wait_for("the new timeline in the repository", 20, lambda: archived(new, segment))
        pgbackrest(new, "--type=incr", "backup")
        listed = backups(lab)
        check([b["TL"] for b in listed] == [1, 2] and listed[1]["Type"] == "incremental", str(listed))
        shown = json.loads(new.api("/backup", timeout=60)[1])
        check(shown["archives"][0]["wal_max"] >= segment, str(shown["archives"]))
        verify(lab, writers, lost_allowed=100)
        done = lab.ctl("backup", "check")
        check(done.returncode == 0 and f"{new.name}: WAL reaches the repository" in done.stdout,
              done.stdout + done.stderr)
        check("none is missing since backup" in done.stdout, done.stdout)
        secrets_are_kept(lab)
        folder = os.path.join(lab.directory, "repository", "archive", "main", "15-1", left[1][:16])
        os.unlink(next(os.path.join(folder, n) for n in os.listdir(folder) if n.startswith(left[1] + "-")))
        done = lab.ctl("backup", "check")
        # There is a newer backup: nothing can be done about it.
        check(done.returncode == 0 and f"none is missing since backup {listed[1]['Label']}." in done.stdout and
              f"missing since backup {listed[0]['Label']}: {left[1]}." in done.stdout, done.stdout + done.stderr)
        gone = switch(new)
        after = switch(new)
        wait_for("what comes after it in the repository", 20, lambda: archived(new, after))
        folder = os.path.join(lab.directory, "repository", "archive", "main", "15-1", gone[:16])
        os.unlink(next(os.path.join(folder, n) for n in os.listdir(folder) if n.startswith(gone + "-")))
        done = lab.ctl("backup", "check")
        check(done.returncode == 1 and f"some is missing since backup {listed[0]['Label']}: {left[1]}, {gone}." in
              done.stdout, done.stdout + done.stderr)


@scenario
def backup_with_a_wrong_passphrase_is_named_and_harms_nobody():
    lab, _ = lab_with_repository(members=2)
    with lab:
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        writers = Writers(lab).start()
        for member in lab:
            member.config["backup"]["options"]["repo1-cipher-pass"] = "another-passphrase"
            reload(member)
        wait_for("the error", 30, lambda: "repo-cipher-pass" in log_of(primary))
        done = lab.ctl("backup", "list")
        check(done.returncode == 1 and "repo-cipher-pass" in done.stderr, done.stdout + done.stderr)
        done = lab.ctl("backup", "check")
        check(done.returncode == 1 and "repo-cipher-pass" in done.stdout, done.stdout + done.stderr)
        for member in lab:
            for wrong in ("another-passphrase", PASSPHRASE):
                check(wrong not in log_of(member), f"{member.name} logged a passphrase")
        check(lab.primary() is primary, "the primary is another one")
        for member in lab:
            member.config["backup"]["options"]["repo1-cipher-pass"] = "${BACKUP_PASSPHRASE}"
            reload(member)
        wait_for("all is well again", 60, lambda: log_of(primary).count("WAL reaches the repository") >= 2)
        verify(lab, writers)


@scenario
def backup_an_operators_own_file_and_command_are_used_as_they_are():
    lab = Lab(members=2, dynamic=FAST)
    with lab:
        repository = ours(lab, "repository")
        for member in lab:
            path = os.path.join(member.home, "pgbackrest.conf")
            with open(path, "w") as f:
                f.write(f"[global]\nrepo1-path={repository}\nrepo1-retention-full=7\n"
                        f"lock-path={member.home}/lock\nlog-level-file=off\nrepo1-cipher-type=aes-256-cbc\n"
                        f"repo1-cipher-pass={PASSPHRASE}\n[main]\npg1-path={member.data}\n"
                        f"pg1-port={member.port}\npg1-socket-path={member.home}\npg1-user=postgres\n")
            lab.give(path)
            member.config["backup"] = {**SECTION, "config": path}
            member.config["postgresql"]["parameters"].update(
                archive_mode="on", archive_command=f"pgbackrest --config={path} --stanza=main archive-push %p")
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        segment = switch(primary)
        wait_for("the segment in the repository", 20, lambda: archived(primary, segment))
        pgbackrest(primary, "backup", config=os.path.join(primary.home, "pgbackrest.conf"))
        check(len(backups(lab)) == 1, "the backup is listed")
        check(not os.path.exists(directory(primary) + "/pgbackrest.conf"), "nothing is rendered")
        verify(lab)


@scenario
def backup_a_repository_that_hangs_holds_up_nobody():
    lab, _ = lab_with_repository(dynamic={"primary_start_timeout": 0})
    with lab:
        hanging = script(lab, "pgbackrest-that-hangs", "exec sleep 600\n")
        for member in lab:
            member.config["backup"]["program"] = hanging
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(2)
        switch(primary)
        began = time.monotonic()
        primary.kill_postmaster()
        new = lab.wait_primary(20, other_than=primary)
        check(time.monotonic() - began < 5, "the failover waited")
        print(f"  a new primary after {time.monotonic() - began:.2f} s beside a repository that hangs")
        # Its own archiver hangs in the middle of a segment, and a shutdown waits for the archiver.
        switch(new)
        time.sleep(1)
        began = time.monotonic()
        done = lab.ctl("switchover", lab.scope, "--leader", new.name, "--force")
        print(f"  switched over after {time.monotonic() - began:.2f} s")
        check(time.monotonic() - began < 10, "the switchover waited")
        check(done.returncode == 0 and lab.wait_primary(20, other_than=new), done.stdout + done.stderr)
        verify(lab, writers, lost_allowed=100)


def away_for_many_segments(lab, primary):
    """The other member is dead while the primary writes and archives a dozen of them."""
    behind = next(m for m in lab if m is not primary)
    behind.agent.stop()
    for pid in behind.postgres_tree():
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    for _ in range(12):
        segment = switch(primary)
        primary.sql("checkpoint")
    wait_for("the segments in the repository", 60, lambda: archived(primary, segment))
    return behind


@scenario
def backup_a_standby_that_fell_behind_gets_its_wal_from_the_repository():
    parameters = {"wal_keep_size": "16MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    lab, _ = lab_with_repository(members=2, dynamic={"postgresql": {"use_slots": False, "use_pg_rewind": True,
                                                                    "parameters": parameters}})
    with lab:
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        behind = away_for_many_segments(lab, primary)
        first = primary.sql("select min(name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'")[0][0]
        check(first > "000000010000000000000008", f"the primary still has {first}")
        began = time.monotonic()
        end = primary.sql("select pg_current_wal_flush_lsn()::text")[0][0]
        behind.start()
        # Not whether it streams: it begins to, and is refused, all the while.
        wait_for("it has all", 90, lambda: has(behind, end))
        print(f"  has all {time.monotonic() - began:.1f} s after its start")
        logged(behind, "it may get WAL from the repository", "the gate was opened")
        check(not os.path.exists(os.path.join(directory(behind), "fetch"))
              or wait_for("the gate is shut", 20,
                          lambda: not os.path.exists(os.path.join(directory(behind), "fetch"))), "the gate")
        verify(lab)


@scenario
def backup_a_slot_over_its_budget_is_lost_and_its_standby_is_not():
    """max_slot_wal_keep_size gives the WAL of a dead standby up before the disk is full; the repository has it."""
    parameters = {"wal_keep_size": "16MB", "max_wal_size": "32MB", "min_wal_size": "32MB",
                  "max_slot_wal_keep_size": "48MB"}
    lab, _ = lab_with_repository(members=2, dynamic={"member_slots_ttl": "1h",
                                                     "postgresql": {"parameters": parameters}})
    with lab:
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        behind = away_for_many_segments(lab, primary)
        slot = behind.name.replace("-", "_")
        logged(primary, f"slot {slot} dropped and created again: its WAL is lost", "it was over its budget")
        first = primary.sql("select min(name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'")[0][0]
        check(first > "000000010000000000000008", f"the primary still has {first}")
        end = primary.sql("select pg_current_wal_flush_lsn()::text")[0][0]
        behind.start()
        wait_for("it has all", 90, lambda: has(behind, end))
        verify(lab)
        used = primary.sql("select active, wal_status from pg_replication_slots")
        check(used == [(True, "reserved")], f"it streams by the new slot: {used}")


def server_configuration(member):
    return os.path.join(member.home, "pgbackrest-server.conf")


def server_for(lab, member, port, certificate, authority):
    """pgBackRest's own TLS server on the member's host, which its operator runs."""
    path = server_configuration(member)
    with open(path, "w") as f:
        f.write(f"[global]\ntls-server-address={member.address}\ntls-server-port={port}\n"
                f"tls-server-cert-file={certificate[0]}\ntls-server-key-file={certificate[1]}\n"
                f"tls-server-ca-file={authority.file}\ntls-server-auth=pgbackrest=main\n"
                f"lock-path={member.home}/server-lock\nlog-level-file=off\n")
    lab.give(path)
    return Process(lab, f"{member.name}.pgbackrest", ["pgbackrest", "server", f"--config={path}"], as_postgres=True,
                   cwd=member.home, env={**lab.agent_environment(), "PGPASSFILE": directory(member) + "/pgpass"})


@scenario
def backup_from_a_standby_reads_the_data_there():
    lab, _ = lab_with_repository(members=2, **{"schedule": {"full": "0 1 * * *"}, "from": "standby"})
    with lab:
        authority = Authority(lab)
        certificate = authority.sign("pgbackrest", names=[m.address for m in lab])
        ports = {m: free_port(m.address) for m in lab}
        one, two = lab
        for member, other in ((one, two), (two, one)):
            member.config["backup"]["primary_host"] = {
                "host-type": "tls", "host-port": ports[other], "host-ca-file": authority.file,
                "host-cert-file": certificate[0], "host-key-file": certificate[1],
                # Debian's /etc/pgbackrest.conf, which it would read else, is for the user postgres only.
                "host-config": server_configuration(other), "path": other.data, "socket-path": other.home}
        primary = lab.start().primary()
        servers = [server_for(lab, m, ports[m], certificate, authority) for m in lab]
        try:
            wait_for("the first backup", 90, lambda: has_stanza(primary) and backups(lab))
            standby = next(m for m in lab if m is not primary)
            said = lab.ctl("backup", "schedule").stdout
            check(f"by {standby.name}" in said, said)
            print("  " + said.splitlines()[-1])
        finally:
            for server in servers:
                server.kill()
        verify(lab)


@scenario
def backup_turned_on_in_a_running_cluster_says_that_a_restart_is_needed():
    lab, _ = lab_with_repository(members=2)
    with lab:
        sections = {m: m.config.pop("backup") for m in lab}
        primary = lab.start().primary()
        writers = Writers(lab).start()
        check(primary.api("/backup")[0] == 404, "there is no section yet")
        for member, section in sections.items():
            member.config["backup"] = section
            reload(member)
        wait_for("what is missing", 60, lambda: "archive_mode is off on the server" in log_of(primary))
        wait_for("the pending restart", 20, lambda: primary.status().get("pending_restart"))
        for member in lab:
            done = lab.ctl("restart", lab.scope, member.name, "--force")
            check(done.returncode == 0, done.stdout + done.stderr)
        primary = lab.wait_healthy(40)
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        pgbackrest(primary, "backup")
        check(len(backups(lab)) == 1, "the backup is listed")
        verify(lab, writers)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
