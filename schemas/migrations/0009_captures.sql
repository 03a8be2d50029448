-- FINRA's tables with one B-tree each. Which captures a table has rows of, of which partition, is kept in a table of its
-- own: views of the newest look there. Volumes of symbols by venue are a view of the normalised rows.

-- Keeps the table that its first argument names, keyed by the columns of its second: how many rows of each capture there
-- are. Whoever may write to the counted table need not be allowed to write to this one.
CREATE FUNCTION rederive.count_captures() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    captures text := TG_ARGV[0];
    names text := TG_ARGV[1];
    came text := format('SELECT %s, 1 AS n FROM came', names);
    gone text := format('SELECT %s, -1 AS n FROM gone', names);
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format('DELETE FROM %s', captures);
        RETURN NULL;
    END IF;
    -- In one order, so that nobody waits for each other. What others have counted meanwhile is waited for: whether a
    -- capture has rows is known from its count alone, never from the rows that one transaction sees.
    EXECUTE format(
        'INSERT INTO %1$s AS c SELECT %2$s, sum(n) FROM (%3$s) r GROUP BY %2$s HAVING sum(n) <> 0 ORDER BY %2$s
         ON CONFLICT (%2$s) DO UPDATE SET rows = c.rows + excluded.rows',
        captures, names,
        CASE TG_OP WHEN 'INSERT' THEN came WHEN 'DELETE' THEN gone ELSE came || ' UNION ALL ' || gone END);
    IF TG_OP <> 'INSERT' THEN
        EXECUTE format('DELETE FROM %s WHERE rows = 0', captures);
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION rederive.count_captures() FROM PUBLIC;

-- What takes the rows of a database that is filled. All of it is gone in the end.

CREATE FUNCTION pg_temp.columns_of(name text, form text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format(form, quote_ident(attname), format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = to_regclass(name) AND attnum > 0 AND NOT attisdropped
$$;

-- A view that keeps its columns and reads nothing: what it read can be changed beneath it, and who reads it stays.
CREATE PROCEDURE pg_temp.hollow(name text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW %s AS SELECT %s', name, pg_temp.columns_of(name, 'NULL::%2$s AS %1$s'));
END $$;

-- An id without a sequence: a hash of what identifies the row.
CREATE PROCEDURE pg_temp.derive_id(name text, hash text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s DROP COLUMN id', name);
    EXECUTE format('ALTER TABLE %s ADD COLUMN id int8 GENERATED ALWAYS AS (%s) %s', name, hash,
                   -- Where Postgres can compute it when it is read, it is stored nowhere.
                   CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END);
END $$;

CREATE PROCEDURE pg_temp.keep_primary_key(name text) LANGUAGE plpgsql AS $$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT indexrelid::regclass AS name FROM pg_index
        WHERE indrelid = to_regclass(keep_primary_key.name) AND NOT indisprimary
          AND pg_get_indexdef(indexrelid) ~ 'USING btree \((capture_id|week_ending, tier, captured_at DESC)\)$'
    LOOP
        EXECUTE format('DROP INDEX %s', other.name);
    END LOOP;
END $$;

CREATE PROCEDURE pg_temp.show_newest(name text, captures text, partition text, shown text) LANGUAGE plpgsql AS $$
DECLARE
    newest text := format(
        'SELECT %1$s FROM (SELECT DISTINCT ON (%2$s) %2$s, capture_id FROM %3$s %%s
             ORDER BY %2$s, captured_at DESC, capture_id DESC) newest
         JOIN %4$s r USING (%2$s, capture_id) %5$s',
        pg_temp.columns_of(name || '_latest', 'r.%1$s'), partition, captures, name, 'WHERE ' || nullif(shown, ''));
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW %s_latest AS %s', name, format(newest, ''));
    EXECUTE format(
        'CREATE FUNCTION %1$s_as_of(moment timestamptz) RETURNS SETOF %1$s_latest LANGUAGE sql STABLE AS $f$ %2$s $f$',
        name, format(newest, 'WHERE captured_at <= moment'));
END $$;

DO $$
DECLARE
    one record;
    event text;
    name text;
    captures text;
    names text;
BEGIN
    FOR one IN SELECT * FROM (VALUES
        ('raw', '', '', 'hashint8extended(line_number, hashtextextended(capture_id, 0))'),
        ('venue_volume', '', '', 'hashtextextended(mpid, hashtextextended(symbol, hashtextextended(capture_id, 0)))'),
        ('research_snapshot', '', '',
         'hashtextextended(calc_version, hashtextextended(symbol, hashtextextended(capture_id, 0)))'),
        ('symbol_summary', ', calc_version', 'calc_version = ''v1''',
         'hashtextextended(calc_version, hashtextextended(symbol, hashtextextended(capture_id, 0)))'),
        ('venue_share', ', calc_version', 'calc_version = ''v1''',
         'hashtextextended(calc_version, hashtextextended(mpid, hashtextextended(capture_id, 0)))'),
        ('symbol_rolling_6w', ', calc_version', 'calc_version = ''v1'' AND is_complete',
         'hashtextextended(calc_version, hashtextextended(symbol, hashtextextended(capture_id, 0)))'),
        ('weekly_symbol_venue_share', ', calc_version', 'calc_version = ''v1''',
         'hashtextextended(calc_version,
              hashtextextended(mpid, hashtextextended(symbol, hashtextextended(capture_id, 0))))'),
        ('weekly_symbol_venue_concentration_hhi', ', calc_version', 'calc_version = ''v1''',
         'hashtextextended(calc_version, hashtextextended(symbol, hashtextextended(capture_id, 0)))'),
        ('weekly_symbol_tier_volume_share', ', calc_version', 'calc_version = ''v1''',
         'hashtextextended(calc_version, hashtextextended(symbol, hashtextextended(capture_id, 0)))')
    ) AS t(ending, version, shown, id)
    LOOP
        name := 'finra_otc_transparency_' || one.ending;
        captures := 'rederive.' || left(name, 54) || '_captures';
        names := format('week_ending, tier%s, captured_at, capture_id', one.version);
        CALL pg_temp.hollow(name || '_latest');
        EXECUTE format('DROP FUNCTION %s_as_of', name);
        CALL pg_temp.derive_id(name, one.id);
        CALL pg_temp.keep_primary_key(name);
        EXECUTE format('CREATE INDEX ON %s USING brin (capture_id, captured_at)
                        WITH (pages_per_range = 32, autosummarize = on)', name);
        EXECUTE format('CREATE TABLE %1$s AS SELECT %2$s, count(*) AS rows FROM %3$s GROUP BY %2$s',
                       captures, names, name);
        EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (%s), ALTER rows SET NOT NULL', captures, names);
        FOREACH event IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
            EXECUTE format(
                'CREATE TRIGGER captures_%s AFTER %s ON %s %s FOR EACH STATEMENT
                 EXECUTE FUNCTION rederive.count_captures(%L, %L)',
                lower(event), event, name,
                CASE event WHEN 'INSERT' THEN 'REFERENCING NEW TABLE AS came'
                           WHEN 'UPDATE' THEN 'REFERENCING OLD TABLE AS gone NEW TABLE AS came'
                           WHEN 'DELETE' THEN 'REFERENCING OLD TABLE AS gone' ELSE '' END,
                captures, names);
        END LOOP;
        CALL pg_temp.show_newest(name, captures, 'week_ending, tier' || one.version, one.shown);
    END LOOP;
END $$;

-- Volumes of symbols by venue: what a capture of theirs shows are the normalised rows of the same capture, or of the one
-- that it was computed from.

CALL pg_temp.hollow('finra_otc_transparency_weekly_symbol_venue_volume_latest');
DROP FUNCTION finra_otc_transparency_weekly_symbol_venue_volume_as_of;
ALTER TABLE finra_otc_transparency_weekly_symbol_venue_volume RENAME TO finra_weekly_before;
CREATE TABLE rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures (
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    shown_capture_id text,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (week_ending, tier, capture_id, calc_name, calc_version)
);
CREATE VIEW finra_otc_transparency_weekly_symbol_venue_volume AS
    SELECT hashtextextended(c.calc_version,
               hashtextextended(r.mpid, hashtextextended(r.symbol, hashtextextended(c.capture_id, 0)))) AS id,
           c.week_ending, c.tier, c.capture_id, r.symbol, r.mpid, c.calc_name, c.calc_version, c.captured_at,
           c.input_capture_id, c.execution_id, c.batch_id, r.venue_name, r.total_shares AS total_volume,
           r.total_trades AS trade_count, c.calculated_at
    FROM rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures c
    JOIN finra_otc_transparency_venue_volume r
        ON r.week_ending = c.week_ending AND r.tier = c.tier AND r.capture_id = c.shown_capture_id;

-- A capture is deleted from the view whole: how many of its rows a statement has still to name is counted.
CREATE FUNCTION rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    one rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures;
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
    -- Captures that this statement has found, and those that somebody else has deleted meanwhile.
    going := concat_ws(' ', OLD.week_ending, OLD.tier, OLD.capture_id, OLD.calc_name, OLD.calc_version);
    IF strpos(noted, '-' || going || '|') > 0 THEN
        RETURN NULL;
    END IF;
    IF strpos(noted, '+' || going || '|') = 0 THEN
        DELETE FROM rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures c
        WHERE c.week_ending = OLD.week_ending AND c.tier = OLD.tier AND c.capture_id = OLD.capture_id
          AND c.calc_name = OLD.calc_name AND c.calc_version = OLD.calc_version
        RETURNING c.* INTO one;
        PERFORM set_config('rederive.going', noted || CASE WHEN FOUND THEN '+' ELSE '-' END || going || '|', true);
        IF one.capture_id IS NULL THEN
            RETURN NULL;
        END IF;
        lacking := lacking + (SELECT count(*) FROM finra_otc_transparency_venue_volume r
                              WHERE r.week_ending = one.week_ending AND r.tier = one.tier
                                AND r.capture_id = one.shown_capture_id);
    END IF;
    PERFORM set_config('rederive.lacking', (lacking - 1)::text, true);
    RETURN OLD;
END $$;
REVOKE EXECUTE ON FUNCTION rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures() FROM PUBLIC;
CREATE TRIGGER captures_begin BEFORE DELETE ON finra_otc_transparency_weekly_symbol_venue_volume
    FOR EACH STATEMENT EXECUTE FUNCTION rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures();
CREATE TRIGGER captures_delete INSTEAD OF DELETE ON finra_otc_transparency_weekly_symbol_venue_volume
    FOR EACH ROW EXECUTE FUNCTION rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures();
CREATE TRIGGER captures_end AFTER DELETE ON finra_otc_transparency_weekly_symbol_venue_volume
    FOR EACH STATEMENT EXECUTE FUNCTION rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures();

-- A run that was told to compute nothing else has stored no normalised rows: it would now.
INSERT INTO finra_otc_transparency_venue_volume (week_ending, tier, capture_id, symbol, mpid, captured_at,
    input_capture_id, execution_id, batch_id, total_shares, total_trades, avg_trade_size, venue_name, normalized_at)
SELECT DISTINCT ON (week_ending, tier, capture_id, symbol, mpid) week_ending, tier, capture_id, symbol, mpid, captured_at,
       input_capture_id, execution_id, batch_id, total_volume, trade_count,
       total_volume::float8 / nullif(trade_count, 0), venue_name, calculated_at
FROM finra_weekly_before w
WHERE NOT EXISTS (SELECT FROM rederive.finra_otc_transparency_venue_volume_captures v
                  WHERE (v.week_ending, v.tier) = (w.week_ending, w.tier)
                    AND v.capture_id IN (w.capture_id, w.input_capture_id))
ORDER BY week_ending, tier, capture_id, symbol, mpid, calc_version;

CREATE TEMP TABLE weekly_captures ON COMMIT DROP AS
SELECT week_ending, tier, capture_id, calc_name, calc_version, max(captured_at) AS captured_at,
       max(input_capture_id) AS input_capture_id, max(execution_id) AS execution_id, max(batch_id) AS batch_id,
       min(calculated_at) AS calculated_at, count(*) AS rows
FROM finra_weekly_before GROUP BY 1, 2, 3, 4, 5;

INSERT INTO rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures
SELECT w.week_ending, w.tier, w.capture_id, w.calc_name, w.calc_version, w.captured_at, w.input_capture_id,
       w.execution_id, w.batch_id, same.capture_id, w.calculated_at
FROM weekly_captures w CROSS JOIN LATERAL (
    SELECT v.capture_id FROM rederive.finra_otc_transparency_venue_volume_captures v
    WHERE (v.week_ending, v.tier) = (w.week_ending, w.tier) AND v.capture_id IN (w.capture_id, w.input_capture_id)
      AND v.rows = w.rows AND v.rows = (
          SELECT count(*) FROM finra_weekly_before b JOIN finra_otc_transparency_venue_volume r
              ON (r.week_ending, r.tier, r.capture_id, r.symbol, r.mpid)
               = (b.week_ending, b.tier, v.capture_id, b.symbol, b.mpid)
          WHERE (b.week_ending, b.tier, b.capture_id, b.calc_name, b.calc_version)
              = (w.week_ending, w.tier, w.capture_id, w.calc_name, w.calc_version)
            AND (b.venue_name, b.total_volume, b.trade_count)
                IS NOT DISTINCT FROM (r.venue_name, r.total_shares, r.total_trades))
    ORDER BY v.capture_id <> w.capture_id LIMIT 1) same;

DO $$
DECLARE
    other text;
BEGIN
    SELECT string_agg(capture_id, ', ' ORDER BY capture_id) INTO other
    FROM weekly_captures w WHERE NOT EXISTS (
        SELECT FROM rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures c
        WHERE (c.week_ending, c.tier, c.capture_id, c.calc_name, c.calc_version)
            = (w.week_ending, w.tier, w.capture_id, w.calc_name, w.calc_version));
    IF other IS NOT NULL THEN
        RAISE 'weekly_symbol_venue_volume says something else than venue_volume of %', left(other, 300)
            USING ERRCODE = 'integrity_constraint_violation',
            HINT = 'Somebody has changed one of them by hand. Roll these captures back, or delete these rows.';
    END IF;
END $$;
CALL pg_temp.show_newest(
    'finra_otc_transparency_weekly_symbol_venue_volume',
    -- Normalised rows may have gone before what shows them.
    '(SELECT c.* FROM rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures c WHERE EXISTS (
         SELECT FROM rederive.finra_otc_transparency_venue_volume_captures s
         WHERE s.week_ending = c.week_ending AND s.tier = c.tier AND s.capture_id = c.shown_capture_id)) c',
    'week_ending, tier, calc_version', 'calc_version = ''v1''');
DROP TABLE finra_weekly_before;
DROP TABLE weekly_captures;

-- Rejected rows are found by their primary key, whose first column is the capture.
CALL pg_temp.derive_id('core_rejects',
    'hashtextextended(reason_code, hashtextextended(stage,
         hashint8extended(line_number, hashtextextended(source_locator, hashtextextended(capture_id, 0)))))');
CALL pg_temp.keep_primary_key('core_rejects');
CALL pg_temp.keep_primary_key('core_quality');

DROP PROCEDURE pg_temp.show_newest, pg_temp.keep_primary_key, pg_temp.derive_id, pg_temp.hollow;
DROP FUNCTION pg_temp.columns_of;
