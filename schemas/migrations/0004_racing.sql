-- Racing tables. Where they exist they are adopted: what is missing is added, no value is touched.

-- A name without its country, blanks and case: how names of one animal are compared.
CREATE FUNCTION rederive.plain_name(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT nullif(lower(regexp_replace(regexp_replace(name, '\s*\([A-Z]{2,3}\)\s*$', ''), '\s+', '', 'g')), '')
$$;

-- The first value that isn't NULL; with ORDER BY the one of the highest rank.
CREATE FUNCTION rederive.first_of(earlier anyelement, later anyelement) RETURNS anyelement
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT $1';
DO $$
BEGIN
-- From Postgres 16 on there is one in C.
EXECUTE format('CREATE AGGREGATE rederive.first(anyelement) (SFUNC = %s, STYPE = anyelement)',
    CASE WHEN to_regproc('pg_catalog.any_value_transfn') IS NULL THEN 'rederive.first_of' ELSE 'any_value_transfn' END);
END $$;

DO $$
BEGIN
IF to_regclass('ra_mst_bookmakers') IS NULL THEN
    CREATE TABLE ra_mst_bookmakers (id bigserial PRIMARY KEY, code varchar(50) NOT NULL UNIQUE);
END IF;
IF to_regclass('ra_races') IS NULL THEN
    CREATE TABLE ra_races (id varchar(50) PRIMARY KEY, course_id varchar(50), date date);
    CREATE INDEX ON ra_races (date);
END IF;
END $$;

CREATE TABLE IF NOT EXISTS ra_mst_regions (code varchar(10) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_courses (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_horses (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_jockeys (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_trainers (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_owners (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_sires (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_dams (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_mst_damsires (id varchar(50) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ra_horse_pedigree (horse_id varchar(50) PRIMARY KEY);

DO $$
BEGIN
IF to_regclass('ra_runners') IS NULL THEN
    CREATE TABLE ra_runners (
        id bigserial PRIMARY KEY,
        race_id varchar(50) NOT NULL REFERENCES ra_races,
        horse_id varchar(50) NOT NULL REFERENCES ra_mst_horses,
        jockey_id varchar(50) REFERENCES ra_mst_jockeys,
        trainer_id varchar(50) REFERENCES ra_mst_trainers,
        owner_id varchar(50) REFERENCES ra_mst_owners,
        sire_id varchar(50) REFERENCES ra_mst_sires,
        dam_id varchar(50) REFERENCES ra_mst_dams,
        damsire_id varchar(50) REFERENCES ra_mst_damsires,
        position integer,
        -- Finds the runners of a race, too.
        UNIQUE (race_id, horse_id)
    );
    CREATE INDEX ON ra_runners (horse_id);
    CREATE INDEX ON ra_runners (position) WHERE position IS NOT NULL;
    -- A master that is rolled back is looked for in all runners.
    CREATE INDEX ON ra_runners (jockey_id);
    CREATE INDEX ON ra_runners (trainer_id);
    CREATE INDEX ON ra_runners (owner_id);
    CREATE INDEX ON ra_runners (sire_id);
    CREATE INDEX ON ra_runners (dam_id);
    CREATE INDEX ON ra_runners (damsire_id);
END IF;
END $$;

ALTER TABLE ra_mst_bookmakers
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS type varchar,
    ADD COLUMN IF NOT EXISTS is_active boolean,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_regions
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_courses
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS region_code varchar,
    ADD COLUMN IF NOT EXISTS region varchar,
    ADD COLUMN IF NOT EXISTS latitude numeric,
    ADD COLUMN IF NOT EXISTS longitude numeric,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_races
    ADD COLUMN IF NOT EXISTS course_id varchar(50),
    ADD COLUMN IF NOT EXISTS course_name varchar,
    ADD COLUMN IF NOT EXISTS region varchar,
    ADD COLUMN IF NOT EXISTS race_name varchar,
    ADD COLUMN IF NOT EXISTS date date,
    ADD COLUMN IF NOT EXISTS off_time time,
    ADD COLUMN IF NOT EXISTS off_dt timestamptz,
    ADD COLUMN IF NOT EXISTS type varchar,
    ADD COLUMN IF NOT EXISTS race_class varchar,
    ADD COLUMN IF NOT EXISTS distance varchar,
    ADD COLUMN IF NOT EXISTS distance_round varchar,
    ADD COLUMN IF NOT EXISTS distance_f varchar,
    ADD COLUMN IF NOT EXISTS distance_m integer,
    ADD COLUMN IF NOT EXISTS age_band varchar,
    ADD COLUMN IF NOT EXISTS surface varchar,
    ADD COLUMN IF NOT EXISTS going varchar,
    ADD COLUMN IF NOT EXISTS going_detailed text,
    ADD COLUMN IF NOT EXISTS weather varchar,
    ADD COLUMN IF NOT EXISTS rail_movements text,
    ADD COLUMN IF NOT EXISTS pattern varchar,
    ADD COLUMN IF NOT EXISTS sex_restriction varchar,
    ADD COLUMN IF NOT EXISTS rating_band varchar,
    ADD COLUMN IF NOT EXISTS stalls varchar,
    ADD COLUMN IF NOT EXISTS jumps varchar,
    ADD COLUMN IF NOT EXISTS prize numeric,
    ADD COLUMN IF NOT EXISTS field_size integer,
    ADD COLUMN IF NOT EXISTS is_abandoned boolean,
    ADD COLUMN IF NOT EXISTS is_big_race boolean,
    ADD COLUMN IF NOT EXISTS has_result boolean,
    ADD COLUMN IF NOT EXISTS winning_time varchar,
    ADD COLUMN IF NOT EXISTS winning_time_detail text,
    ADD COLUMN IF NOT EXISTS comments text,
    ADD COLUMN IF NOT EXISTS non_runners text,
    ADD COLUMN IF NOT EXISTS tote_win varchar,
    ADD COLUMN IF NOT EXISTS tote_pl varchar,
    ADD COLUMN IF NOT EXISTS tote_ex varchar,
    ADD COLUMN IF NOT EXISTS tote_csf varchar,
    ADD COLUMN IF NOT EXISTS tote_tricast varchar,
    ADD COLUMN IF NOT EXISTS tote_trifecta varchar,
    ADD COLUMN IF NOT EXISTS tip text,
    ADD COLUMN IF NOT EXISTS verdict text,
    ADD COLUMN IF NOT EXISTS betting_forecast text,
    ADD COLUMN IF NOT EXISTS race_number integer,
    ADD COLUMN IF NOT EXISTS meet_id varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_horses
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS sire_id varchar(50),
    ADD COLUMN IF NOT EXISTS dam_id varchar(50),
    ADD COLUMN IF NOT EXISTS damsire_id varchar(50),
    ADD COLUMN IF NOT EXISTS dob date,
    ADD COLUMN IF NOT EXISTS age integer,
    ADD COLUMN IF NOT EXISTS sex varchar,
    ADD COLUMN IF NOT EXISTS sex_code varchar,
    ADD COLUMN IF NOT EXISTS colour varchar,
    ADD COLUMN IF NOT EXISTS colour_code varchar,
    ADD COLUMN IF NOT EXISTS breeder varchar,
    ADD COLUMN IF NOT EXISTS region varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_jockeys
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_trainers
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS location varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_owners
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_sires
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS horse_id varchar(50),
    ADD COLUMN IF NOT EXISTS region varchar(10),
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_dams
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS horse_id varchar(50),
    ADD COLUMN IF NOT EXISTS region varchar(10),
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_mst_damsires
    ADD COLUMN IF NOT EXISTS name varchar,
    ADD COLUMN IF NOT EXISTS horse_id varchar(50),
    ADD COLUMN IF NOT EXISTS region varchar(10),
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_horse_pedigree
    ADD COLUMN IF NOT EXISTS sire_id varchar(50),
    ADD COLUMN IF NOT EXISTS sire varchar,
    ADD COLUMN IF NOT EXISTS dam_id varchar(50),
    ADD COLUMN IF NOT EXISTS dam varchar,
    ADD COLUMN IF NOT EXISTS damsire_id varchar(50),
    ADD COLUMN IF NOT EXISTS damsire varchar,
    ADD COLUMN IF NOT EXISTS breeder varchar,
    ADD COLUMN IF NOT EXISTS region varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;
ALTER TABLE ra_runners
    ADD COLUMN IF NOT EXISTS horse_name varchar,
    ADD COLUMN IF NOT EXISTS jockey_id varchar(50),
    ADD COLUMN IF NOT EXISTS jockey_name varchar,
    ADD COLUMN IF NOT EXISTS trainer_id varchar(50),
    ADD COLUMN IF NOT EXISTS trainer_name varchar,
    ADD COLUMN IF NOT EXISTS trainer_location varchar,
    ADD COLUMN IF NOT EXISTS owner_id varchar(50),
    ADD COLUMN IF NOT EXISTS owner_name varchar,
    ADD COLUMN IF NOT EXISTS number varchar,
    ADD COLUMN IF NOT EXISTS draw varchar,
    ADD COLUMN IF NOT EXISTS sire_id varchar(50),
    ADD COLUMN IF NOT EXISTS dam_id varchar(50),
    ADD COLUMN IF NOT EXISTS damsire_id varchar(50),
    ADD COLUMN IF NOT EXISTS weight_lbs integer,
    ADD COLUMN IF NOT EXISTS weight_st_lbs varchar,
    ADD COLUMN IF NOT EXISTS age integer,
    ADD COLUMN IF NOT EXISTS sex varchar,
    ADD COLUMN IF NOT EXISTS sex_code varchar,
    ADD COLUMN IF NOT EXISTS colour varchar,
    ADD COLUMN IF NOT EXISTS dob date,
    ADD COLUMN IF NOT EXISTS headgear varchar,
    ADD COLUMN IF NOT EXISTS headgear_run varchar,
    ADD COLUMN IF NOT EXISTS wind_surgery varchar,
    ADD COLUMN IF NOT EXISTS wind_surgery_run varchar,
    ADD COLUMN IF NOT EXISTS form varchar,
    ADD COLUMN IF NOT EXISTS last_run varchar,
    ADD COLUMN IF NOT EXISTS ofr integer,
    ADD COLUMN IF NOT EXISTS rpr integer,
    ADD COLUMN IF NOT EXISTS ts integer,
    ADD COLUMN IF NOT EXISTS comment text,
    ADD COLUMN IF NOT EXISTS spotlight text,
    ADD COLUMN IF NOT EXISTS trainer_rtf varchar,
    ADD COLUMN IF NOT EXISTS past_results_flags jsonb,
    ADD COLUMN IF NOT EXISTS is_scratched boolean,
    ADD COLUMN IF NOT EXISTS silk_url varchar,
    ADD COLUMN IF NOT EXISTS position integer,
    ADD COLUMN IF NOT EXISTS position_str varchar,
    ADD COLUMN IF NOT EXISTS distance_beaten varchar(20),
    ADD COLUMN IF NOT EXISTS overall_beaten_distance numeric,
    ADD COLUMN IF NOT EXISTS prize_won numeric(10,2),
    ADD COLUMN IF NOT EXISTS starting_price varchar(20),
    ADD COLUMN IF NOT EXISTS starting_price_decimal numeric,
    ADD COLUMN IF NOT EXISTS finishing_time varchar,
    ADD COLUMN IF NOT EXISTS jockey_claim_lbs integer,
    ADD COLUMN IF NOT EXISTS result_updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS odds jsonb,
    ADD COLUMN IF NOT EXISTS claiming_price_min numeric,
    ADD COLUMN IF NOT EXISTS claiming_price_max numeric,
    ADD COLUMN IF NOT EXISTS medication varchar,
    ADD COLUMN IF NOT EXISTS equipment varchar,
    ADD COLUMN IF NOT EXISTS morning_line_odds varchar,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz,
    ADD COLUMN IF NOT EXISTS capture_id text,
    ADD COLUMN IF NOT EXISTS derivation_version integer,
    ADD COLUMN IF NOT EXISTS merge_xid xid;

-- A default added apart from the column leaves the rows that are there NULL and rewrites nothing.
ALTER TABLE ra_mst_bookmakers
    ALTER COLUMN is_active SET DEFAULT true,
    ALTER COLUMN created_at SET DEFAULT now();
ALTER TABLE ra_mst_regions
    ALTER COLUMN created_at SET DEFAULT now();
ALTER TABLE ra_mst_courses
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_races
    ALTER COLUMN is_abandoned SET DEFAULT false,
    ALTER COLUMN is_big_race SET DEFAULT false,
    ALTER COLUMN has_result SET DEFAULT false,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_mst_horses
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_mst_jockeys
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_mst_trainers
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_mst_owners
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_mst_sires
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_mst_dams
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_mst_damsires
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_horse_pedigree
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE ra_runners
    ALTER COLUMN is_scratched SET DEFAULT false,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

CREATE TABLE rederive.ra_mst_bookmakers_history (
    code varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    type varchar,
    is_active boolean,
    PRIMARY KEY (code, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_bookmakers_history (capture_id, code);

CREATE TABLE rederive.ra_mst_bookmakers_baseline (
    code varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar,
    type varchar,
    is_active boolean
);

CREATE TABLE rederive.ra_mst_regions_history (
    code varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    PRIMARY KEY (code, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_regions_history (capture_id, code);

CREATE TABLE rederive.ra_mst_regions_baseline (
    code varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar
);

CREATE TABLE rederive.ra_mst_courses_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    region_code varchar,
    region varchar,
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_courses_history (capture_id, id);

CREATE TABLE rederive.ra_mst_courses_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar,
    region_code varchar,
    region varchar
);

CREATE TABLE rederive.ra_races_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    course_id varchar(50),
    course_name varchar,
    region varchar,
    race_name varchar,
    date date,
    off_time time,
    off_dt timestamptz,
    type varchar,
    race_class varchar,
    distance varchar,
    distance_round varchar,
    distance_f varchar,
    distance_m integer,
    age_band varchar,
    surface varchar,
    going varchar,
    going_detailed text,
    weather varchar,
    rail_movements text,
    pattern varchar,
    sex_restriction varchar,
    rating_band varchar,
    stalls varchar,
    jumps varchar,
    prize numeric,
    field_size integer,
    is_abandoned boolean,
    is_big_race boolean,
    has_result boolean,
    winning_time varchar,
    winning_time_detail text,
    comments text,
    non_runners text,
    tote_win varchar,
    tote_pl varchar,
    tote_ex varchar,
    tote_csf varchar,
    tote_tricast varchar,
    tote_trifecta varchar,
    tip text,
    verdict text,
    betting_forecast text,
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_races_history (capture_id, id);

CREATE TABLE rederive.ra_races_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    course_id varchar(50),
    course_name varchar,
    region varchar,
    race_name varchar,
    date date,
    off_time time,
    off_dt timestamptz,
    type varchar,
    race_class varchar,
    distance varchar,
    distance_round varchar,
    distance_f varchar,
    distance_m integer,
    age_band varchar,
    surface varchar,
    going varchar,
    going_detailed text,
    weather varchar,
    rail_movements text,
    pattern varchar,
    sex_restriction varchar,
    rating_band varchar,
    stalls varchar,
    jumps varchar,
    prize numeric,
    field_size integer,
    is_abandoned boolean,
    is_big_race boolean,
    has_result boolean,
    winning_time varchar,
    winning_time_detail text,
    comments text,
    non_runners text,
    tote_win varchar,
    tote_pl varchar,
    tote_ex varchar,
    tote_csf varchar,
    tote_tricast varchar,
    tote_trifecta varchar,
    tip text,
    verdict text,
    betting_forecast text
);

CREATE TABLE rederive.ra_mst_horses_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    sire_id varchar(50),
    dam_id varchar(50),
    damsire_id varchar(50),
    dob date,
    age integer,
    sex varchar,
    sex_code varchar,
    colour varchar,
    colour_code varchar,
    breeder varchar,
    region varchar,
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_horses_history (capture_id, id);

CREATE TABLE rederive.ra_mst_horses_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar,
    sire_id varchar(50),
    dam_id varchar(50),
    damsire_id varchar(50),
    dob date,
    age integer,
    sex varchar,
    sex_code varchar,
    colour varchar,
    colour_code varchar,
    breeder varchar,
    region varchar
);

CREATE TABLE rederive.ra_mst_jockeys_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_jockeys_history (capture_id, id);

CREATE TABLE rederive.ra_mst_jockeys_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar
);

CREATE TABLE rederive.ra_mst_trainers_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    location varchar,
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_trainers_history (capture_id, id);

CREATE TABLE rederive.ra_mst_trainers_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar,
    location varchar
);

CREATE TABLE rederive.ra_mst_owners_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_owners_history (capture_id, id);

CREATE TABLE rederive.ra_mst_owners_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar
);

CREATE TABLE rederive.ra_mst_sires_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    region varchar(10),
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_sires_history (capture_id, id);

CREATE TABLE rederive.ra_mst_sires_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar,
    region varchar(10)
);

CREATE TABLE rederive.ra_mst_dams_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    region varchar(10),
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_dams_history (capture_id, id);

CREATE TABLE rederive.ra_mst_dams_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar,
    region varchar(10)
);

CREATE TABLE rederive.ra_mst_damsires_history (
    id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    name varchar,
    region varchar(10),
    PRIMARY KEY (id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_mst_damsires_history (capture_id, id);

CREATE TABLE rederive.ra_mst_damsires_baseline (
    id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    name varchar,
    region varchar(10)
);

CREATE TABLE rederive.ra_horse_pedigree_history (
    horse_id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    sire_id varchar(50),
    sire varchar,
    dam_id varchar(50),
    dam varchar,
    damsire_id varchar(50),
    damsire varchar,
    breeder varchar,
    region varchar,
    PRIMARY KEY (horse_id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_horse_pedigree_history (capture_id, horse_id);

CREATE TABLE rederive.ra_horse_pedigree_baseline (
    horse_id varchar(50) PRIMARY KEY,
    present boolean NOT NULL,
    row_xmin xid,
    sire_id varchar(50),
    sire varchar,
    dam_id varchar(50),
    dam varchar,
    damsire_id varchar(50),
    damsire varchar,
    breeder varchar,
    region varchar
);

CREATE TABLE rederive.ra_runners_history (
    race_id varchar(50) NOT NULL,
    horse_id varchar(50) NOT NULL,
    source smallint NOT NULL,
    capture_id text NOT NULL,
    observed timestamptz NOT NULL,
    derivation_version integer NOT NULL,
    arrival bigint,
    horse_name varchar,
    jockey_id varchar(50),
    jockey_name varchar,
    trainer_id varchar(50),
    trainer_name varchar,
    trainer_location varchar,
    owner_id varchar(50),
    owner_name varchar,
    number varchar,
    draw varchar,
    sire_id varchar(50),
    dam_id varchar(50),
    damsire_id varchar(50),
    weight_lbs integer,
    weight_st_lbs varchar,
    age integer,
    sex varchar,
    sex_code varchar,
    colour varchar,
    dob date,
    headgear varchar,
    headgear_run varchar,
    wind_surgery varchar,
    wind_surgery_run varchar,
    form varchar,
    last_run varchar,
    ofr integer,
    rpr integer,
    ts integer,
    comment text,
    spotlight text,
    trainer_rtf varchar,
    past_results_flags jsonb,
    is_scratched boolean,
    silk_url varchar,
    position integer,
    position_str varchar,
    distance_beaten varchar(20),
    overall_beaten_distance numeric,
    prize_won numeric(10,2),
    starting_price varchar(20),
    starting_price_decimal numeric,
    finishing_time varchar,
    jockey_claim_lbs integer,
    result_updated_at timestamptz,
    odds jsonb,
    PRIMARY KEY (race_id, horse_id, source, capture_id, observed)
);
CREATE INDEX ON rederive.ra_runners_history (capture_id, race_id, horse_id);

CREATE TABLE rederive.ra_runners_baseline (
    race_id varchar(50) NOT NULL,
    horse_id varchar(50) NOT NULL,
    present boolean NOT NULL,
    row_xmin xid,
    horse_name varchar,
    jockey_id varchar(50),
    jockey_name varchar,
    trainer_id varchar(50),
    trainer_name varchar,
    trainer_location varchar,
    owner_id varchar(50),
    owner_name varchar,
    number varchar,
    draw varchar,
    sire_id varchar(50),
    dam_id varchar(50),
    damsire_id varchar(50),
    weight_lbs integer,
    weight_st_lbs varchar,
    age integer,
    sex varchar,
    sex_code varchar,
    colour varchar,
    dob date,
    headgear varchar,
    headgear_run varchar,
    wind_surgery varchar,
    wind_surgery_run varchar,
    form varchar,
    last_run varchar,
    ofr integer,
    rpr integer,
    ts integer,
    comment text,
    spotlight text,
    trainer_rtf varchar,
    past_results_flags jsonb,
    is_scratched boolean,
    silk_url varchar,
    position integer,
    position_str varchar,
    distance_beaten varchar(20),
    overall_beaten_distance numeric,
    prize_won numeric(10,2),
    starting_price varchar(20),
    starting_price_decimal numeric,
    finishing_time varchar,
    jockey_claim_lbs integer,
    result_updated_at timestamptz,
    odds jsonb,
    PRIMARY KEY (race_id, horse_id)
);

