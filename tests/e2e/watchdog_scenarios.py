"""The watchdog device (docs/adr/0008), by its testing driver: a file that is told what a device would be. The scenario
is the hardware, and resets the host when it is not fed in time. Nothing here touches a real device.

  tests/e2e/watchdog_scenarios.py NAME ...   run some      tests/e2e/watchdog_scenarios.py --list   their names
"""
import os
import re
import threading
import time

from registry import check, log_of, run, scenario, verify
from lab import Lab, Writers, wait_for

TIMES = {"ttl": 10, "loop_wait": 2, "retry_timeout": 3}
MARGIN = 3


class Device:
    """The file of one member, and the hardware behind it."""

    def __init__(self, lab, member):
        self.member, self.resets, self.over = member, [], False
        self.path = os.path.join(member.home, "watchdog")
        with open(self.path, "w"):
            pass
        lab.give(self.path)
        member.config["watchdog"] = {"mode": "required", "device": self.path, "driver": "testing",
                                     "safety_margin": MARGIN}
        self.thread = threading.Thread(target=self.count, daemon=True)
        self.thread.start()

    def told(self):
        with open(self.path) as f:
            return f.read()

    def counts(self):
        told = self.told()
        return bool(told) and not told.endswith("V")

    def count(self):
        size, fed_at = 0, time.monotonic()
        while not self.over:
            told = self.told()
            if len(told) != size:
                size, fed_at = len(told), time.monotonic()
            timeouts = re.findall(r"T(\d+)\n", told)
            if timeouts and self.counts() and time.monotonic() - fed_at > int(timeouts[-1]):
                self.resets.append(time.monotonic())
                self.member.lose_power()
                return
            time.sleep(0.02)


class Watched:
    def __init__(self, members=3):
        self.lab = Lab(members=members, dynamic=TIMES)
        self.devices = {m: Device(self.lab, m) for m in self.lab}

    def __enter__(self):
        try:
            self.lab.start()
        except BaseException as e:
            self.__exit__(type(e))
            raise
        return self.lab, self.devices

    def __exit__(self, kind, *_):
        for device in self.devices.values():
            device.over = True
            device.thread.join()
        self.lab.__exit__(kind)


@scenario
def watchdog_resets_the_host_of_an_agent_that_is_killed_for_good():
    with Watched() as (lab, devices):
        primary = lab.primary()
        device = devices[primary]
        check(device.told().startswith(f"T{TIMES['ttl'] - MARGIN}\n"), f"armed: {device.told()[:20]!r}")
        check(all(not d.counts() for m, d in devices.items() if m is not primary), "nobody else's counts")
        writers = Writers(lab).start()
        time.sleep(1)
        primary.kill_agent()
        successor = lab.wait_primary(40, other_than=primary)
        check(len(device.resets) == 1, "the device had reset the old primary's host before another led")
        check(not primary.postgres_tree(), "and nothing of it lived on")
        writers.stop()
        check(successor.writable(), "the successor takes writes")


@scenario
def watchdog_is_disarmed_by_a_switchover_and_by_a_stop():
    with Watched() as (lab, devices):
        old = lab.primary()
        done = lab.ctl("switchover", "--leader", old.name, "--force")
        check(done.returncode == 0, done.stdout + done.stderr)
        new = lab.wait_primary(20, other_than=old)
        wait_for("the old leader's device to rest", 10, lambda: not devices[old].counts())
        wait_for("the new leader's device to count", 10, lambda: devices[new].counts())
        time.sleep(TIMES["ttl"])
        check(not any(d.resets for d in devices.values()), "nobody was reset")
        verify(lab)
        new.agent.stop()
        check(not devices[new].counts(), f"disarmed with the agent's stop: {devices[new].told()[-5:]!r}")


@scenario
def watchdog_is_fed_again_by_an_agent_that_comes_back_in_time():
    with Watched(2) as (lab, devices):
        primary = lab.primary()
        postmaster = primary.postmaster()
        primary.kill_agent()
        time.sleep(1)
        primary.start()
        time.sleep(TIMES["ttl"])
        check(not devices[primary].resets, "not reset")
        check(verify(lab) is primary and primary.postmaster() == postmaster, "it leads on, without a restart")


@scenario
def watchdog_that_is_required_and_missing_lets_nobody_lead_there():
    with Watched() as (lab, devices):
        primary = lab.primary()
        broken = next(m for m in lab if m is not primary)
        os.unlink(devices[broken].path)
        devices[broken].over = True
        wait_for("the API to say so", 20, lambda: broken.status().get("watchdog_failed"))
        wait_for("the log to say so", 20, lambda: "watchdog.mode is required" in log_of(broken))
        done = lab.ctl("switchover", "--leader", primary.name, "--candidate", broken.name, "--force")
        check(lab.primary() is primary, f"it is no candidate: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    run()
