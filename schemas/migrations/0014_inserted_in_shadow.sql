-- Rows that are inserted in shadow, until they are promoted (docs/merging.md).

CREATE TABLE rederive.finra_otc_transparency_raw_shadow
    (LIKE finra_otc_transparency_raw INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_venue_volume_shadow
    (LIKE finra_otc_transparency_venue_volume INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_symbol_summary_shadow
    (LIKE finra_otc_transparency_symbol_summary INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_venue_share_shadow
    (LIKE finra_otc_transparency_venue_share INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_weekly_symbol_venue_volume_captur_shadow
    (LIKE rederive.finra_otc_transparency_weekly_symbol_venue_volume_captures INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_weekly_symbol_venue_share_shadow
    (LIKE finra_otc_transparency_weekly_symbol_venue_share INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_weekly_symbol_venue_concentration_shadow
    (LIKE finra_otc_transparency_weekly_symbol_venue_concentration_hhi INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_weekly_symbol_tier_volume_share_shadow
    (LIKE finra_otc_transparency_weekly_symbol_tier_volume_share INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_symbol_rolling_6w_shadow
    (LIKE finra_otc_transparency_symbol_rolling_6w INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.finra_otc_transparency_research_snapshot_shadow
    (LIKE finra_otc_transparency_research_snapshot INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.core_rejects_shadow
    (LIKE core_rejects INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE rederive.core_quality_shadow
    (LIKE core_quality INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
