"""The way from the end of the right to lead to the last dead process waits for nothing that may be broken: no disk, no
log, no thread of the pool.

  tests/e2e/fencing_scenarios.py NAME ...   run some      tests/e2e/fencing_scenarios.py --list   their names
"""
import fcntl
import os
import shlex
import struct
import termios
import threading
import time

from registry import check, run, scenario
from lab import Lab, wait_for

TIMES = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2}


class FullPipe:
    """What the agent says goes into a pipe that is read until fill() is called, and never after that."""

    def __init__(self, lab, member):
        self.path = os.path.join(member.home, "stderr")
        os.mkfifo(self.path)
        lab.give(self.path)
        self.end = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, 4096)
        self.reading = True
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        program = shlex.quote(os.path.join(lab.bin, "relevo"))
        lab.agent_argv = lambda m: ["/bin/sh", "-c",
                                    f"exec {program} {shlex.quote(m.yaml)} 2> {shlex.quote(self.path)}"]

    def read(self):
        while self.reading:
            try:
                os.read(self.end, 65536)
            except BlockingIOError:
                pass
            time.sleep(0.01)

    def waits(self):
        return struct.unpack("i", fcntl.ioctl(self.end, termios.FIONREAD, b"\0" * 4))[0]

    def fill(self):
        self.reading = False
        self.thread.join()

        def full():  # the same for a while, although the agent goes on
            before = self.waits()
            time.sleep(2)
            return before > 2048 and self.waits() == before
        wait_for("the pipe to be full", 30, full)


class DeadDisk:
    """PGDATA/PG_VERSION, which the agent reads at each look and a running PostgreSQL does not, hangs who opens it."""

    def __init__(self, member):
        self.path = os.path.join(member.data, "PG_VERSION")
        os.rename(self.path, self.path + ".kept")
        os.mkfifo(self.path)
        member.lab.give(self.path)

    def revive(self):
        os.rename(self.path + ".kept", self.path + ".back")
        end = None
        until = time.monotonic() + 10
        while time.monotonic() < until and end is None:
            try:
                end = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                break  # nobody hangs there
        os.rename(self.path + ".back", self.path)
        if end is not None:
            os.close(end)


@scenario
def fencing_waits_for_neither_a_dead_disk_nor_a_full_log():
    with Lab(members=1, dynamic=TIMES) as lab:
        member = lab.members["pg-node-1"]
        member.config["log"] = {"level": "DEBUG"}
        pipe = FullPipe(lab, member)
        lab.start()
        pipe.fill()
        check(member.writable() and lab.primary() is member, "a log that nobody reads changes nothing")
        disk = DeadDisk(member)
        try:
            time.sleep(6)  # a few looks: each leaves a thread of the pool hanging
            check(member.writable(), "a disk that hangs is no reason to stop while the lease is kept")
            check(member.postgres_tree(), "there is a tree to kill")
            began = time.monotonic()
            lab.etcd.stop()
            wait_for("the last process to be dead", TIMES["ttl"] + 5, lambda: not member.postgres_tree())
            print(f"  dead {time.monotonic() - began:.2f} s after the DCS (ttl {TIMES['ttl']} s)")
            check(member.agent.alive(), "the agent lives on")
        finally:
            disk.revive()


if __name__ == "__main__":
    run()
