"""What can happen to a cluster, and a seed's choice of it.

A fault begins and, when its time is up, ends; what it did to a host that lost power meanwhile is gone with it. A plan
names roles, not members: who is the primary when a fault strikes is the cluster's doing.
"""
import os
import signal
import threading

from lab import wait_for

PRIMARY, OTHERS = 0, -1  # targets; 1, 2, ... are standbys in the order of their names
FAULTS = {}              # kind: (begin, weight)


def fault(kind, weight=2):
    def register(f):
        FAULTS[kind] = (f, weight)
        return f
    return register


class Step:
    """One fault of a round: when it strikes (seconds into the round), whom, for how long, and a dice of its own."""

    def __init__(self, kind, at, seconds, target, dice):
        self.kind, self.at, self.seconds, self.target, self.dice = kind, at, seconds, target, dice

    def __str__(self):
        whom = "the primary" if self.target == PRIMARY else f"standby {self.target}"
        return f"{self.at:.1f} s: {self.kind}, {whom}, {self.seconds:.1f} s ({self.dice})"


def plan(rng, members, ttl, kinds=None):
    """A round: mostly one fault, sometimes two or three that overlap."""
    kinds = kinds or list(FAULTS)
    weights = [FAULTS[k][1] for k in kinds]
    steps = []
    for _ in range(rng.choices((1, 2, 3), (60, 28, 12))[0]):
        short, long = rng.uniform(0.3, ttl * 0.6), rng.uniform(ttl + 1, ttl * 2 + 2)
        steps.append(Step(rng.choices(kinds, weights)[0], rng.uniform(0, 4) if steps else 0.0,
                          rng.choice((short, long, long)), rng.choices((PRIMARY, rng.randrange(1, members)), (7, 3))[0],
                          rng.randrange(1000)))
    return sorted(steps, key=lambda s: s.at)


class Scene:
    """What a fault needs to know of its round."""

    def __init__(self, lab, traffic, say):
        self.lab, self.traffic, self.say = lab, traffic, say
        self.first = lab.primary()
        self.asked = []  # threads with what an operator asked for

    def member(self, target):
        """Whoever acknowledged last is the primary."""
        last = self.traffic.last_server()
        primary = self.lab.members[last] if last else self.first
        standbys = sorted((m for m in self.lab if m is not primary), key=lambda m: m.name)
        return primary if target == PRIMARY else standbys[(target - 1) % len(standbys)]

    def ask(self, *words):
        def run():
            done = self.lab.ctl(*words, timeout=60)
            lines = [t for t in (done.stdout + done.stderr).splitlines() if t.strip() and t[0] not in "+| "]
            self.say(f"relevoctl {' '.join(words)}: exit code {done.returncode}, {lines[-1] if lines else ''}")
        self.meanwhile(run)

    def meanwhile(self, action):
        """Beside the round; that it fails is part of the game, and told."""
        def run():
            try:
                action()
            except Exception as e:
                self.say(f"{e}".split("\n")[0])
        self.asked.append(threading.Thread(target=run, daemon=True))
        self.asked[-1].start()


# Each begins a fault, and gives back how it ends, or None.
@fault("postmaster killed", 3)
def kill_postmaster(scene, step):
    member = scene.member(step.target)
    pid = member.postmaster()
    if pid:
        os.kill(pid, signal.SIGKILL)


@fault("agent killed", 3)
def kill_agent(scene, step):
    member = scene.member(step.target)
    member.agent.kill()
    return lambda: member.start() if member.host.on and not member.agent.alive() else None


@fault("power loss", 4)
def power_loss(scene, step):
    member = scene.member(step.target)
    if not member.host.on:
        return None
    scene.lab.power_off(member)
    return lambda: scene.lab.power_on(member)


@fault("power loss of two")
def power_loss_of_two(scene, step):
    members = [scene.member(PRIMARY), scene.member(1 + step.dice % (len(scene.lab.members) - 1))]
    members = [m for m in members if m.host.on]
    for member in members[::1 if step.dice % 2 else -1]:
        scene.lab.power_off(member)

    def end():
        for member in members[::1 if step.dice % 3 else -1]:
            scene.lab.power_on(member)
    return end


@fault("host frozen", 4)
def freeze_host(scene, step):
    """Like a virtual machine that pauses: sometimes its link is dead, sometimes its kernel still answers; and
    sometimes PostgreSQL is awake a second before its agent."""
    member = scene.member(step.target)
    host = member.host
    host.freeze()
    if step.dice % 2:
        host.unplug()

    def end():
        if not host.on:
            return
        host.plug_in()
        if step.dice % 3 == 0:
            host.thaw(scene.lab.postgres_of(member))
            scene.later(1.0, host.thaw)
        else:
            host.thaw()
    return end


@fault("PostgreSQL frozen")
def freeze_postgres(scene, step):
    member = scene.member(step.target)
    which = scene.lab.postgres_of(member)
    member.host.freeze(which)
    return lambda: member.host.thaw(which)


@fault("agent frozen")
def freeze_agent(scene, step):
    member = scene.member(step.target)
    member.agent.send(signal.SIGSTOP)
    return lambda: member.agent.send(signal.SIGCONT)


@fault("two hosts cut", 3)
def cut_two(scene, step):
    network = scene.lab.network
    a, b = scene.member(step.target), scene.member(step.target + 1)
    direction = ("both", "both", "there", "back")[step.dice % 4]
    scene.say(f"{a.name} and {b.name}, {direction}")
    network.cut(a.host, b.host, direction)
    return lambda: network.uncut(a.host, b.host)


@fault("host cut off", 5)
def cut_off(scene, step):
    member = scene.member(step.target)
    direction = ("both", "both", "in", "out")[step.dice % 4]
    scene.say(f"{member.name}, {direction}")
    scene.lab.network.isolate(member.host, direction)
    return lambda: scene.lab.network.restore(member.host)


@fault("cut from etcd")
def cut_from_etcd(scene, step):
    lab, member = scene.lab, scene.member(step.target)
    direction = ("both", "there", "back")[step.dice % 3]
    places = [h for h in lab.etcd.hosts.values() if h is not member.host]
    for host in places:
        lab.network.cut(member.host, host, direction)

    def end():
        for host in places:
            lab.network.uncut(member.host, host)
    return end


@fault("packet loss")
def packet_loss(scene, step):
    member = scene.member(step.target)
    scene.lab.network.lossy(member.host, 30)
    return lambda: scene.lab.network.restore(member.host)


@fault("etcd leader killed")
def kill_etcd_leader(scene, step):
    node = scene.lab.etcd_leader()
    if node:
        node.kill()
    return scene.lab.start_etcd


@fault("etcd quorum lost")
def lose_etcd(scene, step):
    nodes = scene.lab.etcd.nodes
    for node in nodes[step.dice % 2:][:len(nodes) // 2 + 1]:
        node.kill()
    return scene.lab.start_etcd


@fault("disk full")
def fill_disk(scene, step):
    """Sometimes only tables cannot grow; sometimes there is no room for the next WAL file either."""
    member = scene.member(step.target)
    member.host.fill_disk()
    if step.dice % 2:
        primary = scene.member(PRIMARY)
        scene.meanwhile(lambda: [primary.sql("select pg_logical_emit_message(false, 'chaos', 'x'); "
                                             "select pg_switch_wal()") for _ in range(5)])
    return member.host.empty_disk


@fault("switchover")
def switchover(scene, step):
    scene.ask("switchover", "--force")


@fault("restart", 1)
def restart(scene, step):
    scene.ask("restart", scene.lab.scope, scene.member(step.target).name, "--force")


@fault("reinit", 1)
def reinit(scene, step):
    scene.ask("reinit", scene.lab.scope, scene.member(1 + step.dice % 2).name, "--force")


def wait_asked(scene):
    for thread in scene.asked:
        wait_for("the operator's command ends", 65, lambda t=thread: not t.is_alive())
