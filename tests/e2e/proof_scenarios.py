"""Whether backups restore, and whether the repository is as it was written, on the real pgBackRest with a repository
in a directory (docs/adr/0016-backup-jobs.md).

  tests/e2e/proof_scenarios.py NAME ...   run some      tests/e2e/proof_scenarios.py --list   their names
"""
import json
import os
import shutil
import sys

from registry import FAST, check, ours, run, scenario, verify
from lab import Lab, wait_for

# Never by itself, unless there is no full one.
NEVER_AGAIN = "0 0 1 1 *"


def with_repository(members=2, **section):
    lab = Lab(members=members, dynamic=FAST)
    try:
        lab.repository = ours(lab, "repository")
        for member in lab:
            member.config["backup"] = {
                "stanza": "main", "archive_timeout": 5, "schedule": {"full": NEVER_AGAIN},
                "options": {"repo1-path": lab.repository, "start-fast": True, "process-max": 1}, **section}
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


@scenario
def backup_verify_finds_nothing_and_then_names_what_was_damaged():
    with with_repository() as lab:
        lab.start()
        wait_job(lab, "the first backup", 60, lambda j: j["state"] == "done")
        done = lab.ctl("backup", "verify", "--wait", timeout=60)
        check(done.returncode == 0 and "is as it was written" in done.stdout, done.stdout + done.stderr)
        print("  " + done.stdout.strip().replace("\n", "\n  "))
        path = damage(lab, "1259")
        done = lab.ctl("backup", "verify", "--wait", "-f", "json", timeout=60)
        job = json.loads(done.stdout)
        check(done.returncode == 1 and job["state"] == "failed" and path in job["result"], done.stdout + done.stderr)
        print("  " + done.stderr.strip())
        verify(lab)


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest is not installed (make deps installs it)")
        sys.exit(77)
    run()
