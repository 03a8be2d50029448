-- FINRA's weekly OTC files: rows keyed by their capture, views of the newest, manifest, rejects and quality.

CREATE TABLE finra_otc_transparency_raw (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    line_number int8 NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    symbol text,
    mpid text,
    issue_name text,
    venue_name text,
    tier_description text,
    total_shares int8,
    total_trades int8,
    source_last_update_date date,
    source_file text,
    record_hash text,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (week_ending, tier, capture_id, line_number)
);
CREATE INDEX ON finra_otc_transparency_raw (capture_id);
CREATE INDEX ON finra_otc_transparency_raw (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_venue_volume (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    mpid text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    total_shares int8,
    total_trades int8,
    avg_trade_size float8,
    venue_name text,
    source_last_update_date date,
    record_hash text,
    normalized_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, mpid)
);
CREATE INDEX ON finra_otc_transparency_venue_volume (capture_id);
CREATE INDEX ON finra_otc_transparency_venue_volume (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_symbol_summary (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    total_volume int8,
    total_trades int8,
    venue_count int4,
    avg_trade_size float8,
    source_last_update_date date,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (venue_count > 0),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_symbol_summary (capture_id);
CREATE INDEX ON finra_otc_transparency_symbol_summary (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_venue_share (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    mpid text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    total_volume int8,
    total_trades int8,
    symbol_count int4,
    market_share_pct float8,
    rank int4,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (market_share_pct BETWEEN 0 AND 1),
    PRIMARY KEY (week_ending, tier, capture_id, mpid, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_venue_share (capture_id);
CREATE INDEX ON finra_otc_transparency_venue_share (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_weekly_symbol_venue_volume (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    mpid text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    venue_name text,
    total_volume int8,
    trade_count int8,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, mpid, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_venue_volume (capture_id);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_venue_volume (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_weekly_symbol_venue_share (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    mpid text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    venue_name text,
    venue_volume int8,
    total_symbol_volume int8,
    venue_share float8,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (venue_share BETWEEN 0 AND 1),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, mpid, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_venue_share (capture_id);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_venue_share (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_weekly_symbol_venue_concentration_hhi (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    hhi float8,
    venue_count int4,
    total_symbol_volume int8,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (hhi BETWEEN 0 AND 1),
    CHECK (venue_count > 0),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_venue_concentration_hhi (capture_id);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_venue_concentration_hhi (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_weekly_symbol_tier_volume_share (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    tier_volume int8,
    total_symbol_volume_all_tiers int8,
    tier_volume_share float8,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (tier_volume_share BETWEEN 0 AND 1),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_tier_volume_share (capture_id);
CREATE INDEX ON finra_otc_transparency_weekly_symbol_tier_volume_share (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_symbol_rolling_6w (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    avg_volume float8,
    avg_trades float8,
    min_volume int8,
    max_volume int8,
    trend_direction text,
    trend_pct float8,
    weeks_in_window int4,
    is_complete boolean,
    input_min_capture_id text,
    input_max_capture_id text,
    input_min_captured_at timestamptz,
    input_max_captured_at timestamptz,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (weeks_in_window BETWEEN 1 AND 6),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_symbol_rolling_6w (capture_id);
CREATE INDEX ON finra_otc_transparency_symbol_rolling_6w (week_ending, tier, captured_at DESC);

CREATE TABLE finra_otc_transparency_research_snapshot (
    id bigserial,
    week_ending date NOT NULL,
    tier text NOT NULL,
    capture_id text NOT NULL,
    symbol text NOT NULL,
    calc_name text NOT NULL,
    calc_version text NOT NULL,
    captured_at timestamptz NOT NULL,
    input_capture_id text,
    execution_id text,
    batch_id text,
    total_volume int8,
    total_trades int8,
    venue_count int4,
    avg_trade_size float8,
    rolling_avg_volume float8,
    rolling_avg_trades float8,
    rolling_min_volume int8,
    rolling_max_volume int8,
    trend_direction text,
    trend_pct float8,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (week_ending, tier, capture_id, symbol, calc_name, calc_version)
);
CREATE INDEX ON finra_otc_transparency_research_snapshot (capture_id);
CREATE INDEX ON finra_otc_transparency_research_snapshot (week_ending, tier, captured_at DESC);

CREATE TABLE core_rejects (
    id bigserial,
    capture_id text NOT NULL,
    source_locator text NOT NULL,
    line_number int8 NOT NULL,
    stage text NOT NULL,
    reason_code text NOT NULL,
    domain text,
    partition_key text,
    execution_id text,
    batch_id text,
    reason_detail text,
    raw_json jsonb,
    record_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (capture_id, source_locator, line_number, stage, reason_code)
);
CREATE INDEX ON core_rejects (capture_id);

CREATE TABLE core_quality (
    id bigserial,
    capture_id text NOT NULL,
    domain text NOT NULL,
    partition_key text NOT NULL,
    check_name text NOT NULL,
    execution_id text,
    batch_id text,
    category text,
    status text,
    message text,
    actual_value text,
    expected_value text,
    details_json jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (status IN ('PASS', 'WARN', 'FAIL')),
    CHECK (category IN ('INTEGRITY', 'COMPLETENESS', 'BUSINESS_RULE')),
    PRIMARY KEY (capture_id, domain, partition_key, check_name)
);
CREATE INDEX ON core_quality (capture_id);
CREATE INDEX ON core_quality (created_at DESC) WHERE status = 'FAIL';

CREATE TABLE core_manifest (
    domain text NOT NULL,
    partition_key text NOT NULL,
    stage text NOT NULL,
    execution_id text,
    batch_id text,
    stage_rank int4,
    row_count int8,
    metrics_json jsonb,
    capture_id text,
    derivation_version integer,
    merge_xid xid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, partition_key, stage)
);
CREATE TABLE rederive.core_manifest_history (
    domain text NOT NULL,
    partition_key text NOT NULL,
    stage text NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    execution_id text,
    batch_id text,
    stage_rank int4,
    row_count int8,
    metrics_json jsonb,
    PRIMARY KEY (domain, partition_key, stage, source, capture_id, observed)
);
CREATE INDEX ON rederive.core_manifest_history (capture_id, domain, partition_key, stage);
CREATE TABLE rederive.core_manifest_baseline (
    domain text NOT NULL,
    partition_key text NOT NULL,
    stage text NOT NULL,
    present boolean NOT NULL,
    row_xmin xid,
    execution_id text,
    batch_id text,
    stage_rank int4,
    row_count int8,
    metrics_json jsonb,
    PRIMARY KEY (domain, partition_key, stage)
);

CREATE VIEW finra_otc_transparency_raw_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid, line_number) * FROM finra_otc_transparency_raw
    ORDER BY week_ending, tier, symbol, mpid, line_number, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_raw_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_raw LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid, line_number) * FROM finra_otc_transparency_raw WHERE captured_at <= moment
    ORDER BY week_ending, tier, symbol, mpid, line_number, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_venue_volume_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid) * FROM finra_otc_transparency_venue_volume
    ORDER BY week_ending, tier, symbol, mpid, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_venue_volume_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_venue_volume LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid) * FROM finra_otc_transparency_venue_volume WHERE captured_at <= moment
    ORDER BY week_ending, tier, symbol, mpid, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_research_snapshot_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_research_snapshot
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_research_snapshot_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_research_snapshot LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_research_snapshot WHERE captured_at <= moment
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_symbol_summary_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_symbol_summary WHERE calc_version = 'v1'
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_symbol_summary_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_symbol_summary LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_symbol_summary WHERE calc_version = 'v1' AND captured_at <= moment
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_venue_share_latest AS
    SELECT DISTINCT ON (week_ending, tier, mpid) * FROM finra_otc_transparency_venue_share WHERE calc_version = 'v1'
    ORDER BY week_ending, tier, mpid, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_venue_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_venue_share LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, mpid) * FROM finra_otc_transparency_venue_share WHERE calc_version = 'v1' AND captured_at <= moment
    ORDER BY week_ending, tier, mpid, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_symbol_rolling_6w_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_symbol_rolling_6w WHERE calc_version = 'v1' AND is_complete
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_symbol_rolling_6w_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_symbol_rolling_6w LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_symbol_rolling_6w WHERE calc_version = 'v1' AND is_complete AND captured_at <= moment
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_weekly_symbol_venue_volume_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid) * FROM finra_otc_transparency_weekly_symbol_venue_volume WHERE calc_version = 'v1'
    ORDER BY week_ending, tier, symbol, mpid, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_weekly_symbol_venue_volume_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_volume LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid) * FROM finra_otc_transparency_weekly_symbol_venue_volume WHERE calc_version = 'v1' AND captured_at <= moment
    ORDER BY week_ending, tier, symbol, mpid, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_weekly_symbol_venue_share_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid) * FROM finra_otc_transparency_weekly_symbol_venue_share WHERE calc_version = 'v1'
    ORDER BY week_ending, tier, symbol, mpid, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_weekly_symbol_venue_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_share LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol, mpid) * FROM finra_otc_transparency_weekly_symbol_venue_share WHERE calc_version = 'v1' AND captured_at <= moment
    ORDER BY week_ending, tier, symbol, mpid, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_weekly_symbol_venue_concentration_hhi_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi WHERE calc_version = 'v1'
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_weekly_symbol_venue_concentration_hhi_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_venue_concentration_hhi LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_weekly_symbol_venue_concentration_hhi WHERE calc_version = 'v1' AND captured_at <= moment
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC
$$;

CREATE VIEW finra_otc_transparency_weekly_symbol_tier_volume_share_latest AS
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_weekly_symbol_tier_volume_share WHERE calc_version = 'v1'
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC;
CREATE FUNCTION finra_otc_transparency_weekly_symbol_tier_volume_share_as_of(moment timestamptz) RETURNS SETOF finra_otc_transparency_weekly_symbol_tier_volume_share LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (week_ending, tier, symbol) * FROM finra_otc_transparency_weekly_symbol_tier_volume_share WHERE calc_version = 'v1' AND captured_at <= moment
    ORDER BY week_ending, tier, symbol, captured_at DESC, capture_id DESC
$$;

-- Captures may insert; units may say which partitions' captures they write and read.
ALTER TABLE rederive.captures DROP CONSTRAINT captures_mode_check;
ALTER TABLE rederive.captures ADD CHECK (mode IN ('fill', 'supersede', 'insert'));
CREATE INDEX ON rederive.units USING gin ((picked -> 'captures'));
CREATE INDEX ON rederive.units USING gin ((picked -> 'inputs'));

-- What a unit wrote may be taken out, of one partition alone.
ALTER TABLE rederive.units DROP CONSTRAINT units_state_check;
ALTER TABLE rederive.units ADD CONSTRAINT units_state_check
    CHECK (state IN ('planned', 'sent', 'applied', 'dead', 'cancelled', 'removed'));
