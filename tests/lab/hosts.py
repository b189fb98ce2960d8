"""Hosts that are network namespaces on one bridge, to be cut from each other, frozen, and switched off. For the
chaos laboratory and `make bench-failover`; only inside a sandbox (sandbox.py), whose namespaces end with it.

A host is its namespace: whatever runs in it belongs to it, and goes with it.
"""
import os
import shutil
import signal
import subprocess
import sys
import time

BRIDGE = "lab0"
NET = "10.77.0"  # nobody else's: the sandbox has no way out
OBSERVER = f"{NET}.254"

TABLE = """add table inet faults
delete table inet faults
table inet faults {
chain in {
type filter hook input priority -10; policy accept;
%s
}
}
"""

# argv: a file, bytes a second. Writes until nothing is left, and then into whatever becomes free.
FILLER = """
import sys, time
piece, began, written = b"x" * (1 << 20), time.monotonic(), 0
with open(sys.argv[1], "wb", buffering=0) as f:
    while True:
        try:
            if written < (time.monotonic() - began) * int(sys.argv[2]):
                written += f.write(piece)
                continue
        except OSError:
            pass
        time.sleep(0.005)
"""


def do(*words, input=None):
    done = subprocess.run(words, input=input, text=True, capture_output=True)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()} {input or ''}")
    return done.stdout


class Host:
    def __init__(self, network, name, number):
        self.network, self.name = network, name
        self.address = f"{NET}.{number}"
        self.link = f"v{number}"
        self.near = []  # hosts that stay with this one when it is cut off: a client next to it
        self.on = True
        self.rules = []  # nftables', as they are in force
        self.ballast = self.filler = None
        self.mount = None
        do("ip", "netns", "add", name)
        self.space = f"/run/netns/{name}"
        self.inode = os.stat(self.space).st_ino
        do("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", name)
        do("ip", "link", "set", self.link, "master", BRIDGE, "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{self.address}/24", "dev", "eth0"),
                      ("link", "set", "eth0", "up")):
            do("ip", "-n", name, *words)

    def within(self):
        """What a command begins with to run on this host."""
        return ["nsenter", f"--net={self.space}", "--"]

    def pids(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}/ns/net").st_ino == self.inode:
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def signal_all(self, number, only=None):
        for pid in self.pids():
            if only is None or only(pid):
                try:
                    os.kill(pid, number)
                except OSError:
                    pass

    # Faults. Memory that was not written to the disk yet survives a loss of power here: the kernel goes on.
    def power_off(self):
        """First the link, so that from outside it is one moment."""
        self.on = False
        do("ip", "link", "set", self.link, "down")
        while self.pids():
            self.signal_all(signal.SIGSTOP)
            self.signal_all(signal.SIGKILL)
            time.sleep(0.005)

    def power_on(self):
        """The network only; what ran on it is started by who knows it."""
        self.plug_in()
        self.on = True

    def unplug(self):
        do("ip", "link", "set", self.link, "down")

    def plug_in(self):
        do("ip", "link", "set", self.link, "up")

    def freeze(self, only=None):
        """`only`: which of its processes. Twice: one may have been forked just before its parent stopped."""
        self.signal_all(signal.SIGSTOP, only)
        self.signal_all(signal.SIGSTOP, only)

    def thaw(self, only=None):
        self.signal_all(signal.SIGCONT, only)

    def starve(self, processes=2):
        """CPU starvation: so many busy loops, of higher priority than everything else, on the whole machine."""
        return [subprocess.Popen([*self.within(), "nice", "-n", "-10", "sh", "-c", "while :; do :; done"])
                for _ in range(processes)]

    # A small disk.
    def small_disk(self, path, megabytes):
        """A file system of its own at `path`, through a loop device, or OSError where that is not possible. It is in
        the sandbox's memory, as much of it as is used: what else goes on on the machine's disk must not count."""
        image = f"/dev/shm/{self.name}.img"
        with open(image, "wb") as f:
            f.truncate(megabytes << 20)
        try:
            do("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image)
            do("mount", "-o", "loop,noatime", image, path)
        finally:
            os.unlink(image)  # it ends with the mount
        shutil.rmtree(os.path.join(path, "lost+found"))
        self.mount = path

    def fill_disk(self):
        """Not one block is left; what was there can be changed in place."""
        self.ballast = os.path.join(self.mount, "ballast")
        with open(self.ballast, "ab") as f:
            for size in (1 << 20, 4096):
                chunk = b"\0" * size
                try:
                    while True:
                        os.write(f.fileno(), chunk)
                except OSError:
                    pass

    def fill_disk_at(self, megabytes):
        """So much a second, from now on."""
        self.ballast = os.path.join(self.mount, "ballast")
        self.filler = subprocess.Popen([*self.within(), sys.executable, "-c", FILLER, self.ballast,
                                        str(megabytes << 20)])

    def empty_disk(self):
        if self.filler:
            self.filler.kill()
            self.filler.wait()
            self.filler = None
        if self.ballast:
            try:
                os.unlink(self.ballast)
            except FileNotFoundError:  # a copy that was made anew went over it
                pass
            self.ballast = None


class Network:
    """The bridge, its hosts, and what is lost on the way. Whoever started the test sees all (OBSERVER)."""

    def __init__(self):
        self.hosts = {}
        self.cuts = set()    # (from, to) that hear nothing
        self.losses = {}     # (from, to): percent
        do("ip", "link", "set", "lo", "up")
        do("ip", "link", "add", BRIDGE, "type", "bridge")
        do("ip", "addr", "add", f"{OBSERVER}/24", "dev", BRIDGE)
        do("ip", "link", "set", BRIDGE, "up")

    def add(self, name, number):
        self.hosts[name] = Host(self, name, number)
        return self.hosts[name]

    def others(self, host):
        return [h for h in self.hosts.values() if h is not host and h not in host.near]

    def cut(self, a, b, direction="both"):
        """`there`: b hears nothing of a; `back`: a hears nothing of b. Silently, as a switch drops."""
        if direction in ("both", "there"):
            self.cuts.add((a, b))
        if direction in ("both", "back"):
            self.cuts.add((b, a))
        self.apply()

    def isolate(self, host, direction="both"):
        """From everybody but the observer and the clients next to it. `out`: nobody hears it; `in`: it is deaf."""
        for other in self.others(host):
            if direction in ("both", "out"):
                self.cuts.add((host, other))
            if direction in ("both", "in"):
                self.cuts.add((other, host))
        self.apply()

    def lossy(self, host, percent):
        for other in self.others(host):
            self.losses[host, other] = self.losses[other, host] = percent
        self.apply()

    def uncut(self, a, b):
        self.cuts -= {(a, b), (b, a)}
        self.apply()

    def restore(self, host):
        """Nothing is lost any more on the ways from and to this host."""
        self.cuts = {pair for pair in self.cuts if host not in pair}
        self.losses = {pair: p for pair, p in self.losses.items() if host not in pair}
        self.apply()

    def heal(self):
        self.cuts.clear()
        self.losses.clear()
        self.apply()
        for host in self.hosts.values():
            host.plug_in()

    def apply(self):
        """Each receiver drops by itself: a sender's kernel would tell the sender."""
        for host in self.hosts.values():
            rules = [f"ip saddr {a.address} drop" for a, b in self.cuts if b is host]
            rules += [f"ip saddr {a.address} numgen random mod 100 < {percent} drop"
                      for (a, b), percent in self.losses.items() if b is host]
            if rules != host.rules:
                host.rules = rules
                do(*host.within(), "nft", "-f", "-", input=TABLE % "\n".join(rules))

    def close(self):
        for host in self.hosts.values():
            while host.pids():
                host.signal_all(signal.SIGKILL)
                time.sleep(0.005)
            if host.mount:
                do("umount", "-l", host.mount)
            do("ip", "link", "del", host.link)
            do("ip", "netns", "del", host.name)
        self.hosts.clear()
        do("ip", "link", "del", BRIDGE)
