-- What every run is and what became of it (docs/architecture.md). The schema `rederive` itself is made before.

CREATE SEQUENCE rederive.capture_number;
CREATE SEQUENCE rederive.arrival;

CREATE TABLE rederive.captures (
    capture_id text PRIMARY KEY,
    number bigint NOT NULL UNIQUE,
    domain text NOT NULL,
    source text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('fill', 'supersede')),
    dry_run boolean NOT NULL DEFAULT false,
    derivation_version integer NOT NULL,
    columns text[] NOT NULL,
    request jsonb NOT NULL,
    digest text NOT NULL,
    reason text NOT NULL DEFAULT '',
    who text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'complete', 'cancelled', 'rolling-back', 'rolled-back')),
    -- Kafka's own id of the raw topic: offsets mean nothing once it has been made anew.
    topic_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE TABLE rederive.units (
    capture_id text NOT NULL REFERENCES rederive.captures ON DELETE CASCADE,
    unit integer NOT NULL,
    key_range text NOT NULL,
    -- What the source needs to read the unit again: row ids, or an offset.
    picked jsonb NOT NULL,
    rows integer NOT NULL,
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'sent', 'applied', 'dead', 'cancelled')),
    partition integer,
    record_offset bigint,
    updated integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    errors integer NOT NULL DEFAULT 0,
    failure text,
    PRIMARY KEY (capture_id, unit)
);
CREATE INDEX ON rederive.units (capture_id, unit) WHERE state IN ('planned', 'sent');

CREATE TABLE rederive.problems (
    capture_id text NOT NULL REFERENCES rederive.captures ON DELETE CASCADE,
    unit integer NOT NULL,
    ordinal integer NOT NULL,
    key jsonb NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (capture_id, unit, ordinal)
);

-- Which raw records have been applied, and which were given up, per capture and partition.
CREATE TABLE rederive.notes (
    capture_id text NOT NULL REFERENCES rederive.captures ON DELETE CASCADE,
    topic text NOT NULL,
    partition integer NOT NULL,
    applied int8multirange NOT NULL DEFAULT '{}',
    dead int8multirange NOT NULL DEFAULT '{}',
    PRIMARY KEY (capture_id, topic, partition)
);
