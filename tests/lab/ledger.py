"""What the writers' log says, and what must hold between it and the rows that are there."""
from clients import STEP


class Ack:
    __slots__ = ("id", "sent", "answered", "server", "timeline")

    def __init__(self, id, sent, answered, server, timeline):
        self.id, self.sent, self.answered = int(id), float(sent), float(answered)
        self.server, self.timeline = server, int(timeline)

    def __str__(self):
        return (f"row {self.id} sent {self.sent:.3f} acknowledged {self.answered:.3f} by {self.server} "
                f"on timeline {self.timeline}")


class Ledger:
    def __init__(self, path, followers):
        """`followers`: how many of the writers, the first ones, follow the leader."""
        self.acks, self.refused, self.unknown, self.promotions, self.reasons = [], set(), set(), [], {}
        self.followers = followers
        with open(path) as f:
            for line in f:
                self.read(line)

    def read(self, line):
        if not line.endswith("\n"):  # still being written
            return
        kind, *words = line.split()
        if kind == "A":
            self.acks.append(Ack(*words))
        elif kind == "P":
            self.promotions.append((float(words[0]), words[1], int(words[2])))
        elif kind in "FU":
            (self.refused if kind == "F" else self.unknown).add(int(words[0]))
            reason = " ".join(words[3:])[:120]
            self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def follows(self, ack):
        return ack.id // STEP < self.followers

    def times(self):
        return sorted(a.answered for a in self.acks if self.follows(a))

    def gap(self, begin, end=None):
        """The longest time without an acknowledgement to any follower, from the last one before `begin` on."""
        times = self.times()
        before = [t for t in times if t <= begin][-1:] or [begin]
        after = [t for t in times if t > begin and (end is None or t <= end)]
        line = before + after + ([end] if end is not None else [])
        return max((b - a for a, b in zip(line, line[1:])), default=0.0)

    def first_after(self, time):
        return next((t for t in self.times() if t > time), None)

    def lost(self, rows):
        """Acknowledged, and not there."""
        rows = set(rows)
        return [a for a in self.acks if a.id not in rows]

    @staticmethod
    def twice(rows):
        seen = set()
        return sorted({r for r in rows if r in seen or seen.add(r)})

    def uncalled(self, rows):
        """There, although the server said that it did not happen, or that nobody ever sent."""
        asked = {a.id for a in self.acks} | self.unknown
        return sorted(set(rows) - asked)

    def overlaps(self):
        """Acknowledgements of an older term for commits that were sent after a newer term had acknowledged one; and
        one timeline that two servers acknowledged on. What was sent before may be answered late: its successor has
        it, or it is lost and found above."""
        found, first, owner = [], {}, {}
        for ack in self.acks:
            if owner.setdefault(ack.timeline, ack.server) != ack.server:
                found.append((ack, f"{owner[ack.timeline]} acknowledged on the same timeline"))
            if ack.timeline not in first or ack.answered < first[ack.timeline].answered:
                first[ack.timeline] = ack
        newest, bound = sorted(first, reverse=True), {}
        earliest = None
        for timeline in newest:
            bound[timeline] = earliest
            if earliest is None or first[timeline].answered < earliest.answered:
                earliest = first[timeline]
        for ack in self.acks:
            newer = bound[ack.timeline]
            if newer and ack.sent > newer.answered:
                found.append((ack, f"after {newer}"))
        return found
