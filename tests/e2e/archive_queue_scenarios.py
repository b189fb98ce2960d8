"""WAL that does not reach the repository (docs/adr/0015-backups.md), on the real pgBackRest: for so long that it is
dropped, one segment alone, and one whose name another has.

  tests/e2e/archive_queue_scenarios.py NAME ...   run some      tests/e2e/archive_queue_scenarios.py --list   names
"""
import hashlib
import os
import re
import shutil
import sys
import threading
import time

from backup_scenarios import archived, backups, has_stanza, lab_with_repository, pgbackrest, switch
from registry import check, log_of, ours, run, scenario, verify
from lab import Authority, Writers, wait_for
from s3 import Store


BOUND = 4  # segments


def take_away(repository):
    """Nobody can make one anew in its place."""
    os.rename(repository, repository + ".away")
    with open(repository, "w") as f:
        f.write("not a directory")


def bring_back(repository):
    os.unlink(repository)
    os.rename(repository + ".away", repository)


def metric(member, name):
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", member.api("/metrics")[1], re.MULTILINE)
    return float(found.group(1)) if found else None


def waiting(member):
    ready = "select count(*) from pg_ls_dir('pg_wal/archive_status') f where f ~ '^[0-9A-F]{24}[.]ready$'"
    return member.sql(ready)[0][0]


def tell_of_a_full_queue(lab, primary, times=1):
    wait_for("a line that says so", 60, lambda: log_of(primary).count("from now on the oldest is dropped") >= times)
    wait_for("a metric that says so", 60, lambda: metric(primary, "relevo_archive_queue_full") == 1, every=0.2)
    wait_for("list to say so", 60, lambda: "as much WAL waits for the repository as may" in lab.ctl("list").stdout,
             every=0.5)


def restore_to(lab, lsn):
    return lab.ctl("restore", "--to-lsn", lsn, "--dry-run", timeout=120)


@scenario
def archive_queue_over_its_bound_is_dropped_told_and_made_good_by_a_full_backup():
    lab, repository = lab_with_repository(members=2, archive_queue="drop", archive_queue_max=f"{16 * BOUND}MB",
                                          schedule={"full": "0 0 1 1 *"}, dynamic={"ttl": 30})
    with lab:
        primary = lab.start().primary()
        wait_for("the first backup", 120, lambda: has_stanza(primary) and len(backups(lab)) == 1, every=0.5)
        first = backups(lab)[0]["Label"]
        early = primary.sql("select pg_current_wal_insert_lsn()::text")[0][0]
        last = switch(primary)
        wait_for("what was written before in the repository", 60, lambda: archived(primary, last))

        writers = Writers(lab).start()
        take_away(repository)
        dropped = switch(primary)  # perhaps not the first: writers go on
        lost = primary.sql("select pg_current_wal_insert_lsn()::text")[0][0]
        while waiting(primary) <= BOUND and not archived(primary, dropped):
            switch(primary)
        wait_for("it is dropped", 60, lambda: archived(primary, dropped))
        for _ in range(3):
            switch(primary)
        tell_of_a_full_queue(lab, primary)
        check(metric(primary, "relevo_archive_missing_seconds") > 0, "what was dropped counts as archived")
        check(waiting(primary) <= BOUND + 1 or wait_for("the queue to be within its bound", 60,
                                                        lambda: waiting(primary) <= BOUND + 1), "the queue")
        # Who comes new sees the same.
        primary.agent.kill()
        primary.start()
        tell_of_a_full_queue(lab, primary, times=2)

        bring_back(repository)
        hole = rf"missing in the archive behind backup {first}: (?:\d+ segments from (\w+) to (\w+)|segment (\w+))"
        found = wait_for("the hole to be found", 120, lambda: re.search(hole, log_of(primary)))
        begin, end = (found.group(1), found.group(2)) if found.group(1) else (found.group(3),) * 2
        print("  " + found.group(0))
        check(last < begin <= dropped <= end, f"{found.group(0)}, but {last} was archived and {dropped} dropped")
        wait_for("a full backup by itself", 120, lambda: len(backups(lab)) == 2, every=0.5)
        check([b["Type"] for b in backups(lab)] == ["full", "full"], str(backups(lab)))
        second = backups(lab)[1]["Label"]
        wait_for("it to be said that all is well again", 120, lambda: "is no more: it was filled" in log_of(primary))
        wait_for("the metric", 60, lambda: metric(primary, "relevo_archive_missing_segments") == 0,
                 every=0.2)
        wait_for("list to say nothing more", 60, lambda: "The archive:" not in lab.ctl("list").stdout, every=0.5)
        check(len(backups(lab)) == 2, "and not one more")

        done = lab.ctl("backup", "check", timeout=240)
        check(done.returncode == 0 and f"none is missing since backup {second}" in done.stdout and begin in done.stdout,
              done.stdout + done.stderr)
        print("  " + done.stdout.strip()[:400])
        # Up to the hole and from the new backup on; nothing between them.
        done = restore_to(lab, early)
        check(done.returncode == 0 and first in done.stdout, done.stdout + done.stderr)
        done = restore_to(lab, lost)
        check(done.returncode == 1 and "lies behind WAL that is missing" in done.stderr, done.stdout + done.stderr)
        print("  " + done.stderr.strip()[:300])
        done = lab.ctl("restore", "--latest", "--dry-run", timeout=120)
        check(done.returncode == 0 and second in done.stdout, done.stdout + done.stderr)
        verify(lab, writers)


class MostThatWaited:
    """Segments that wait for the archiver, looked at all the time."""

    def __init__(self, member):
        self.member, self.most, self.over = member, 0, False
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        status = os.path.join(self.member.data, "pg_wal", "archive_status")
        while not self.over:
            there = sum(re.fullmatch("[0-9A-F]{24}[.]ready", name) is not None for name in os.listdir(status))
            self.most = max(self.most, there)
            time.sleep(0.01)

    def stop(self):
        self.over = True
        self.thread.join()
        return self.most


@scenario
def archive_queue_that_one_object_holds_up_drops_it_and_a_full_backup_follows():
    lab, _ = lab_with_repository(members=1, archive_queue="drop", archive_queue_max=f"{16 * BOUND}MB",
                                 schedule={"full": "0 0 1 1 *"}, dynamic={"ttl": 30})
    with lab:
        authority = Authority(lab)
        store = Store(lab, 100, authority.sign("s3", names=[lab.address(100)])).start()
        member = next(iter(lab))
        member.config["backup"]["options"] = {**store.options(authority.file), "io-timeout": 3, "archive-timeout": 6,
                                              "start-fast": True, "compress-level": 1}
        lab.start()
        wait_for("the first backup", 120, lambda: has_stanza(member) and len(backups(lab)) == 1, every=0.5)
        segment = switch(member)
        wait_for("the archive to be complete", 60, lambda: archived(member, segment))
        writers = Writers(lab, clients=2, pause=0.01).start()
        refused = member.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")[0][0]
        store.fault = lambda method, path: (
            (500, "InternalError") if method == "PUT" and f"/{refused}" in path else None)
        queue = MostThatWaited(member)
        end = time.monotonic() + 60
        while not archived(member, refused):
            check(time.monotonic() < end, f"{refused} is neither archived nor dropped")
            if waiting(member) <= BOUND:
                switch(member)
            time.sleep(0.1)
        before = writers.count()
        found = wait_for("the hole to be found", 90, lambda: re.search(
            rf"ERROR: .*missing in the archive behind backup .*\b{refused}\b", log_of(member)))
        print("  " + found.group(0))
        check("the oldest is dropped" in log_of(member), "it was said before")
        wait_for("a full backup by itself", 90, lambda: len(backups(lab)) == 2, every=0.5)
        check([b["Type"] for b in backups(lab)] == ["full", "full"], str(backups(lab)))
        wait_for("it to be said that all is well again", 90, lambda: "is no more: it was filled" in log_of(member))
        most = queue.stop()
        print(f"  at most {most} segments waited")
        check(BOUND <= most <= BOUND + 1, f"{most} segments waited")
        check(not any(refused in path for path in store.objects), f"{refused} was never taken")
        check(writers.count() > before, "writes go on")
        done = lab.ctl("restore", "--latest", "--dry-run", timeout=120)
        check(done.returncode == 0 and backups(lab)[1]["Label"] in done.stdout, done.stdout + done.stderr)
        verify(lab, writers)
        store.stop()


def in_archive(repository, segment):
    """(its file, the hash of that)"""
    folder = os.path.join(repository, "archive", "main", "15-1", segment[:16])
    names = [name for name in os.listdir(folder) if name.startswith(segment)]
    check(len(names) == 1, f"{segment} is there as {names}")
    with open(os.path.join(folder, names[0]), "rb") as f:
        return names[0], hashlib.sha256(f.read()).hexdigest()


@scenario
def archive_that_has_another_segment_of_the_name_keeps_it_and_the_refusal_is_told():
    lab, repository = lab_with_repository(members=1)
    with lab:
        next(iter(lab)).config["backup"]["options"]["archive-timeout"] = 6
        member = lab.start().primary()
        wait_for("the stanza", 60, lambda: has_stanza(member))
        last = switch(member)
        wait_for("the archive to be complete", 60, lambda: archived(member, last))
        # Of this cluster by its header, as a member would have it that had left the line.
        taken = member.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")[0][0]
        foreign = os.path.join(ours(lab, "foreign"), taken)
        shutil.copy(os.path.join(member.data, "pg_wal", last), foreign)
        lab.give(foreign)
        pgbackrest(member, "archive-push", foreign)
        before = in_archive(repository, taken)

        writers = Writers(lab, clients=2, pause=0.01).start()
        check(switch(member) == taken, "that segment is the next one")
        found = wait_for("the refusal in the log", 60, lambda: re.search(
            rf"ERROR: .*{taken}.*already exists .*different checksum.*", log_of(member)))
        print("  " + found.group(0))
        done = lab.ctl("backup", "check", timeout=120)
        check(done.returncode == 1 and "the repository has another segment of this name" in done.stdout + done.stderr,
              done.stdout + done.stderr)
        print("  " + (done.stdout + done.stderr).strip())
        check(in_archive(repository, taken) == before, "what is in the repository is as it was")
        check(not archived(member, taken), "and nobody takes it for archived")
        check(waiting(member) >= 1, "the member keeps its own")
        verify(lab, writers)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
