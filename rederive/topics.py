"""What a person says of topics, in words: which log of a domain, which partitions, offsets in a file."""

from pathlib import Path

from producers.source import Begin
from rederive.offsets import Exported
from schemas.domain import Domain
from schemas.errors import UsageError
from schemas.lane import Lane, LaneName

_MOST = 2**31


def logs(domain: Domain, prefix: str, word: str | None) -> tuple[LaneName, ...]:
    """The lane whose raw topic a word names, by itself or whole; none where nothing is said.

    UsageError for a topic that is none of the domain's raw ones.
    """
    if word is None:
        return ()
    lanes = {name: Lane(domain.name, name, prefix) for name in (*domain.kept, LaneName.REPLAY)}
    for name, lane in lanes.items():
        if word in (name, lane.raw, f"{domain.name}.{name}"):
            return (name,)
    known = ", ".join(f"{name} ({lane.raw})" for name, lane in lanes.items())
    raise UsageError(f"{domain.name} has no topic {word} of raw records", mend=f"say one of {known}")


def numbers(text: str | None) -> tuple[int, ...]:
    """Partitions, such as 0,2,5-7. UsageError for what isn't any."""
    found: set[int] = set()
    for word in filter(None, (text or "").split(",")):
        first, dash, last = word.partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdecimal() and int(end) < _MOST for end in ends) or int(ends[0]) > int(
            ends[1]
        ):
            raise UsageError(f"--partitions {word!r} is no partition", mend="write them as 0,2,5-7")
        if int(ends[1]) - int(ends[0]) > 100_000:
            raise UsageError(f"--partitions {word!r} are too many", mend="write them as 0,2,5-7")
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    if text is not None and not found:
        raise UsageError("--partitions names none", mend="write them as 0,2,5-7, or leave it out for all")
    return tuple(sorted(found))


def begins(domain: Domain, prefix: str, chosen: tuple[LaneName, ...], file: Path | None) -> tuple[Begin, ...]:
    """Where partitions begin by a file of offsets, of those of the chosen topics; one that it doesn't name has none.

    UsageError when it is no such file, or names none of the topics.
    """
    if file is None:
        return ()
    topics = {Lane(domain.name, name, prefix).raw: name for name in chosen or domain.kept}
    groups = [one for one in Exported.read(file).groups if one.topic in topics]
    if not groups:
        raise UsageError(f"{file} has no offsets of {' or '.join(topics)}", mend="`rederive offsets reset` writes them")
    return tuple(
        Begin(topics[one.topic], partition, offset)
        for one in groups
        for partition, offset in one.offsets.items()
        if offset is not None
    )
