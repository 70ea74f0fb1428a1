-- Run before the migrations, every time: roles belong to the server and not to the database, so a
-- database restored elsewhere has its migrations and not its roles. Whatever is there is left as it is.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sisdmk_owner', 'sisdmk_sink', 'sisdmk_reader', 'sisdmk_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another setup of the same server was a moment faster
            END;
        END IF;
    END LOOP;
    IF NOT pg_has_role(current_user, 'sisdmk_owner', 'MEMBER') THEN
        EXECUTE format('GRANT sisdmk_owner TO %I', current_user);
    END IF;
    FOREACH name IN ARRAY ARRAY['sdmk', 'audit', 'sink'] LOOP
        IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = name) THEN
            EXECUTE format('CREATE SCHEMA %I AUTHORIZATION sisdmk_owner', name);
        END IF;
    END LOOP;
    -- The stage tables are temporary. Everybody may make those by default, but not on a hardened server.
    IF NOT has_database_privilege('sisdmk_sink', current_database(), 'TEMPORARY') THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO sisdmk_sink', current_database());
    END IF;
END
$$;
