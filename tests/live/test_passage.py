"""How far what arrives has come, by where its domain finds it."""

from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from rederive.groups import Groups
from rederive.passage import Passage, Stage
from rederive.settings import Settings
from schemas.betfair.tables import BETFAIR
from schemas.domain import Domain
from schemas.racing.tables import RACING
from store import cursors, producers

pytestmark = pytest.mark.services


@pytest.mark.parametrize(("domain", "stage"), [(RACING, Stage.MERGED), (BETFAIR, Stage.NOT_FOUND)])
def test_only_a_domain_that_follows_a_table_waits_for_its_cursor(
    settings: Settings, connection: psycopg.Connection, domain: Domain, stage: Stage
) -> None:
    moment = producers.now(connection)
    with closing(Groups(settings.kafka_config())) as groups:
        assert Passage(domain, moment, settings.topic_prefix).look(connection, groups) is stage
        later = Passage(domain, moment + timedelta(hours=1), settings.topic_prefix)
        assert later.look(connection, groups) is Stage.NOT_FOUND


def test_each_table_that_is_followed_must_have_come_so_far(settings: Settings, connection: psycopg.Connection) -> None:
    moment = producers.now(connection)
    server = cursors.server_of(connection)
    name = f"{BETFAIR.name}.{BETFAIR.follows[0]}"
    with closing(Groups(settings.kafka_config())) as groups:
        passage = Passage(BETFAIR, moment, settings.topic_prefix)
        cursors.save(connection, name, cursors.Position(server, "1:1:", moment - timedelta(seconds=1)))
        assert passage.look(connection, groups) is Stage.NOT_FOUND
        cursors.save(connection, name, cursors.Position(server, "1:1:", moment))
        assert passage.look(connection, groups) is Stage.MERGED
