"""Where tables are: the same places for every user, whatever a user's or a database's search path says."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from rederive.database import connect
from rederive.migrate import migrate
from rederive.settings import Settings
from schemas.betfair.tables import SCOPES
from schemas.errors import Failed
from tests.betfair.replay.stored import counts, replay
from tests.betfair.reports.made import many

pytestmark = pytest.mark.services

_SERVING = """
    SELECT n.nspname, count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v') AND c.relname ~ '^(market|ra|finra|core)_'
        AND c.relname !~ '_(history|baseline|captures|shadow)$'
    GROUP BY 1"""


def as_user(url: str, name: str) -> str:
    """The URL with another user, whose password is his name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{name}:{name}@{parts.netloc.rpartition('@')[2]}"))


@contextmanager
def role(database_url: str, name: str, path: str | None = None) -> Iterator[str]:
    """A user who may make things in the test's database; its URL. One that is there already is taken as it is."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        database = connection.info.dbname
        there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        if not there:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), name))
        try:
            words = sql.Identifier(name), sql.Identifier(database)
            connection.execute(sql.SQL("GRANT CREATE ON DATABASE {1} TO {0}").format(*words))
            connection.execute(sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(words[0]))
            if path:
                connection.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(path), words[0]))
                command = sql.SQL("ALTER ROLE {0} IN DATABASE {1} SET search_path = {2}")
                connection.execute(command.format(*words, sql.Identifier(path)))
            yield database_url if there else as_user(database_url, name)
        finally:
            if not there:
                for ending in ("DROP OWNED BY {} CASCADE", "DROP ROLE {}"):
                    connection.execute(sql.SQL(ending).format(sql.Identifier(name)))


def made_by_an_earlier_version(url: str) -> None:
    """The tables as up to 0005: serving ones in the engine's own schema."""
    migrate(f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3Drederive", "0005")


def serving(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute(_SERVING).fetchall())


def test_a_user_named_like_the_engines_schema(database_url: str) -> None:
    with role(database_url, "rederive") as url:
        migrate(url)
        assert set(serving(database_url)) == {"public"}


def test_a_user_with_a_search_path_of_his_own(settings: Settings, database_url: str) -> None:
    with role(database_url, f"{settings.topic_prefix}user", "elsewhere") as url:
        migrate(url)
        assert set(serving(database_url)) == {"public"}
        with connect(url, application="tests") as connection:
            many(connection, 10, 10, SCOPES["l1"])
        own = settings.model_copy(update={"database_url": SecretStr(url)})
        assert counts(replay(own, "replay", "betfair", "--columns", "l1")) == (10, 0, 0)


def test_tables_that_an_earlier_version_made_in_the_engines_schema_move(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA rederive")
        made_by_an_earlier_version(database_url)
        before = serving(database_url)
        assert set(before) == {"rederive"}
        connection.execute("SET search_path = rederive")
        many(connection, 5, 5, SCOPES["l1"])

    migrate(database_url)

    assert serving(database_url) == {"public": before["rederive"]}
    with connect(database_url, application="tests") as connection:
        assert connection.execute("SELECT count(*) FROM public.market_book_snapshots").fetchone() == (5,)
        assert connection.execute("SELECT * FROM finra_otc_transparency_raw_as_of(now())").fetchall() == []


def test_a_table_in_both_schemas_is_said_and_nothing_moves(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA rederive")
        made_by_an_earlier_version(database_url)
        connection.execute("CREATE TABLE public.ra_races (mine int)")
    with pytest.raises(Failed, match="migration failed") as caught:
        migrate(database_url)
    assert "ra_races in schema rederive" in caught.value.why
    assert "ra_races" in caught.value.why
    assert "public" in caught.value.why
    assert caught.value.mend
    assert serving(database_url)["public"] == 1


def test_tables_where_only_the_users_search_path_leads(settings: Settings, database_url: str) -> None:
    with role(database_url, f"{settings.topic_prefix}user", "betting") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE market_event_metadata (market_id text PRIMARY KEY)")
        with pytest.raises(Failed) as caught:
            migrate(url)
        assert "market_event_metadata" in caught.value.what
        assert "betting" in caught.value.what
        assert "search_path" in caught.value.mend
        assert serving(database_url) == {"betting": 1}
        mended = f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3Dbetting"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TABLE market_event_metadata")
        migrate(mended)
        assert set(serving(database_url)) == {"betting"}


def test_a_table_that_is_gone_is_named(database_url: str) -> None:
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE rederive.market_derived_metrics_baseline, ra_horse_pedigree")
    with pytest.raises(Failed) as caught:
        migrate(database_url)
    assert "rederive.market_derived_metrics_baseline" in caught.value.what
    assert "ra_horse_pedigree" in caught.value.what
    assert "restore" in caught.value.mend


def test_a_column_that_is_gone_is_named_with_what_puts_it_back(database_url: str) -> None:
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE market_derived_metrics DROP COLUMN home_risk CASCADE")
        with pytest.raises(Failed, match=r"lacks market_derived_metrics\.home_risk") as failed:
            migrate(database_url)
        assert "ALTER TABLE market_derived_metrics ADD COLUMN home_risk float8" in failed.value.mend
        connection.execute("ALTER TABLE market_derived_metrics ADD COLUMN home_risk float8")
    migrate(database_url)
