#!/usr/bin/python3
"""S44: the primary loses the DCS and nothing else. What leads clients must never name it beside its successor: its own
/primary, the agents' name servers, the gateway. Needs namespaces (root)."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
import sandbox  # noqa: E402
from gateway import Gateway, PoolWriters  # noqa: E402
from host_lab import HostLab  # noqa: E402
from lab import wait_for  # noqa: E402
from names import first_address  # noqa: E402

DYNAMIC = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "primary_start_timeout": 0, "synchronous_mode": "quorum"}
NAME, PORT = "pg-primary.test", 5353


class Watch:
    """When each member last said that it is the primary, and when it first did; asked as fast as it answers."""

    def __init__(self, members, question):
        self.first, self.last, self.ending = {}, {}, False
        self.threads = [threading.Thread(target=self.run, args=(m, question), daemon=True) for m in members]
        for thread in self.threads:
            thread.start()

    def run(self, member, question):
        while not self.ending:
            asked = time.monotonic()
            for name in question(member):
                self.first.setdefault(name, time.monotonic())
                self.last[name] = asked  # it was so at some moment after this

    def stop(self):
        self.ending = True
        for thread in self.threads:
            thread.join(10)


def leads(member):
    time.sleep(0.002)  # not a loop that takes the CPU from what it watches
    return [member.name] if member.is_primary() else []


def one_after_the_other(watch, old, new, what):
    if watch.last[old] >= watch.first[new]:
        raise AssertionError(f"{what}: {old} was still named {watch.last[old] - watch.first[new]:.3f} s after {new}")
    print(f"  {what}: {watch.first[new] - watch.last[old]:.2f} s between the last word for the old primary and the "
          "first for the new", flush=True)


def main(directory):
    lab = HostLab(os.path.join(directory, "lab"), 3, 3, dynamic=DYNAMIC, keep=False)
    for member in lab:
        member.config["dns"] = {"primary": NAME, "zone": "test", "ttl": 1,
                                "responder": {"listen": f"{member.address}:{PORT}"}}
    gateway, watches = Gateway(lab, host=lab.client), []
    try:
        lab.start(wait=120)
        old = lab.wait_settled()
        by_address = {m.address: m.name for m in lab}

        def named(member):
            time.sleep(0.002)
            found = first_address(member.address, PORT, NAME)
            return [by_address[found]] if found else []
        gateway.start()
        writers = PoolWriters(gateway, 4).start()
        time.sleep(1)
        watches = [Watch(lab, leads), Watch([old], named)]
        time.sleep(0.3)
        for host in lab.etcd.hosts.values():
            lab.network.cut(old.host, host)
        new = lab.wait_primary(30, other_than=old)
        writers.all_go_on(20)
        time.sleep(1)
        # The old one's own name server may learn from nobody who leads now: then it says nothing at all.
        named_late = watches[1].last.get(old.name, 0) >= watches[0].first[new.name]
        for watch in watches:
            watch.stop()
        one_after_the_other(watches[0], old.name, new.name, "/primary")
        if named_late:
            raise AssertionError("the old primary's name server named it beside its successor")
        wait_for("the gateway leads to the new one", 5, lambda: gateway.status()["leader"] == new.name)
        lab.network.heal()
        writers.stopping = True
        survivor = lab.wait_settled()
        writers.stop()
        refused = [e for e in writers.failures() if "read-only" in e[1]]
        if refused or writers.missing(survivor) or writers.worst() > 2:
            raise AssertionError(f"{refused[:3]}, {writers.missing(survivor)[:3]} lost, {writers.worst()} errors "
                                 "for one")
        print(f"  gap {writers.gap() * 1000:.0f} ms, {len(writers.failures())} errors")
        return 0
    except AssertionError:
        print(gateway.log() if gateway.process else "", lab.logs(30))
        raise
    finally:
        for watch in watches:
            watch.ending = True
        gateway.stop()
        lab.stop()


if __name__ == "__main__":
    sandbox.run_test(main, "relevo-gateway-")
