-- Records every write of a person's row and every move of a position. For tests only: it is no migration, and a
-- product's database never holds it.
CREATE SCHEMA IF NOT EXISTS witness;
CREATE TABLE IF NOT EXISTS witness.write (
    ordinal        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction    bigint NOT NULL,
    person_id      uuid NOT NULL,
    last_updated   timestamptz NOT NULL,
    fetched_at     timestamptz NOT NULL,
    rules_revision integer NOT NULL,
    content_hash   bigint NOT NULL,
    deleted        boolean NOT NULL,
    raw_partition  integer NOT NULL,
    raw_offset     bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS witness.move (
    ordinal     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction bigint NOT NULL,
    topic       text NOT NULL,
    partition   integer NOT NULL,
    by_sink     boolean NOT NULL,
    was         bigint,
    next_offset bigint NOT NULL
);
-- As the owner: the sink's login has no business here. What a transaction that is rolled back writes goes with it.
CREATE OR REPLACE FUNCTION witness.person() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO witness.write (transaction, person_id, last_updated, fetched_at, rules_revision, content_hash, deleted,
                               raw_partition, raw_offset)
    VALUES (pg_current_xact_id()::text::bigint, NEW.person_id, NEW.last_updated, NEW.fetched_at, NEW.rules_revision,
            NEW.content_hash, NEW.deleted_at IS NOT NULL, NEW.raw_partition, NEW.raw_offset);
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION witness.position() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO witness.move (transaction, topic, partition, by_sink, was, next_offset)
    VALUES (pg_current_xact_id()::text::bigint, NEW.topic, NEW.partition,
            current_setting('application_name') LIKE 'sisdmk-sink%',
            CASE WHEN TG_OP = 'UPDATE' THEN OLD.next_offset END, NEW.next_offset);
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER witness AFTER INSERT OR UPDATE ON sdmk.person
    FOR EACH ROW EXECUTE FUNCTION witness.person();
CREATE OR REPLACE TRIGGER witness AFTER INSERT OR UPDATE ON sink.offset
    FOR EACH ROW EXECUTE FUNCTION witness.position();
