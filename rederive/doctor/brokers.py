"""Checks of Kafka: whether it is reached, its release, topics, partitions, sizes, retention, groups."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from producers.records import Records
from producers.topics import answer, topics_there, unreachable
from rederive.doctor.broker_version import release
from rederive.doctor.findings import Check, Finding, Verdict
from rederive.pulse import LanePulse
from rederive.settings import Settings
from rederive.status import look
from schemas.domain import Domain
from schemas.lane import UNLIMITED, Lane, LaneName
from schemas.live import moment_of
from schemas.wire import MAX_RECORD_BYTES
from schemas.words import counted

_SECONDS = 5.0
_START = "start one (`rederive local start`), or name one: set REDERIVE_KAFKA_BOOTSTRAP"


def reach(settings: Settings, bootstrap: str | None) -> Iterator[Finding]:
    """Whether the cluster answers, and which release it is at. Away and Failed as `unreachable`."""
    if bootstrap is None:
        yield Finding("kafka", "not there", Verdict.WRONG, "none is named and no embedded one runs", _START)
        return
    kafka = _kafka(settings, bootstrap)
    # Its calls end with the client.
    admin = AdminClient({**kafka})
    try:
        nodes = answer(kafka, admin.describe_cluster(request_timeout=_SECONDS)).nodes
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error
    try:
        version = release(settings, bootstrap) or "a release that it doesn't say"
    except (OSError, ValueError) as error:
        version = f"a release that can't be asked for ({error})"
    yield Finding("kafka", f"{bootstrap}: {counted(len(nodes), 'broker')}, features of {version}")


def checks(
    settings: Settings, bootstrap: str | None, meant: Sequence[Domain], since: datetime | None, away: str
) -> Iterator[Check]:
    """Of each domain's topics; of its logs whether they reach back to `since`."""
    for domain in meant:
        yield Check(f"topics {domain.name}", partial(_topics, settings, bootstrap or "", domain), away)
        if since is not None:
            yield Check(f"range {domain.name}", partial(_reaches, settings, bootstrap or "", domain, since), away)


def _kafka(settings: Settings, bootstrap: str) -> dict[str, str]:
    return settings.model_copy(update={"kafka_bootstrap": bootstrap}).kafka_config()


def _lanes(settings: Settings, domain: Domain) -> list[Lane]:
    names = dict.fromkeys((*domain.kept, LaneName.REPLAY))
    return [Lane(domain.name, name, settings.topic_prefix) for name in names]


def _topics(settings: Settings, bootstrap: str, domain: Domain) -> Iterator[Finding]:
    check = f"topics {domain.name}"
    kafka = _kafka(settings, bootstrap)
    admin = AdminClient({**kafka})
    there = {name: len(topic.partitions) for name, topic in topics_there(kafka, admin).items() if topic.error is None}
    wanted: dict[str, int] = {}
    for lane in _lanes(settings, domain):
        kept = lane.retention_ms(domain.log_retention)
        wanted |= kept
        if lane.raw in there and there.get(lane.derived, 0) != there[lane.raw]:
            sizes = f"{there[lane.raw]} and {there.get(lane.derived, 0)} partitions"
            why = f"{lane.raw} and {lane.derived} must have as many: outcomes go to the partition of their record"
            yield Finding(check, sizes, Verdict.WRONG, why, f"`rederive topics make {domain.name}`")
    found = [name for name in wanted if name in there]
    if not found:
        mend = f"the first run makes them, or `rederive topics make {domain.name}`"
        yield Finding(check, "none is there", Verdict.NOTE, "nothing has been sent yet", mend)
        return
    wrong = False
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
    for resource, future in admin.describe_configs(resources, request_timeout=_SECONDS).items():
        configs = answer(kafka, future)
        size, kept_ms = int(configs["max.message.bytes"].value), int(configs["retention.ms"].value)
        if size < MAX_RECORD_BYTES:
            wrong = True
            why = f"{resource.name} takes records of {size:,} bytes, units may be {MAX_RECORD_BYTES:,}"
            yield Finding(check, resource.name, Verdict.WRONG, why, f"`rederive topics make {domain.name}`")
        if _shorter(kept_ms, wanted[resource.name]):
            wrong = True
            keeps, counted_on = _days(kept_ms), _days(wanted[resource.name])
            why = f"{resource.name} keeps records for {keeps}, the program counts on {counted_on}"
            mend = f"set retention.ms of {resource.name} to {wanted[resource.name]} (kafka-configs.sh --alter)"
            yield Finding(check, resource.name, Verdict.WRONG, why, mend)
    if not wrong:
        yield Finding(check, ", ".join(f"{name} × {there[name]}" for name in found))


def _shorter(kept_ms: int, wanted_ms: int) -> bool:
    if kept_ms == UNLIMITED:
        return False
    return wanted_ms == UNLIMITED or kept_ms < wanted_ms


def _days(milliseconds: int) -> str:
    return "ever" if milliseconds == UNLIMITED else f"{milliseconds / timedelta(days=1).total_seconds() / 1000:g} days"


def _reaches(settings: Settings, bootstrap: str, domain: Domain, since: datetime) -> Iterator[Finding]:
    """Whether the domain's logs hold what was sent since then: what retention has dropped can't be read again."""
    kafka = _kafka(settings, bootstrap)
    there = topics_there(kafka, AdminClient({**kafka}))
    for name in domain.kept:
        lane = Lane(domain.name, name, settings.topic_prefix)
        check = f"range {lane.raw}"
        if lane.raw not in there:
            yield Finding(check, "not there", Verdict.NOTE, "nothing has been kept on it yet")
            continue
        first: list[datetime] = []
        dropped = False
        with closing(Records(kafka, lane.raw)) as records:
            for partition in records.partitions():
                low, high = records.watermarks(partition)
                dropped = dropped or low > 0
                message = records.first(partition, low) if low < high else None
                if message is not None:
                    first.append(moment_of(message.timestamp()[1]))
        if not first:
            yield Finding(check, "empty", Verdict.WRONG if dropped else Verdict.NOTE, "it holds no record")
            continue
        value = f"holds records since {max(first):%Y-%m-%d %H:%M:%S} UTC"
        if dropped and max(first) > since:
            why = f"asked is from {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, and older records are dropped"
            mend = "replay from another source of the domain, or ask for a later range"
            yield Finding(check, value, Verdict.WRONG, why, mend)
        else:
            yield Finding(check, f"{value}; nothing has been dropped" if not dropped else value)


def lanes(settings: Settings) -> Iterator[Finding]:
    """Who works on each lane, how far groups are, and what is wrong with them as `rederive status` says it."""
    found = look(settings)
    for one in found.lanes:
        for of, seen in (("agents", one.agents), ("sinks", one.sinks)):
            members = sum(name is not None for name in seen.holders)
            yield Finding(
                f"group {_name(one)} {of}", f"{counted(members, 'member')}, {counted(seen.lag, 'record')} behind"
            )
    for trouble in found.troubles:
        yield Finding(f"lanes {trouble.domain}".strip(), trouble.what, Verdict.WRONG, "", trouble.mend)
    for name, letters in found.letters.items():
        if letters:
            value = counted(letters, "dead letter")
            yield Finding(f"dlq {name}", value, Verdict.NOTE, "", f"`rederive dlq list {name}` says what died")


def _name(one: LanePulse) -> str:
    return f"{one.lane.domain}.{one.lane.name}"
