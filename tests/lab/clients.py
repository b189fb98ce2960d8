"""Writers as a process of their own: each row has an id that is sent once, and the log says what became of it.

  clients.py FILE.json     (traffic.py writes it, and reads the log)

The log, one event a line, times on the machine's monotonic clock:
  A id sent answered server timeline     acknowledged
  F id sent answered message             refused: the server says that it did not happen
  U id sent given-up message             nobody knows: the connection broke, or the wait was cancelled
  P time server timeline                 a server that was not one a moment ago accepts writes

One thread, asynchronous connections. A follower knows every server, asks all of them at once every 20 ms while
acknowledgements stay away, and goes where the newest timeline accepts writes. A writer with one server only is a
client that is stuck with it. Each has its place, a network namespace, from which it connects.
"""
import json
import os
import selectors
import signal
import sys
import time

import psycopg2
from psycopg2 import extensions

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sandbox import enter_network  # noqa: E402

ASK = ("select case when pg_is_in_recovery() then null "
       "else pg_walfile_name(pg_current_wal_insert_lsn()) end")
PROBE_EVERY, SILENCE, PATIENCE = 0.02, 0.05, 0.5
CANCELLED = "canceling wait for synchronous replication"
STEP = 10 ** 9  # ids: client * STEP + number


class Session:
    """One connection to one server from one place, never waited for."""

    def __init__(self, loop, place, server, owner):
        self.loop, self.server, self.owner = loop, server, owner
        self.since, self.cursor, self.ready = loop.now, None, False
        self.registered = None
        enter_network(place)
        try:
            self.connection = psycopg2.connect(
                host=server["address"], port=server["port"], user="postgres", password=loop.config["password"],
                dbname="postgres", sslmode="disable", gssencmode="disable", tcp_user_timeout=4000, async_=1,
                keepalives_idle=2, keepalives_interval=1, keepalives_count=3, application_name="client")
        finally:
            enter_network(loop.home)
        self.advance()

    def execute(self, text, args=None):
        self.since, self.ready = self.loop.now, False
        self.cursor = self.connection.cursor()
        self.cursor.execute(text, args)
        self.advance()

    def advance(self):
        """One step; the owner hears when it is done. psycopg2.Error when it went wrong."""
        state = self.connection.poll()
        if state == extensions.POLL_OK:
            self.ready = True
            self.watch(selectors.EVENT_READ)  # a server that goes away says so
        else:
            self.watch(selectors.EVENT_READ if state == extensions.POLL_READ else selectors.EVENT_WRITE)

    def watch(self, events):
        fd = self.connection.fileno()
        if self.registered == (fd, events):
            return
        if self.registered and self.registered[0] == fd:
            self.loop.selector.modify(fd, events, self)
        else:
            self.unwatch()
            self.loop.selector.register(fd, events, self)
        self.registered = (fd, events)

    def unwatch(self):
        if self.registered:
            self.loop.selector.unregister(self.registered[0])
            self.registered = None

    def close(self):
        self.unwatch()
        try:
            self.connection.close()
        except psycopg2.Error:
            pass


class Actor:
    session = None
    place = None

    def open(self, server):
        try:
            self.session = Session(self.loop, self.place, server, self)
        except (psycopg2.Error, OSError):
            self.session = None

    def drop(self):
        if self.session:
            self.session.close()
        self.session = None


class Probe(Actor):
    """Whether one server accepts writes, as seen from one place."""

    def __init__(self, loop, place, server):
        self.loop, self.place, self.server = loop, place, server
        self.timeline, self.seen, self.next = None, 0.0, 0.0
        self.asking = False

    def tick(self, now, wanted):
        if self.session and not self.session.ready and now - self.session.since > PATIENCE:
            self.lost()
        if not wanted or now < self.next:
            return
        if self.session is None:
            self.next = now + PROBE_EVERY
            self.open(self.server)
        elif self.session.ready:
            self.next = now + PROBE_EVERY
            self.asking = True
            self.step(lambda: self.session.execute(ASK))

    def lost(self):
        self.drop()
        self.timeline, self.asking = None, False

    def step(self, action):
        try:
            action()
        except psycopg2.Error:
            self.lost()
            return
        if self.asking and self.session.ready:
            self.asking = False
            name = self.session.cursor.fetchone()[0]
            found = int(name[:8], 16) if name else None
            if found and found != self.timeline:
                self.loop.write("P", f"{self.loop.now:.6f}", self.server["name"], found)
            self.timeline, self.seen = found, self.loop.now

    def readable(self):
        self.step(self.session.advance)


class Writer(Actor):
    def __init__(self, loop, number, place, probes):
        self.loop, self.number, self.place, self.probes = loop, number, place, probes
        self.sent, self.last, self.next, self.id = None, 0.0, 0.0, number * STEP

    def leader(self):
        known = [p for p in self.probes if p.timeline and self.loop.now - p.seen < 0.5]
        return max(known, key=lambda p: p.timeline, default=None)

    def tick(self, now):
        silent = now - self.last > SILENCE
        for probe in self.probes:
            probe.tick(now, silent)
        best = self.leader() if silent else None
        if self.session and not self.session.ready:
            elsewhere = best and best.server is not self.session.server
            if elsewhere and now - self.session.since > SILENCE:
                self.end("U", "left for " + best.server["name"])
            elif self.sent is None and now - self.session.since > PATIENCE:
                self.drop()
        if self.session is None and best and now >= self.next:
            self.next = now + PROBE_EVERY
            self.open(best.server)
        if self.session and self.session.ready and self.sent is None and now >= self.next:
            self.insert(now)

    def insert(self, now):
        self.id += 1
        self.sent = now
        del self.session.connection.notices[:]
        self.step(lambda: self.session.execute(self.loop.insert, (self.id,)))

    def step(self, action):
        try:
            action()
        except psycopg2.Error as e:
            message = str(e).strip().replace("\n", " ")
            broken = not self.session or self.session.connection.closed or not e.pgcode
            self.end("U" if broken or e.pgcode.startswith(("57P", "08")) else "F", f"{e.pgcode} {message}")
            return
        if self.sent is not None and self.session.ready:
            if any(CANCELLED in notice for notice in self.session.connection.notices):
                self.end("U", "the wait was cancelled")
                return
            timeline = int(self.session.cursor.fetchone()[0][:8], 16)
            now = time.monotonic()
            self.loop.write("A", self.id, f"{self.sent:.6f}", f"{now:.6f}", self.session.server["name"], timeline)
            self.sent, self.last, self.next = None, now, now + self.loop.config["pause"]

    def end(self, kind, message):
        if self.sent is not None:
            self.loop.write(kind, self.id, f"{self.sent:.6f}", f"{time.monotonic():.6f}", message)
        self.sent = None
        self.drop()

    def readable(self):
        self.step(self.session.advance)


class Loop:
    def __init__(self, config):
        self.config, self.now = config, time.monotonic()
        self.selector = selectors.DefaultSelector()
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.log = open(config["log"], "a", buffering=1 << 16)
        self.insert = (f"insert into {config['table']} (id) values (%s) "
                       "returning pg_walfile_name(pg_current_wal_insert_lsn())")
        self.stopping = False
        places = {}
        self.writers = []
        for number, writer in enumerate(config["writers"]):
            place = writer["place"]
            fd = places.setdefault(place, os.open(place, os.O_RDONLY) if place else self.home)
            probes = [Probe(self, fd, server) for server in config["servers"] if server["name"] in writer["servers"]]
            self.writers.append(Writer(self, number, fd, probes))
        # Followers in one place share their probes.
        shared = {}
        for writer in self.writers:
            writer.probes = [shared.setdefault((writer.place, p.server["name"]), p) for p in writer.probes]

    def write(self, *words):
        self.log.write(" ".join(map(str, words)) + "\n")

    def run(self):
        flushed = 0.0
        while not self.stopping:
            for key, _ in self.selector.select(0.002):
                self.now = time.monotonic()
                session = key.data
                if session.owner.session is session:
                    session.owner.readable()
            self.now = time.monotonic()
            for writer in self.writers:
                writer.tick(self.now)
            if self.now - flushed > 0.05:
                self.log.flush()
                flushed = self.now
        for writer in self.writers:
            writer.end("U", "stopped")
        self.log.close()


def main():
    with open(sys.argv[1]) as f:
        loop = Loop(json.load(f))

    def stop(*_):
        loop.stopping = True
    signal.signal(signal.SIGTERM, stop)
    loop.run()


if __name__ == "__main__":
    main()
