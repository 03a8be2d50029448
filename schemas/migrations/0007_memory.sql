-- The peak memory of a run's processes, in bytes: {ROLE: {"half", "peak"}}, of the process that completed the capture.
ALTER TABLE rederive.captures ADD COLUMN memory jsonb;
