"""An object store that is not as it should be, over TLS, on the real pgBackRest (docs/adr/0015-backups.md).

  tests/e2e/s3_scenarios.py NAME ...   run some      tests/e2e/s3_scenarios.py --list   their names
"""
import shutil
import sys
import threading

from backup_scenarios import (PASSPHRASE, archived, backups, has_stanza, lab_with_repository, pgbackrest, reload,
                              secrets_are_kept, switch, watched)
from registry import check, log_of, ours, run, run_as_postgres, scenario, verify
from lab import Authority, Writers, pg_bin, wait_for
from s3 import BUCKET, Store


class Bad:
    """One mistake: the options with it, what is said of it, and writes that go on all the while."""

    def __init__(self, lab, member, right, writers):
        self.lab, self.member, self.right, self.writers = lab, member, right, writers

    def take(self, options):
        self.member.config["backup"]["options"] = options
        reload(self.member)

    def says(self, command, *remedies):
        before = self.writers.count()
        done = self.lab.ctl("backup", command, timeout=300)
        said = done.stdout + done.stderr
        check(done.returncode == 1 and all(remedy in said for remedy in remedies), f"{command}: {said}")
        check(said.count("pgBackRest says:") == 1, f"one error: {said}")
        print("  " + said.strip())
        wait_for("writes to go on", 20, lambda: self.writers.count() > before)
        check(self.lab.primary() is self.member, "the primary is the same")
        for options in (self.right, self.member.config["backup"]["options"]):
            for name in ("repo1-cipher-pass", "repo1-s3-key-secret", "repo1-s3-key"):
                secret = options[name].replace("${BACKUP_PASSPHRASE}", PASSPHRASE)
                check(secret not in said and secret not in log_of(self.member), f"{name} is shown: {said}")


def expired(authority):
    """The certificate of the store as it was two days ago."""
    old = authority.path("old.crt")
    authority.openssl("x509", "-req", "-in", authority.path("s3.csr"), "-CA", authority.file, "-CAkey", authority.key,
                      "-CAcreateserial", "-days", "-1", "-extfile", authority.path("s3.ext"), "-out", old)
    return old, authority.path("s3.key")


def stanza_of_another_cluster(lab, member, options):
    """Made with pgBackRest by hand, for a server that belongs to nobody here."""
    data = ours(lab, "stranger") + "/data"
    run_as_postgres([f"{pg_bin()}/initdb", "-D", data, "-U", "postgres", "-N", "-A", "trust"])
    path = f"{lab.directory}/stranger/pgbackrest.conf"
    with open(path, "w") as f:
        f.write("[global]\n" + "".join(f"{name}={value}\n" for name, value in options.items()) +
                f"lock-path={data}.lock\nlog-level-file=off\n"
                f"[main]\npg1-path={data}\npg1-port=1\npg1-socket-path={data}\npg1-user=postgres\n")
    lab.give(path)
    run_as_postgres([f"{pg_bin()}/pg_ctl", "-D", data, "-w", "-l", data + ".log", "-o",
                     f"-p 1 -k {data} -c listen_addresses= -c archive_mode=on -c fsync=off", "start"])
    try:
        pgbackrest(member, "stanza-create", config=path)
    finally:
        run_as_postgres([f"{pg_bin()}/pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"])


@scenario
def backup_to_s3_over_tls_and_what_each_mistake_is_called():
    lab, _ = lab_with_repository(members=1)
    with lab:
        authority = Authority(lab)
        certificate = authority.sign("s3", names=[lab.address(100)])  # 2.45 knows addresses only as names
        store = Store(lab, 100, certificate).start()
        stranger = Authority(lab, "stranger")
        member = next(iter(lab))
        right = store.options(authority.file)
        member.config["backup"]["options"] = dict(right)
        member.config["restapi"]["authentication"] = {"username": "admin", "password": "rest-secret"}
        member.credentials = "admin:rest-secret"
        lab.start()
        wait_for("the stanza", 60, lambda: has_stanza(member))
        with watched(lab, {"backup", "archive-push"}):
            segment = switch(member)
            pgbackrest(member, "--type=full", "backup")
            wait_for("the segment in the repository", 60, lambda: archived(member, segment))
        check(len(backups(lab)) == 1 and any("/backup/main/" in path for path in store.objects), str(backups(lab)))
        writers = Writers(lab).start()
        bad = Bad(lab, member, right, writers)

        def mistaken(words, remedy, command="check"):
            bad.take({**right, **words})
            with watched(lab, set()):
                bad.says(command, remedy)

        # Who asks waits as long as it takes to see that nothing comes, not for a minute.
        fast = {"io-timeout": 2}
        mistaken({"repo1-s3-key-secret": "not-the-secret"}, "correct repo-s3-key-secret")
        mistaken({"repo1-s3-key": "AKIANOBODYNOBODY"}, "does not know the access key")
        mistaken({"repo1-cipher-pass": "not-the-passphrase"}, "cannot be read with this passphrase")
        mistaken({"repo1-storage-ca-file": stranger.file, **fast}, "certificate is not trusted")
        store.fault = lambda method, path: (403, "RequestTimeTooSkewed")
        mistaken(fast, "the object store refuses this host's clock: set it right")
        bad.says("list", "this host's clock")
        store.fault = None
        store.buckets.clear()
        # To who only reads it is a repository without anything in it; to who makes the stanza it is not.
        mistaken({}, "the stanza does not exist")
        wait_for("what is missing", 30, lambda: "the bucket does not exist" in log_of(member))
        store.buckets.add(BUCKET)
        store.fault = lambda method, path: (503, "SlowDown")
        mistaken(fast, "the object store has an error itself")
        store.fault = None
        store.stop()
        mistaken(fast, "the repository does not answer")
        secrets_are_kept(lab, right_key=right["repo1-s3-key"], wrong_key="AKIANOBODYNOBODY",
                         wrong_secret="not-the-secret", wrong_pass="not-the-passphrase")
        verify(lab, writers)


@scenario
def s3_that_is_expired_slow_failing_or_anothers_is_named_and_harms_nobody():
    lab, _ = lab_with_repository(members=1)
    with lab:
        authority = Authority(lab)
        certificate = authority.sign("s3", names=[lab.address(100)])  # 2.45 knows addresses only as names
        store = Store(lab, 100, certificate).start()
        member = next(iter(lab))
        # As patient as it takes to see that nothing comes.
        right = {**store.options(authority.file), "io-timeout": 3, "archive-timeout": 6}
        member.config["backup"]["options"] = dict(right)
        lab.start()
        wait_for("the stanza", 60, lambda: has_stanza(member))
        writers = Writers(lab).start()
        bad = Bad(lab, member, right, writers)

        old = Store(lab, 100, expired(authority)).start()
        bad.take({**right, "repo1-storage-port": old.port})
        bad.says("check", "certificate has expired: renew it on the object store")
        bad.says("list", "certificate has expired: renew it on the object store")
        old.stop()
        bad.take(right)

        # Nobody gets an answer before half a minute has passed.
        over = threading.Event()
        store.fault = lambda method, path: over.wait(30) and None
        bad.says("list", "does not answer in time: is the object store overloaded")
        store.fault = None
        over.set()

        # One object alone cannot be written: a segment. It is not lost: PostgreSQL keeps it.
        segment = switch(member)
        wait_for("the archive to go on", 60, lambda: archived(member, segment))
        refused = []

        def one_fails(method, path):
            if method == "PUT" and "/archive/" in path and (not refused or refused[0] in path):
                refused[:] = [path.rsplit("/", 1)[1][:24]]
                return 500, "InternalError"
            return None
        store.fault = one_fails
        switch(member)
        bad.says("check", "archiving", "the object store has an error itself: look at its log")
        store.fault = None
        wait_for("what could not be written in the repository", 120, lambda: archived(member, refused[0]))
        check(any(refused[0] in path for path in store.objects), f"{refused} is in the repository")

        # Another cluster's. Nothing of it is touched.
        theirs = {**{k: v for k, v in right.items() if k != "archive-timeout"}, "repo1-path": "/theirs",
                  "repo1-cipher-pass": PASSPHRASE}
        stanza_of_another_cluster(lab, member, theirs)
        before = {path: content for path, (content, _) in store.objects.items() if path.startswith("/theirs")}
        check(before, "the other cluster has its stanza")
        bad.take({**right, "repo1-path": "/theirs"})
        bad.says("check", "the repository belongs to another cluster", "a path or stanza of its own")
        wait_for("the log to say so", 60, lambda: "the repository belongs to another cluster" in log_of(member))
        switch(member)
        after = {path: content for path, (content, _) in store.objects.items() if path.startswith("/theirs")}
        check(before == after, "the other cluster's repository is another one")

        bad.take(right)
        segment = switch(member)
        wait_for("what waited in the repository", 120, lambda: archived(member, segment))
        pgbackrest(member, "--type=full", "backup")
        check(len(backups(lab)) == 1, str(backups(lab)))
        done = lab.ctl("backup", "check", timeout=240)
        check(done.returncode == 0 and "none is missing" in done.stdout, done.stdout + done.stderr)
        verify(lab, writers)
        store.stop()


if __name__ == "__main__":
    if not shutil.which("pgbackrest"):
        print("SKIPPED: pgbackrest not installed (make deps installs it)")
        sys.exit(77)
    run()
