"""What the racing logs hold, by day: an index in Postgres over their records.

The logs are the truth. Whatever the index lacks of them (a producer that died between sending and noting, another
database) is read and added before it is asked.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product

import orjson
from psycopg import Connection

from producers.places import Place
from producers.records import Records
from producers.topics import topic_id
from schemas.lane import Lane, LaneName
from schemas.racing.tables import KINDS, MAX_ID, RACING, Kind

log = logging.getLogger(__name__)

_KEPT = "rederive.racing_records"
_COPY = "pg_temp.racing_records"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one raw record holds: all pages of one (day, kind), the masters, or one horse; `size` in bytes.

    `regions` are those that were asked for, in lower case. `confirmed_at` is when the API last said the same again.
    """

    kind: str
    day: date | None
    regions: tuple[str, ...]
    fetched_at: datetime
    races: int = 0
    runners: int = 0
    size: int = 0
    horse_id: str | None = None
    confirmed_at: datetime | None = None

    @property
    def asked_at(self) -> datetime:
        """When the API last said this."""
        return max(self.fetched_at, self.confirmed_at or self.fetched_at)


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one kind, and the records that hold it, oldest fetch first.

    `settled` when the API has said one of them after the day was over: until then an answer may lack races.
    """

    day: date
    kind: Kind
    kept: tuple[tuple[Place, Answer], ...]

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to ask for."""
        over = datetime.combine(self.day + timedelta(days=1), time(), UTC)
        return any(answer.asked_at >= over for _, answer in self.kept)

    def last(self, regions: Sequence[str], now: datetime) -> tuple[Place, Answer] | None:
        """The last record of just these regions; one that was fetched later than now only where there is no other."""
        own = [one for one in self.kept if set(one[1].regions) == set(regions)]
        past = [one for one in own if one[1].fetched_at <= now]
        return next(reversed(past or own), None)


class RacingIndex:
    """The index, for one deployment's topics. With `dry` what it lacks is added to a copy that the connection has."""

    def __init__(self, connection: Connection, prefix: str, kafka: Mapping[str, str], *, dry: bool = False) -> None:
        self._connection, self._kafka = connection, kafka
        self._dry, self._table = dry, _COPY if dry else _KEPT
        self._topics = {name: Lane(RACING.name, name, prefix).raw for name in RACING.kept}
        self._ids: dict[LaneName, str] = {}

    def index(self, moving: Callable[[], None] = lambda: None) -> int:
        """Bring the index up to what the logs hold now; return how many records were missing.

        `moving` is called with every record: of a new database there may be years of them.
        """
        if self._dry:
            self._connection.execute(
                f"""DROP TABLE IF EXISTS {_COPY};
                    CREATE TEMP TABLE racing_records (LIKE {_KEPT} INCLUDING ALL);
                    INSERT INTO {_COPY} SELECT * FROM {_KEPT}"""
            )
        return sum(self._index(name, moving) for name in self._topics)

    def _id(self, name: LaneName) -> str:
        """Kafka's id of a log's topic, "" while there is none."""
        if not self._ids.get(name):
            self._ids[name] = topic_id(self._kafka, self._topics[name]) or ""
        return self._ids[name]

    def _index(self, name: LaneName, moving: Callable[[], None]) -> int:
        if not self._id(name):
            return 0
        records = Records(self._kafka, self._topics[name])
        added = 0
        try:
            for partition in records.partitions():
                low, high = self._held(name, records, partition)
                missing = self._missing(name, partition, low, high)
                if len(missing) > 100:
                    log.info("%s[%d]: indexing %d records", records.topic, partition, len(missing))
                for offset in missing:
                    moving()
                    message = records.at(partition, offset)
                    answer = _read(message.value() if message else None)
                    self._add(name, partition, offset, answer, capture_id=None)
                    added += 1
        finally:
            records.close()
        return added

    def _held(self, name: LaneName, records: Records, partition: int) -> tuple[int, int]:
        """The offsets [low, high) that a partition holds; what the index has beyond them is forgotten.

        That is what somebody has deleted, or what a broker has lost when it crashed: other records come to stand there.
        """
        noted = self._connection.execute(
            f"SELECT max(record_offset) FROM {self._table} WHERE (topic_id, partition) = (%s, %s)",
            [self._id(name), partition],
        ).fetchone()
        low, high = records.watermarks(partition)
        gone = self._connection.execute(
            # Not what others have noted since: it may stand beyond `high` rightly.
            f"""DELETE FROM {self._table} WHERE (topic_id, partition) = (%s, %s) AND record_offset <= %s
                   AND (record_offset < %s OR record_offset >= %s)""",
            [self._id(name), partition, noted[0] if noted else None, low, high],
        ).rowcount
        if gone:
            log.warning("%s[%d]: %d records that were kept are no longer there", records.topic, partition, gone)
        return low, high

    def _missing(self, name: LaneName, partition: int, low: int, high: int) -> list[int]:
        rows = self._connection.execute(
            f"""SELECT o FROM generate_series(%(low)s::int8, %(high)s::int8 - 1) AS o
               WHERE NOT EXISTS (SELECT FROM {self._table}
                                 WHERE (topic_id, partition, record_offset) = (%(topic)s, %(partition)s, o))
               ORDER BY o""",
            {"low": low, "high": high, "topic": self._id(name), "partition": partition},
        )
        return [offset for (offset,) in rows]

    def add(self, place: Place, answer: Answer, capture_id: str | None) -> None:
        """Note a record that has just been delivered."""
        self._add(place.log, place.partition, place.offset, answer, capture_id)

    def confirm(self, place: Place, moment: datetime) -> None:
        """Note that the API has said the same again."""
        self._connection.execute(
            f"""UPDATE {self._table} SET confirmed_at = %s
                WHERE (topic_id, partition, record_offset) = (%s, %s, %s)""",
            [moment, self._id(place.log), place.partition, place.offset],
        )

    def _add(self, name: LaneName, partition: int, offset: int, answer: Answer | None, capture_id: str | None) -> None:
        said = answer or Answer("", None, (), datetime.now(UTC))
        self._connection.execute(
            f"""INSERT INTO {self._table} (topic_id, partition, record_offset, kind, date, horse_id, regions,
                    fetched_at, races, runners, bytes, capture_id)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            [
                self._id(name), partition, offset, said.kind or None, said.day, said.horse_id, list(said.regions),
                said.fetched_at, said.races, said.runners, said.size, capture_id,
            ],
        )  # fmt: skip

    def days(self, start: date, end: date, kinds: Sequence[Kind], regions: Sequence[str]) -> Iterator[Day]:
        """Each day of the range, both ends included, by day and then kind, with what is kept of it for all regions."""
        kept: dict[tuple[date, Kind], list[tuple[Place, Answer]]] = defaultdict(list)
        rows = self._connection.execute(
            f"""SELECT kind, date, regions, fetched_at, races, runners, bytes, confirmed_at, partition, record_offset
               FROM {self._table}
               WHERE topic_id = %s AND date BETWEEN %s AND %s AND kind = ANY(%s) AND regions @> %s
               ORDER BY fetched_at, record_offset""",
            [self._id(LaneName.LOG), start, end, list(kinds), list(regions)],
        )
        for kind, day, asked, fetched_at, races, runners, size, confirmed_at, partition, offset in rows:
            answer = Answer(kind, day, tuple(asked), fetched_at, races, runners, size, confirmed_at=confirmed_at)
            kept[day, kind].append((Place(log=LaneName.LOG, partition=partition, offset=offset), answer))
        span = [start + timedelta(days=n) for n in range((end - start).days + 1)]
        for day, kind in product(span, kinds):
            yield Day(day, kind, tuple(kept[day, kind]))

    def ends(self, regions: Sequence[str], before: date) -> tuple[date | None, date | None]:
        """Of the days before `before`, for all regions: the first that anything is kept of, the last settled one."""
        found = self._connection.execute(
            f"""SELECT min(date), max(date) FILTER (
                   WHERE greatest(fetched_at, confirmed_at) >= (date + 1)::timestamp AT TIME ZONE 'UTC')
               FROM {self._table} WHERE topic_id = %s AND date < %s AND regions @> %s""",
            [self._id(LaneName.LOG), before, list(regions)],
        ).fetchone()
        return found or (None, None)

    def details_kept(self, horses: Sequence[str]) -> set[str]:
        """Those of the horses whose detail is kept."""
        rows = self._connection.execute(
            f"SELECT DISTINCT horse_id FROM {self._table} WHERE topic_id = %s AND horse_id = ANY(%s)",
            [self._id(LaneName.DETAIL), list(horses)],
        )
        return {horse for (horse,) in rows}

    def first_day(self) -> date | None:
        """The first race day that anything is kept of."""
        row = self._connection.execute(
            f"SELECT min(date) FROM {self._table} WHERE topic_id = %s", [self._id(LaneName.LOG)]
        ).fetchone()
        return row[0] if row else None

    def references(self, horses: Sequence[str]) -> list[Place]:
        """Where the masters are kept, and the details of some horses."""
        rows = self._connection.execute(
            f"""SELECT topic_id, partition, record_offset FROM {self._table}
               WHERE (topic_id, kind) = (%s, 'masters') OR (topic_id = %s AND horse_id = ANY(%s)) ORDER BY 1, 2, 3""",
            [self._id(LaneName.LOG), self._id(LaneName.DETAIL), list(horses)],
        )
        names = {self._id(name): name for name in self._topics}
        return [Place(log=names[topic], partition=partition, offset=offset) for topic, partition, offset in rows]

    def observed(self, moment: str) -> list[Place]:
        """Where answers are kept that were fetched at a moment (ISO 8601), or are of its UTC day, as far as noted."""
        rows = self._connection.execute(
            f"""SELECT topic_id, partition, record_offset FROM {_KEPT}
                WHERE topic_id = ANY(%(topics)s) AND (fetched_at = %(moment)s::timestamptz
                   OR date = (%(moment)s::timestamptz AT TIME ZONE 'UTC')::date)""",
            {"topics": [self._id(name) for name in self._topics], "moment": moment},
        )
        names = {self._id(name): name for name in self._topics}
        return [Place(log=names[topic], partition=partition, offset=offset) for topic, partition, offset in rows]

    def later(self, ranges: Mapping[int, tuple[int, int]]) -> list[Place]:
        """Records outside `ranges` (offsets [first, last) by partition) that hold a later fetch of a day in them."""
        rows = self._connection.execute(
            f"""WITH range AS (SELECT * FROM unnest(%(partitions)s::int4[], %(firsts)s::int8[], %(lasts)s::int8[])
                                  AS r(partition, first, last)),
                    marked AS (SELECT k.*, EXISTS (SELECT FROM range r WHERE r.partition = k.partition
                                   AND k.record_offset >= r.first AND k.record_offset < r.last) AS inside
                               FROM {self._table} k WHERE topic_id = %(topic)s AND date IS NOT NULL)
               SELECT o.partition, o.record_offset FROM marked o
               WHERE NOT o.inside AND EXISTS (
                   SELECT FROM marked i WHERE i.inside AND (i.date, i.kind) = (o.date, o.kind)
                       AND i.fetched_at <= o.fetched_at)
               ORDER BY o.partition, o.record_offset""",
            {
                "topic": self._id(LaneName.LOG),
                "partitions": list(ranges),
                "firsts": [first for first, _ in ranges.values()],
                "lasts": [last for _, last in ranges.values()],
            },
        )
        return [Place(log=LaneName.LOG, partition=partition, offset=offset) for partition, offset in rows]

    def horses(self, capture_id: str) -> Iterator[tuple[str, Place | None]]:
        """Horses that ran in what the capture derived, and where their detail is kept, if it is."""
        rows = self._connection.execute(
            f"""SELECT r.horse_id, k.partition, k.record_offset
               FROM (SELECT DISTINCT horse_id FROM rederive.ra_runners_history WHERE capture_id = %(capture)s) r
               LEFT JOIN LATERAL (
                   SELECT partition, record_offset FROM {self._table} k
                   WHERE k.horse_id = r.horse_id AND k.topic_id = %(topic)s ORDER BY fetched_at DESC LIMIT 1) k ON true
               ORDER BY r.horse_id""",
            {"capture": capture_id, "topic": self._id(LaneName.DETAIL)},
        )
        for horse_id, partition, offset in rows:
            yield (
                horse_id,
                None if partition is None else Place(log=LaneName.DETAIL, partition=partition, offset=offset),
            )


def counted(pages: Sequence[Mapping[str, object]]) -> tuple[int, int]:
    """Races and runners on pages of racecards or results, as far as they can be counted."""
    races = [race for page in pages for name in ("racecards", "results") for race in _list(page.get(name))]
    return len(races), sum(len(_list(race.get("runners"))) for race in races if isinstance(race, dict))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _read(value: bytes | None) -> Answer | None:
    """What a record says it holds; None when it is none that this program reads."""
    try:
        lines = [orjson.loads(line) for line in (value or b"").splitlines()]
        first = lines[0]
        kind, regions, horse = first["kind"], first.get("regions") or [], first.get("horse_id")
        if kind not in KINDS or not all(map(_is_text, [*regions, horse or ""])) or len(horse or "") > MAX_ID:
            return None
        races, runners = counted([line["payload"] for line in lines if isinstance(line["payload"], dict)])
        fetched_at = datetime.fromisoformat(first["observed"])
        return Answer(
            kind=kind,
            day=date.fromisoformat(first["date"]) if kind in ("racecards", "results") else None,
            regions=tuple(region.lower() for region in regions),
            fetched_at=(fetched_at if fetched_at.tzinfo else fetched_at.replace(tzinfo=UTC)).astimezone(UTC),
            races=races,
            runners=runners,
            size=len(value or b""),
            horse_id=horse,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
        return None


def _is_text(value: object) -> bool:
    """Whether Postgres takes it as a text."""
    return isinstance(value, str) and "\0" not in value
