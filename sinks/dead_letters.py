"""Dead letters of a sink: outcomes that the database refused, kept on the DLQ for people."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from confluent_kafka import KafkaError, Message, Producer

from schemas.derived import encode_outcome
from schemas.errors import Failed
from schemas.lane import Lane
from schemas.outcome import Outcome
from schemas.wire import DerivedHeaders, Failure, Pointer, encode_derived, encode_failure, error_class, oversize
from sinks.apply import Applied

log = logging.getLogger("rederive.sink")

_DELIVERY_SECONDS = 60.0


class DeadLetters:
    """The producer to a lane's DLQ; `version` is the derivation version that letters name."""

    def __init__(self, kafka: Mapping[str, str], lane: Lane, version: int | None = None) -> None:
        self._lane, self._version = lane, version
        self._producer = Producer({**kafka, "compression.type": "zstd", "enable.idempotence": True})

    def send(self, done: Applied) -> None:
        """Send what was refused and wait for its delivery. Failed when one isn't taken."""
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error.str())

        for result, reason in done.refused:
            log.error("unit %s of %s is dead: %s", result.unit, result.capture_id, reason)
            value = encode_outcome(result.outcome)
            failure = Failure(
                result.origin,
                "sink",
                reason,
                error_class(reason),
                result.attempt,
                result.capture_id,
                self._version,
                result.first,
            )
            if oversize(value):
                # Its rows come again from the raw record, whose place is in the headers.
                failure = replace(failure, pointer=Pointer.to(value))
                value = encode_outcome(Outcome(result.outcome.read, dead=reason))
            answered = encode_derived(DerivedHeaders(result.origin, result.capture_id, result.unit))
            headers = encode_failure(failure, answered)
            self._producer.produce(
                self._lane.dlq,
                value=value,
                headers=list[tuple[str, str | bytes | None]](headers),
                on_delivery=delivered,
            )
        if done.refused and (self._producer.flush(_DELIVERY_SECONDS) or failures):
            raise Failed(
                "dead letters can't be delivered",
                why=f"{self._lane.dlq}: {failures[0] if failures else f'no answer in {_DELIVERY_SECONDS:.0f} s'}",
                mend="see that the topic takes records of 16 MiB; they are sent again then",
            )
