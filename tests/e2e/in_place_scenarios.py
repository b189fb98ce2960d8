"""Restores in place on the real pgBackRest (docs/adr/0020-restore.md): the cluster as it was, across a failover; one
that is called off, and one whose agent dies in the middle.

  tests/e2e/in_place_scenarios.py NAME ...   run some      tests/e2e/in_place_scenarios.py --list   their names
"""
import glob
import json
import os
import shutil
import signal
import sys

from backup_scenarios import archived, has_stanza, in_repository, lab_with_repository, reload, switch
from lab import wait_for
from registry import check, run, scenario, script, verify
from restore_scenarios import Rows, backup, refused


def record(lab):
    return json.loads(lab.etcd.keys(lab.scope).get("restore", "{}"))


def phase(lab):
    return record(lab).get("phase")


def numbers(member):
    return [n for n, in member.sql("select n from kept order by n")]


def expect_rows(lab, last):
    for member in lab:
        wait_for(f"{member.name} has what was restored", 20, lambda m=member: numbers(m) == list(range(1, last + 1)))


def asides(member):
    return sorted(p for p in glob.glob(member.data + ".before_restore_*") if os.path.isdir(p))


def with_rows(lab, number):
    primary = lab.start().primary()
    wait_for("the stanza", 60, lambda: has_stanza(primary))
    rows = Rows(primary)
    rows.add(primary, number)
    return primary, rows


@scenario
def restore_in_place_brings_the_cluster_back_across_a_failover():
    lab, _ = lab_with_repository(members=3, dynamic={"primary_start_timeout": 0})
    with lab:
        primary, rows = with_rows(lab, 2)
        backup(lab)
        rows.add(primary, 2)
        last = switch(primary)
        wait_for("the old timeline in the repository", 30, lambda: archived(primary, last))
        lab.wait_healthy(40)
        old = primary
        primary.kill_postmaster()
        primary = lab.wait_primary(20, other_than=old)
        wait_for("the new primary's check", 60, lambda: has_stanza(primary))
        rows.add(primary, 2)
        lab.wait_healthy(40)
        system = lab.etcd.keys(lab.scope)["initialize"]

        words = ["--to-xid", rows.xid[3], "--in-place"]
        done = lab.ctl("restore", *words, "--dry-run", timeout=120)
        print(done.stdout)
        check(done.returncode == 0 and "this was a dry run" in done.stdout and ".before_restore_" in done.stdout,
              done.stdout + done.stderr)
        done = lab.ctl("restore", *words, input="n\n", timeout=120)
        check(done.returncode == 1 and "Are you sure" in done.stdout, done.stdout + done.stderr)
        check(not record(lab) and lab.healthy(), "it began without a yes")
        refused(lab, "in place", *words, "--into-new-cluster", "/srv/x")

        done = lab.ctl("restore", *words, "--force", timeout=120)
        print(done.stdout)
        check(done.returncode == 0 and "Success" in done.stdout, done.stdout + done.stderr)
        primary = lab.wait_healthy(40)
        expect_rows(lab, 3)
        kept = record(lab)
        check(kept["phase"] == "restored" and kept["member"] == primary.name, str(kept))
        check(lab.etcd.keys(lab.scope)["initialize"] == system, "it is another cluster")
        timeline = primary.sql("select timeline_id from pg_control_checkpoint()")[0][0]
        check(timeline == kept["timeline"] and timeline > 2, f"timeline {timeline}, {kept}")
        for member in lab:
            check(len(asides(member)) == 1 and os.path.exists(asides(member)[0] + "/PG_VERSION"),
                  f"{member.name} keeps {asides(member)}")
        done = lab.ctl("restore", "--status")
        check("restored" in done.stdout, done.stdout + done.stderr)
        # It goes on as a cluster like any other: writes, the archive, a switchover.
        rows.count = 3
        rows.add(primary)
        last = switch(primary)
        check(int(last[:8], 16) == timeline, last)
        wait_for("the new timeline in the repository", 30, lambda: in_repository(lab, last))
        done = lab.ctl("switchover", "--force", timeout=60)
        check(done.returncode == 0, done.stdout + done.stderr)
        verify(lab)
        expect_rows(lab, 4)


@scenario
def restore_in_place_is_called_off_and_goes_on_after_its_agent_was_killed():
    lab, _ = lab_with_repository(members=2)
    with lab:
        primary, rows = with_rows(lab, 1)
        backup(lab)
        rows.add(primary, 2)
        lab.wait_healthy(40)
        member = next(m for m in lab if m is not primary)
        begun = os.path.join(member.home, "restore-begun")
        slow = script(lab, "pgbackrest-that-waits", f'case " $* " in *" restore "*) touch {begun} && exec sleep 600 ;; '
                      'esac\nexec pgbackrest "$@"\n')
        member.config["backup"]["program"] = slow
        reload(member)
        words = ["restore", "--to-xid", rows.xid[2], "--in-place", "--force", "--no-wait", "--member", member.name]

        def begin():
            done = lab.ctl(*words, timeout=120)
            check(done.returncode == 0, done.stdout + done.stderr)
            wait_for("pgBackRest restores", 30, lambda: os.path.exists(begun))
            os.unlink(begun)
            check(phase(lab) == "restoring", str(record(lab)))
            check("leader" not in lab.etcd.keys(lab.scope), "somebody leads")
            wait_for("all are stopped", 20, lambda: all(not m.postmaster() for m in lab))
            check(len(asides(member)) >= 1 and not asides(primary), "the old data is not where it should be")

        begin()
        refused(lab, "restored in place already", "--latest", "--in-place", "--force")
        done = lab.ctl("restore", "--cancel")
        check(done.returncode == 0 and "old data" in done.stdout, done.stdout + done.stderr)
        lab.wait_healthy(60)
        expect_rows(lab, 3)
        check(phase(lab) == "cancelled" and not asides(member), f"{record(lab)}: {os.listdir(member.home)}")

        # Once more, and its agent dies in the middle.
        primary = lab.primary()
        if primary is member:
            done = lab.ctl("switchover", "--force", timeout=60)
            check(done.returncode == 0, done.stdout + done.stderr)
            primary = lab.wait_healthy(40)
        begin()
        member.agent.send(signal.SIGKILL)
        member.agent.process.wait(20)
        check(phase(lab) == "restoring" and "leader" not in lab.etcd.keys(lab.scope), str(record(lab)))
        member.config["backup"]["program"] = "pgbackrest"
        member.start()
        wait_for("it is restored", 60, lambda: phase(lab) == "restored")
        check(lab.wait_healthy(60) is member, "another leads than who restored")
        expect_rows(lab, 2)
        check(all(len(asides(m)) == 1 for m in lab), "the old data is not kept")
        verify(lab)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
