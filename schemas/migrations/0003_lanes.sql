-- Captures whose units go through several lanes; what sources outside Postgres need to be shared.

-- Kafka's own id of each raw topic that units of the capture stand on, by lane.
ALTER TABLE rederive.captures ADD COLUMN topic_ids jsonb NOT NULL DEFAULT '{}';
UPDATE rederive.captures SET topic_ids = jsonb_build_object('replay', topic_id) WHERE topic_id IS NOT NULL;
ALTER TABLE rederive.captures DROP COLUMN topic_id;

-- A default added apart from the column rewrites nothing; what is there went through the replay lane.
ALTER TABLE rederive.units ADD COLUMN lane text NOT NULL DEFAULT 'replay'
    CHECK (lane IN ('log', 'horses', 'replay'));

-- When the next request to an API may start: one row for every process of a deployment.
CREATE TABLE rederive.rate_limits (
    name text PRIMARY KEY,
    next_at timestamptz NOT NULL DEFAULT '-infinity'
);
