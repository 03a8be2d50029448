-- Versions up to 0005 made serving tables wherever the user's search path said: for a user named rederive that was the
-- engine's own schema, where other users don't find them. They move to the schema that is meant; no value is touched.

DO $$
DECLARE
    meant text := current_schema();
    found record;
BEGIN
IF to_regclass('rederive.migrations') IS NULL OR meant = 'rederive' THEN
    RETURN;
END IF;
IF NOT EXISTS (SELECT FROM rederive.migrations WHERE version_num <= '0005') THEN
    RETURN;
END IF;
FOR found IN
    SELECT c.relname AS name, CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind
    FROM pg_class c
    WHERE c.relnamespace = 'rederive'::regnamespace AND c.relkind IN ('r', 'p', 'v')
      AND c.relname ~ '^(market|ra|finra|core)_' AND c.relname !~ '_(history|baseline)$'
LOOP
    IF to_regclass(format('%I.%I', meant, found.name)) IS NOT NULL THEN
        RAISE EXCEPTION 'there is a table % in schema rederive, where an earlier version made it, and another in %',
            found.name, meant USING ERRCODE = 'duplicate_table';
    END IF;
    EXECUTE format('ALTER %s rederive.%I SET SCHEMA %I', found.kind, found.name, meant);
END LOOP;
FOR found IN
    SELECT p.oid::regprocedure::text AS name FROM pg_proc p
    WHERE p.pronamespace = 'rederive'::regnamespace AND p.proname ~ '^finra_'
LOOP
    EXECUTE format('ALTER FUNCTION %s SET SCHEMA %I', found.name, meant);
END LOOP;
END $$;
