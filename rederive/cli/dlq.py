"""`rederive dlq`: dead letters of a domain: what died and why, sent again after a fix, or dropped."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from rederive.cli.running import SOME, USUAL, Crew, DomainName

if TYPE_CHECKING:
    from confluent_kafka import Message

    from rederive.dlq import Asked, Dlq, Found, Requeued
    from rederive.replayer import Report
    from rederive.settings import Settings

dlq = cyclopts.App(name="dlq", help="Dead letters: records of which nothing could be made, or that Postgres refused.")

Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object on stdout instead of text.")]
DryRun = Annotated[bool, Parameter(negative="", help="Only say what would be done.")]
State = Literal["dead", "quarantined", "sending", "requeued", "applied", "dropped"]

_TEXT_CHARS = 20_000
_REASON_CHARS = 100


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which letters; all that fit everything that is said."""

    capture: Annotated[str | None, Parameter(help="Only of this capture.")] = None
    stage: Annotated[
        Literal["agent", "sink"] | None, Parameter(help="agent: nothing could be made of it. sink: Postgres refused.")
    ] = None
    reason: Annotated[str | None, Parameter(help="Only with this text in the reason, or of this class of error.")] = (
        None
    )
    since: Annotated[str | None, Parameter(help="First UTC day or time of dying, included.")] = None
    until: Annotated[str | None, Parameter(help="Last UTC day of dying, included; a time is not.")] = None
    origin: Annotated[
        str | None, Parameter(help="Only the record that stands, or stood first, at topic[partition]@offset.")
    ] = None
    limit: Annotated[int | None, Parameter(validator=SOME, help="At most so many, the oldest.")] = None

    @property
    def any(self) -> bool:
        """Whether anything is said."""
        return self != Filters()

    def asked(self, states: "Sequence[str] | None" = None) -> "Asked":
        """As a question to the DLQ; of letters in some states, the open ones unless it is said."""
        from rederive.cli.running import span
        from rederive.dlq import OPEN, Asked, origin_of
        from rederive.dlq import State as LetterState

        since, until = span(self.since, self.until, ("--since", "--until"), until_today=False)
        return Asked(
            capture=self.capture,
            stage=self.stage,
            text=self.reason,
            since=since,
            until=until,
            origin=origin_of(self.origin) if self.origin is not None else None,
            states=OPEN if states is None else tuple(map(LetterState, states)),
            limit=self.limit,
        )


ALL = Filters()


@dlq.command(name="list")
def list_letters(
    domain: DomainName,
    /,
    *,
    filters: Filters = ALL,
    state: Annotated[
        tuple[State, ...],
        Parameter(help="Only letters that stand so; unless it is said what is open: dead, quarantined, sending."),
    ] = (),
    json: Json = False,
) -> None:
    """List dead letters, the oldest first: where each died, how often, and why.

    Example: rederive dlq list betfair --stage sink --since 2026-02-06
    """
    from rederive.cli.output import print_json, print_table, stdout

    with _opened(domain) as (_, found):
        letters = found.find(filters.asked(state or None))
        topic = found.letters.topic
    if json:
        print_json({"topic": topic, "letters": [one.describe() for one in letters]})
    elif not letters:
        stdout.print(f"no open letter on {topic} is of what is asked for" if not state else "none stands so")
    else:
        print_table(
            f"Dead letters on {topic}",
            ["origin", "state", "died (UTC)", "stage", "attempt", "capture", "unit", "bytes", "why"],
            [_row(one) for one in letters],
            left=(0, 1, 2, 3, 5, 8),
        )


@dlq.command
def show(
    domain: DomainName,
    /,
    *,
    filters: Filters = ALL,
    raw: Annotated[
        bool, Parameter(negative="", help="The payload's bytes on stdout and nothing else; of one letter only.")
    ] = False,
    json: Json = False,
) -> None:
    """Show dead letters whole: how each stands, its headers, its payload as text that is safe on a terminal.

    Example: rederive dlq show betfair --origin "betfair.replay[0]@17"
    """
    from rederive.cli.output import print_json, stdout
    from schemas.errors import Failed, UsageError

    with _opened(domain) as (_, found):
        letters = found.find(filters.asked(()))
        if not letters:
            raise Failed(
                f"no letter on {found.letters.topic} is of what is asked for",
                mend=f"`rederive dlq list {domain}` lists those that are open",
            )
        if raw and len(letters) > 1:
            raise UsageError(
                f"--raw is of one letter, {len(letters):,} fit",
                mend=f'name one: --origin "{letters[0].letter.failure.origin}"',
            )
        if raw:
            sys.stdout.buffer.write(found.letters.message(letters[0].letter).value() or b"")
            sys.stdout.buffer.flush()
            return
        shown = ((one, found.letters.message(one.letter)) for one in letters)
        if json:
            print_json([{**one.describe(), **_content(message)} for one, message in shown])
            return
        for number, (one, message) in enumerate(shown):
            if number:
                stdout.print()
            for line in _lines(one, message):
                stdout.print(line, markup=False)


@dlq.command
def requeue(
    domain: DomainName,
    /,
    *,
    filters: Filters = ALL,
    force: Annotated[
        bool, Parameter(negative="", help="Also what is quarantined: what has died REDERIVE_DLQ_ATTEMPTS times.")
    ] = False,
    send_only: Annotated[
        bool, Parameter(negative="", help="Don't run the captures afterwards; `captures resume` does then.")
    ] = False,
    dry_run: DryRun = False,
    crew: Crew = USUAL,
    json: Json = False,
) -> int:
    """Send records again, after what killed them is mended, and finish their captures: dead becomes applied.

    Each goes to the lane that it came from with its own bytes, capture and unit. Killed midway, the same words go on,
    and nothing is sent twice. What came live is taken by `rederive live`. Exit 1 when one was refused, or died again.
    """
    from rederive import captures as ledger

    with _opened(domain) as (settings, found):
        done = found.requeue(filters.asked(), force=force, dry_run=dry_run)
        at_work = ledger.at_work(found.connection)
    _say_refused(done)
    to_run = [] if dry_run or send_only else [one for one in done.captures if one not in at_work]
    if not json:
        _say_sent(domain, done, at_work, dry_run=dry_run, send_only=send_only)
    reports = [_run(settings, capture, crew) for capture in to_run]
    if json:
        _print_requeued(done, [one.describe() for one in reports], dry_run=dry_run)
    return max([int(bool(done.refused)), *(one.exit_code for one in reports)])


@dlq.command
def drop(
    domain: DomainName,
    /,
    *,
    filters: Filters = ALL,
    why: Annotated[str, Parameter(help="Why nobody wants them any more, for the record.")],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Give letters up: they aren't listed as open any more, nor sent again. The topic and the units stay as they are.

    Example: rederive dlq drop betfair --origin "betfair.log[0]@17" --why "a test record"
    """
    from rederive.cli.output import print_json, stdout
    from schemas.errors import UsageError
    from schemas.words import counted, verb

    if not filters.any:
        raise UsageError("`rederive dlq drop` wants to know which", mend="say --origin, --capture, --reason or another")
    if not why.strip():
        raise UsageError("--why is empty", why="it is kept as the reason", mend='say it: --why "a test record"')
    with _opened(domain) as (_, found):
        dropped = found.drop(filters.asked(), why, dry_run=dry_run)
    if json:
        print_json({"dry_run": dry_run, "dropped": [str(one.failure.origin) for one in dropped]})
        return
    for one in dropped:
        stdout.print(str(one.failure.origin), markup=False)
    would = "would be dropped (dry run)" if dry_run else f"{verb(len(dropped), 'is', 'are')} dropped"
    stdout.print(f"{counted(len(dropped), 'letter')} {would}")


@contextmanager
def _opened(domain: str) -> "Iterator[tuple[Settings, Dlq]]":
    from rederive import domains
    from rederive.database import opened
    from rederive.dlq import Dlq
    from rederive.endpoints import resolve
    from rederive.settings import Settings

    with opened("dead letters") as connection:
        settings = Settings()
        settings = settings.at(resolve(settings))
        with Dlq.opened(settings, domains.find(domain), connection) as found:
            yield settings, found


def _row(one: "Found") -> tuple[object, ...]:
    letter, failure = one.letter, one.letter.failure
    reason = failure.reason.partition("\n")[0]
    why = reason if len(reason) <= _REASON_CHARS else f"{reason[:_REASON_CHARS]}…"
    return (
        failure.origin, one.state, f"{letter.sent:%Y-%m-%d %H:%M:%S}", failure.stage, failure.attempt, letter.capture,
        letter.unit, f"{letter.size:,}", why,
    )  # fmt: skip


def _facts(one: "Found") -> Iterator[tuple[str, object]]:
    letter, failure, noted = one.letter, one.letter.failure, one.noted
    yield "letter", letter.place
    yield "state", one.state
    if noted is not None:
        yield "by", f"{noted.who}, {noted.at:%Y-%m-%d %H:%M:%S} UTC{f': {noted.reason}' if noted.reason else ''}"
    yield "origin", failure.origin
    if failure.first is not None:
        yield "first", failure.first
    yield "died", f"{letter.sent:%Y-%m-%d %H:%M:%S} UTC, {failure.stage}, attempt {failure.attempt}"
    yield "capture", letter.capture or ""
    yield "unit", "" if letter.unit is None else letter.unit
    yield "version", "" if failure.version is None else failure.version
    yield "error", failure.error
    yield "why", failure.reason
    if failure.pointer is not None:
        yield "value", f"not here: {failure.pointer.size:,} bytes at the origin, SHA-256 {failure.pointer.sha256}"


def _lines(one: "Found", message: "Message") -> Iterator[str]:
    for name, text in _facts(one):
        yield f"{name:10}{text}"
    for name, content in _headers(message):
        yield f"header    {name}: {_text(content)}"
    yield f"key       {_text(message.key() or b'')}"
    value = message.value() or b""
    if one.letter.failure.stage == "sink":
        # Behind its first line an outcome has Arrow.
        value, _, arrow = value.partition(b"\n")
        yield f"outcome   {_text(value.rstrip())}"
        yield f"          and {len(arrow):,} bytes of rows"
    else:
        yield f"payload   {_text(value)}"


def _headers(message: "Message") -> list[tuple[str, bytes]]:
    pairs: Any = message.headers() or ()
    return [(name, value if isinstance(value, bytes) else (value or "").encode()) for name, value in pairs]


def _text(value: bytes) -> str:
    """Bytes as text: what is no UTF-8 is escaped, what is long is cut."""
    text = value[: 4 * _TEXT_CHARS].decode("utf-8", "backslashreplace")
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}… ({len(value):,} bytes; --raw gives all)"


def _content(message: "Message") -> dict[str, Any]:
    """Headers, key and value for JSON; what is no UTF-8 as escapes."""
    return {
        "headers": [[name, content.decode("utf-8", "backslashreplace")] for name, content in _headers(message)],
        "key": None if message.key() is None else (message.key() or b"").decode("utf-8", "backslashreplace"),
        "value": (message.value() or b"").decode("utf-8", "backslashreplace"),
    }


def _say_refused(done: "Requeued") -> None:
    from rederive.cli.output import stderr

    for letter, why in done.refused:
        stderr.print(f"{letter.failure.origin} is not sent again: {why}", markup=False)


def _say_sent(domain: str, done: "Requeued", at_work: "dict[str, str]", *, dry_run: bool, send_only: bool) -> None:
    from rederive.cli.output import stdout
    from schemas.words import counted, verb

    for letter, place in done.sent:
        moved = "" if dry_run else f" -> {place}"
        stdout.print(f"{letter.failure.origin}{moved} (attempt {letter.failure.attempt + 1})", markup=False)
    number = len(done.sent)
    would = "would be sent again (dry run)" if dry_run else f"{verb(number, 'is', 'are')} sent again"
    stdout.print(f"{counted(number, 'record')} {would}, {len(done.refused):,} refused")
    if dry_run:
        return
    for capture in done.captures:
        if capture in at_work:
            stdout.print(f"{capture} is being run by another process, which takes them")
        elif send_only:
            stdout.print(f"go on with: rederive captures resume {capture}")
    if done.live:
        stdout.print(f"what came live is taken by `rederive live {domain}`")


def _run(settings: "Settings", capture_id: str, crew: Crew) -> "Report":
    """Run a capture until what was sent again has an outcome; its report."""
    from rederive import captures as ledger
    from rederive.cli.output import stderr
    from rederive.progress import shown
    from rederive.replayer import Replayer

    replayer = Replayer.of(settings)
    with replayer.connected("the capture") as connection:
        found = ledger.find(connection, capture_id)
    try:
        with shown(stderr, 500) as listener:
            return replayer.run(found, listener, crew.workers, crew.sinks, hours=crew.hours)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"go on with: rederive captures resume {capture_id}") from None


def _print_requeued(done: "Requeued", reports: "list[dict[str, Any]]", *, dry_run: bool) -> None:
    from rederive.cli.output import print_json

    print_json(
        {
            "dry_run": dry_run,
            "sent": [
                {
                    "origin": str(letter.failure.origin),
                    "first": str(letter.failure.identity),
                    "attempt": letter.failure.attempt + 1,
                    "capture": letter.capture,
                    "unit": letter.unit,
                    "to": None if dry_run else str(place),
                }
                for letter, place in done.sent
            ],
            "refused": [{"origin": str(letter.failure.origin), "why": why} for letter, why in done.refused],
            "captures": reports,
            "live": done.live,
        }
    )
