"""Real name servers for the tests: BIND and Knot, unprivileged, on a loopback address and a free port."""
import os
import socket
import struct
import subprocess

from lab import Process, wait_for
from ports import free_port

ZONE = """$TTL 5
@ SOA ns hostmaster 1 60 60 600 1
@ NS ns
ns A 127.0.0.1
"""


class Key:
    """A TSIG key as tsig-keygen prints it, in a file that only the members and the servers read."""

    def __init__(self, lab, name="relevo"):
        self.name = name
        self.text = subprocess.run(["tsig-keygen", "-a", "hmac-sha256", name], check=True, capture_output=True,
                                   text=True).stdout
        self.secret = self.text.split('secret "')[1].split('"')[0]
        self.path = os.path.join(lab.directory, f"{name}.key")
        with open(self.path, "w") as f:
            f.write(self.text)
        os.chmod(self.path, 0o600)
        lab.give(self.path)


class NameServer:
    """Zone `test`, which the key may update."""

    program = None

    def __init__(self, lab, key, number):
        self.lab, self.key, self.process = lab, key, None
        self.address = self.usable(lab, number)
        self.port = free_port(self.address)
        self.directory = os.path.join(lab.directory, f"{self.program}{number}")
        os.makedirs(self.directory)
        self.write("zone", ZONE)
        self.write("conf", self.configuration())
        lab.give(self.directory)

    def usable(self, lab, number):
        return lab.address(number)

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as f:
            f.write(text)
        self.lab.give(path)
        return path

    @property
    def at(self):
        return f"{self.address}:{self.port}"

    def start(self):
        self.process = Process(self.lab, os.path.basename(self.directory), self.argv(), as_postgres=True,
                               cwd=self.directory)
        try:
            wait_for(f"{self.program} to answer", 20, lambda: self.dig("ns.test") == ["127.0.0.1"])
        except AssertionError:
            print(self.process.tail())
            raise
        return self

    def stop(self):
        if self.process:
            self.process.kill()

    def dig(self, name, kind="A", options=()):
        return dig(self.address, self.port, name, kind, options)

    def update(self, *commands):
        """By hand, with nsupdate."""
        text = f"server {self.address} {self.port}\nzone test\n" + "\n".join(commands) + "\nsend\n"
        return subprocess.run(["nsupdate", "-y", f"hmac-sha256:{self.key.name}:{self.key.secret}"], input=text,
                              capture_output=True, text=True, timeout=20)


class Bind(NameServer):
    program = "named"

    def usable(self, lab, number):
        return "127.0.0.1"  # named listens on addresses that an interface has, not on any of 127/8

    def configuration(self):
        return f"""{self.key.text}
options {{
    directory "{self.directory}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
    listen-on port {self.port} {{ {self.address}; }}; listen-on-v6 {{ none; }}; notify no;
}};
controls {{ }};
zone "test" {{ type primary; file "zone"; allow-update {{ key {self.key.name}; }}; }};
"""

    def argv(self):
        return ["/usr/sbin/named", "-g", "-n", "1", "-c", os.path.join(self.directory, "conf")]


class Knot(NameServer):
    program = "knotd"

    def configuration(self):
        return f"""server:
    rundir: "{self.directory}"
    listen: "{self.address}@{self.port}"
database:
    storage: "{self.directory}"
key:
  - id: "{self.key.name}"
    algorithm: hmac-sha256
    secret: "{self.key.secret}"
acl:
  - id: relevo
    key: "{self.key.name}"
    action: update
zone:
  - domain: test
    storage: "{self.directory}"
    file: zone
    acl: relevo
    zonefile-sync: -1
"""

    def argv(self):
        return ["/usr/sbin/knotd", "-c", os.path.join(self.directory, "conf")]


def dig(address, port, name, kind="A", options=()):
    """The answer's data, sorted; a list with the status where there is none."""
    out = subprocess.run(["dig", f"@{address}", "-p", str(port), "+time=1", "+tries=1", "+norecurse", "+noall",
                          "+comments", "+answer", *options, name, kind], capture_output=True, text=True,
                         timeout=10).stdout
    answers = [line.split(None, 4)[4] for line in out.splitlines() if line and not line.startswith(";")]
    if answers:
        return sorted(answers)
    status = [line.split("status: ")[1].split(",")[0] for line in out.splitlines() if "status: " in line]
    return status or ["no answer"]


def first_address(address, port, name):
    """The first A record by one datagram, without the start of a program, which takes longer than the answer. None:
    no answer, or none with an address."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(0.05)  # on loopback; a server that is busy may drop one
        s.connect((address, port))
        try:
            s.send(struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + labels + struct.pack(">HH", 1, 1))
            answer = s.recv(4096)
        except OSError:
            return None
    if struct.unpack(">H", answer[6:8])[0] == 0:
        return None
    # Behind the header and the question: a compressed name (2), type, class, TTL and length (10), the address.
    at = 12 + len(labels) + 4 + 12
    return socket.inet_ntoa(answer[at:at + 4])
