"""Ingesters of a test: they write snapshots as they come, commit late or not at all, and outlive a server's restart."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from processors.betfair.general import derive
from samples.betfair.load import load
from samples.betfair.sample import snapshot_line
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS

COLUMNS = ("snapshot_id", "snapshot_at", "market_id", "raw_payload", "total_matched", "inplay", "status", "depth_limit")
INSERT = f"INSERT INTO market_book_snapshots ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"


def markets(connection: psycopg.Connection) -> None:
    """The markets of all that ingesters write."""
    load(connection, Synthetic().metadata(), [])


def stream() -> Iterator[dict[str, Any]]:
    """What ingesters write, one after the other."""
    return Synthetic().snapshots(10**9)


def insert(connection: psycopg.Connection, snapshot: dict[str, Any]) -> None:
    connection.execute(
        INSERT, [Jsonb(snapshot[name]) if name == "raw_payload" else snapshot.get(name) for name in COLUMNS]
    )


class Ingesters:
    """Some connections that write one stream of snapshots, until stopped."""

    def __init__(self, url: str, snapshots: Iterator[dict[str, Any]], count: int, seed: int) -> None:
        self._url = url
        self._snapshots = snapshots
        self._next = threading.Lock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ingest, args=(random.Random(f"{seed} {n}"),), daemon=True)
            for n in range(count)
        ]

    def __enter__(self) -> "Ingesters":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ingest(self, choose: random.Random) -> None:
        while not self._over.is_set():
            with suppress(psycopg.OperationalError), psycopg.connect(self._url) as connection:
                while not self._over.is_set():
                    self._transaction(connection, choose)
            time.sleep(0.1)

    def _transaction(self, connection: psycopg.Connection, choose: random.Random) -> None:
        for _ in range(choose.choice([1, 1, 1, 5, 40])):
            insert(connection, self._taken())
        if choose.random() < 0.2:
            with suppress(ZeroDivisionError), connection.transaction():
                insert(connection, self._taken())
                raise ZeroDivisionError
        # Others commit meanwhile, those that began later among them.
        self._over.wait(choose.choice([0, 0.01, 0.05, 0.5]))
        if choose.random() < 0.2:
            connection.rollback()
        else:
            connection.commit()

    def _taken(self) -> dict[str, Any]:
        with self._next:
            return next(self._snapshots)


def derived(connection: psycopg.Connection) -> int:
    """How many derived rows there are."""
    row = connection.execute("SELECT count(*) FROM market_derived_metrics").fetchone()
    assert row is not None
    return int(row[0])


def lacking(connection: psycopg.Connection) -> list[int]:
    """The committed snapshots without a derived row."""
    return [
        row[0]
        for row in connection.execute(
            """SELECT snapshot_id FROM market_book_snapshots s WHERE NOT EXISTS (
                   SELECT FROM market_derived_metrics d WHERE d.snapshot_id = s.snapshot_id) ORDER BY 1"""
        )
    ]


def check_rows(connection: psycopg.Connection) -> None:
    """Each committed snapshot has its right row, in history once, and no other has one."""
    history = connection.execute(
        "SELECT snapshot_id FROM rederive.market_derived_metrics_history ORDER BY snapshot_id"
    ).fetchall()
    assert [row[0] for row in history] == check_values(connection)


def check_values(connection: psycopg.Connection) -> list[int]:
    """Each committed snapshot has its right row, and no other has one; their ids."""
    names = ", ".join(METRICS)
    rows = connection.execute(
        f"SELECT snapshot_id, {names} FROM market_derived_metrics ORDER BY snapshot_id"
    ).fetchall()
    keys = [row[0] for row in connection.execute("SELECT snapshot_id FROM market_book_snapshots ORDER BY snapshot_id")]
    assert [row[0] for row in rows] == keys
    world, wanted = Synthetic(), {row[0]: list(row[1:]) for row in rows}
    known = {market["market_id"]: market for market in world.metadata()}
    last = max(keys)
    for snapshot in world.snapshots(10**9):
        key = snapshot["snapshot_id"]
        if key in wanted:
            assert wanted[key] == derive(snapshot_line(snapshot, known[snapshot["market_id"]])).values, key
        if key >= last:
            break
    return keys
