-- Dead letters: what became of those that somebody has sent again, or dropped; the topic itself isn't changed.

CREATE TABLE rederive.dead_letters (
    -- Where the letter stands on the DLQ: Kafka's own id of the topic, since offsets mean nothing once it is made anew.
    topic_id text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    domain text NOT NULL,
    state text NOT NULL CHECK (state IN ('sending', 'requeued', 'dropped')),
    -- The attempt that died, and the capture that it counts in.
    attempt integer NOT NULL,
    capture_id text,
    -- Where the next attempt stands, once it is delivered; while it is being sent the first offset that it may have.
    sent_topic text,
    sent_partition integer,
    sent_offset bigint,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    PRIMARY KEY (topic_id, partition, record_offset)
);

-- How many rows a problem stands for: of a dead record more than one.
ALTER TABLE rederive.problems ADD COLUMN rows integer NOT NULL DEFAULT 1;
