-- Captures whose units go through several lanes; what sources outside Postgres need to be shared.

-- Kafka's own id of each raw topic that units of the capture stand on, by lane.
ALTER TABLE rederive.captures ADD COLUMN topic_ids jsonb NOT NULL DEFAULT '{}';
UPDATE rederive.captures SET topic_ids = jsonb_build_object('replay', topic_id) WHERE topic_id IS NOT NULL;
ALTER TABLE rederive.captures DROP COLUMN topic_id;

-- A default added apart from the column rewrites nothing; what is there went through the replay lane.
ALTER TABLE rederive.units ADD COLUMN lane text NOT NULL DEFAULT 'replay'
    CHECK (lane IN ('log', 'detail', 'replay'));

-- When the next request to an API may start: one row for every process of a deployment.
CREATE TABLE rederive.rate_limits (
    name text PRIMARY KEY,
    next_at timestamptz NOT NULL DEFAULT '-infinity'
);

-- What the racing logs hold: an index over their records, made again from the logs whenever it lacks one.

CREATE TABLE rederive.racing_records (
    -- Kafka's own id of the topic: offsets mean nothing once it has been made anew.
    topic_id text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    -- NULL: a record that is none of ours, kept here so that it isn't looked at again.
    kind text CHECK (kind IN ('racecards', 'results', 'masters', 'horse')),
    date date,
    horse_id text,
    regions text[] NOT NULL DEFAULT '{}',
    fetched_at timestamptz,
    races integer NOT NULL DEFAULT 0,
    runners integer NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    capture_id text,
    PRIMARY KEY (topic_id, partition, record_offset)
);
CREATE INDEX ON rederive.racing_records (date, kind);
CREATE INDEX ON rederive.racing_records (horse_id) WHERE horse_id IS NOT NULL;
