from pathlib import Path

import psycopg
import pytest

from rederive.database import connect
from rederive.domains import shipped
from rederive.migrate import migrate
from rederive.settings import Settings
from schemas.domain import Domain
from sinks.policies import policy_of
from sinks.policy import Fault
from tests.sinks.captures import miscounted
from tests.upgrade.expected import Expected, Row, following, listed, restore, take, unreadable

DUMPS = sorted(Path(__file__).parent.glob("*.sql.gz"))


def _faults(connection: psycopg.Connection, domain: Domain) -> list[Fault]:
    found = (done for table in domain.tables for done in policy_of(table).verify(connection, table))
    return [fault for done in found for fault in done.faults]


@pytest.mark.services
@pytest.mark.parametrize("dump", DUMPS, ids=[dump.name.partition(".")[0] for dump in DUMPS])
def test_captures_of_an_earlier_version_are_resumed_and_rolled_back(
    dump: Path, database_url: str, settings: Settings
) -> None:
    want = Expected.beside(dump)
    with connect(database_url, application="tests") as connection:
        restore(connection, dump)
        before, _ = migrate(database_url)
        assert before == want.revision
        assert listed(connection) == want.captures
        assert unreadable(connection) == []
        rows: dict[int, Row] = {}
        different = []
        for step in want.steps:
            take(settings.model_copy(update={"workers": 1}), step.action, step.capture)
            rows = following(rows, step)
            different += want.differences(connection, step, rows)
            different += [f"{step.name}: {line}" for line in miscounted(connection)]
            different += [f"{step.name}: {fault}" for domain in shipped() for fault in _faults(connection, domain)]
    assert different == []
