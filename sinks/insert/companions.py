"""A table whose rows hold their capture, and what stands beside it: its captures, and the newest (docs/merging.md)."""

from collections.abc import Iterable

from psycopg import Connection

from schemas.table import CAPTURE, SHOWN, Column, Table
from sinks.columns import add_missing
from store.rows import value

# Rows of a capture stand together: some hundreds of them share an entry.
_BRIN = "WITH (pages_per_range = 32, autosummarize = on)"


def make(connection: Connection, table: Table) -> None:
    """Make the table, an index for finding a capture's rows, its captures and what is newest, where they are missing.

    Beside it stands one for rows in shadow. What a table that is there lacks of its columns is added.
    """
    grown = not table.shows and _make_rows(connection, table)
    _make_rows(connection, table.shadow)
    if table.partition:
        if missing(connection, table.captures):
            connection.execute(shown(table) if table.shows else counted(table))
        if grown or missing(connection, f"{table.name}_latest"):
            connection.execute(newest(table))


def _make_rows(connection: Connection, table: Table) -> bool:
    """Make the table, or add the columns that it lacks; whether any were added."""
    wanted = declared(table)
    if not missing(connection, table.name):
        return add_missing(connection, table.name, wanted)
    rules = [f"PRIMARY KEY ({', '.join(_names(table.key))})", *(f"CHECK ({check})" for check in table.checks)]
    connection.execute(f"CREATE TABLE {table.name} ({', '.join([*wanted, *rules])})")
    if table.key[0].name != CAPTURE:
        connection.execute(f"CREATE INDEX ON {table.name} USING brin ({CAPTURE}) {_BRIN}")
    return False


def missing(connection: Connection, name: str) -> bool:
    """Whether there is no table or view of that name."""
    return bool(value(connection, "SELECT to_regclass(%s) IS NULL", [name]))


def declared(table: Table) -> list[str]:
    """The columns of a table as SQL declares them."""
    needed = {column.name for column in table.key} | ({table.observed} if table.partition else set())
    columns = [
        f"{column.name} {column.type}{' NOT NULL' if column.name in needed else ''}"
        for column in (*table.key, *table.columns)
    ]
    return columns + ([f"{table.touched} timestamptz NOT NULL DEFAULT now()"] if table.touched else [])


def counted(table: Table) -> str:
    """SQL for a table of the captures that a table has rows of: a row for each time that their rows name, mostly one.

    Triggers keep it, whoever writes. They are made first: nobody writes from then until the transaction ends.
    """
    types = {column.name: column.type for column in (*table.key, *table.columns)}
    columns = [f"{name} {types[name]} NOT NULL" for name in _identity(table)]
    names = ", ".join(_identity(table))
    seen = {
        "INSERT": "REFERENCING NEW TABLE AS came",
        "UPDATE": "REFERENCING OLD TABLE AS gone NEW TABLE AS came",
        "DELETE": "REFERENCING OLD TABLE AS gone",
        "TRUNCATE": "",
    }
    triggers = [
        f"""CREATE TRIGGER captures_{event.lower()} AFTER {event} ON {table.name} {rows} FOR EACH STATEMENT
            EXECUTE FUNCTION rederive.count_captures('{table.captures}', '{names}');"""
        for event, rows in seen.items()
    ]
    return f"""
        CREATE TABLE {table.captures} ({", ".join(columns)}, rows int8 NOT NULL, PRIMARY KEY ({names}));
        {" ".join(triggers)}
        INSERT INTO {table.captures} SELECT {names}, count(*) FROM {table.name} GROUP BY {names};"""


def shown(table: Table) -> str:
    """SQL for a view of another table's rows, and for its captures, which say whose rows it shows.

    A capture's rows can be deleted from the view, all of them in one statement: it shows them no longer. Rows of a
    capture that somebody else has deleted meanwhile count as nobody's.
    """
    assert table.shows is not None
    written, source, theirs = table.written, table.shows.table, table.shows.columns
    columns = [
        f"r.{theirs[column.name]} AS {column.name}" if column.name in theirs else f"c.{column.name}"
        for column in (*table.key, *table.columns)
    ]
    columns += [f"c.{table.touched}"] if table.touched else []
    partition = [name for name in source.partition if name in _names(written.key)]
    same = [f"r.{name} = c.{name}" for name in partition]
    key = _names(written.key)
    return f"""
        CREATE TABLE {written.name} ({", ".join(declared(written))}, PRIMARY KEY ({", ".join(key)}));
        CREATE VIEW {table.name} AS SELECT {", ".join(columns)}
            FROM {written.name} c JOIN {source.name} r ON {" AND ".join(same)} AND r.{CAPTURE} = c.{SHOWN};
        CREATE OR REPLACE FUNCTION {written.name}() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path FROM CURRENT AS $$
        DECLARE
            one {written.name};
            going text;
            noted text := coalesce(current_setting('rederive.going', true), '');
            lacking int8 := coalesce(nullif(current_setting('rederive.lacking', true), ''), '0');
        BEGIN
            IF TG_LEVEL = 'STATEMENT' THEN
                PERFORM set_config('rederive.lacking', '0', true), set_config('rederive.going', '', true);
                IF TG_WHEN = 'AFTER' AND lacking > 0 THEN
                    RAISE 'rows of a capture go from % together', TG_TABLE_NAME USING ERRCODE = 'restrict_violation',
                        HINT = 'Name the captures in the condition, and nothing else.';
                END IF;
                RETURN NULL;
            END IF;
            going := concat_ws(' ', {", ".join(f"OLD.{name}" for name in key)});
            IF strpos(noted, '-' || going || '|') > 0 THEN
                RETURN NULL;
            END IF;
            IF strpos(noted, '+' || going || '|') = 0 THEN
                DELETE FROM {written.name} c WHERE {" AND ".join(f"c.{name} = OLD.{name}" for name in key)}
                    RETURNING c.* INTO one;
                PERFORM set_config('rederive.going',
                                   noted || CASE WHEN FOUND THEN '+' ELSE '-' END || going || '|', true);
                IF one.{CAPTURE} IS NULL THEN
                    RETURN NULL;
                END IF;
                lacking := lacking + (SELECT count(*) FROM {source.name} r
                                      WHERE {" AND ".join(f"r.{name} = one.{name}" for name in partition)}
                                        AND r.{CAPTURE} = one.{SHOWN});
            END IF;
            PERFORM set_config('rederive.lacking', (lacking - 1)::text, true);
            RETURN OLD;
        END $$;
        REVOKE EXECUTE ON FUNCTION {written.name}() FROM PUBLIC;
        CREATE TRIGGER captures_begin BEFORE DELETE ON {table.name} FOR EACH STATEMENT
            EXECUTE FUNCTION {written.name}();
        CREATE TRIGGER captures_delete INSTEAD OF DELETE ON {table.name} FOR EACH ROW
            EXECUTE FUNCTION {written.name}();
        CREATE TRIGGER captures_end AFTER DELETE ON {table.name} FOR EACH STATEMENT
            EXECUTE FUNCTION {written.name}();"""


def newest(table: Table) -> str:
    """SQL for the view of each partition's newest capture, and the function that shows what it would have shown then.

    Of several captures of one time the one with the greatest id is the newest.
    """

    def rows(captures: str = "") -> str:
        partition = ", ".join(table.partition)
        return f"""SELECT r.* FROM (
                {newest_captures(table, captures)}) newest
            JOIN {table.name} r USING ({partition}, {CAPTURE}) {f"WHERE {table.latest}" if table.latest else ""}"""

    return f"""
        CREATE OR REPLACE VIEW {table.name}_latest AS {rows()};
        CREATE OR REPLACE FUNCTION {table.name}_as_of(moment timestamptz) RETURNS SETOF {table.name}_latest
        LANGUAGE sql STABLE AS $$ {rows(f"WHERE {table.observed} <= moment")} $$;"""


def newest_captures(table: Table, where: str = "") -> str:
    """SQL for each partition and the newest of the captures that the table has rows of."""
    partition = ", ".join(table.partition)
    return f"""SELECT DISTINCT ON ({partition}) {partition}, {CAPTURE} FROM {_held(table)} {where}
                ORDER BY {partition}, {table.observed} DESC, {CAPTURE} DESC"""


def _held(table: Table) -> str:
    """The captures that a table has rows of: what it shows may have gone."""
    if table.shows is None:
        return table.captures
    source = table.shows.table
    same = [f"s.{name} = c.{name}" for name in source.partition if name in _names(table.written.key)]
    return f"""(SELECT c.* FROM {table.captures} c WHERE EXISTS (
        SELECT FROM {source.captures} s WHERE {" AND ".join(same)} AND s.{CAPTURE} = c.{SHOWN})) c"""


def _identity(table: Table) -> tuple[str, ...]:
    """What a capture is known by: partition, time, id."""
    return (*table.partition, table.observed, CAPTURE)


def _names(columns: Iterable[Column]) -> list[str]:
    return [column.name for column in columns]
