"""Where the time of an outage goes: what the members, their PostgreSQL, the gateway and its PgBouncer wrote down
meanwhile, in one order of time. Everything runs on this machine, by one clock.
"""
import datetime
import json
import os
import re
import time

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[.,](\d{3}) (.*)")

# (name, whose words, kind of a journal's entry or words of a log): each the first after the one before it.
STEPS = [
    ("asked", "old", "ordered"),
    ("suspected", "any", "suspects"),
    ("deposed", "any", "deposed"),
    ("clients wait", "gateway", "clients wait"),
    ("drained", "old", "switchover: stopping PostgreSQL"),
    ("shutting down", "old", "LOG:  shutting down"),
    ("shut down", "old", "database system is shut down"),
    ("key released", "old", "released"),
    ("key taken", "new", "took"),
    ("promotes", "new", "promotes"),
    ("promoted", "new", "promoted"),
    ("serves", "gateway", " leads, term "),
    ("clients go on", "gateway", " go on, term "),
]


class Event:
    def __init__(self, at, who, text, kind=None):
        self.at, self.who, self.text, self.kind = at, who, text, kind

    def says(self, wanted):
        return self.kind == wanted if self.kind else wanted in self.text


class Phases:
    """Begin it before the fault; `told()` afterwards."""

    def __init__(self, lab, pooler):
        self.lab, self.pooler = lab, pooler
        self.wall = time.time() - time.monotonic()
        self.began = time.time()
        self.files = {path: size(path) for path in self.paths()}

    def paths(self):
        found = {os.path.join(self.lab.directory, f"{m.name}.agent.log"): m.name for m in self.lab}
        if self.pooler.process:
            found[self.pooler.process.log] = "gateway"
        for path in getattr(self.pooler, "pooler_logs", lambda: [])():
            found[path] = "PgBouncer"
        return found

    def lines(self):
        for path, who in self.paths().items():
            try:
                with open(path, errors="replace") as f:
                    f.seek(self.files.get(path, 0))
                    text = f.read()
            except OSError:
                continue
            for line in text.splitlines():
                found = LINE.match(line)
                if found:
                    at = datetime.datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").timestamp()
                    yield Event(at + int(found[2]) / 1000, who, found[3])

    def entries(self):
        for member in self.lab:
            try:
                told = json.loads(member.api("/journal", timeout=3)[1])["entries"]
            except (OSError, ValueError, KeyError):  # it is gone
                continue
            for one in told:
                at = datetime.datetime.fromisoformat(one["time"].replace("Z", "+00:00")).timestamp()
                yield Event(at, member.name, one["text"], one["kind"])

    def events(self, until):
        found = [e for e in [*self.lines(), *self.entries()] if self.began - 0.01 <= e.at <= until]
        return sorted(found, key=lambda e: e.at)

    def told(self, old, new, gap):
        """`gap`: (last answer before, first after), monotonic. (steps as [(name, ms since the one before)], timeline as
        text)."""
        first, last = (self.wall + t for t in gap)
        events = self.events(last + 0.3)
        steps, before, at = [], self.began, 0
        for name, whose, wanted in STEPS:
            who = {"old": old, "new": new}.get(whose, whose)
            found = next((i for i, e in enumerate(events)
                          if i >= at and e.says(wanted) and who in ("any", e.who)), None)
            if found is None:  # not made, or its text stands before its cause: they are rounded to milliseconds
                continue
            steps.append((name, (events[found].at - before) * 1000))
            before, at = events[found].at, found
        steps.append(("first commit", (last - before) * 1000))
        width = max((len(e.who) for e in events), default=0)
        events += [Event(first, "clients", "-- the last answer before"),
                   Event(last, "clients", "-- the first answer after")]
        text = "\n".join(f"  {(e.at - first) * 1000:+8.1f} ms  {e.who:{width}}  "
                         f"{e.kind + ': ' if e.kind else ''}{e.text}" for e in sorted(events, key=lambda e: e.at))
        return steps, text


def size(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def one_line(steps):
    return ", ".join(f"{name} {ms:.0f}" for name, ms in steps)
