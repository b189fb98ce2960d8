"""Writers (clients.py) against a HostLab: started, stopped, and checked."""
import json
import os
import sys
import threading

import ledger
from lab import SUPERUSER_PASSWORD, Process, wait_for

CLIENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients.py")


class Findings:
    """What a run showed about its rows."""

    def __init__(self, book, rows):
        self.acknowledged = len(book.acks)
        self.lost = book.lost(rows)
        self.twice = book.twice(rows)
        self.uncalled = book.uncalled(rows)
        self.overlaps = book.overlaps()

    def problems(self):
        found = []
        if not self.acknowledged:
            found.append("the writers wrote nothing")
        if self.lost:
            found.append(f"{len(self.lost)} acknowledged rows are lost, e.g. {self.lost[0]}")
        if self.twice:
            found.append(f"{len(self.twice)} rows were written twice, e.g. {self.twice[0]}")
        if self.uncalled:
            found.append(f"{len(self.uncalled)} rows are there that were refused, e.g. {self.uncalled[0]}")
        if self.overlaps:
            ack, why = self.overlaps[0]
            found.append(f"{len(self.overlaps)} acknowledgements of an older term, e.g. {ack}, {why}")
        return found


class Traffic:
    """`followers` writers that follow the leader, and beside each member one that is stuck with it (`stuck`)."""

    def __init__(self, lab, table, followers=4, stuck=False, pause=0.002):
        self.lab, self.table, self.followers = lab, table, followers
        self.log = os.path.join(lab.directory, f"{table}.writers")
        names = [m.name for m in lab]
        writers = [{"place": lab.client.space, "servers": names}] * followers
        if stuck:
            writers += [{"place": lab.beside[name].space, "servers": [name]} for name in names]
        self.config = {"table": table, "password": SUPERUSER_PASSWORD, "pause": pause, "log": self.log,
                       "servers": [{"name": m.name, "address": m.address, "port": m.port} for m in lab],
                       "writers": writers}
        self.process, self.offset, self.count, self.last = None, 0, 0, None
        self.lock = threading.Lock()

    def start(self):
        self.lab.primary().sql(f"create table {self.table} (id bigint)")
        path = os.path.join(self.lab.directory, f"{self.table}.json")
        with open(path, "w") as f:
            json.dump(self.config, f)
        open(self.log, "w").close()
        self.process = Process(self.lab, f"{self.table}.process", [sys.executable, CLIENTS, path])
        self.wait_acks(50, 20)
        return self

    def acks(self):
        """How many until now, without reading the log again from its beginning."""
        with self.lock, open(self.log) as f:
            f.seek(self.offset)
            text = f.read()
            end = text.rfind("\n") + 1
            self.offset += len(text[:end].encode())
            acks = [line for line in text[:end].splitlines() if line.startswith("A ")]
            self.count += len(acks)
            self.last = acks[-1].split()[4] if acks else self.last
            return self.count

    def last_server(self):
        """Who acknowledged last."""
        self.acks()
        return self.last

    def wait_acks(self, more, seconds):
        wanted = self.acks() + more
        wait_for(f"{more} more acknowledgements", seconds, lambda: self.acks() >= wanted)

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None
        return self.book()

    def book(self):
        return ledger.Ledger(self.log, self.followers)

    def rows(self, member):
        return [r[0] for r in member.sql(f"select id from {self.table}")]

    def check(self, primary):
        return Findings(self.book(), self.rows(primary))
