-- A restated week replaces the week: the newest capture of a partition is shown whole, a key that it lacks isn't.

-- The newest capture of a partition is one look-up in this index, a tie of captured_at included.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT x.indrelid::regclass AS indexed, x.indexrelid::regclass AS old
        FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relname LIKE 'finra\_otc\_transparency\_%'
          AND pg_get_indexdef(x.indexrelid) LIKE '% (week_ending, tier, captured_at DESC)'
    LOOP
        EXECUTE format('CREATE INDEX ON %s (week_ending, tier, captured_at DESC, capture_id DESC)', one.indexed);
        EXECUTE format('DROP INDEX %s', one.old);
    END LOOP;
END $$;

CREATE OR REPLACE VIEW finra_otc_transparency_raw_latest AS
    SELECT r.* FROM finra_otc_transparency_raw r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_raw n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id;
CREATE OR REPLACE FUNCTION finra_otc_transparency_raw_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_raw LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_raw r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_raw n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_venue_volume_latest AS
    SELECT r.* FROM finra_otc_transparency_venue_volume r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_venue_volume n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id;
CREATE OR REPLACE FUNCTION finra_otc_transparency_venue_volume_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_venue_volume LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_venue_volume r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_venue_volume n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_research_snapshot_latest AS
    SELECT r.* FROM finra_otc_transparency_research_snapshot r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_research_snapshot n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id;
CREATE OR REPLACE FUNCTION finra_otc_transparency_research_snapshot_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_research_snapshot LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_research_snapshot r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_research_snapshot n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_symbol_summary_latest AS
    SELECT r.* FROM finra_otc_transparency_symbol_summary r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_symbol_summary n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1'
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_symbol_summary_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_symbol_summary LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_symbol_summary r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_symbol_summary n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1' AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_venue_share_latest AS
    SELECT r.* FROM finra_otc_transparency_venue_share r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_venue_share n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1'
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_venue_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_venue_share LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_venue_share r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_venue_share n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1' AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_symbol_rolling_6w_latest AS
    SELECT r.* FROM finra_otc_transparency_symbol_rolling_6w r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_symbol_rolling_6w n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1'
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1' AND r.is_complete;
CREATE OR REPLACE FUNCTION finra_otc_transparency_symbol_rolling_6w_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_symbol_rolling_6w LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_symbol_rolling_6w r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_symbol_rolling_6w n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1' AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1' AND r.is_complete
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_venue_volume_latest AS
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_venue_volume r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_volume n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1'
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_venue_volume_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_volume LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_venue_volume r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_volume n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1' AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_venue_share_latest AS
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_venue_share r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_share n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1'
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_venue_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_share LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_venue_share r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_share n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1' AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_venue_concentration_hhi_latest AS
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1'
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_venue_concentration_hhi_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_concentration_hhi LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1' AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1'
$$;

CREATE OR REPLACE VIEW finra_otc_transparency_weekly_symbol_tier_volume_share_latest AS
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_tier_volume_share r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_tier_volume_share n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1'
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1';
CREATE OR REPLACE FUNCTION finra_otc_transparency_weekly_symbol_tier_volume_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_tier_volume_share LANGUAGE sql STABLE AS $$
    SELECT r.* FROM finra_otc_transparency_weekly_symbol_tier_volume_share r, LATERAL (
        SELECT n.capture_id FROM finra_otc_transparency_weekly_symbol_tier_volume_share n
        WHERE n.week_ending = r.week_ending AND n.tier = r.tier AND n.calc_version = 'v1' AND n.captured_at <= moment
        ORDER BY n.captured_at DESC, n.capture_id DESC LIMIT 1) newest
    WHERE r.capture_id = newest.capture_id AND r.calc_version = 'v1'
$$;
