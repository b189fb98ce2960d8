"""A cluster whose repository is an object store, over TLS, encrypted and with buckets in the path: its backups go on
when its primary is lost, and from the store alone it is there again (docs/adr/0015-backups.md).

  tests/e2e/s3_cluster_scenarios.py NAME ...   run some      tests/e2e/s3_cluster_scenarios.py --list   their names
"""
import json
import os
import shutil
import sys
import time

from backup_scenarios import archived, backups, has, has_stanza, lab_with_repository, secrets_are_kept, switch, watched
from restore_scenarios import Restored, Rows, restore
from registry import Skipped, check, log_of, run, scenario, verify
from lab import Authority, Writers, wait_for
from s3 import Store
from s3rver import S3rver, why_missing


class OnS3:
    """with OnS3(make) as (lab, store): members that are started, and have their stanza in `make(lab, certificate)`."""

    def __init__(self, make, members=2, dynamic=None):
        self.lab, _ = lab_with_repository(members, {"primary_start_timeout": 0, **(dynamic or {})})
        self.store = None
        try:
            authority = Authority(self.lab)
            # 2.45 knows addresses only as names.
            certificate = authority.sign("s3", self.lab.address(100), names=[self.lab.address(100)])
            self.store = make(self.lab, 100, certificate).start()
            for member in self.lab:
                # Small files in one object: as who pays for requests would have it, and in a tenth of the time.
                member.config["backup"]["options"] = {**self.store.options(authority.file), "start-fast": True,
                                                      "repo1-bundle": True}
                member.config["restapi"]["authentication"] = {"username": "admin", "password": "rest-secret"}
                member.credentials = "admin:rest-secret"
        except BaseException:
            self.lab.stop()
            raise

    def __enter__(self):
        return self.lab, self.store

    def __exit__(self, kind, *rest):
        if kind is None:
            self.store.stop()
        self.lab.__exit__(kind, *rest)


def with_stanza(lab):
    primary = lab.start().primary()
    wait_for("the stanza", 60, lambda: has_stanza(primary))
    return primary


def backup(lab, kind):
    """By an agent, as an operator asks for it."""
    done = lab.ctl("backup", "run", "--wait", "--type", kind, "-f", "json", timeout=120)
    check(done.returncode == 0, done.stdout + done.stderr)
    job = json.loads(done.stdout)
    print(f"  {kind} backup {job['label']} by {job['member']}")
    return job


def from_the_store(lab, member):
    """A replica on a host that has nothing."""
    began = time.monotonic()
    with watched(lab, {"restore"}):
        member.start()
        lab.wait_healthy(120)
    check(log_of(member).count("restoring backup") == 1 and "replica method" not in log_of(member),
          member.agent.tail(20))
    print(f"  {member.name} is made from the repository, and streams after {time.monotonic() - began:.1f} s")


def all_on(member, primary):
    end = primary.sql("select pg_current_wal_flush_lsn()::text")[0][0]
    wait_for(f"all on {member.name}", 30, lambda: has(member, end))


def into_a_new_cluster(lab, member, rows):
    """The newest of the repository, with all of these rows."""
    path = os.path.join(member.home, "restored")
    done = restore(lab, "--latest", "--into-new-cluster", path, member=member)
    check(done.returncode == 0 and "Success" in done.stdout, done.stdout + done.stderr)
    check(not os.path.exists(path + ".half_made"), "it is whole, and marked")
    server = Restored(member, path).start()
    try:
        found = [n for n, in server.sql("select n from kept order by n")]
        check(found == list(range(1, rows.count + 1)), f"{found}, not up to {rows.count}\n{server.log()}")
        check(server.sql("show archive_mode")[0][0] == "off", "it would archive")
        check(server.sql("insert into kept values (0) returning n")[0][0] == 0, "it is not writable")
    finally:
        server.stop()
    print(f"  restored: rows 1 to {rows.count}")


def job_succeeds(lab, what, says):
    done = lab.ctl("backup", what, "--wait", timeout=180)
    check(done.returncode == 0 and says in done.stdout, done.stdout + done.stderr)
    print("  " + done.stdout.strip().replace("\n", "\n  "))


@scenario
def s3_cluster_fails_over_backs_up_and_is_restored_from_the_store():
    with OnS3(Store, dynamic={"postgresql": {"create_replica_methods": ["pgbackrest"]}}) as (lab, store):
        # There is no method but the repository: a second member needs a backup.
        old, new = lab
        old.start()
        lab.wait_primary()
        wait_for("the stanza", 60, lambda: has_stanza(old))
        rows = Rows(old)
        rows.add(old)
        with watched(lab, {"backup", "archive-push"}):
            first = backup(lab, "full")
        check(any(path.startswith(f"/repo/backup/main/{first['label']}/") for path in store.objects), "in the store")
        from_the_store(lab, new)
        rows.add(old, 2)
        all_on(new, old)
        writers = Writers(lab, pause=0.01).start()

        old.lose_power()
        check(lab.wait_primary(30, other_than=old) is new, "the other member leads")
        wait_for("the new primary's check", 60, lambda: has_stanza(new))
        rows.add(new, 2)
        with watched(lab, {"backup", "archive-push"}):
            second = backup(lab, "incr")
        check(second["member"] == new.name, str(second))
        listed = backups(lab)
        check([(b["Type"], b["TL"]) for b in listed] == [("full", 1), ("incremental", 2)], str(listed))

        # The host that was lost comes back empty.
        shutil.rmtree(old.data)
        from_the_store(lab, old)
        rows.add(new)
        last = switch(new)
        check(last.startswith("00000002"), last)
        wait_for("the new timeline in the repository", 30, lambda: archived(new, last))
        with watched(lab, {"restore"}):
            into_a_new_cluster(lab, old, rows)
        with watched(lab, {"verify", "restore"}):
            job_succeeds(lab, "verify", "is as it was written")
            job_succeeds(lab, "prove", "")
        proofs = json.loads(lab.ctl("backup", "proofs", "-f", "json").stdout)["proofs"]
        check(len(proofs) == 1 and proofs[0]["ok"], str(proofs))
        secrets_are_kept(lab)
        verify(lab, writers, lost_allowed=100)


@scenario
def s3_of_others_takes_the_archive_and_backups_and_gives_a_cluster_back():
    """s3rver: what pgBackRest and the agents need of S3 is not only what our own store understands."""
    missing = why_missing()
    if missing:
        raise Skipped(missing)
    with OnS3(S3rver) as (lab, store):
        primary = with_stanza(lab)
        member = next(m for m in lab if m is not primary)
        writers = Writers(lab, pause=0.01).start()
        check(store.has("repo/archive/main"), "the stanza is in the store")
        rows = Rows(primary)
        rows.add(primary)
        job = backup(lab, "full")
        check(store.has(f"repo/backup/main/{job['label']}"), "the backup is in the store")
        rows.add(primary, 2)
        segment = switch(primary)
        wait_for("the segment in the repository", 60, lambda: archived(primary, segment))
        check([b["Label"] for b in backups(lab)] == [job["label"]], str(backups(lab)))
        into_a_new_cluster(lab, member, rows)
        done = lab.ctl("backup", "check", timeout=120)
        check(done.returncode == 0 and "none is missing" in done.stdout, done.stdout + done.stderr)
        verify(lab, writers)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
