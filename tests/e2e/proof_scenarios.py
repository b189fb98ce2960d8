"""Whether backups restore, and whether the repository is as it was written, on the real pgBackRest with a repository
in a directory (docs/adr/0021-proof-of-restore.md).

  tests/e2e/proof_scenarios.py NAME ...   run some      tests/e2e/proof_scenarios.py --list   their names
"""
import json
import os
import shutil
import sys
import time

from corruption_scenarios import zero_an_index
from registry import FAST, check, log_of, ours, run, scenario, verify
from lab import Lab, wait_for


# Never by itself, unless there is no full one.
NEVER_AGAIN = "0 0 1 1 *"


def with_repository(members=2, options=None, **section):
    lab = Lab(members=members, dynamic=FAST)
    try:
        lab.repository = ours(lab, "repository")
        for member in lab:
            member.config["backup"] = {
                "stanza": "main", "archive_timeout": 5, "schedule": {"full": NEVER_AGAIN},
                "options": {"repo1-path": lab.repository, "start-fast": True, "process-max": 1,
                            "job-retry": 0, **(options or {})},
                **section}
    except BaseException:
        lab.stop()
        raise
    return lab


def job_of(lab):
    text = lab.etcd.keys("lab").get("backup")
    return json.loads(text) if text else None


def wait_job(lab, what, seconds, question):
    try:
        return wait_for(what, seconds, lambda: (lambda j: j if j and question(j) else None)(job_of(lab)), every=0.1)
    except AssertionError as e:
        raise AssertionError(f"{e}; the job: {job_of(lab)}") from None


def damage(lab, name):
    """One byte of that file in the newest backup is another one. Its path in the repository."""
    top = os.path.join(lab.repository, "backup", "main")
    newest = sorted(b for b in os.listdir(top) if b[0].isdigit())[-1]
    found = [os.path.join(folder, f) for folder, _, files in os.walk(os.path.join(top, newest))
             for f in files if f.split(".")[0] == name]
    with open(found[0], "r+b") as f:
        f.seek(os.path.getsize(found[0]) // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 0xFF]))
    return os.path.relpath(found[0], top)


def proofs_of(lab):
    done = lab.ctl("backup", "proofs", "-f", "json")
    check(done.returncode == 0, done.stdout + done.stderr)
    return json.loads(done.stdout)["proofs"]


def scratch_of(member):
    return member.config["postgresql"]["data_dir"] + ".proof"


def at_work_in(directory):
    """Processes that have to do with it."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                words = f.read()
            if directory.encode() in words or os.readlink(f"/proc/{entry}/cwd").startswith(directory):
                found.append((int(entry), words))
        except OSError:
            pass
    return found


def nothing_left(lab):
    for member in lab:
        check(not os.path.exists(scratch_of(member)), f"{scratch_of(member)} is there")
        check(not at_work_in(scratch_of(member)), f"{at_work_in(scratch_of(member))}")


def reload_with(lab, **proof):
    for member in lab:
        member.config["backup"]["proof"] = {"schedule": False, **proof}
        member.write_config()
        check(member.api("/reload", "POST", {})[0] in (200, 202), "reloaded")


def archived(lab):
    """Segments in the archive, oldest first."""
    top = os.path.join(lab.repository, "archive", "main", "15-1")
    return sorted(os.path.join(folder, f) for folder, _, files in os.walk(top) for f in files
                  if len(f.split("-")[0]) == 24)


@scenario
def backup_is_proven_to_restore_and_what_is_wrong_with_it_is_told():
    with with_repository(proof={"schedule": False, "check": "SELECT count(*) = 1000 FROM numbers"}) as lab:
        primary = lab.start().primary()
        wait_job(lab, "the first backup", 60, lambda j: j["state"] == "done")
        primary.sql("create table numbers as select generate_series(1, 1000) as n")
        primary.sql("create index on numbers (n)")
        # A subscription would take its slot from the publisher, an archive_command of ALTER SYSTEM archive.
        primary.sql("create publication all_of_it for all tables")
        segment = primary.sql("select pg_walfile_name(pg_switch_wal())")[0][0]
        wait_for("the rows in the archive", 30, lambda: any(segment in path for path in archived(lab)))

        began = time.monotonic()
        done = lab.ctl("backup", "prove", "--wait", timeout=120)
        check(done.returncode == 0, done.stdout + done.stderr)
        print(f"  {time.monotonic() - began:.1f} s: " + done.stdout.strip().replace("\n", "\n  "))
        proof = proofs_of(lab)[0]
        check(proof["ok"] and proof["member"] != primary.name and "unchecked" not in proof, str(proof))
        check(proof["newest_age_s"] < 60 and proof["restore_ms"] > 0 and proof["recovery_ms"] > 0, str(proof))
        nothing_left(lab)
        before = len(archived(lab))
        done = lab.ctl("backup", "proofs")
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        for metric in ("relevo_backup_proof_ok", "relevo_backup_proof_last_good_time"):
            wait_for(metric, 30, lambda m=metric: m in str(primary.api("/metrics")[1]))
        check(not any("00000002" in os.path.basename(p)[:8] for p in archived(lab)) and before, "nothing was archived")

        # The operator's check is not content.
        reload_with(lab, check="SELECT count(*) = 0 FROM numbers")
        done = lab.ctl("backup", "prove", "--wait", timeout=120)
        check(done.returncode == 1 and "the last row of the check is f" in done.stderr, done.stdout + done.stderr)
        print("  " + done.stderr.strip())

        # WAL is missing between the backup and the newest.
        lost = archived(lab)[-2]
        os.rename(lost, os.path.join(lab.directory, "lost"))
        primary.sql("select pg_switch_wal()")
        done = lab.ctl("backup", "prove", "--wait", timeout=120)
        check(done.returncode == 1 and os.path.basename(lost).split("-")[0] in done.stderr, done.stdout + done.stderr)
        print("  " + done.stderr.strip())
        os.rename(os.path.join(lab.directory, "lost"), lost)

        # A file of the backup rots. pgBackRest does not say which: verify does.
        done = lab.ctl("backup", "verify", "--wait", timeout=120)
        check(done.returncode == 0 and "is as it was written" in done.stdout, done.stdout + done.stderr)
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        path = damage(lab, "1259")
        done = lab.ctl("backup", "verify", "--wait", "-f", "json", timeout=120)
        job = json.loads(done.stdout)
        check(done.returncode == 1 and job["state"] == "failed" and path in job["result"], done.stdout + done.stderr)
        print("  " + done.stderr.strip())
        done = lab.ctl("backup", "prove", "--wait", timeout=120)
        check(done.returncode == 1 and "failed: restore: " in done.stderr, done.stdout + done.stderr)
        print("  " + done.stderr.strip())
        check([p["ok"] for p in proofs_of(lab)] == [False, False, False, True], str(proofs_of(lab)))
        print("  " + lab.ctl("backup", "proofs").stdout.strip().replace("\n", "\n  "))
        nothing_left(lab)
        verify(lab)


@scenario
def backup_proof_of_a_killed_agent_leaves_nothing_and_is_made_again():
    """The check takes its time; its server ends with the agent, and its directory goes when the agent is back."""
    with with_repository(proof={"schedule": False, "check": "SELECT pg_sleep(60) IS NOT NULL"}) as lab:
        primary = lab.start().primary()
        wait_job(lab, "the first backup", 60, lambda j: j["state"] == "done")
        check(lab.ctl("backup", "prove").returncode == 0, "asked for")
        job = wait_job(lab, "the proof", 30, lambda j: j["what"] == "proof" and j["state"] == "running")
        member = lab.members[job["member"]]
        check(member is not primary, str(job))
        scratch = scratch_of(member)
        wait_for("the check", 60, lambda: any(b"pg_sleep" in words for _, words in at_work_in(scratch)))
        member.kill_agent()
        wait_for("its processes to end", 30, lambda: not at_work_in(scratch))
        check(os.path.exists(scratch), "the directory is still there")
        member.config["backup"]["proof"]["check"] = "SELECT true"
        member.start()
        wait_for("its directory to go", 30, lambda: f"left in {scratch} is removed" in log_of(member))
        again = wait_job(lab, "the proof to be made again", 120,
                         lambda j: j["state"] == "done" and j["id"] == job["id"])
        check(again["attempts"] >= 2 and proofs_of(lab)[0]["ok"], str(again))
        nothing_left(lab)
        verify(lab)


@scenario
def backup_proof_is_made_by_its_schedule_on_the_member_that_it_names():
    with with_repository(members=3, proof={"schedule": False}) as lab:
        primary = lab.start().primary()
        wait_job(lab, "the first backup", 60, lambda j: j["state"] == "done")
        named = [m for m in lab if m is not primary][-1]
        reload_with(lab, schedule="* * * * *", on=named.name)
        wait_for("a proof by its schedule", 100, lambda: proofs_of(lab))
        proof = proofs_of(lab)[0]
        check(proof["ok"] and proof["member"] == named.name and proof["due"], str(proof))
        verify(lab)


@scenario
def backup_whose_index_is_damaged_is_no_good_and_the_proof_names_it():
    """A page of zeros has no checksum that could be wrong: the backup, its restore and the recovery are without a
    fault, and only pg_amcheck sees it."""
    with with_repository(proof={"schedule": False}, schedule={"full": False},
                         options={"compress-type": "none"}) as lab:
        zero_an_index(lab, lab.start().primary())
        done = lab.ctl("backup", "run", "--type", "full", "--wait", timeout=120)
        check(done.returncode == 0, done.stdout + done.stderr)
        label = job_of(lab)["label"]
        listed = json.loads(lab.ctl("backup", "list", "-f", "json").stdout)
        check([b["Page errors"] for b in listed] == [False], f"{listed}")

        done = lab.ctl("backup", "prove", "--wait", timeout=120)
        print("  " + done.stderr.strip())
        check(done.returncode == 1 and "failed: " in done.stderr, done.stdout + done.stderr)
        proof = proofs_of(lab)[0]
        check(not proof["ok"] and proof["backup"] == label and "unchecked" not in proof, str(proof))
        for said in (done.stderr, proof["result"], lab.ctl("backup", "proofs").stdout):
            check("pg_amcheck found: " in said and '"t_n"' in said, said)
        nothing_left(lab)
        verify(lab)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest is not installed (make deps installs it)")
        sys.exit(77)
    run()
