-- Captures that are computed and kept, and served to nobody until they are promoted (docs/merging.md).

ALTER TABLE rederive.captures DROP CONSTRAINT captures_mode_check;
ALTER TABLE rederive.captures ADD CONSTRAINT captures_mode_check
    CHECK (mode IN ('fill', 'supersede', 'insert', 'shadow'));
ALTER TABLE rederive.captures DROP CONSTRAINT captures_state_check;
ALTER TABLE rederive.captures ADD CONSTRAINT captures_state_check
    CHECK (state IN ('running', 'complete', 'cancelled', 'promoting', 'rolling-back', 'rolled-back'));
-- Of a capture that was made as a shadow, the mode that it has from its promotion on.
ALTER TABLE rederive.captures ADD COLUMN becomes text CHECK (becomes IN ('supersede', 'insert'));
ALTER TABLE rederive.captures ADD COLUMN promoted_at timestamptz;
-- The columns in which what it computed as NULL counts as said; NULL for none.
ALTER TABLE rederive.captures ADD COLUMN clear text[] CHECK (clear <> '{}');
CREATE INDEX captures_clearing ON rederive.captures (number) WHERE clear IS NOT NULL;
