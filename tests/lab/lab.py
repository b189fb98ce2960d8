"""A cluster of real parts on this machine: etcd, relevo members with their PostgreSQL, and writers that
remember what was acknowledged. For the demo, the end-to-end tests and the benchmarks.

Everything lives in one temporary directory and on loopback addresses; ports are picked free; only what was
started here is ever stopped. As root, the members run as the `postgres` user, since PostgreSQL refuses root.
"""
import base64
import json
import os
import pwd
import random
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import psycopg2
import yaml

from ports import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("RELEVO_BIN", os.path.join(ROOT, "build", "bin"))
SUPERUSER_PASSWORD = "lab-super"
REPLICATION_PASSWORD = "lab-repl"


def pg_bin():
    """The newest installed PostgreSQL's programs, or PG_BIN."""
    if os.environ.get("PG_BIN"):
        return os.environ["PG_BIN"]
    base = "/usr/lib/postgresql"
    versions = sorted((v for v in os.listdir(base) if os.path.exists(f"{base}/{v}/bin/postgres")), key=float)
    return f"{base}/{versions[-1]}/bin"


def ask(connection, text, args=()):
    """One statement on a connection that is closed then: its rows, None where it has none."""
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(text, args or None)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def wait_for(what, seconds, question, every=0.02):
    """The question's first true answer; AssertionError with `what` when time is up."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            answer = question()
            if answer:
                return answer
        except Exception as e:  # not there yet
            last = e
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}" + (f" (last: {last})" if last else ""))


def belonging_to(directory):
    """{pid: program} of members and etcd under this directory: whoever has it as HOME, as the agents and what
    they start have, and our servers that work in it (PostgreSQL's environment is overwritten by its title).
    A shell that only stands there, an operator's, is not among them."""
    ours, inside = f"HOME={directory}".encode(), os.path.join(directory, "")
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            program = os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
            with open(f"/proc/{pid}/environ", "rb") as f:
                at_home = ours in f.read().split(b"\0")
            if at_home or (program in ("postgres", "etcd") and
                           (os.readlink(f"/proc/{pid}/cwd") + "/").startswith(inside)):
                found[pid] = program
        except OSError:  # it ended, or is somebody else's
            pass
    return found


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def commands():
    """(pid, its words as bytes) of each process of this machine that can be looked at."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                yield int(entry), f.read().split(b"\0")
        except OSError:
            continue


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def end_everything_in(directory, seconds=16):
    """First the agents, then PostgreSQL: its immediate shutdown gives back the shared memory that a kill leaves in
    /dev/shm. (It may take 5 s: a startup process that runs restore_command hears no SIGQUIT, and the postmaster kills
    it then.) Who is there after that is killed until nobody is: it may have started another just before."""
    pids = belonging_to(directory)
    signal_all([pid for pid in pids if pids[pid] != "postgres"], signal.SIGKILL)
    servers = [pid for pid in pids if pids[pid] == "postgres"]
    signal_all(servers, signal.SIGCONT)
    signal_all([pid for pid in servers if parent_of(pid) not in servers], signal.SIGQUIT)
    end = time.monotonic() + seconds / 2
    while time.monotonic() < end and any(os.path.exists(f"/proc/{pid}/exe") for pid in servers):
        time.sleep(0.01)
    end += seconds / 2
    while (pids := belonging_to(directory)) and time.monotonic() < end:
        signal_all(pids, signal.SIGKILL)
        time.sleep(0.02)


class Process:
    """One program with its own log, in a process group of its own, and ended with it."""

    def __init__(self, lab, name, argv, as_postgres=False, env=None, cwd=None, host=None):
        self.name = name
        self.log = os.path.join(lab.directory, f"{name}.log")
        if as_postgres and os.geteuid() == 0:
            argv = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] + argv
        if host:
            argv = host.within() + argv
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            env=env, cwd=cwd or lab.directory, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def send(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def stop(self, number=signal.SIGTERM, timeout=20):
        self.send(number)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def kill(self):
        self.stop(signal.SIGKILL)

    def tail(self, lines=30):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])


class Authority:
    """A certificate authority of openssl's making, and what it signs: (certificate file, key file)."""

    def __init__(self, lab, name="ca"):
        self.lab, self.directory = lab, os.path.join(lab.directory, f"{name}.pki")
        os.makedirs(self.directory, mode=0o755)
        self.file, self.key = self.path("ca.crt"), self.path("ca.key")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                     "-keyout", self.key, "-out", self.file)

    def path(self, name):
        return os.path.join(self.directory, name)

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)

    def sign(self, name, *addresses, names=()):
        request, key, cert, more = (self.path(f"{name}.{e}") for e in ("csr", "key", "crt", "ext"))
        with open(more, "w") as f:
            f.write("extendedKeyUsage=serverAuth,clientAuth\n"
                    "subjectAltName=" + ",".join(f"DNS:{n}" for n in (name, *names)) +
                    "".join(f",IP:{a}" for a in addresses) + "\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial",
                     "-days", "2", "-extfile", more, "-out", cert)
        self.lab.give(key)
        return cert, key


class Etcd:
    """`tls`: an Authority; then clients need a certificate of its. `user`: ("name", "password") for etcdctl,
    once somebody has turned authentication on."""

    def __init__(self, lab, members=1, tls=None):
        self.lab = lab
        self.nodes = []
        self.tls, self.user, self.cert = tls, None, None
        names = [f"etcd{i + 1}" for i in range(members)]
        self.hosts = {name: lab.etcd_host(i) for i, name in enumerate(names)}
        addresses = [host.address if host else lab.address(10 + i) for i, host in enumerate(self.hosts.values())]
        self.clients = [f"{a}:{lab.port(a, 2379)}" for a in addresses]
        peers = [f"{a}:{lab.port(a, 2380)}" for a in addresses]
        cluster = ",".join(f"{n}=http://{p}" for n, p in zip(names, peers))
        self.argv = {}
        scheme = "https" if tls else "http"
        if tls:
            self.cert = tls.sign("etcd", *addresses, names=["*.etcd.test"])
        for name, client, peer in zip(names, self.clients, peers):
            self.argv[name] = ["etcd", "--name", name, "--data-dir", os.path.join(lab.directory, name),
                               "--listen-client-urls", f"{scheme}://{client}",
                               "--advertise-client-urls", f"{scheme}://{client}",
                               "--listen-peer-urls", f"http://{peer}",
                               "--initial-advertise-peer-urls", f"http://{peer}",
                               "--initial-cluster", cluster, "--heartbeat-interval", "50",
                               "--election-timeout", "500", "--logger", "zap", "--log-level", "warn"]
            if tls:
                self.argv[name] += ["--cert-file", self.cert[0], "--key-file", self.cert[1], "--client-cert-auth",
                                    "--trusted-ca-file", tls.file]
            # A lab's etcd may forget on power loss; its disk must not set the pace of what is measured.
            if lab.fast_etcd:
                self.argv[name].append("--unsafe-no-fsync")
        self.start()

    def start_node(self, name):
        return Process(self.lab, name, self.argv[name], host=self.hosts[name])

    def start(self):
        self.nodes = [self.start_node(name) for name in self.argv]
        try:
            wait_for("etcd to answer", 15, lambda: self.ctl("endpoint", "health") is not None)
        except AssertionError as e:
            self.stop()
            raise AssertionError(f"{e}\n" + "".join(n.tail() for n in self.nodes)) from None

    def stop(self):
        for node in self.nodes:
            node.kill()

    def ctl(self, *words):
        return self.ctl_at(",".join(self.clients), *words)

    def ctl_at(self, endpoints, *words):
        env = dict(os.environ, ETCDCTL_API="3")
        options = ["--endpoints", endpoints]
        if self.tls:
            options += ["--cacert", self.tls.file, "--cert", self.cert[0], "--key", self.cert[1]]
        if self.user:
            options += ["--user", ":".join(self.user)]
        return subprocess.run(["etcdctl", *options, *words], env=env, check=True, capture_output=True, text=True,
                              timeout=10).stdout

    def put(self, scope, key, value):
        self.ctl("put", "--", f"/service/{scope}/{key}", value)

    def delete(self, scope, key):
        self.ctl("del", f"/service/{scope}/{key}")

    def keys(self, scope):
        out = json.loads(self.ctl("get", "--prefix", f"/service/{scope}/", "-w", "json"))
        text = lambda b: base64.b64decode(b).decode()
        return {text(kv["key"])[len(f"/service/{scope}/"):]: text(kv.get("value", "")) for kv in out.get("kvs", [])}


class Member:
    """One host: an agent and the PostgreSQL it runs."""

    agent = None
    tls = None          # (CA file, (certificate, key) or None): how to speak https to it
    credentials = None  # "user:password" for its REST API

    def __init__(self, lab, name, number):
        self.lab, self.name = lab, name
        self.host = lab.member_host(name, number)
        self.address = self.host.address if self.host else lab.address(number)
        self.port, self.rest_port = lab.port(self.address, 5432), lab.port(self.address, 8008)
        self.home = os.path.join(lab.directory, name)
        self.data = os.path.join(self.home, "data")
        os.makedirs(self.home, mode=0o755, exist_ok=True)
        lab.give(self.home)
        self.config = self.default_config()

    def default_config(self):
        lab = self.lab
        return {
            "scope": lab.scope, "name": self.name,
            "restapi": {"listen": f"{self.address}:{self.rest_port}",
                        "connect_address": f"{self.address}:{self.rest_port}"},
            "etcd3": {"hosts": list(lab.etcd.clients)},
            "bootstrap": {"dcs": lab.dynamic, "initdb": [{"encoding": "UTF8"}, "data-checksums",
                                                         {"auth": "scram-sha-256"}],
                          "pg_hba": [f"host all all {lab.network_of_all} scram-sha-256",
                                     f"host replication replicator {lab.network_of_all} scram-sha-256"]},
            "postgresql": {
                "listen": f"{self.address}:{self.port}", "connect_address": f"{self.address}:{self.port}",
                "data_dir": self.data, "bin_dir": pg_bin(), "pgpass": os.path.join(self.home, "pgpass"),
                "parameters": {"unix_socket_directories": self.home, "shared_buffers": "16MB"},
                "authentication": {
                    "superuser": {"username": "postgres", "password": SUPERUSER_PASSWORD},
                    "replication": {"username": "replicator", "password": REPLICATION_PASSWORD}}},
        }

    @property
    def yaml(self):
        return os.path.join(self.home, "patroni.yml")

    def write_config(self):
        with open(self.yaml, "w") as f:
            yaml.safe_dump(self.config, f, sort_keys=False)
        os.chmod(self.yaml, 0o600)
        self.lab.give(self.yaml)

    def start(self):
        self.write_config()
        self.agent = Process(self.lab, f"{self.name}.agent", self.lab.agent_argv(self), as_postgres=True,
                             cwd=self.home, env=self.lab.agent_environment(), host=self.host)
        return self

    # What is there, seen from outside.
    def postmaster(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as f:
                pid = int(f.readline())
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as f:
                return None if f.read().rsplit(")", 1)[1].split()[0] == "Z" else pid
        except (OSError, ValueError):
            return None

    def postgres_tree(self):
        top = self.postmaster()
        pids = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{entry}/cwd").startswith(self.data):
                    pids.append(int(entry))
            except OSError:
                pass
        return ([top] if top else []) + [p for p in pids if p != top]

    def api(self, path, method="GET", body=None, timeout=30):
        """(status, text); raises when nobody answers."""
        url = f"{'https' if self.tls else 'http'}://{self.address}:{self.rest_port}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        if self.credentials:
            request.add_header("Authorization", "Basic " + base64.b64encode(self.credentials.encode()).decode())
        context = None
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls[0])
            if self.tls[1]:
                context.load_cert_chain(*self.tls[1])
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def is_primary(self):
        try:
            return self.api("/primary", timeout=2)[0] == 200
        except OSError:
            return False

    def status(self):
        return json.loads(self.api("/patroni", timeout=3)[1])

    def streaming(self, timeline=None):
        """`timeline`: the primary's. A receiver streams the end of an old one before it goes over to the new."""
        try:
            status = self.status()
            if status["state"] != "running" or (timeline and status.get("timeline", timeline) != timeline):
                return False
            if "replication_state" in status:
                return status["replication_state"] == "streaming"
            # Older Patroni does not say; the server does.
            return bool(self.sql("select 1 from pg_stat_wal_receiver where status = 'streaming'"))
        except (OSError, KeyError, ValueError, psycopg2.Error):
            return False

    def connect(self, dbname="postgres", **more):
        options = dict(host=self.address, port=self.port, user="postgres", password=SUPERUSER_PASSWORD,
                       dbname=dbname, connect_timeout=3)
        options.update(more)
        return psycopg2.connect(**options)

    def sql(self, text, *args):
        return ask(self.connect(), text, args)

    def writable(self):
        try:
            return not self.sql("select pg_is_in_recovery()")[0][0]
        except psycopg2.Error:
            return False

    # Faults.
    def kill_postmaster(self):
        os.kill(self.postmaster(), signal.SIGKILL)

    def kill_agent(self):
        self.agent.kill()

    def lose_power(self):
        """Everything of this host at once, as good as one can without pulling a plug."""
        pids = self.postgres_tree()
        signal_all([self.agent.pid] + pids, signal.SIGSTOP)
        signal_all([self.agent.pid] + pids + self.postgres_tree(), signal.SIGKILL)
        self.agent.process.wait(10)


class Lab:
    network_of_all = "127.0.0.0/8"

    def __init__(self, members=3, etcd=1, scope=None, dynamic=None, keep=False, fast_etcd=True, directory=None,
                 etcd_tls=False):
        self.directory = directory or tempfile.mkdtemp(prefix="relevo-lab-")
        os.chmod(self.directory, 0o755)
        self.keep, self.fast_etcd = keep, fast_etcd
        # A /24 of our own in 127/8, so that labs side by side do not meet.
        self.net = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"
        self.scope = scope or "lab"
        self.dynamic = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "maximum_lag_on_failover": 1048576,
                        "postgresql": {"use_pg_rewind": True, "use_slots": True}}
        for key, value in (dynamic or {}).items():
            if isinstance(value, dict):
                self.dynamic[key] = {**self.dynamic.get(key, {}), **value}
            else:
                self.dynamic[key] = value
        self.members, self.etcd = {}, None
        try:
            self.bin = self.install()
            self.authority = Authority(self) if etcd_tls else None
            self.etcd = Etcd(self, etcd, self.authority)
            for i in range(members):
                self.add_member(f"pg-node-{i + 1}", i + 1)
        except BaseException:  # nobody has a lab to stop
            self.stop()
            raise

    def add_member(self, name, number):
        self.members[name] = Member(self, name, number)
        return self.members[name]

    def address(self, number):
        return f"{self.net}.{number}"

    # Where things run: hosts.py has hosts of their own, here everything shares this machine's loopback network.
    def member_host(self, name, number):
        return None

    def etcd_host(self, index):
        return None

    def port(self, address, usual):
        return free_port(address)

    def give(self, path):
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(path, user.pw_uid, user.pw_gid)

    def install(self):
        """As root the members run as another user, who may not be able to reach this checkout."""
        if os.geteuid() != 0:
            return BIN
        target = os.path.join(self.directory, "bin")
        os.makedirs(target)
        for program in ("relevo", "relevoctl"):
            if os.path.exists(os.path.join(BIN, program)):
                shutil.copy(os.path.join(BIN, program), target)
        return target

    def agent_argv(self, member):
        return [os.path.join(self.bin, "relevo"), member.yaml]

    def agent_environment(self):
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "HOME": self.directory}

    def ctl(self, *words, input=None, timeout=60, check=False):
        yml = next(iter(self.members.values())).yaml
        return subprocess.run([os.path.join(self.bin, "relevoctl"), "-c", yml, *words], input=input, text=True,
                              capture_output=True, timeout=timeout, check=check)

    def start(self, wait=60):
        for member in self.members.values():
            member.start()
        if wait:
            self.wait_healthy(wait)
        return self

    def __iter__(self):
        return iter(self.members.values())

    def primary(self):
        found = [m for m in self if m.agent and m.agent.alive() and m.is_primary()]
        return found[0] if len(found) == 1 else None

    def wait_primary(self, seconds=60, other_than=None):
        def found():
            p = self.primary()
            return p if p and p is not other_than else None
        return wait_for("one primary" + (f" other than {other_than.name}" if other_than else ""), seconds, found)

    def healthy(self, without=()):
        """The one writable primary when every other member streams from it, on its timeline."""
        p = self.primary()
        if not p or not p.writable():
            return None
        timeline = p.status().get("timeline")
        others = [m for m in self if m is not p and m not in without]
        return p if all(m.streaming(timeline) for m in others) else None

    def wait_healthy(self, seconds=60, without=()):
        try:
            return wait_for("one primary and all others streaming", seconds, lambda: self.healthy(without), every=0.05)
        except AssertionError:
            self.keep = True
            raise AssertionError(f"the cluster did not become healthy in {seconds} s; logs in {self.directory}\n"
                                 + self.logs(12)) from None

    def logs(self, lines=30):
        return "".join(f"--- {m.name}\n{m.agent.tail(lines)}" for m in self if m.agent)

    def dsn(self):
        hosts = ",".join(m.address for m in self)
        ports = ",".join(str(m.port) for m in self)
        return (f"host={hosts} port={ports} user=postgres password={SUPERUSER_PASSWORD} dbname=postgres "
                "target_session_attrs=read-write")

    def stop(self):
        for member in self:
            if member.agent:
                member.agent.kill()
        # An initdb or a pg_basebackup outlives its agent, and would go on writing into what is removed here.
        end_everything_in(self.directory)
        if self.etcd:
            self.etcd.stop()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.keep = True
            print(f"logs of the failed run are in {self.directory}\n{self.logs(25)}", flush=True)
        self.stop()


class Writers:
    """Clients that insert (client, number) one after another through whatever host is the primary, and
    remember the time of each acknowledgement, what failed, and what nobody knows."""

    def __init__(self, lab, clients=4, table="acked", pause=0.0):
        self.lab, self.clients, self.table, self.pause = lab, clients, table, pause
        self.acked = [[] for _ in range(clients)]      # (number, time)
        self.unknown = [[] for _ in range(clients)]
        self.errors = [[] for _ in range(clients)]     # (time, first line)
        self.stopping = False
        self.threads = []

    def start(self):
        primary = self.lab.wait_primary()
        primary.sql(f"create table if not exists {self.table} (client int, number int, "
                    "at timestamptz default clock_timestamp(), primary key (client, number))")
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(self.clients)]
        for t in self.threads:
            t.start()
        return self

    def run(self, client):
        connection, number = None, 0
        while not self.stopping:
            try:
                if connection is None:
                    connection = self.connect_to_primary()
                    if connection is None:
                        time.sleep(0.005)
                        continue
                with connection.cursor() as cursor:
                    number += 1
                    cursor.execute(f"insert into {self.table} (client, number) values (%s, %s)", (client, number))
                self.acked[client].append((number, time.monotonic()))
                if self.pause:
                    time.sleep(self.pause)
            except psycopg2.Error as e:
                self.errors[client].append((time.monotonic(), str(e).split("\n")[0]))
                self.unknown[client].append(number)
                try:
                    if connection:
                        connection.close()
                except psycopg2.Error:
                    pass
                connection = None
        if connection:
            connection.close()

    def connect_to_primary(self):
        # Each host by itself: libpq's own multi-host list would wait for a dead one's time-out.
        for member in self.lab:
            if self.stopping:
                return None
            try:
                connection = member.connect(connect_timeout=2, options="-c synchronous_commit=on")
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("select pg_is_in_recovery()")
                    if not cursor.fetchone()[0]:
                        return connection
                connection.close()
            except psycopg2.Error:
                pass
        return None

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join(15)
        return self

    def count(self):
        return sum(len(a) for a in self.acked)

    def gap(self, since=None):
        """The longest time between acknowledgements of any client, over all writers together (s)."""
        begin, end = self.gap_at(since)
        return end - begin

    def gap_at(self, since=None):
        """When it began and ended."""
        times = sorted(t for a in self.acked for _, t in a)
        if since is not None:
            times = [t for t in times if t >= since - 1]
        return max(zip(times, times[1:]), key=lambda pair: pair[1] - pair[0], default=(0.0, 0.0))

    def missing(self, member):
        """Acknowledged rows that this member does not have: a list of (client, number)."""
        have = set(member.sql(f"select client, number from {self.table}"))
        return sorted({(c, n) for c, a in enumerate(self.acked) for n, _ in a} - have)
