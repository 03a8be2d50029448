"""Dead letters: which there are, how each stands, and what is in one."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

from confluent_kafka import Message
from fastapi import Path, Request
from psycopg import Connection

from rederive import domains
from rederive.dlq import OPEN, Asked, Dlq, Found, State, origin_of
from rederive.endpoints import running
from rederive.http.cache import Cache
from rederive.http.routing import (
    BaseModel,
    Key,
    Limit,
    Moment,
    Query,
    Reading,
    Response,
    Router,
    Text,
    Unknown,
    cache_of,
)
from schemas.errors import Away

router = Router(prefix="/api/domains/{domain}/dead-letters", tags=["dead letters"])

FRESH_SECONDS, STALE_SECONDS = 3.0, 10.0
SHOWN_BYTES = 1024 * 1024
"""So much of a payload is shown with its letter; all of it has a path of its own."""

Partition = Annotated[int, Path(ge=0, le=2**31 - 1)]
Offset = Annotated[int, Path(ge=0, le=2**63 - 1)]


class LetterNow(BaseModel):
    """A letter and how it stands: `place` is its own, `origin` its record's, `first` where that stood first."""

    place: str
    partition: int
    offset: int
    state: State
    sent: datetime
    stage: str
    attempt: int
    capture: str | None
    unit: int | None
    origin: str
    first: str
    error: str
    reason: str
    version: int | None
    bytes: int
    sha256: str | None
    at: datetime | None
    who: str | None
    why: str


class LetterPage(BaseModel):
    """Letters, the oldest first; `next` is what to say as `after` for those that follow, None at the end."""

    topic: str
    total: int
    letters: list[LetterNow]
    next: str | None


class Payload(BaseModel):
    """Bytes as text, or as base64 where they are no UTF-8 or that was asked for; cut behind the first MiB."""

    encoding: Literal["text", "base64"]
    content: str
    size_bytes: int
    truncated: bool


class Header(BaseModel):
    """A header of the record."""

    name: str
    value: Payload


class LetterWhole(BaseModel):
    """A letter with its headers, key and payload."""

    letter: LetterNow
    headers: list[Header]
    key: Payload | None
    payload: Payload


@router.get("")
def list_letters(
    request: Request,
    domain: Key,
    reads: Reading,
    capture: Annotated[Text | None, Query(description="Only of this capture.")] = None,
    stage: Annotated[Literal["agent", "sink"] | None, Query(description="Where they died.")] = None,
    reason: Annotated[
        Text | None, Query(description="With this text in the reason, or of this class of error.")
    ] = None,
    since: Annotated[Moment | None, Query(description="That died since.")] = None,
    until: Annotated[Moment | None, Query(description="That died before.")] = None,
    origin: Annotated[Text | None, Query(description="Of the record at topic[partition]@offset.")] = None,
    state: Annotated[list[State] | None, Query(description="That stand so. Default: those that are open.")] = None,
    after: Annotated[Text | None, Query(description="Only those behind this place.")] = None,
    limit: Limit = 100,
) -> LetterPage:
    """Dead letters, the oldest first."""
    asked = Asked(
        capture=capture,
        stage=stage,
        text=reason,
        since=since,
        until=until,
        origin=origin_of(origin) if origin else None,
        states=tuple(state or OPEN),
    )
    topic, every = _every(request, domain, reads)
    fitting = [one for one in every if one.state in asked.states and asked.takes(one.letter)]
    behind = 0
    if after is not None:
        places = [str(one.letter.place) for one in fitting]
        if after not in places:
            raise Unknown(f"no letter of these stands at {after}", mend="begin anew, without `after`")
        behind = places.index(after) + 1
    page = fitting[behind : behind + limit]
    more = len(fitting) > behind + limit
    return LetterPage(
        topic=topic,
        total=len(fitting),
        letters=[_shown(one) for one in page],
        next=str(page[-1].letter.place) if more else None,
    )


@router.get("/{partition}/{offset}")
def show_letter(
    request: Request,
    domain: Key,
    partition: Partition,
    offset: Offset,
    reads: Reading,
    encoding: Annotated[Literal["auto", "text", "base64"], Query(description="How bytes are written.")] = "auto",
) -> LetterWhole:
    """A letter whole. As text what is no UTF-8 is escaped; by default such bytes are base64."""
    found, message = _whole(request, domain, partition, offset, reads)
    headers: Any = message.headers() or ()
    key = message.key()
    return LetterWhole(
        letter=_shown(found),
        headers=[Header(name=name, value=_payload(_bytes(value), encoding)) for name, value in headers],
        key=None if key is None else _payload(_bytes(key), encoding),
        payload=_payload(_bytes(message.value()), encoding),
    )


@router.get("/{partition}/{offset}/payload", response_class=Response)
def payload(request: Request, domain: Key, partition: Partition, offset: Offset, reads: Reading) -> Response:
    """The bytes of a letter's payload, all of them, to be saved."""
    _, message = _whole(request, domain, partition, offset, reads)
    named = {"Content-Disposition": f'attachment; filename="letter-{partition}-{offset}.bin"'}
    return Response(_bytes(message.value()), media_type="application/octet-stream", headers=named)


def _every(request: Request, domain: str, reads: Reading) -> tuple[str, list[Found]]:
    if domain not in domains.names():
        raise Unknown(f"there is no domain {domain}", why=f"known are {', '.join(domains.names())}")
    kept: Cache[tuple[str, list[Found]]] = cache_of(request, "letters", FRESH_SECONDS, STALE_SECONDS)

    def look() -> tuple[str, list[Found]]:
        with reads.connection("the dead letters") as connection, opened(request, domain, connection) as dlq:
            return dlq.letters.topic, dlq.find(Asked())

    return kept.get(domain, look)


def _whole(request: Request, domain: str, partition: int, offset: int, reads: Reading) -> tuple[Found, Message]:
    _, every = _every(request, domain, reads)
    for one in every:
        place = one.letter.place
        if (place.partition, place.offset) == (partition, offset):
            with reads.connection("the dead letter") as connection, opened(request, domain, connection) as dlq:
                return one, dlq.letters.message(one.letter)
    raise Unknown(f"no dead letter of {domain} stands at [{partition}]@{offset}", mend="list them: some may be gone")


@contextmanager
def opened(request: Request, domain: str, connection: Connection) -> Iterator[Dlq]:
    """The dead letters of a domain, whose clients end with the block. Away when there is no Kafka."""
    settings = request.app.state.settings
    bootstrap, _ = running(settings)
    if bootstrap is None:
        raise Away("no Kafka runs", mend="`rederive local start`, or set REDERIVE_KAFKA_BOOTSTRAP")
    named = settings.model_copy(update={"kafka_bootstrap": bootstrap})
    with Dlq.opened(named, domains.find(domain), connection) as dlq:
        yield dlq


def _shown(one: Found) -> LetterNow:
    place = one.letter.place
    return LetterNow.model_validate({**one.describe(), "partition": place.partition, "offset": place.offset})


def _bytes(value: Any) -> bytes:  # noqa: ANN401 - as the client has it
    return value.encode() if isinstance(value, str) else bytes(value or b"")


def _payload(value: bytes, encoding: Literal["auto", "text", "base64"]) -> Payload:
    cut = value[:SHOWN_BYTES]
    said: Literal["text", "base64"]
    if encoding == "base64":
        said, content = "base64", base64.b64encode(cut).decode()
    else:
        try:
            said, content = "text", cut.decode()
        except UnicodeDecodeError as error:
            # A character that the cut goes through is no reason.
            whole = len(cut) - error.start < 4 and len(cut) < len(value)
            if whole or encoding == "text":
                said, content = "text", cut.decode("utf-8", "ignore" if whole else "backslashreplace")
            else:
                said, content = "base64", base64.b64encode(cut).decode()
    return Payload(encoding=said, content=content, size_bytes=len(value), truncated=len(cut) < len(value))
