"""The outages that `make bench-failover` measures: what happens, how it is cured, and what four writers saw."""
import json
import time

from traffic import Traffic

LONG_FREEZE, LONG_WITHOUT_ETCD, FULL_DISK = 45, 60, 30
FILL_RATE = 50  # MB a second


class Outage:
    """One repetition. `shares`: how the gap divides (detect, seal, take, promote, first write), in seconds, when the
    agents tell; an empty one is not shown."""

    def __init__(self):
        self.gap = self.streaming = None
        self.lost = self.overlaps = self.acknowledged = 0
        self.moved = False
        self.shares = {}


class Act:
    """What a row needs: the lab, the primary, and the time that the cluster has to go on writing by itself."""

    def __init__(self, lab):
        self.lab, self.primary = lab, lab.primary()
        self.ttl = lab.dynamic["ttl"]

    def replica(self):
        return next(m for m in self.lab if m is not self.primary)


def lasts(seconds):
    time.sleep(seconds)  # a fault's duration


# Each does its harm, and gives back (how long it lasts at least, the cure or None).
def postmaster(act):
    act.primary.kill_postmaster()
    return 1, None


def power(act):
    act.lab.power_off(act.primary)
    return 1, lambda: act.lab.power_on(act.primary)


def cut(act):
    act.lab.network.isolate(act.primary.host)
    return act.ttl + 2, act.lab.network.heal


def agent(act):
    act.primary.kill_agent()
    return 2 * act.ttl, act.primary.start


def frozen(act):
    act.primary.host.freeze()
    return LONG_FREEZE, act.primary.host.thaw


def postgres_frozen(act):
    act.primary.host.freeze(act.lab.postgres_of(act.primary))
    return 1, act.primary.host.thaw


def etcd_quorum(act):
    for node in act.lab.etcd.nodes[1:]:
        node.kill()
    return LONG_WITHOUT_ETCD, act.lab.start_etcd


def disk(act):
    act.primary.host.fill_disk()
    try:
        # What is allocated already would last for minutes.
        for _ in range(5):
            act.primary.sql("select pg_logical_emit_message(false, 'bench', 'x'); select pg_switch_wal()")
    except Exception:  # this is what we came for
        pass
    return FULL_DISK, act.primary.host.empty_disk


def disk_fills(act):
    """Until nothing is left, which takes less than the time it lasts."""
    act.primary.host.fill_disk_at(FILL_RATE)

    def cure():
        act.primary.host.empty_disk()
        for member in act.lab:
            if "PANIC:" in member.agent.tail(10 ** 6):
                raise AssertionError(f"a PANIC in the log of {member.name}")
    return FULL_DISK, cure


def replica_power(act):
    replica = act.replica()
    act.lab.power_off(replica)
    return act.ttl + 2, lambda: act.lab.power_on(replica)


def switchover(act):
    code, text = act.primary.api("/switchover", "POST", {"leader": act.primary.name}, timeout=60)
    if code != 200:
        raise AssertionError(f"switchover: {code} {text}")
    return 1, None


def power_with_etcd(act):
    """etcd's leader is moved to the primary's host first."""
    here = act.lab.etcd_on(act.primary.host)
    if not here:
        raise AssertionError(f"{act.primary.name}'s host runs no etcd")
    act.lab.move_etcd_leader(here[0].name)
    return power(act)


class Row:
    def __init__(self, title, act, stuck=False, together=False, disk_mb=0):
        self.title, self.act, self.stuck, self.together, self.disk_mb = title, act, stuck, together, disk_mb


ROWS = {
    "postmaster": Row("postmaster killed", postmaster),
    "power": Row("primary's host loses power", power),
    "cut": Row("primary's host cut off, a client stuck with it", cut, stuck=True),
    "agent": Row("agent killed for good, PostgreSQL alive", agent),
    "frozen": Row("host frozen 45 s, then awake, a client stuck with it", frozen, stuck=True),
    "postgres": Row("PostgreSQL frozen, agent alive", postgres_frozen),
    "etcd": Row("etcd without its quorum for 60 s", etcd_quorum),
    "disk": Row("disk of the primary full for 30 s", disk, disk_mb=512),
    "filling": Row(f"disk of the primary fills at {FILL_RATE} MB/s", disk_fills, disk_mb=1000),
    "replica": Row("replica's host loses power", replica_power),
    "switchover": Row("planned switchover", switchover),
    "together": Row("host loses power, etcd's leader on it", power_with_etcd, together=True),
}


def told(lab):
    """What relevoctl explain says of the last change of leader; nothing where the agents keep no journal."""
    answer = lab.ctl("explain", "-f", "json")
    return json.loads(answer.stdout) if answer.returncode == 0 else {}


def shares(before, after, new, gap):
    """How the gap divides. The journal's part begins when the old leader was last heard and ends with the promotion;
    what is left of the writers' gap is the way to the first acknowledged write. A gap that is shorter than that part
    (commits went on for a while unheard) leaves nothing."""
    if after.get("count", 0) != before.get("count", 0) + 1 or after["after"]["member"] != new.name:
        return {}
    parts = {name: after["shares_ms"][name] / 1000 for name in ("detect", "seal", "take", "promote")
             if name in after["shares_ms"]}
    return {**parts, "first write": max(0.0, gap - sum(parts.values()))} if parts else {}


def measure(lab, row, number, patience):
    """One repetition in a lab that is healed afterwards."""
    lab.wait_settled(patience)
    outage, before = Outage(), told(lab)
    traffic = Traffic(lab, f"bench_{number}", followers=4, stuck=row.stuck).start()
    try:
        act = Act(lab)
        traffic.wait_acks(300, 30)
        at = time.monotonic()
        seconds, cure = row.act(act)
        lasts(max(0.0, at + seconds - time.monotonic()))
        if seconds < LONG_FREEZE and row.act not in (disk, disk_fills):
            traffic.wait_acks(100, patience)  # by itself, without the cure
        cured = time.monotonic()
        if cure:
            cure()
        traffic.wait_acks(50, patience)
        primary = lab.wait_healthy(patience)
        outage.streaming = time.monotonic() - cured if cure else None
        lab.heal()
        primary = lab.wait_settled(patience)
        traffic.wait_acks(100, patience)
    finally:
        book = traffic.stop()
    found = traffic.check(primary)
    outage.gap, outage.acknowledged = book.gap(at), found.acknowledged
    outage.lost, outage.overlaps, outage.moved = len(found.lost), len(found.overlaps), primary is not act.primary
    if outage.moved:
        outage.shares = shares(before, told(lab), primary, outage.gap)
    return outage

