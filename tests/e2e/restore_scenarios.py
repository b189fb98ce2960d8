"""Restores on the real pgBackRest, from an encrypted repository (docs/adr/0020-restore.md): to the transaction, across
a failover; what is refused, what goes wrong; a new cluster out of the repository.

  tests/e2e/restore_scenarios.py NAME ...   run some      tests/e2e/restore_scenarios.py --list   their names
"""
import json
import os
import shutil
import signal
import sys

import psycopg2

from backup_scenarios import PASSPHRASE, archived, has_stanza, in_repository, lab_with_repository, reload, switch
from lab import SUPERUSER_PASSWORD, ask, pg_bin, wait_for
from ports import free_port
from registry import check, log_of, run, run_as_postgres, scenario, script, verify


def backup(lab, kind="full"):
    done = lab.ctl("backup", "run", "--wait", "--type", kind, "-f", "json", timeout=120)
    check(done.returncode == 0, done.stdout + done.stderr)
    return json.loads(done.stdout)["label"]


class Rows:
    """A table with one row for each transaction, and where each was committed."""

    def __init__(self, primary):
        primary.sql("create table kept (n int)")
        self.time, self.xid, self.lsn, self.count = {}, {}, {}, 0

    def add(self, primary, number=1):
        for _ in range(number):
            self.count += 1
            self.xid[self.count] = primary.sql(
                f"insert into kept values ({self.count}) returning pg_current_xact_id()::text")[0][0]
            # After the commit of this one, and before the next.
            self.lsn[self.count], self.time[self.count] = primary.sql(
                "select pg_current_wal_insert_lsn()::text, clock_timestamp()::text")[0]


class Restored:
    """A server on a restored directory, started as `relevoctl restore` says."""

    def __init__(self, member, path):
        self.member, self.path, self.port = member, path, free_port("127.0.0.1")
        self.sockets = member.home

    def start(self):
        run_as_postgres([f"{pg_bin()}/pg_ctl", "-D", self.path, "-w", "-t", "60", "-l", self.path + ".log", "-o",
                         f"-p {self.port} -k {self.sockets} -c listen_addresses=", "start"])
        wait_for("the end of its recovery", 30, lambda: not self.sql("select pg_is_in_recovery()")[0][0])
        return self

    def sql(self, text):
        return ask(psycopg2.connect(host=self.sockets, port=self.port, user="postgres", dbname="postgres",
                                    password=SUPERUSER_PASSWORD), text)

    def stop(self):
        run_as_postgres([f"{pg_bin()}/pg_ctl", "-D", self.path, "-w", "-m", "immediate", "stop"])

    def log(self):
        with open(self.path + ".log") as f:
            return f.read()


def restore(lab, *words, member=None):
    named = ["--member", member.name] if member else []
    return lab.ctl("restore", *words, *named, timeout=120)


def refused(lab, what, *words, member=None):
    done = restore(lab, *words, member=member)
    check(done.returncode == 1 and what in done.stderr, f"{words}: {done.stdout}{done.stderr}")
    print("  " + done.stderr.strip()[:240])


def segments(lab):
    folder = os.path.join(lab.directory, "repository", "archive", "main")
    return sorted(name for _, _, files in os.walk(folder) for name in files if len(name) > 24)


@scenario
def restore_is_exact_to_the_transaction_and_crosses_a_failover():
    lab, _ = lab_with_repository(members=2, dynamic={"primary_start_timeout": 0})
    with lab:
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        rows = Rows(primary)
        before = primary.sql("select clock_timestamp()::text")[0][0]
        rows.add(primary, 2)
        label = backup(lab)
        # A backup's end is known to the second.
        wait_for("the next second", 20, lambda: backup_is_past(primary))
        rows.add(primary, 3)
        switch(primary)
        last = switch(primary)
        wait_for("the old timeline in the repository", 30, lambda: archived(primary, last))
        wait_for("the standby has it all", 20, lambda: lab.healthy())
        old = primary
        primary.kill_postmaster()
        primary = lab.wait_primary(20, other_than=old)
        wait_for("the new primary's check", 60, lambda: has_stanza(primary))
        rows.add(primary, 3)
        last = switch(primary)
        check(last.startswith("00000002"), last)
        wait_for("the new timeline in the repository", 30, lambda: archived(primary, last))
        lab.wait_healthy(40)
        there = segments(lab)

        done = restore(lab, "--to", rows.time[4], "--dry-run")
        print(done.stdout)
        check(done.returncode == 0 and label in done.stdout and "timeline 2" in done.stdout, done.stdout + done.stderr)
        member = next(m for m in lab if m is not primary)
        for number, (words, expected) in enumerate((
                (["--to", rows.time[4]], 4), (["--to-xid", rows.xid[5], "--exclusive"], 4),
                (["--to-xid", rows.xid[7]], 7), (["--to-lsn", rows.lsn[6]], 6), (["--latest"], 8))):
            path = os.path.join(member.home, f"restored-{number}")
            done = restore(lab, *words, "--into-new-cluster", path, member=member)
            check(done.returncode == 0 and "Success" in done.stdout, done.stdout + done.stderr)
            check(not os.path.exists(path + ".half_made"), "it is whole, and marked")
            server = Restored(member, path).start()
            found = [n for n, in server.sql("select n from kept order by n")]
            check(found == list(range(1, expected + 1)), f"{words}: {found}, not up to {expected}\n{server.log()}")
            check(server.sql("show archive_mode")[0][0] == "off", "it would archive")
            check(server.sql("insert into kept values (0) returning n")[0][0] == 0, "it is not writable")
            server.sql("select pg_switch_wal()")
            server.stop()
            print(f"  {' '.join(words)}: rows 1 to {expected}, and not {expected + 1}")
        print(done.stdout)
        check(segments(lab) == there or all(s in segments(lab) for s in there), "the archive lost something")
        check(not any(s.startswith("00000003") for s in segments(lab)), "a restored server archived")

        refused(lab, "before the end of the first backup", "--to", before)
        refused(lab, "in the future", "--to", "2199-01-01 00:00+00")
        refused(lab, "behind the last WAL", "--to-lsn", "7F/0")
        refused(lab, "does not say in which zone", "--to", "2026-05-14 10:00")
        refused(lab, "no backup 20200101-000000F", "--latest", "--backup", "20200101-000000F")
        refused(lab, "timeline 9 is not in the archive", "--latest", "--timeline", "9")
        refused(lab, "data directory", "--latest", "--into-new-cluster", member.data + "/sub", member=member)
        refused(lab, "is not empty", "--latest", "--into-new-cluster", path, member=member)
        verify(lab)


def backup_is_past(primary):
    """The clock is past the second in which the newest backup ended."""
    shown = json.loads(primary.api("/backup", timeout=60)[1])["backups"][-1]["stopped"]
    return primary.sql("select clock_timestamp() >= %s::timestamptz + '1 s'", shown)[0][0]


@scenario
def restore_what_goes_wrong_is_named_and_never_looks_whole():
    lab, _ = lab_with_repository(members=2)
    with lab:
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        rows = Rows(primary)
        rows.add(primary)
        label = backup(lab)
        member = next(m for m in lab if m is not primary)
        path = os.path.join(member.home, "restored")

        options = member.config["backup"]["options"]
        options["repo1-cipher-pass"] = "another-passphrase"
        reload(member)
        refused(lab, "repo-cipher-pass", "--latest", "--into-new-cluster", path, member=member)
        options["repo1-cipher-pass"] = "${BACKUP_PASSPHRASE}"
        # One that begins, and does not get on.
        slow = script(lab, "pgbackrest-that-stops", f'case " $* " in *" restore "*) cd {path} && touch PG_VERSION base '
                      '&& echo "P01 DETAIL: restore file /x (8KB, 50%) checksum 0" && exec sleep 600 ;; esac\n'
                      'exec pgbackrest "$@"\n')
        member.config["backup"]["program"] = slow
        reload(member)
        words = ["--latest", "--into-new-cluster", path]
        done = restore(lab, *words, "--no-wait", member=member)
        check(done.returncode == 0, done.stdout + done.stderr)
        wait_for("it goes on", 20, lambda: "50.0%" in lab.ctl("restore", "--status").stdout)
        print("  " + lab.ctl("restore", "--status").stdout.strip())
        refused(lab, "goes on here", *words, member=member)
        done = lab.ctl("restore", "--cancel")
        check(done.returncode == 0 and path in done.stdout, done.stdout + done.stderr)
        wait_for("it is ended", 20, lambda: "it was cancelled" in lab.ctl("restore", "--status").stdout)
        check(os.listdir(path) == [] and not os.path.exists(path + ".half_made"), "what was made of it is still there")

        done = restore(lab, *words, "--no-wait", member=member)
        check(done.returncode == 0, done.stdout + done.stderr)
        wait_for("it goes on", 20, lambda: os.path.exists(path + "/base"))
        member.agent.send(signal.SIGKILL)
        member.agent.process.wait(20)
        wait_for("pgBackRest ends with its agent", 20, lambda: not any(
            p for p in os.listdir("/proc") if p.isdigit() and cwd_of(p) == path))
        check(os.path.exists(path + ".half_made"), "what an agent left is not marked")
        try:
            Restored(member, path).start()
            check(False, "half a directory was started")
        except Exception as e:
            check("pg_ctl" in str(e), str(e))
        member.config["backup"]["program"] = "pgbackrest"
        member.start()
        lab.wait_healthy(40)
        last = switch(primary)
        wait_for("the segment in the repository", 20, lambda: in_repository(lab, last))
        done = restore(lab, *words, member=member)
        check(done.returncode == 0, done.stdout + done.stderr)
        server = Restored(member, path).start()
        check(server.sql("select count(*) from kept")[0][0] == 1, "the row is there")
        server.stop()

        # The backup goes while it is wanted.
        shutil.rmtree(os.path.join(lab.directory, "repository", "backup", "main", label, "pg_data"))
        other = os.path.join(member.home, "other")
        options["restore"] = {"job-retry": 0}  # it would try again after 15 s, twice
        reload(member)
        done = restore(lab, "--latest", "--into-new-cluster", other, member=member)
        check(done.returncode == 1 and "not in the repository any more" in done.stderr, done.stdout + done.stderr)
        print("  " + done.stderr.strip()[:240])
        check(os.listdir(other) == [] and not os.path.exists(other + ".half_made"), "half a restore is left")
        check(PASSPHRASE not in log_of(member), "the passphrase is logged")
        verify(lab)


def cwd_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def lose_everything(lab):
    """All members, with their data, and what the DCS knew of them."""
    for member in lab:
        member.lose_power()
        shutil.rmtree(member.data)
        # Whoever inherits a dead postmaster may be slow to bury it; PostgreSQL then takes its socket for another's.
        for name in os.listdir(member.home):
            if name.startswith(".s.PGSQL."):
                os.unlink(os.path.join(member.home, name))
    lab.etcd.ctl("del", "--prefix", f"/service/{lab.scope}/")


@scenario
def bootstrap_method_pgbackrest_makes_a_lost_cluster_anew():
    lab, _ = lab_with_repository(members=2)
    with lab:
        primary = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(primary))
        system = lab.etcd.keys(lab.scope)["initialize"]
        rows = Rows(primary)
        rows.add(primary)
        backup(lab)
        rows.add(primary, 3)
        last = switch(primary)
        wait_for("the segment in the repository", 20, lambda: archived(primary, last))
        lose_everything(lab)

        for member in lab:
            member.config["bootstrap"].update(method="pgbackrest", pgbackrest={"recovery_target_xid": rows.xid[3]})
            member.write_config()
        first = next(iter(lab))
        first.start()
        wait_for("the agent refuses", 20, lambda: not first.agent.alive())
        check("take_over_stanza: true" in first.agent.tail(), first.agent.tail())
        print("  " + first.agent.tail(1).strip()[:200])
        for member in lab:
            member.config["bootstrap"]["pgbackrest"]["take_over_stanza"] = True
        primary = lab.start(wait=90).primary()
        check(lab.etcd.keys(lab.scope)["initialize"] == system, "it is another cluster")
        for member in lab:
            found = [n for n, in member.sql("select n from kept order by n")]
            check(found == [1, 2, 3], f"{member.name} has {found}")
        check(primary.sql("select timeline_id from pg_control_checkpoint()")[0][0] == 2, "no new timeline")
        check(not primary.status().get("pending_restart"), str(primary.status()))
        wait_for("it archives on", 60, lambda: has_stanza(primary))
        rows.count = 3
        rows.add(primary)
        last = switch(primary)
        check(last.startswith("00000002"), last)
        wait_for("the new timeline in the repository", 20, lambda: in_repository(lab, last))
        verify(lab)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
