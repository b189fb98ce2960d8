#!/usr/bin/python3
"""What an application in Python needs to live through a change of primary, with psycopg 3.

    retry.py "host=a,b,c user=app dbname=app password=..." SECONDS     counts in one row, as an example

The table, once:   CREATE TABLE outcome (id uuid PRIMARY KEY, done boolean NOT NULL, at timestamptz DEFAULT now())
Now and then:      DELETE FROM outcome WHERE at < now() - interval '1 day'
"""
import random
import sys
import time
import uuid

import psycopg

# Rolled back by the server, and worth another try: conflicts, and a server that is not the primary (any more).
AGAIN = {"40001", "40P01", "25006", "57P01", "57P02", "57P03", "53300"}


class OutcomeUnknown(Exception):
    """Perhaps done, perhaps not. Look before doing it again."""


class Database:
    def __init__(self, conninfo, deadline=30.0, first_pause=0.02, longest_pause=1.0):
        # A host that vanished is noticed in seconds, not in a quarter of an hour; only the primary will do.
        self.conninfo = psycopg.conninfo.make_conninfo(
            conninfo, target_session_attrs="read-write", connect_timeout=2, keepalives_idle=2, keepalives_interval=1,
            keepalives_count=3, tcp_user_timeout=5000)
        self.deadline, self.first_pause, self.longest_pause = deadline, first_pause, longest_pause
        self.connection = None
        self.unconfirmed = False

    def connect(self):
        if self.connection is None or self.connection.closed:
            self.connection = psycopg.connect(self.conninfo)
            self.connection.add_notice_handler(self.notice)
        return self.connection

    def notice(self, diagnostic):
        # COMMIT stopped waiting for its standby: done here, perhaps nowhere else.
        if diagnostic.source_function == "SyncRepWaitForLSN":
            self.unconfirmed = True

    def transaction(self, work):
        """work(connection), committed once. It may run several times: let it touch nothing but the database.
        Raises OutcomeUnknown when nobody can tell, and whatever is not worth repeating as it is."""
        until, attempt = time.monotonic() + self.deadline, 0
        while True:
            attempt += 1
            mark = uuid.uuid4()
            committing, self.unconfirmed = False, False
            try:
                connection = self.connect()
                result = work(connection)
                connection.execute("INSERT INTO outcome (id, done) VALUES (%s, true)", (mark,))
                committing = True
                connection.commit()
                if self.unconfirmed:
                    raise OutcomeUnknown("committed on the primary, perhaps not on any standby")
                return result
            except psycopg.Error as error:
                # An error with a connection that still lives was answered: rolled back. One without is a connection
                # that broke: rolled back too, as long as COMMIT was not on its way.
                lost = self.connection is None or self.connection.closed or error.sqlstate is None
                self.drop(keep=not lost)
                if committing and lost:
                    if self.committed(mark, until):
                        return result
                elif not lost and error.sqlstate not in AGAIN:
                    raise
                if time.monotonic() >= until:
                    raise
            except BaseException:
                self.drop(keep=True)
                raise
            # Full jitter, so that a thousand clients do not come back in step.
            time.sleep(random.uniform(0, min(self.longest_pause, self.first_pause * 2 ** min(attempt - 1, 10))))

    def drop(self, keep):
        if self.connection is None:
            return
        try:
            if keep:
                self.connection.rollback()
                return
            self.connection.close()
        except psycopg.Error:
            pass
        self.connection = None

    def committed(self, mark, until):
        """Whether a COMMIT whose answer was lost came to pass. The row is put where ours would be: if ours is there,
        it was; if it still may come, this waits for it; and once this one is there, ours never can be."""
        while time.monotonic() < until + 15:
            try:
                self.unconfirmed = False
                connection = self.connect()
                connection.execute("INSERT INTO outcome (id, done) VALUES (%s, false) ON CONFLICT DO NOTHING", (mark,))
                done = connection.execute("SELECT done FROM outcome WHERE id = %s", (mark,)).fetchone()[0]
                # Behind ours in the WAL: when this is confirmed by a standby, so is ours.
                connection.execute("SELECT pg_logical_emit_message(true, 'outcome', '')")
                connection.commit()
                if not self.unconfirmed:
                    return done
            except psycopg.Error:
                self.drop(keep=False)
            time.sleep(random.uniform(0, 0.2))
        raise OutcomeUnknown("COMMIT's answer was lost, and no primary could be asked")


def main(conninfo, seconds):
    database = Database(conninfo)
    committed = unknown = 0
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        try:
            database.transaction(lambda connection: connection.execute("UPDATE counter SET n = n + 1"))
            committed += 1
        except OutcomeUnknown:
            unknown += 1
    print(f"committed {committed} unknown {unknown}")


if __name__ == "__main__":
    main(*sys.argv[1:])
