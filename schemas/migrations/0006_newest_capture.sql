-- A restated week replaces the week: the newest capture of a partition is shown whole, a key that it lacks isn't.

-- From a partition's newest capture to the next partition's is one step in this index, whatever rows lie between. (A
-- look-up for each row, or DISTINCT ON, reads them all where the planner has no statistics yet.) It holds the version,
-- or the primary key, which does, would look cheaper.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT x.indrelid::regclass AS indexed, x.indexrelid::regclass AS old,
               (SELECT ', ' || attname FROM pg_attribute WHERE attrelid = x.indrelid AND attname = 'calc_version') AS version
        FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relname LIKE 'finra\_otc\_transparency\_%'
          AND pg_get_indexdef(x.indexrelid) LIKE '% (week_ending, tier, captured_at DESC)'
    LOOP
        EXECUTE format('CREATE INDEX ON %s (week_ending, tier, captured_at DESC, capture_id DESC%s)',
                       one.indexed, one.version);
        EXECUTE format('DROP INDEX %s', one.old);
    END LOOP;
END $$;

CREATE OR REPLACE VIEW finra_otc_transparency_raw_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_raw
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_raw n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier)
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_raw r USING (week_ending, tier, capture_id);
CREATE OR REPLACE FUNCTION finra_otc_transparency_raw_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_raw LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_raw WHERE captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_raw n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_raw r USING (week_ending, tier, capture_id)
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_venue_volume_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_venue_volume
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_venue_volume n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier)
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_venue_volume r USING (week_ending, tier, capture_id);
CREATE OR REPLACE FUNCTION finra_otc_transparency_venue_volume_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_venue_volume LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_venue_volume WHERE captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_venue_volume n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_venue_volume r USING (week_ending, tier, capture_id)
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_research_snapshot_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_research_snapshot
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_research_snapshot n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier)
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_research_snapshot r USING (week_ending, tier, capture_id);
CREATE OR REPLACE FUNCTION finra_otc_transparency_research_snapshot_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_research_snapshot LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_research_snapshot WHERE captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_research_snapshot n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_research_snapshot r USING (week_ending, tier, capture_id)
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_symbol_summary_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_symbol_summary WHERE calc_version = 'v1'
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_symbol_summary n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1'
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_symbol_summary r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_symbol_summary_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_symbol_summary LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_symbol_summary WHERE calc_version = 'v1' AND captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_symbol_summary n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1' AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_symbol_summary r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_venue_share_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_venue_share WHERE calc_version = 'v1'
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_venue_share n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1'
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_venue_share r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_venue_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_venue_share LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_venue_share WHERE calc_version = 'v1' AND captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_venue_share n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1' AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_venue_share r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_symbol_rolling_6w_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_symbol_rolling_6w WHERE calc_version = 'v1'
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_symbol_rolling_6w n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1'
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_symbol_rolling_6w r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1' AND r.is_complete;
CREATE OR REPLACE FUNCTION finra_otc_transparency_symbol_rolling_6w_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_symbol_rolling_6w LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_symbol_rolling_6w WHERE calc_version = 'v1' AND captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_symbol_rolling_6w n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1' AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_symbol_rolling_6w r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1' AND r.is_complete
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_venue_volume_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_venue_volume WHERE calc_version = 'v1'
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_volume n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1'
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_venue_volume r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_venue_volume_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_volume LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_venue_volume WHERE calc_version = 'v1' AND captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_volume n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1' AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_venue_volume r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_venue_share_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_venue_share WHERE calc_version = 'v1'
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_share n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1'
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_venue_share r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_venue_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_share LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_venue_share WHERE calc_version = 'v1' AND captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_share n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1' AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_venue_share r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_venue_concentration_hhi_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi WHERE calc_version = 'v1'
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1'
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_venue_concentration_hhi r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_venue_concentration_hhi_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_concentration_hhi LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi WHERE calc_version = 'v1' AND captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1' AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_venue_concentration_hhi r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_tier_volume_share_latest AS
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_tier_volume_share WHERE calc_version = 'v1'
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_tier_volume_share n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1'
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_tier_volume_share r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_tier_volume_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_tier_volume_share LANGUAGE sql STABLE AS $$
    WITH RECURSIVE newest AS (
        (SELECT week_ending, tier, capture_id FROM finra_otc_transparency_weekly_symbol_tier_volume_share WHERE calc_version = 'v1' AND captured_at <= moment
         ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1)
        UNION ALL
        SELECT next.* FROM newest, LATERAL (
            SELECT n.week_ending, n.tier, n.capture_id FROM finra_otc_transparency_weekly_symbol_tier_volume_share n
            WHERE (n.week_ending, n.tier) > (newest.week_ending, newest.tier) AND calc_version = 'v1' AND captured_at <= moment
            ORDER BY week_ending, tier, captured_at DESC, capture_id DESC LIMIT 1) next)
    SELECT r.* FROM newest JOIN finra_otc_transparency_weekly_symbol_tier_volume_share r USING (week_ending, tier, capture_id)
    WHERE r.calc_version = 'v1'
$$;
