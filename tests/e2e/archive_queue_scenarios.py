"""A repository that is away for so long that WAL is dropped (docs/adr/0015-backups.md), on the real pgBackRest.

  tests/e2e/archive_queue_scenarios.py NAME ...   run some      tests/e2e/archive_queue_scenarios.py --list   names
"""
import os
import re
import shutil
import sys

from backup_scenarios import archived, backups, has_stanza, lab_with_repository, switch
from registry import check, log_of, run, scenario, verify
from lab import Writers, wait_for

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
        wait_for("it to be said that all is well again", 120, lambda: "is behind us" in log_of(primary))
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


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
