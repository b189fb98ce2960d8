"""Replicas from the repository, and what of a past that was given up may be in it, on the real pgBackRest
(docs/adr/0019-replicas-from-backups.md).

  tests/e2e/replica_scenarios.py NAME ...   run some      tests/e2e/replica_scenarios.py --list   their names
"""
import json
import os
import re
import shutil
import signal
import sys
import time

from backup_scenarios import (archived, directory, has, has_stanza, in_repository, lab_with_repository, pgbackrest,
                              reload, secrets_are_kept, stop_archiver, switch)
from registry import check, log_of, logged, run, scenario, verify
from lab import Writers, commands, signal_all, wait_for

FROM_REPOSITORY = {"create_replica_methods": ["pgbackrest", "basebackup"]}


def begin(lab, *members):
    for member in members:
        member.start()
        lab.wait_primary(60)
    without = [m for m in lab if m not in members]
    primary = lab.wait_healthy(120, without)
    wait_for("the stanza", 60, lambda: has_stanza(primary))
    return primary


def write_and_wait(lab, primary, members, text):
    primary.sql("create table if not exists mark (t text)")
    primary.sql("insert into mark values (%s)", text)
    end = primary.sql("select pg_current_wal_flush_lsn()::text")[0][0]
    for member in members:
        wait_for(f"{text} on {member.name}", 30, lambda m=member: has(m, end))


@scenario
def replica_is_made_from_the_repository_while_the_primary_serves():
    """And a member that diverged comes back by it, where pg_rewind is off."""
    parameters = {"wal_keep_size": "16MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    lab, _ = lab_with_repository(members=3, dynamic={
        "maximum_lag_on_failover": 1 << 30,
        "postgresql": {**FROM_REPOSITORY, "pgbackrest": {"delta": True}, "use_slots": False, "use_pg_rewind": False,
                       "remove_data_directory_on_diverged_timelines": True, "parameters": parameters}})
    with lab:
        one, two, three = lab
        primary = begin(lab, one, two)
        pgbackrest(primary, "--type=full", "backup")
        for _ in range(8):
            segment = switch(primary)
            primary.sql("checkpoint")
        wait_for("the segments in the repository", 60, lambda: archived(primary, segment))

        def removed():
            # What the archiver had not had by the last checkpoint is removed by the next one.
            primary.sql("checkpoint")
            names = "select min(name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'"
            return primary.sql(names)[0][0] > "000000010000000000000006"
        wait_for("the primary has what is newer alone", 60, removed, every=0.5)
        writers = Writers(lab, pause=0.01).start()
        began = time.monotonic()
        three.start()
        lab.wait_healthy(150)
        print(f"  streams {time.monotonic() - began:.1f} s after its start")
        said = log_of(three)
        check("restoring backup" in said and "replica method pgbackrest" not in said, three.agent.tail(20))
        check("it may get WAL from the repository" in said, "what the primary has no more came from there")
        wait_for("the gate is shut", 60, lambda: not os.path.exists(os.path.join(directory(three), "fetch")))
        verify(lab, writers)

        # The primary alone writes on and goes; the others lead without it.
        write_and_wait(lab, primary, [m for m in lab if m is not primary], "of all")
        others = [m for m in lab if m is not primary]
        for member in others:
            member.lose_power()
        primary.sql("insert into mark values ('of one alone')")
        primary.lose_power()
        for member in others:
            member.start()
        successor = lab.wait_primary(60, other_than=primary)
        successor.sql("insert into mark values ('of the others')")
        primary.start()
        lab.wait_healthy(150)
        rows = {r[0] for r in primary.sql("select t from mark")}
        check(rows == {"of all", "of the others"}, f"the returned member shows {rows}")
        logged(primary, "of it what differs", "by a restore of the differences: " + primary.agent.tail(20))
        check(not os.path.exists(primary.data + ".before_clone"), "nothing is left over")
        verify(lab)


def restore_processes(member):
    """The restore into that member's directory and what it started."""
    config = f"--config={directory(member)}/pgbackrest.conf".encode()
    return [pid for pid, words in commands() if config in words and any(
        word == b"restore" or word.startswith(b"restore:") for word in words)]


def copy_of(member):
    return member.status().get("copy")


def stop_in_the_middle(member):
    """The restore stands still after it has told how far it is."""
    wait_for("the restore", 60, lambda: restore_processes(member), every=0.002)

    def told():
        pids = restore_processes(member)
        signal_all(pids, signal.SIGSTOP)
        if copy_of(member):
            return pids
        signal_all(pids, signal.SIGCONT)
        return None
    return wait_for("its progress", 60, told, every=0.01)


@scenario
def replica_restore_shows_its_progress_and_survives_its_agent():
    """And a repository that cannot be read costs time, not the replica."""
    lab, _ = lab_with_repository(members=2, dynamic={"postgresql": FROM_REPOSITORY})
    with lab:
        for member in lab:
            member.config["backup"]["options"]["restore"] = {"process-max": 1}
        one, two = lab
        primary = begin(lab, one)
        pgbackrest(primary, "--type=full", "backup")
        two.start()
        pids = stop_in_the_middle(two)
        copy = copy_of(two)
        print(f"  {json.dumps(copy)}")
        check(copy["method"] == "pgbackrest" and 0 < copy["done_bytes"] and 0 < copy["percent"] < 100, str(copy))
        check(two.status()["state"] == "creating replica", str(two.status()))
        wait_for("the list shows it", 60, lambda: "(pgbackrest)" in lab.ctl("list").stdout)
        print(lab.ctl("list").stdout)
        check(two.postmaster() is None, "no server runs on it")

        two.kill_agent()
        two.start()
        lab.wait_healthy(150)
        check(not set(pids) & set(restore_processes(two)), "what was left is ended")
        check("a restore into" in log_of(two) and "it is gone on with" in log_of(two), two.agent.tail(20))
        check("replica method" not in log_of(two), "nothing else was needed: " + two.agent.tail(20))
        check(not os.path.exists(two.data + ".half_made"), "the mark is gone")
        check(copy_of(two) is None, "nothing is copied any more")

        two.config["backup"]["options"]["repo1-cipher-pass"] = "another-passphrase"
        reload(two)
        wait_for("it is in force", 30, lambda: "another-passphrase" in open(directory(two) + "/pgbackrest.conf").read())
        done = lab.ctl("reinit", lab.scope, two.name, "--force")
        check(done.returncode == 0, done.stdout + done.stderr)
        wait_for("the other method", 60, lambda: "replica method pgbackrest:" in log_of(two))
        wait_for("the copy", 60, lambda: log_of(two).count("the copy is complete") == 2)
        lab.wait_healthy(120)
        said = next(line for line in log_of(two).splitlines() if "replica method pgbackrest:" in line)
        check("repo-cipher-pass" in said, said)
        print("  " + said)
        check("another-passphrase" not in log_of(two), "the log shows a passphrase")
        two.config["backup"]["options"]["repo1-cipher-pass"] = "${BACKUP_PASSPHRASE}"
        reload(two)
        secrets_are_kept(lab)
        verify(lab)


def missing_seconds(member):
    name = "relevo_archive_missing_seconds{"
    lines = [line for line in member.api("/metrics")[1].splitlines() if line.startswith(name)]
    return float(lines[0].split()[-1]) if lines else None


def push_segments(primary, count):
    return [switch(primary) for _ in range(count)]


@scenario
def archive_has_all_that_was_streamed_and_nothing_of_one_alone():
    """Forty segments that the old primary did not archive (S23), and those that it wrote after the others had left
    (S24)."""
    lab, _ = lab_with_repository(members=2, dynamic={
        "maximum_lag_on_failover": 1 << 30, "postgresql": {"parameters": {"wal_keep_size": "64MB"}}})
    with lab:
        for member in lab:
            member.config["bootstrap"]["initdb"].append({"wal-segsize": "1"})
        old = begin(lab, *lab)
        other = next(m for m in lab if m is not old)
        pgbackrest(old, "--type=full", "backup")
        segment = switch(old)
        wait_for("the archive is complete", 60, lambda: archived(old, segment))
        wait_for("its age is measured", 30, lambda: missing_seconds(old) is not None)
        stop_archiver(old)
        streamed = push_segments(old, 40)
        old.sql("checkpoint")
        write_and_wait(lab, old, [other], "of both")
        wait_for("what is missing gets older", 30, lambda: (missing_seconds(old) or 0) >= 2)

        def told():
            said = lab.ctl("backup", "list").stdout
            waiting = re.search(r"(Not in the repository: the transactions of the last .*); (\d+) WAL segments", said)
            return waiting if waiting and int(waiting[2]) >= 40 else None
        print("  " + wait_for("the list says what waits", 30, told, every=1)[0])

        other.lose_power()
        old.sql("insert into mark values ('of one alone')")
        alone = push_segments(old, 3)
        check(not any(in_repository(lab, s) for s in streamed + alone), "the archiver was stopped")
        old.lose_power()
        other.start()
        lab.wait_primary(60, other_than=old)
        wait_for("the new primary's check", 120, lambda: has_stanza(other))
        missing = [s for s in streamed if not in_repository(lab, s)]
        check(not missing, f"streamed, and not in the repository: {missing}")
        old.start()
        lab.wait_healthy(120)
        logged(old, "rewinding to", "it came back by pg_rewind: " + old.agent.tail(20))
        logged(old, "are not archived", "it says what it keeps back: " + old.agent.tail(20))
        there = [s for s in alone if in_repository(lab, s)]
        check(not there, f"written by one alone, and in the repository: {there}")
        # The segment of the fork is there as .partial: the new primary's, which pg_rewind brought with its mark.
        marks = os.listdir(os.path.join(old.data, "pg_wal", "archive_status"))
        ready = [n for n in marks if n.split(".")[0] in alone and ".partial" not in n]
        check(not ready, f"and would be archived by the next promotion: {ready}")
        for name in os.listdir(os.path.join(old.data, "pg_wal")):
            if name.endswith(".partial"):
                one, two = (open(os.path.join(m.data, "pg_wal", name), "rb").read() for m in (old, other))
                check(one == two, f"{name} is not the new primary's")
        rows = {r[0] for r in old.sql("select t from mark")}
        check(rows == {"of both"}, f"the returned member shows {rows}")
        done = lab.ctl("backup", "check", timeout=240)
        check("none is missing since backup" in done.stdout, done.stdout + done.stderr)
        verify(lab)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
