"""Backups that the cluster makes by itself, on the real pgBackRest with a repository in a directory
(docs/adr/0016-backup-jobs.md). Every start of `pgbackrest backup` and `expire` is noted by a script in its place, which
then becomes it, and its end is seen: at no time may there be two.

  tests/e2e/backup_job_scenarios.py NAME ...   run some      tests/e2e/backup_job_scenarios.py --list   their names
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from registry import FAST, Skipped, check, log_of, logged, ours, run, scenario, verify
from lab import Authority, Lab, Process, Writers, commands, parent_of, signal_all, wait_for

# Never by itself, unless there is no full one.
NEVER_AGAIN = "0 0 1 1 *"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Watch:
    """Who runs `pgbackrest backup` or `expire`, seen in /proc; remembers when there were two. Whoever begins one is
    noted. (`expire --dry-run` removes nothing, and may be asked for at any time.)"""

    def __init__(self, lab):
        self.config = f"--config={lab.directory}/".encode()
        self.notes = ours(lab, "runs")
        self.program = os.path.join(lab.directory, "pgbackrest")
        with open(self.program, "w") as f:
            f.write(f"""#!/bin/sh
for word; do
    case "$word" in backup | expire) echo "$*" >> "{self.notes}/$word" ;; esac
done
exec pgbackrest "$@"
""")
        os.chmod(self.program, 0o755)
        self.two, self.over = [], False
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def begun(self, command="backup"):
        """The words of each."""
        try:
            with open(os.path.join(self.notes, command)) as f:
                return f.read().splitlines()
        except OSError:
            return []

    def running(self, *what):
        """Pids. What copies for one, `backup:local`, is not another, nor is it before its exec."""
        found = [pid for pid, words in commands()
                 if any(one in words for one in what or [b"backup"]) and b"--dry-run" not in words
                 and any(word.startswith(self.config) for word in words)]
        return [pid for pid in found if parent_of(pid) not in found]

    def look(self):
        while not self.over:
            there = self.running(b"backup", b"expire")
            if len(there) > 1:
                self.two.append(there)
            time.sleep(0.05)

    def stop(self):
        self.over = True
        self.thread.join()
        check(not self.two, f"two at once: {self.two[:3]} of {self.begun()} and {self.begun('expire')}")


class Backed:
    """A cluster with a repository, and the watch over who fills it."""

    def __init__(self, members=3, dynamic=None, options=None, **section):
        self.lab = Lab(members=members, dynamic={**FAST, **(dynamic or {})})
        try:
            self.repository = ours(self.lab, "repository")
            self.watch = Watch(self.lab)
            for member in self.lab:
                member.config["backup"] = {
                    "stanza": "main", "program": self.watch.program, "archive_timeout": 5,
                    "schedule": {"full": NEVER_AGAIN},
                    "options": {"repo1-path": self.repository, "start-fast": True, "process-max": 1,
                                **(options or {})}, **section}
        except BaseException:
            self.lab.stop()
            raise

    def __enter__(self):
        return self.lab, self

    def __exit__(self, kind, *rest):
        try:
            self.watch.stop()
        except AssertionError:
            if kind is None:
                self.lab.__exit__(AssertionError)
                raise
        self.lab.__exit__(kind, *rest)

    def job(self):
        text = self.lab.etcd.keys("lab").get("backup")
        return json.loads(text) if text else None

    def wait_job(self, what, seconds, question):
        try:
            return wait_for(what, seconds, lambda: (lambda j: j if j and question(j) else None)(self.job()), every=0.05)
        except AssertionError as e:
            raise AssertionError(f"{e}; the job: {self.job()}") from None

    def listed(self):
        done = self.lab.ctl("backup", "list", "-f", "json")
        check(done.returncode == 0, done.stderr)
        return [(b["Type"], b["Label"]) for b in json.loads(done.stdout)]

    def schedule(self):
        done = self.lab.ctl("backup", "schedule", "-f", "json")
        check(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)


def fill(primary, megabytes):
    """What does not compress, so that a backup takes its time."""
    primary.sql("create table ballast (t text)")
    primary.sql("alter table ballast alter t set storage external")
    primary.sql("insert into ballast select (select string_agg(md5(random()::text || i), '') "
                "from generate_series(1, 128) i) from generate_series(1, %s)", megabytes * 250)


def backup_directories(backed):
    return set(os.listdir(os.path.join(backed.repository, "backup", "main")))


def catch_in_the_middle(backed, pid, before):
    """Everything of that backup stands still, after it has begun to copy. before: the directories from before it."""
    def tree(top):
        below = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as f:
                    if f.read().rsplit(")", 1)[1].split()[1] == str(top):
                        below += [int(entry)] + tree(entry)
            except OSError:
                pass
        return below

    def copies():
        top = os.path.join(backed.repository, "backup", "main")
        return any("pg_data" in folder and files for new in backup_directories(backed) - before
                   for folder, _, files in os.walk(os.path.join(top, new)))
    wait_for("the backup to copy", 30, copies)
    stopped = tree(pid) + [int(pid)]
    signal_all(stopped, signal.SIGSTOP)
    check(alive(pid), "the backup was over before it could be caught")
    return stopped


def let_go(pids):
    signal_all(pids, signal.SIGCONT)


@scenario
def backup_job_makes_the_first_full_one_by_itself_and_an_incremental_when_asked():
    with Backed() as (lab, backed):
        began = time.monotonic()
        primary = lab.start().primary()
        job = backed.wait_job("a full backup by itself", 60, lambda j: j["state"] == "done")
        print(f"  the first full backup {time.monotonic() - began:.1f} s after the start")
        check(job["what"] == "full" and job["requested_by"] == "schedule" and job["member"] == primary.name, str(job))
        check(backed.listed() == [("full", job["label"])], str(backed.listed()))

        done = lab.ctl("backup", "run", "--type", "incr", "--wait")
        check(done.returncode == 0 and "Success: incremental backup " in done.stdout, done.stdout + done.stderr)
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        listed = backed.listed()
        check([kind for kind, _ in listed] == ["full", "incremental"], str(listed))

        shown = backed.schedule()
        check(shown["timezone"] == "UTC" and shown["schedule"][0]["cron"] == NEVER_AGAIN, str(shown))
        check(shown["job"]["state"] == "done" and shown["job"]["label"] == listed[1][1], str(shown))
        done = lab.ctl("backup", "schedule")
        check("Last job: incremental backup" in done.stdout, done.stdout)
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        done = lab.ctl("backup", "expire", "--dry-run")
        check(done.returncode == 0 and "nothing would be expired" in done.stdout, done.stdout + done.stderr)
        # Nothing is due: nothing more is made.
        time.sleep(3)
        check(len(backed.watch.begun()) == 2, str(backed.watch.begun()))
        verify(lab)


@scenario
def backup_job_is_made_again_by_the_next_leader_when_its_primary_is_lost():
    with Backed(options={"compress-type": "none"}) as (lab, backed):
        primary = lab.start().primary()
        backed.wait_job("the first backup", 60, lambda j: j["state"] == "done")
        fill(primary, 60)
        there = backup_directories(backed)
        writers = Writers(lab).start()
        results = []
        asked = threading.Thread(target=lambda: results.append(lab.ctl("backup", "run", "--wait", timeout=180)))
        asked.start()
        pid = wait_for("the second backup", 30, lambda: backed.watch.running())[0]
        caught = catch_in_the_middle(backed, pid, there)
        before = backed.job()
        check(before["state"] == "running" and before["member"] == primary.name, str(before))
        primary.lose_power()
        let_go(caught)
        began = time.monotonic()
        new = lab.wait_primary(30, other_than=primary)
        job = backed.wait_job("the backup to be made again", 90,
                              lambda j: j["state"] == "done" and j["id"] == before["id"])
        print(f"  made again by {job['member']} {time.monotonic() - began:.1f} s after the loss, "
              f"in {job['attempts']} runs")
        check(job["member"] == new.name, str(job))
        asked.join(60)
        check(results and results[0].returncode == 0, str(results))
        print("  " + results[0].stdout.strip().replace("\n", "\n  "))
        # What was cut short is no backup.
        listed = backed.listed()
        check([kind for kind, _ in listed] == ["full", "full"] and listed[1][1] == job["label"], str(listed))
        primary.start()
        verify(lab, writers, 100)


@scenario
def backup_job_ends_with_its_agent_and_is_made_again():
    """The agent dies and comes back within its lease: the kernel has ended its pgBackRest."""
    with Backed(members=2, dynamic={"ttl": 20, "loop_wait": 2, "retry_timeout": 3},
                options={"compress-type": "none"}) as (lab, backed):
        primary = lab.start().primary()
        backed.wait_job("the first backup", 60, lambda j: j["state"] == "done")
        fill(primary, 60)
        there = backup_directories(backed)
        check(lab.ctl("backup", "run").returncode == 0, "asked for")
        pid = wait_for("the second backup", 30, lambda: backed.watch.running())[0]
        caught = catch_in_the_middle(backed, pid, there)
        before = backed.job()
        primary.kill_agent()
        let_go(caught)
        wait_for("the backup to end with its agent", 5, lambda: not alive(pid))
        primary.start()
        job = backed.wait_job("the backup to be made again", 90,
                              lambda j: j["state"] == "done" and j["id"] == before["id"])
        check(job["attempts"] == 2 and job["member"] == primary.name, str(job))
        logged(primary, f"the agent of {primary.name} ended meanwhile", "its interruption is in the log")
        check(verify(lab) is primary, "no failover")


@scenario
def backup_job_is_ended_while_the_dcs_is_silent_and_made_again():
    with Backed(members=2, dynamic={"failsafe_mode": True}, options={"compress-type": "none"}) as (lab, backed):
        primary = lab.start().primary()
        backed.wait_job("the first backup", 60, lambda j: j["state"] == "done")
        fill(primary, 60)
        there = backup_directories(backed)
        check(lab.ctl("backup", "run").returncode == 0, "asked for")
        pid = wait_for("the second backup", 30, lambda: backed.watch.running())[0]
        caught = catch_in_the_middle(backed, pid, there)
        for node in lab.etcd.nodes:
            node.send(signal.SIGSTOP)
        began = time.monotonic()
        try:
            # It stands still, and dies of SIGKILL all the same.
            wait_for("the backup to be ended", 10, lambda: not alive(pid))
            took = time.monotonic() - began
        finally:
            for node in lab.etcd.nodes:
                node.send(signal.SIGCONT)
            let_go(caught)
        print(f"  ended {took:.1f} s after the DCS fell silent (ttl {FAST['ttl']} s)")
        check(took < FAST["ttl"], "within the lease")
        job = backed.wait_job("the backup to be made again", 90,
                              lambda j: j["state"] == "done" and j.get("attempts", 0) >= 2)
        check(len(backed.listed()) == 2, f"{backed.listed()} {job}")
        verify(lab)


@scenario
def backup_job_without_pgbackrest_says_so_and_harms_nobody():
    with Backed(members=2, program="/nowhere/pgbackrest") as (lab, backed):
        primary = lab.start().primary()
        writers = Writers(lab).start()
        wait_for("the error", 30, lambda: "/nowhere/pgbackrest" in log_of(primary))
        done = lab.ctl("backup", "run", "--wait", timeout=100)
        check(done.returncode == 1 and "/nowhere/pgbackrest" in done.stderr, done.stdout + done.stderr)
        check(not backed.watch.begun(), "nothing was begun")
        verify(lab, writers)


def retain(lab, fulls):
    for member in lab:
        member.config["backup"]["options"]["repo1-retention-full"] = fulls
        member.write_config()
        check(member.api("/reload", "POST")[0] in (200, 202), "reloaded")


@scenario
def backup_job_expires_what_retention_no_longer_wants_and_what_is_left_restores():
    with Backed(members=2, options={"compress-type": "none", "repo1-retention-full": 2},
                proof={"schedule": False}) as (lab, backed):
        primary = lab.start().primary()
        first = backed.wait_job("the first backup", 60, lambda j: j["state"] == "done")["label"]
        fill(primary, 20)
        there = backup_directories(backed)
        check(lab.ctl("backup", "run", "--type", "full").returncode == 0, "asked for")
        pid = wait_for("the second backup", 30, lambda: backed.watch.running())[0]
        caught = catch_in_the_middle(backed, pid, there)
        expired = len(backed.watch.begun("expire"))
        done = lab.ctl("backup", "expire")
        let_go(caught)
        print("  beside a backup: " + done.stderr.strip())
        check(done.returncode == 1, "it is refused beside a backup: " + done.stdout)
        second = backed.wait_job("the second backup", 60, lambda j: j["state"] == "done" and j["label"] != first)
        second = second["label"]
        # Its own run, once the backup was made.
        check(len(backed.watch.begun("expire")) == expired + 1, str(backed.watch.begun("expire")))
        check([label for _, label in backed.listed()] == [first, second], str(backed.listed()))

        retain(lab, 1)
        done = wait_for("the new retention to be in force", 20, lambda: (
            lambda said: said if first in said.stdout else None)(lab.ctl("backup", "expire", "--dry-run")), every=0.2)
        check(done.returncode == 0 and second not in done.stdout, done.stdout + done.stderr)
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        check([label for _, label in backed.listed()] == [first, second], "nothing is gone yet")
        done = lab.ctl("backup", "expire")
        check(done.returncode == 0, done.stdout + done.stderr)
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        check(backed.job()["what"] == "expire" and first in backed.job()["result"], str(backed.job()))
        check([label for _, label in backed.listed()] == [second] and first not in backup_directories(backed),
              f"{backed.listed()} {backup_directories(backed)}")
        done = lab.ctl("backup", "verify", "--wait", timeout=120)
        check(done.returncode == 0 and "is as it was written" in done.stdout, done.stdout + done.stderr)
        done = lab.ctl("backup", "prove", "--wait", timeout=120)
        check(done.returncode == 0 and second in done.stdout, done.stdout + done.stderr)
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        verify(lab)


class Rooms:
    """A member's own view of the file system: its home stands where everybody's does, as on hosts of their own."""

    def __init__(self, lab, member):
        # Processes too: whoever works in the own data directory is taken for one's own.
        self.argv = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c",
                     f'mount -t proc proc /proc && mount --bind {member.home} {lab.directory}/host && exec "$@"', "sh"]

    def within(self):
        return self.argv


def with_a_way_to_the_primary(lab):
    """Each host's pgBackRest has a TLS server, and the data is at the same place on all."""
    authority = Authority(lab, "backups")
    home = ours(lab, "host")
    # pgBackRest looks for addresses among the names.
    cert, key = authority.sign("backup", *(m.address for m in lab), names=[m.address for m in lab])
    port = lab.port("127.0.0.1", 8432)
    for member in lab:
        member.host = Rooms(lab, member)
        postgresql = member.config["postgresql"]
        postgresql["data_dir"] = f"{home}/data"
        postgresql["pgpass"] = f"{home}/pgpass"
        postgresql["parameters"]["unix_socket_directories"] = home
        member.config["backup"]["primary_host"] = {
            "host-type": "tls", "host-port": port, "host-ca-file": authority.file, "host-cert-file": cert,
            "host-key-file": key, "host-config": f"{home}/data.pgbackrest/pgbackrest.conf"}
        path = os.path.join(member.home, "server.conf")
        with open(path, "w") as f:
            f.write(f"[global]\ntls-server-address={member.address}\ntls-server-port={port}\n"
                    f"tls-server-ca-file={authority.file}\ntls-server-cert-file={cert}\n"
                    f"tls-server-key-file={key}\ntls-server-auth=backup=main\nlog-level-file=off\n"
                    f"log-path={home}\nlock-path={home}\n")
        env = {**lab.agent_environment(), "PGPASSFILE": f"{home}/data.pgbackrest/pgpass"}
        Process(lab, f"{member.name}.tls", ["pgbackrest", f"--config={home}/server.conf", "server"], as_postgres=True,
                cwd=member.home, env=env, host=member.host)


@scenario
def backup_job_is_made_on_a_standby_and_given_up_when_another_leads():
    if not shutil.which("unshare") or subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"],
                                                     capture_output=True).returncode != 0:
        raise Skipped("hosts of their own need mount namespaces, and so root")
    with Backed(options={"compress-type": "none"}) as (lab, backed):
        with_a_way_to_the_primary(lab)
        primary = lab.start().primary()
        # The first is due at once: whether a standby streams by then is not this test's question.
        backed.wait_job("a full backup by itself", 90, lambda j: j["state"] == "done")

        fill(primary, 60)
        there = backup_directories(backed)
        check(lab.ctl("backup", "run").returncode == 0, "asked for")
        pid = wait_for("the second backup", 30, lambda: backed.watch.running())[0]
        caught = catch_in_the_middle(backed, pid, there)
        runner = lab.members[backed.job()["member"]]
        check(runner is not primary, f"on {runner.name}")
        check("--backup-standby" in backed.watch.begun()[1], str(backed.watch.begun()))
        # The third takes over: neither who made the backup nor for whom.
        third = next(m for m in lab if m not in (primary, runner))
        done = lab.ctl("switchover", "--candidate", third.name, "--force")
        check(done.returncode == 0, done.stdout + done.stderr)
        wait_for("the backup to be ended", 10, lambda: not alive(pid))
        let_go(caught)
        job = backed.wait_job("the backup to be made again", 90,
                              lambda j: j["state"] == "done" and j.get("attempts", 0) >= 2)
        check(job["primary"] == third.name and job["member"] != third.name, str(job))
        logged(runner, f"{third.name} leads now", "why it was ended is in the log")
        check("--backup-standby" in backed.watch.begun()[-1], str(backed.watch.begun()))
        check([kind for kind, _ in backed.listed()][0] == "full" and len(backed.listed()) == 2, str(backed.listed()))
        print(f"  made on {job['member']}, a standby of {third.name}")
        verify(lab)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest is not installed (make deps installs it)")
        sys.exit(77)
    run()
