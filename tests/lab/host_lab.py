"""A lab whose members, etcd and clients are hosts of their own (hosts.py), inside a sandbox (sandbox.py)."""
import json
import os
from concurrent.futures import ThreadPoolExecutor

from hosts import NET, Network
from lab import Lab, wait_for

ETCD, BESIDE, CLIENT = 10, 20, 30  # the last numbers of the addresses


class HostLab(Lab):
    """`together`: the first members' hosts run etcd as well. `disk_mb`: each member's home, its data in it, is a
    file system of that size; `no_disks` then says why not, where that cannot be."""

    network_of_all = f"{NET}.0/24"

    def __init__(self, directory, members=3, etcd=3, together=False, dynamic=None, disk_mb=0, keep=True):
        self.network, self.together, self.disk_mb, self.no_disks = Network(), together, disk_mb, None
        self.beside, self.stopped = {}, False
        self.client = self.network.add("client", CLIENT)
        os.makedirs(directory)
        super().__init__(members, etcd, dynamic=dynamic, directory=directory, keep=keep)

    def host(self, name, number):
        return self.network.hosts.get(name) or self.network.add(name, number)

    def etcd_host(self, index):
        return self.host(f"pg-node-{index + 1}", index + 1) if self.together else self.host(f"etcd{index + 1}",
                                                                                            ETCD + index + 1)

    def member_host(self, name, number):
        host = self.host(name, number)
        beside = self.beside[name] = self.network.add(f"beside-{number}", BESIDE + number)
        host.near.append(beside)
        beside.near.append(host)
        if self.disk_mb and not self.no_disks:
            home = os.path.join(self.directory, name)
            os.makedirs(home)
            try:
                host.small_disk(home, self.disk_mb)
            except OSError as e:
                self.no_disks = str(e)
        return host

    def port(self, address, usual):
        return usual

    def address(self, number):
        return f"{NET}.{number}"

    # A host cut off must not hold up the others' answers.
    def primary(self):
        members = [m for m in self if m.agent and m.agent.alive() and m.host.on]
        with ThreadPoolExecutor(max(1, len(members))) as pool:
            found = [m for m, yes in zip(members, pool.map(lambda m: m.is_primary(), members)) if yes]
        return found[0] if len(found) == 1 else None

    # Faults that concern more than a host.
    def power_off(self, member):
        member.host.power_off()
        member.agent.process.wait(10)
        for node in self.etcd_on(member.host):
            node.process.wait(10)

    def power_on(self, member):
        member.host.power_on()
        self.start_etcd()
        member.start()

    def etcd_on(self, host):
        return [n for n in self.etcd.nodes if self.etcd.hosts[n.name] is host]

    def start_etcd(self):
        """Those that are not running, on hosts that have power."""
        self.etcd.nodes = [n if n.alive() or not self.etcd.hosts[n.name].on else self.etcd.start_node(n.name)
                           for n in self.etcd.nodes]

    def etcd_leader(self):
        for endpoint in self.etcd.clients:
            try:
                status = json.loads(self.etcd.ctl_at(endpoint, "endpoint", "status", "-w", "json"))[0]["Status"]
            except Exception:  # not this one
                continue
            if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                return self.etcd.nodes[self.etcd.clients.index(endpoint)]
        return None

    def move_etcd_leader(self, name):
        if self.etcd_leader().name != name:
            members = json.loads(self.etcd.ctl("member", "list", "-w", "json"))["members"]
            wanted = next(m["ID"] for m in members if m["name"] == name)
            leader = self.etcd.clients[self.etcd.nodes.index(self.etcd_leader())]
            self.etcd.ctl_at(leader, "move-leader", f"{wanted:x}")

    def postgres_of(self, member):
        """Which of a host's processes are PostgreSQL's."""
        def is_postgres(pid):
            try:
                return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "postgres"
            except OSError:
                return False
        return is_postgres

    def heal(self):
        """Everything that a fault may have left is undone; what was killed is started."""
        self.network.heal()
        for host in self.network.hosts.values():
            host.on = True
            host.thaw()
            host.empty_disk()
        self.start_etcd()
        for member in self:
            if member.agent and not member.agent.alive():
                member.start()

    def votes(self):
        sync = json.loads(self.etcd.keys(self.scope).get("sync") or "{}")
        return [n for n in (sync.get("sync_standby") or "").split(",") if n]

    def wait_settled(self, seconds=60):
        """Healthy, and where commits wait for standbys, they are all named again."""
        primary = self.wait_healthy(seconds)
        mode = self.dynamic.get("synchronous_mode")
        if mode:
            wanted = len(self.members) - 1 if mode == "quorum" else 1
            wait_for(f"{wanted} synchronous standbys", seconds, lambda: len(self.votes()) == wanted)
        return primary

    def history(self):
        return json.loads(self.etcd.keys(self.scope).get("history") or "[]")

    def stop(self):
        if self.stopped:
            return
        self.stopped = True
        for host in self.network.hosts.values():
            host.thaw()
        self.network.close()
        super().stop()

    def keep_evidence(self, target):
        """Everything that tells what happened, the data directories left out."""
        os.makedirs(target, exist_ok=True)
        texts = {}
        try:
            texts["etcd.keys"] = "\n".join(f"{k}\t{v}" for k, v in sorted(self.etcd.keys(self.scope).items()))
            for words in (("list",), ("history",)):
                done = self.ctl(*words)
                texts[f"relevoctl.{words[0]}"] = done.stdout + done.stderr
        except Exception as e:
            texts["not.to.be.had"] = str(e)
        for name, text in texts.items():
            with open(os.path.join(target, name), "w") as f:
                f.write(text + "\n")
        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            if os.path.isfile(path):
                copy(path, os.path.join(target, name))
        for member in self:
            for place, _, files in os.walk(os.path.join(member.data, "log")):
                for name in files:
                    copy(os.path.join(place, name), os.path.join(target, f"{member.name}.{name}"))
        return target


def copy(source, target):
    with open(source, "rb") as f, open(target, "wb") as out:
        while chunk := f.read(1 << 20):
            out.write(chunk)

