"""A page that rots where there is a repository (docs/adr/0022-rotting-disk.md), on the real pgBackRest: a backup
finds what nobody has read, and a damaged replica is made anew from what was backed up before.

  tests/e2e/damaged_backup_scenarios.py NAME ...   run some      tests/e2e/damaged_backup_scenarios.py --list   names
"""
import json
import os
import shutil
import sys

from backup_job_scenarios import Backed
from corruption_scenarios import found, kept, key, others, read, rot, turn
from registry import check, log_of, logged, run, scenario, verify
from lab import Writers, wait_for

PLAIN = {"compress-type": "none"}


@scenario
def a_page_that_nobody_has_read_is_found_by_the_backup_of_it():
    with Backed(members=2, options=PLAIN, schedule={"full": False}) as (lab, backed):
        primary = lab.start().primary()
        rot(lab, primary)
        done = lab.ctl("backup", "run", "--type", "full", "--wait", timeout=120)
        check(done.returncode == 0, done.stdout + done.stderr)
        job = backed.job()
        check(job["member"] == primary.name, f"the backup is of {primary.name}'s data: {job}")
        listed = json.loads(lab.ctl("backup", "list", "-f", "json").stdout)
        check([b["Page errors"] for b in listed] == [True] and listed[0]["Label"] == job["label"], str(listed))

        wait_for("the member to know", 60, lambda: found(primary))
        check([(f["what"], f["where"]) for f in found(primary)] == [("backup", job["label"])], found(primary))
        wait_for("its key to say so", 30, lambda: key(lab, primary).get("corrupted"))
        told = f"{primary.name}: its data is damaged: pgBackRest found page errors in backup {job['label']}"
        shown = wait_for("relevoctl list to say so", 30, lambda: [
            line for line in lab.ctl("list", lab.scope).stdout.splitlines() if told in line])
        print("  " + shown[0].strip())
        then = lab.wait_primary(60, other_than=primary)
        check(read(then) is None, "the new primary's page is good")
        check(verify(lab) is then, "nobody hands back")
        check(not found(then) and not key(lab, then).get("corrupted"), "the other's data is good")


@scenario
def a_damaged_replica_is_made_anew_from_the_repository_and_its_old_directory_is_kept():
    dynamic = {"corruption": {"rebuild_replica": True},
               "postgresql": {"create_replica_methods": ["pgbackrest", "basebackup"]}}
    with Backed(dynamic=dynamic, options=PLAIN) as (lab, backed):
        primary = lab.start().primary()
        job = backed.wait_job("the first backup", 60, lambda j: j["state"] == "done")
        standby = others(lab, primary)[0]
        rot(lab, standby)
        writers = Writers(lab, clients=2, pause=0.005).start()
        wait_for("rows", 30, lambda: writers.count() > 50)
        directory = os.stat(standby.data).st_ino
        check(read(standby) == "XX001", "data_corrupted")
        wait_for("it to be made anew", 90, lambda: turn(lab).get("phase") == "done")
        lab.wait_healthy(60)
        logged(standby, f"restoring backup {job['label']}", "its new data is from the repository")
        # Its first copy was another's: there was no backup yet.
        since = log_of(standby).partition("it is made anew from")[2]
        check("replica method pgbackrest" not in since, "and nothing else was needed: " + since)
        old = kept(standby)
        check(len(old) == 1 and os.stat(old[0]).st_ino == directory, f"the old directory itself is kept: {old}")
        check(os.path.exists(old[0] + ".corruption"), "and what was found in it")
        wait_for("the mark to be gone", 30, lambda: not found(standby))
        check(standby.sql("select count(*) from t")[0][0] == 1000, "all rows")
        check(verify(lab, writers) is primary, "nobody else took over meanwhile")


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest is not installed (make deps installs it)")
        sys.exit(77)
    run()
