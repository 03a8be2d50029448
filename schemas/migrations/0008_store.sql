-- What a unit reads again, what it reads and writes: columns of their own, where one document held them all.

ALTER TABLE rederive.units RENAME COLUMN picked TO locator;
ALTER TABLE rederive.units
    -- What the unit computes, where rows are keyed by their capture.
    ADD COLUMN stage text NOT NULL DEFAULT '',
    -- The partition captures whose rows it reads, and those whose rows it writes.
    ADD COLUMN reads text[] NOT NULL DEFAULT '{}',
    ADD COLUMN writes text[] NOT NULL DEFAULT '{}';
UPDATE rederive.units
SET stage = coalesce(locator ->> 'stage', ''),
    reads = ARRAY(SELECT jsonb_array_elements_text(locator -> 'inputs')),
    writes = ARRAY(SELECT jsonb_array_elements_text(locator -> 'captures')),
    locator = locator - ARRAY['stage', 'inputs', 'captures', 'tier']
              || CASE WHEN locator ? 'tier' THEN jsonb_build_object('tiers', jsonb_build_array(locator -> 'tier'))
                      ELSE '{}' END
WHERE locator ? 'stage';
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT indexrelid::regclass AS name FROM pg_index
        WHERE indrelid = 'rederive.units'::regclass AND pg_get_indexdef(indexrelid) ~ '(captures|inputs)'
    LOOP
        EXECUTE format('DROP INDEX %s', old.name);
    END LOOP;
END $$;
CREATE INDEX ON rederive.units USING gin (reads);
CREATE INDEX ON rederive.units USING gin (writes);

-- They note origins of raw records: that is their name.
ALTER TABLE rederive.notes RENAME TO origins;

-- As the serving table has it.
ALTER TABLE rederive.ra_mst_regions_history ALTER code TYPE varchar(10);
ALTER TABLE rederive.ra_mst_regions_baseline ALTER code TYPE varchar(10);
