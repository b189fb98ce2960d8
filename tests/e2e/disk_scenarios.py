"""Disks that fill (docs/adr/0018) and disks that fail (docs/adr/0022) under real servers: each member's home, or
its data, is a small file system of its own.

  tests/e2e/disk_scenarios.py NAME ...   run some      tests/e2e/disk_scenarios.py --list   their names

Needs root and a mount namespace (the mounts end with it); skipped, and said so, elsewhere.
"""
import glob
import os
import shutil
import subprocess
import sys
import threading
import time

from registry import check, logged, run, scenario, synchronous, verify, wait_until_votes_count
from lab import Lab, Writers, wait_for

INSIDE = "RELEVO_DISK_MOUNTS"
MB = 1 << 20
# 5 % is less than three segments of WAL: so 48 MB is where hold begins, and 96 MB where it warns.
SIZE = 320
SETTINGS = {"ttl": 10, "loop_wait": 1, "retry_timeout": 3,
            "postgresql": {"parameters": {"max_wal_size": "64MB", "min_wal_size": "32MB", "wal_keep_size": "16MB"}}}


def mounts(lab):
    for member in lab:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=0755", "tmpfs", member.home], check=True)
        lab.give(member.home)


class DiskLab(Lab):
    def __init__(self, **dynamic):
        super().__init__(dynamic={**SETTINGS, **dynamic})
        mounts(self)

    def stop(self):
        super().stop()
        for member in self:
            subprocess.run(["umount", "-l", member.home], capture_output=True)
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def free(member):
    space = os.statvfs(member.home)
    return space.f_bavail * space.f_frsize


class Filler:
    """Something else on that host, which writes so much a second until nothing is left."""

    def __init__(self, member, rate=15 * MB):
        self.path, self.rate, self.stopping = os.path.join(member.home, "filler"), rate, False
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        piece = b"x" * MB
        began, written = time.monotonic(), 0
        with open(self.path, "wb", buffering=0) as f:
            while not self.stopping:
                if written < (time.monotonic() - began) * self.rate:
                    try:
                        written += f.write(piece)
                        continue
                    except OSError:
                        pass  # it is full: whatever becomes free is taken too
                time.sleep(0.005)

    def stop(self):
        self.stopping = True
        self.thread.join()
        os.unlink(self.path)


def fill_at_once(member):
    """Not one block is left from one moment to the next; what was there can be changed in place."""
    path = os.path.join(member.home, "all")
    with open(path, "ab", buffering=0) as f:
        for size in (8 * MB, 64 << 10, 4096):
            try:
                while f.write(b"x" * size) == size:
                    pass
            except OSError:
                pass
    return path


def said(member, words):
    with open(member.agent.log, errors="replace") as f:
        return words in f.read()


def no_panic(lab):
    for member in lab:
        for path in glob.glob(os.path.join(lab.directory, f"{member.name}*log")) + \
                glob.glob(os.path.join(member.data, "log", "*")):
            with open(path, errors="replace") as f:
                check("PANIC" not in f.read(), f"PANIC in {path}")


def state_of(member):
    return member.status().get("disk", {}).get("state")


@scenario
def a_primary_whose_disk_fills_hands_over_before_it_panics():
    with DiskLab() as lab:
        lab.start()
        primary = lab.primary()
        wait_for("a ballast beside the data directory", 30, lambda: os.path.exists(primary.data + ".ballast"))
        writers = Writers(lab, clients=4, pause=0.002).start()
        wait_for("rows", 30, lambda: writers.count() > 100)
        filler = Filler(primary)
        try:
            then = lab.wait_primary(60, other_than=primary)
            now = time.monotonic()
            wait_for("writes on the new primary", 30,
                     lambda: any(a and a[-1][1] > now for a in writers.acked))
            check(said(primary, "the disk is nearly full: handing over to"), "the handover is explained")
            no_panic(lab)
            # It goes on to fill. With nothing left the old primary stays a standby, whose replay may end for that.
            wait_for("the ballast to be given back", 60, lambda: not os.path.exists(primary.data + ".ballast"))
            wait_for("nothing to be left", 60, lambda: free(primary) < MB)
            check(os.path.exists(os.path.join(primary.data, "standby.signal")), "a standby by default")
            check(lab.primary() is then, "nobody moves any more")
        finally:
            filler.stop()
        verify(lab, writers)
        wait_for("the old primary to have room again", 60, lambda: state_of(primary) == "ok")
        wait_for("the ballast to be there again", 60, lambda: os.path.exists(primary.data + ".ballast"))
        no_panic(lab)


def fill_the_primary_at_once(lab, writers):
    """-> the old primary, once another has its clients."""
    primary = lab.wait_primary(30)
    wait_for("both others to be voters", 60, lambda: lab.ctl("list").stdout.count("Quorum Standby") == 2)
    before = writers.count()
    wait_for("rows", 30, lambda: writers.count() > before + 100)
    path = fill_at_once(primary)
    try:
        lab.wait_primary(60, other_than=primary)
        now = time.monotonic()
        wait_for("writes on the new primary", 30, lambda: any(a and a[-1][1] > now for a in writers.acked))
    finally:
        os.unlink(path)
    return primary


@scenario
def a_disk_that_is_full_at_once_costs_a_failover_and_no_row():
    with DiskLab(synchronous_mode="quorum", disk={"ballast": "0"}) as lab:
        lab.start()
        writers = Writers(lab, clients=4, pause=0.002).start()
        # Nothing was kept back: its checkpoint may well have no room, and end it.
        primary = fill_the_primary_at_once(lab, writers)
        check(not said(primary, "switchover called off: PostgreSQL was not shut down cleanly"),
              "it is not started on its full disk while others have room")
        lab.wait_healthy(60)
        lab.ctl("edit-config", "-s", "disk.ballast=16MB", "--force")
        primary = lab.wait_primary(30)
        wait_for("its ballast", 30, lambda: os.path.exists(primary.data + ".ballast"))
        check(fill_the_primary_at_once(lab, writers) is primary, "the same one")
        wait_for("what was kept back to be given", 30, lambda: said(primary, "the ballast of 16.0 MB was given back"))
        verify(lab, writers)


@scenario
def where_all_disks_are_full_writes_are_refused_and_go_on_by_themselves():
    with DiskLab() as lab:
        lab.start()
        primary = lab.primary()
        primary.sql("create table t (n int)")
        primary.sql("create role app login password 'app'")
        primary.sql("grant all on t to app")
        app = primary.connect(user="app", password="app")  # within a transaction that has written
        app.cursor().execute("insert into t values (1)")
        try:
            # The primary last: nobody has room any more then.
            for member in sorted(lab, key=lambda m: m is primary):
                subprocess.run(["fallocate", "-l", str(free(member) - 30 * MB), os.path.join(member.home, "most")],
                               check=True)
                wait_for(f"{member.name} to hold", 30, lambda m=member: state_of(m) == "hold")
                wait_for(f"the key of {member.name} to say so", 10,
                         lambda m=member: '"disk":"hold"' in lab.etcd.keys("lab")[f"members/{m.name}"])
            wait_for("writes to be refused", 30, lambda: primary.status().get("refuses_writes"))

            def refused():
                try:
                    primary.sql("insert into t values (2)")
                except Exception as e:
                    return getattr(e, "pgcode", None) == "25006"
                return False
            wait_for("a clear error", 10, refused)
            check(primary.sql("select count(*) from t")[0][0] == 0, "readers go on")
            check(primary.is_primary(), "it stays the primary")

            def ended():
                try:
                    app.cursor().execute("insert into t values (3)")
                except Exception:
                    return True
                return False
            wait_for("a transaction that had written to be ended", 10, ended, every=0.2)
            wait_for("list to say so", 10, lambda: "refuses writes until there is room" in lab.ctl("list").stdout)
            listed = lab.ctl("list").stdout
            check("its disk is nearly full" in listed, listed)
            check(lab.primary() is primary, "the lead is not passed round")
            # The primary first: as long as no other has room it stays what it is.
            os.unlink(os.path.join(primary.home, "most"))
            wait_for("writes to go on by themselves", 60, lambda: primary.sql("insert into t values (4)") is None)
        finally:
            for member in lab:
                path = os.path.join(member.home, "most")
                if os.path.exists(path):
                    os.unlink(path)
        wait_for("nothing to be refused any more", 10, lambda: not primary.status().get("refuses_writes"))
        check(lab.primary() is primary, "the same primary")
        verify(lab)
        no_panic(lab)


# A disk that fails is known by its probes within two of them, or after failed_after.
FAILING = {"ttl": 10, "loop_wait": 1, "retry_timeout": 3, "disk": {"probe_every": "1s", "failed_after": "2s"},
           "postgresql": {"parameters": {"max_wal_size": "64MB", "min_wal_size": "32MB", "wal_keep_size": "16MB"}}}


class FailingDisk:
    """An ext4 of a member's own, in a file, below its data directory."""

    def __init__(self, lab, member):
        self.lab, self.image = lab, os.path.join(lab.directory, f"{member.name}.image")
        self.path = os.path.join(member.home, "disk")
        os.makedirs(self.path)
        with open(self.image, "wb") as f:
            f.truncate(SIZE * MB)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image], check=True)
        self.mount()
        member.data = os.path.join(self.path, "data")
        member.config["postgresql"]["data_dir"] = member.data

    def mount(self):
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", self.image, self.path], check=True)
        self.lab.give(self.path)

    def stalls(self):
        """From now on each write there waits, and whoever waits cannot be killed."""
        subprocess.run(["fsfreeze", "--freeze", self.path], check=True)

    def goes_on(self):
        subprocess.run(["fsfreeze", "--unfreeze", self.path], check=True)

    def turns_read_only(self):
        """As ext4 does when it comes upon an error; files that are open for writing are no obstacle to it."""
        device = subprocess.run(["findmnt", "-no", "SOURCE", self.path], capture_output=True, text=True,
                                check=True).stdout.strip()
        with open(f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error", "w") as f:
            f.write("1")

    def repair(self):
        """What an operator does about it."""
        wait_for(f"nobody to use {self.path}", 30,
                 lambda: subprocess.run(["umount", self.path], capture_output=True).returncode == 0)
        check(subprocess.run(["e2fsck", "-p", self.image], capture_output=True).returncode < 4, "it can be repaired")
        self.mount()

    def remove(self):
        subprocess.run(["fsfreeze", "--unfreeze", self.path], capture_output=True)
        subprocess.run(["umount", "-l", self.path], capture_output=True)


class FailingLab(Lab):
    def __init__(self, **dynamic):
        self.disks = {}
        super().__init__(dynamic={**FAILING, **dynamic})
        for member in self:
            self.disks[member] = FailingDisk(self, member)

    def stop(self):
        for disk in self.disks.values():  # what waits for one cannot be ended
            subprocess.run(["fsfreeze", "--unfreeze", disk.path], capture_output=True)
        super().stop()
        for disk in self.disks.values():
            disk.remove()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def replicas(lab):
    primary = lab.wait_primary(30)
    return [m for m in lab if m is not primary]


def wait_failed(lab, member, why):
    wait_for(f"{member.name} to say that its disk has failed", 20, lambda: state_of(member) == "failed")
    listed = wait_for("list to say so", 10, lambda: [
        line for line in lab.ctl("list").stdout.splitlines() if f"{member.name}: its disk takes no writes" in line])
    check(why in listed[0] and f"relevoctl reinit lab {member.name}" in listed[0], listed)
    metric = f'relevo_disk_failed{{scope="{lab.scope}",name="{member.name}"}} 1'
    check(metric in member.api("/metrics")[1], metric)


@scenario
def a_replica_whose_disk_stalls_says_so_and_goes_on():
    with FailingLab() as lab:
        lab.start()
        writers = Writers(lab, clients=2, pause=0.002).start()
        replica, other = replicas(lab)
        place = wait_for("its first probe", 10, lambda: replica.status()["disk"]["places"][0].get("probe") and
                         replica.status()["disk"]["places"][0])
        check(place["name"] == "data and WAL" and place["probe"]["age"] < 10, place)
        check(os.path.getsize(replica.data + ".probe") == 8192, "one page, beside the data directory")
        lab.disks[replica].stalls()
        wait_failed(lab, replica, "data and WAL: a page was not written within 2 s")
        check(state_of(other) == "ok", "a disk of its own is well")
        before = writers.count()
        wait_for("writes to go on without it", 10, lambda: writers.count() > before + 100)
        lab.disks[replica].goes_on()
        wait_for("its disk to be well", 20, lambda: state_of(replica) == "ok")
        wait_for("list to say nothing of it", 10, lambda: "takes no writes" not in lab.ctl("list").stdout)
        verify(lab, writers)
        check(said(replica, "disk: it takes no writes. ") and said(replica, "disk: it takes writes again"), "the log")


@scenario
def a_replica_whose_disk_turns_read_only_says_so_and_comes_back_once_it_is_repaired():
    with FailingLab() as lab:
        lab.start()
        writers = Writers(lab, clients=2, pause=0.002).start()
        replica, _ = replicas(lab)
        lab.disks[replica].turns_read_only()
        wait_failed(lab, replica, "Read-only file system")
        before = writers.count()
        wait_for("writes to go on without it", 10, lambda: writers.count() > before + 100)
        lab.disks[replica].repair()
        wait_for("its disk to be well", 20, lambda: state_of(replica) == "ok")
        verify(lab, writers)


@scenario
def a_primary_whose_disk_turns_read_only_is_replaced_and_comes_back_once_it_is_repaired():
    mode = synchronous("quorum")
    with FailingLab(**mode) as lab:
        lab.start()
        writers = Writers(lab, clients=4, pause=0.002).start()
        primary = lab.primary()
        wait_until_votes_count(lab, mode)
        before = writers.count()
        wait_for("rows", 30, lambda: writers.count() > before + 100)
        lab.disks[primary].turns_read_only()
        then = lab.wait_primary(30, other_than=primary)
        now = time.monotonic()
        wait_for("writes on the new primary", 30, lambda: any(a and a[-1][1] > now for a in writers.acked))
        wait_failed(lab, primary, "Read-only file system")
        check(lab.primary() is then, "nobody moves any more")
        lab.disks[primary].repair()
        wait_for("its disk to be well", 20, lambda: state_of(primary) == "ok")
        check(verify(lab, writers) is then, "it comes back as a replica")


@scenario
def an_idle_primary_whose_disk_stalls_is_replaced():
    with FailingLab() as lab:
        lab.start()
        primary = lab.primary()
        wait_for("its disk to be known", 10, lambda: state_of(primary) == "ok")
        lab.disks[primary].stalls()
        then = lab.wait_primary(30, other_than=primary)
        logged(primary, "end only when the disk answers", "what hangs in the kernel is not waited for")
        then.sql("create table t as select 1 as n")
        wait_failed(lab, primary, "data and WAL: a page was not written within 2 s")
        lab.disks[primary].goes_on()
        wait_for("its disk to be well", 20, lambda: state_of(primary) == "ok")
        check(verify(lab) is then, "it comes back as a replica")
        check(primary.sql("select n from t") == [(1,)], "with what was written since")


def main():
    if os.geteuid() != 0:
        print("SKIPPED: small file systems need root")
        sys.exit(77)
    if INSIDE not in os.environ:
        trial = subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True)
        if trial.returncode:
            print("SKIPPED: this machine gives no mount namespace")
            sys.exit(77)
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    run()


if __name__ == "__main__":
    main()
