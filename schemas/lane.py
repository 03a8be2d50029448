"""Lanes: the topics and consumer groups of one domain's live log or of its replays."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

_DAY_MS = 24 * 3600 * 1000
UNLIMITED = -1


class LaneName(StrEnum):
    """What arrives for the first time goes through the log, what is read again through the replay lane.

    DETAIL is a second log, of what is asked for because the first has named it: a queue that may take hours has its
    own topic.
    """

    LOG = "log"
    DETAIL = "detail"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Lane:
    """Names of one lane; `prefix` keeps deployments on one cluster apart."""

    domain: str
    name: LaneName
    prefix: str = ""

    @property
    def raw(self) -> str:
        """Topic of raw records."""
        return f"{self.prefix}{self.domain}.{self.name}"

    @property
    def derived(self) -> str:
        """Topic of outcomes; partition n answers partition n of the raw topic."""
        return f"{self.raw}.derived"

    @property
    def dlq(self) -> str:
        """Topic of what could not be computed or written; one a domain."""
        return f"{self.prefix}{self.domain}.dlq"

    @property
    def codec(self) -> str:
        """How raw records are compressed: a log is kept, a queue is read once, and lz4 takes less of all processors."""
        return "lz4" if self.name is LaneName.REPLAY else "zstd"

    @property
    def agents(self) -> str:
        """Consumer group of the agents."""
        return f"{self.prefix}rederive.{self.domain}.{self.name}.agents"

    @property
    def sinks(self) -> str:
        """Consumer group of the sinks."""
        return f"{self.prefix}rederive.{self.domain}.{self.name}.sinks"

    def retention_ms(self, log: timedelta | None) -> dict[str, int]:
        """How long each topic keeps its records, in milliseconds; a log for `log`, without limit when that is None."""
        kept = UNLIMITED if log is None else int(log.total_seconds() * 1000)
        raw = 3 * _DAY_MS if self.name is LaneName.REPLAY else kept
        return {self.raw: raw, self.derived: 3 * _DAY_MS, self.dlq: UNLIMITED}
