"""What is the same for every source."""

from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from producers.source import Page, Request, Services, Source, make_plan, open_source
from schemas.domain import Domain
from schemas.errors import Failed
from schemas.plan import Locator, PlannedUnit
from schemas.table import Mode


class Empty(Source[Locator]):
    """A source that has nothing."""

    locator = Locator

    def pages(self, request: Request) -> Iterator[Page[Locator]]:  # noqa: ARG002
        return iter(())

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Locator]) -> None:
        raise NotImplementedError


class Confused(Empty):
    """A source whose second page begins at 0 again."""

    def pages(self, request: Request) -> Iterator[Page[Locator]]:  # noqa: ARG002
        for name in ("first", "second"):
            yield Page([PlannedUnit(unit=0, key_range=name, locator=Locator(), rows=1)])


def test_a_source_that_gives_a_number_twice_is_named() -> None:
    domain = Domain(name="made", derivation_version=1, tables=(), sources={"readings": f"{__name__}:Confused"})
    source = open_source(domain, "readings", Services(Mock(), Mock(), {}))
    with pytest.raises(Failed, match="made can't be replayed from readings") as refused:
        make_plan(source, Request(domain="made", mode=Mode.FILL, columns=()))
    assert refused.value.why == "its source numbers unit 1 (second) as 0"


def test_a_source_is_called_what_its_domain_calls_it() -> None:
    domain = Domain(name="made", derivation_version=1, tables=(), sources={"readings": f"{__name__}:Empty"})
    request = Request(domain="made", mode=Mode.FILL, columns=())
    source = open_source(domain, "readings", Services(Mock(), Mock(), {}))
    assert make_plan(source, request).source == "readings"
