-- Live: how far what arrives has been found, and how long it takes to be visible.

-- A producer's place: two snapshots of transactions, and between them the last row that has been delivered.
CREATE TABLE rederive.cursors (
    name text PRIMARY KEY,
    -- The server whose transactions these are, by its own identifier.
    server bigint NOT NULL,
    since pg_snapshot NOT NULL,
    upto pg_snapshot,
    after_xid xid8,
    after_key bigint,
    -- What was committed before has been delivered.
    reached timestamptz NOT NULL
);

-- Per ten seconds and stage, how many rows took how long: figures for people, not worth a log's write.
CREATE UNLOGGED TABLE rederive.latencies (
    domain text NOT NULL,
    lane text NOT NULL,
    stage text NOT NULL,
    at timestamptz NOT NULL,
    member text NOT NULL,
    -- Rows by bin; what a bin means is said in store/latencies.py.
    bins jsonb NOT NULL,
    PRIMARY KEY (domain, lane, stage, at, member)
);

-- What a market lacks that a snapshot was skipped for is looked for again among these.
CREATE INDEX ON rederive.problems (capture_id, reason);

-- Who finds what arrives: one producer of a domain at a time, which says so as long as it lives.
CREATE TABLE rederive.producers (
    domain text PRIMARY KEY,
    machine text NOT NULL,
    pid integer NOT NULL,
    -- The server's process that serves it, which holds its right.
    backend integer NOT NULL,
    spoke_at timestamptz NOT NULL,
    moved_at timestamptz NOT NULL
);
