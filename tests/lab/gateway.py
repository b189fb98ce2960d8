"""relevo-gateway with its PgBouncer beside a lab's cluster, and writers that go through it."""
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import psycopg2
import yaml

from lab import BIN, SUPERUSER_PASSWORD, Process, Writers, ask, wait_for


class Gateway:
    """On `host` (hosts.py), or on an address of this machine's own. Started as root it becomes `postgres`."""

    process = None
    may_end_connections = True  # of others (CAP_NET_ADMIN), if it is started as root

    def __init__(self, lab, name="gw-1", number=100, host=None, processes=1):
        self.lab, self.name, self.host = lab, name, host
        self.address = host.address if host else lab.address(number)
        self.port, self.status_port = lab.port(self.address, 6432), lab.port(self.address, 8009)
        self.home = os.path.join(lab.directory, name)
        os.makedirs(self.home, mode=0o755)
        lab.give(self.home)
        self.users = os.path.join(self.home, "userlist.txt")
        with open(self.users, "w") as f:
            f.write(f'"postgres" "{SUPERUSER_PASSWORD}"\n')
        lab.give(self.users)
        self.config = {
            "name": name, "scope": lab.scope, "members": [f"{m.address}:{m.rest_port}" for m in lab],
            "listen": f"{self.address}:{self.status_port}",
            "pgbouncer": {"directory": os.path.join(self.home, "run"), "listen": f"{self.address}:{self.port}",
                          "processes": processes, "settings": {"auth_file": self.users}},
            "databases": {"workflow": {"to": "primary", "dbname": "postgres"},
                          "workflow_ro": {"to": "replicas", "dbname": "postgres"}},
        }

    @property
    def yaml(self):
        return os.path.join(self.home, "gateway.yml")

    def write_config(self):
        with open(self.yaml, "w") as f:
            yaml.safe_dump(self.config, f, sort_keys=False)
        os.chmod(self.yaml, 0o644)

    def argv(self, *words):
        without = [] if self.may_end_connections else ["setpriv", "--bounding-set", "-net_admin"]
        return without + [os.path.join(BIN, "relevo-gateway"), *words, self.yaml]

    def start(self, wait=15):
        self.write_config()
        self.process = Process(self.lab, f"{self.name}.gateway", self.argv(), cwd=self.home,
                               env=self.lab.agent_environment(), host=self.host)
        if wait:
            wait_for("the gateway to serve", wait, self.healthy)
        return self

    def validate(self):
        self.write_config()
        return subprocess.run(self.argv("--validate-config"), text=True, capture_output=True, timeout=20)

    def get(self, path="/status", timeout=3):
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.status_port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def status(self):
        return json.loads(self.get()[1])

    def healthy(self):
        return self.get("/health")[0] == 200

    def log(self):
        with open(self.process.log, errors="replace") as f:
            return f.read()

    def poolers(self):
        """The process numbers of its PgBouncers."""
        found = []
        for number in range(self.config["pgbouncer"]["processes"]):
            try:
                with open(os.path.join(self.config["pgbouncer"]["directory"], str(number), "pgbouncer.pid")) as f:
                    pid = int(f.read())
                with open(f"/proc/{pid}/stat") as f:
                    if f.read().rsplit(")", 1)[1].split()[0] != "Z":
                        found.append(pid)
            except (OSError, ValueError):
                pass
        return found

    def pooler_logs(self):
        return [os.path.join(self.config["pgbouncer"]["directory"], str(number), "pgbouncer.log")
                for number in range(self.config["pgbouncer"]["processes"])]

    def pooler_log(self, number=0):
        with open(self.pooler_logs()[number], errors="replace") as f:
            return f.read()

    def dsn(self, dbname="workflow"):
        return (f"host={self.address} port={self.port} user=postgres password={SUPERUSER_PASSWORD} "
                f"dbname={dbname}")

    def connect(self, dbname="workflow", **more):
        options = dict(host=self.address, port=self.port, user="postgres", password=SUPERUSER_PASSWORD, dbname=dbname,
                       connect_timeout=10)
        options.update(more)
        return psycopg2.connect(**options)

    def sql(self, text, dbname="workflow"):
        return ask(self.connect(dbname), text)

    def kill(self):
        """The gateway alone: PgBouncer goes on."""
        self.process.kill()

    def stop(self):
        if self.process:
            self.process.stop()
            for pid in self.poolers():
                os.kill(pid, signal.SIGKILL)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        if kind is not None:
            self.lab.keep = True
            print(f"--- {self.name}\n{self.process.tail(40)}", flush=True)
        self.stop()


class Unit:
    """Plays systemd's part for a gateway with `pgbouncer.unit`: starts its PgBouncer, which reads `ini`."""

    process = None

    def __init__(self, gateway, number=0):
        self.gateway, self.number = gateway, number
        self.directory = os.path.join(gateway.config["pgbouncer"]["directory"], str(number))
        self.ini = os.path.join(self.directory, "pgbouncer.ini")

    def start(self):
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        name = f"{self.gateway.name}.pgbouncer{self.number}"
        self.process = Process(self.gateway.lab, name, [program, "-q", self.ini], as_postgres=True,
                               cwd=self.gateway.home, host=self.gateway.host)
        return self

    def kill(self):
        self.process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()


class PoolWriters(Writers):
    """Writers that know the gateway alone."""

    def __init__(self, gateway, clients=8, table="acked", pause=0.0):
        super().__init__(gateway.lab, clients, table, pause)
        self.gateway = gateway

    def connect_to_primary(self):
        connection = self.gateway.connect()
        connection.autocommit = True
        return connection

    def failures(self, since=0.0):
        return [e for client in self.errors for e in client if e[0] >= since]

    def worst(self, since=0.0):
        """The most errors that one client saw."""
        return max(sum(1 for e in client if e[0] >= since) for client in self.errors)

    def all_go_on(self, seconds=10):
        now = time.monotonic()
        wait_for("every client writes again", seconds,
                 lambda: all(a and a[-1][1] > now for a in self.acked))
