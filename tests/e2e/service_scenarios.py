"""The agent as whoever starts it sees it: systemd with Type=notify, a container without an init.

  tests/e2e/service_scenarios.py NAME ...   run some      tests/e2e/service_scenarios.py --list   their names
"""
import os
import signal
import socket
import subprocess
import sys

from registry import FAST, check, run, scenario, verify
from lab import Lab, wait_for


class NotifiedLab(Lab):
    """One member that is started as systemd starts a Type=notify unit."""

    def agent_environment(self):
        return {**super().agent_environment(), "NOTIFY_SOCKET": os.path.join(self.directory, "notify")}


class Listener:
    def __init__(self, lab):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(lab.directory, "notify")
        self.socket.bind(path)
        lab.give(path)
        self.socket.setblocking(False)
        self.heard = []

    def hears(self, what):
        try:
            while True:
                self.heard.append(self.socket.recv(1024).decode())
        except BlockingIOError:
            pass
        return [text for text in self.heard if text.startswith(what)]


@scenario
def systemd_is_told_when_the_agent_is_ready_reloads_and_stops():
    with NotifiedLab(members=1, dynamic=FAST) as lab:
        listener = Listener(lab)
        member = next(iter(lab))
        member.start()
        wait_for("READY=1", 30, lambda: listener.hears("READY=1"))
        check(member.api("/liveness")[0] in (200, 503), "ready means that the API answers")
        lab.wait_healthy(40)
        ready = len(listener.hears("READY=1"))
        os.kill(member.agent.pid, signal.SIGHUP)
        wait_for("RELOADING=1", 10, lambda: listener.hears("RELOADING=1\nMONOTONIC_USEC="))
        wait_for("READY=1 again", 10, lambda: len(listener.hears("READY=1")) > ready)
        check(not listener.hears("STOPPING=1"), f"it does not stop yet: {listener.heard}")
        verify(lab)
        # PostgreSQL's own children must not speak for the service.
        with open(f"/proc/{member.postmaster()}/environ") as f:
            check("NOTIFY_SOCKET" not in f.read(), "the postmaster does not inherit NOTIFY_SOCKET")
        os.kill(member.agent.pid, signal.SIGTERM)
        wait_for("STOPPING=1", 10, lambda: listener.hears("STOPPING=1"))
        check(member.agent.process.wait(30) == 0, "SIGTERM ends it with 0")


class ContainedLab(Lab):
    """One member whose agent is process 1 of a PID namespace, as in a container without an init."""

    def agent_argv(self, member):
        contained = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        return [*contained, "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                *super().agent_argv(member)]


class Contained:
    """The agent, started as root: unshare needs that."""

    def __init__(self, lab, member):
        self.member = member
        member.write_config()
        self.log = open(os.path.join(lab.directory, "contained.log"), "w")
        self.process = subprocess.Popen(lab.agent_argv(member), cwd=member.home, env=lab.agent_environment(),
                                        stdout=self.log, stderr=subprocess.STDOUT)

    def children(self, pid):
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(word) for word in f.read().split()]

    def first(self):
        found = self.children(self.process.pid)
        return found[0] if found else None

    def zombies(self):
        def state(pid):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    return f.read().rsplit(")", 1)[1].split()[0]
            except OSError:
                return ""
        return [pid for pid in self.children(self.first()) if state(pid) == "Z"]

    def stop(self):
        self.process.kill()
        self.process.wait(10)
        self.log.close()


@scenario
def as_process_1_the_agent_passes_signals_on_and_leaves_no_zombies():
    tried = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True)
    if os.geteuid() != 0 or tried.returncode != 0:
        print("SKIPPED: process namespaces need root (and a kernel that allows them)")
        sys.exit(77)
    with ContainedLab(members=1, dynamic=FAST) as lab:
        member = next(iter(lab))
        contained = Contained(lab, member)
        try:
            wait_for("a primary", 60, member.is_primary)
            check(len(contained.children(contained.first())) >= 2,
                  "process 1 has the agent and, since it was started detached, the postmaster as children")
            for _ in range(3):
                member.sql("select 1")
            wait_for("no zombies", 10, lambda: not contained.zombies())
            os.kill(contained.first(), signal.SIGTERM)
            check(contained.process.wait(40) == 0, "SIGTERM to process 1 stops the agent, which ends with 0")
            check(not os.path.exists(os.path.join(member.data, "postmaster.pid")), "and stops PostgreSQL first")
        finally:
            contained.stop()


if __name__ == "__main__":
    run()
