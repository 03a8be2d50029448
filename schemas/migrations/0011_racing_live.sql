-- Racing live: what the API says twice is kept once, and when it was said again is noted here.

ALTER TABLE rederive.racing_records ADD COLUMN confirmed_at timestamptz;
