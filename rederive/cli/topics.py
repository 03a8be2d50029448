"""`rederive topics`: the topics of a domain, made before anything is sent."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter, validators

from rederive.cli.running import DomainName

topics = cyclopts.App(name="topics", help="A domain's topics in Kafka: replays make what they need by themselves.")

_MOST = 256


@topics.command
def make(
    domain: DomainName,
    /,
    *,
    partitions: Annotated[
        int | None,
        Parameter(
            validator=validators.Number(gte=1, lte=_MOST),
            help="Of each topic of records and outcomes, at least. Default: REDERIVE_WORKERS.",
        ),
    ] = None,
    json: Annotated[bool, Parameter(name="--json", negative="", help="One JSON object instead of a table.")] = False,
) -> None:
    """Make what is missing of a domain's topics, its log too, so that others can write to it.

    Example: rederive topics make betfair --partitions 4
    """
    from producers.topics import ensure_topics, partitions_of
    from rederive import domains
    from rederive.cli.output import print_json, print_table
    from rederive.endpoints import resolve
    from rederive.settings import Settings
    from schemas.lane import Lane, LaneName

    settings = Settings()
    kafka = settings.at(resolve(settings)).kafka_config()
    found = domains.find(domain)
    sizes: dict[str, int] = {}
    for name in (*found.kept, LaneName.REPLAY):
        lane = Lane(domain, name, settings.topic_prefix)
        ensure_topics(kafka, lane, partitions or settings.workers, found.log_retention)
        sizes |= {topic: len(partitions_of(kafka, topic)) for topic in lane.retention_ms(found.log_retention)}
    if json:
        print_json({"topics": sizes})
    else:
        print_table(f"Topics of {domain}", ["topic", "partitions"], sorted(sizes.items()))
