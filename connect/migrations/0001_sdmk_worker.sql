-- The table that the connector fills: one row for each health worker of sisdmk.clean, without the nested lists.
-- Run it once, in the consumer's own database, as the owner of the table.

CREATE TABLE sdmk_worker (
    person_id         uuid PRIMARY KEY,
    -- Microseconds since 1970 as they stand on the topic: Connect knows times of day in milliseconds only and would
    -- cut the rest. The readable columns at the end are computed from these two.
    last_updated_us   bigint NOT NULL,
    fetched_at_us     bigint NOT NULL,
    rules_revision    integer NOT NULL,
    content_hash      bigint NOT NULL,
    stamp             text NOT NULL,
    batch_id          uuid NOT NULL,
    request_id        uuid NOT NULL,
    trace_id          text NOT NULL,
    raw_partition     integer NOT NULL,
    raw_offset        bigint NOT NULL,
    wilayah_versi     text NOT NULL,
    nik               char(16) NOT NULL,
    nama              text NOT NULL,
    nama_asal         text NOT NULL,
    gelar_depan       text,
    gelar_belakang    text,
    jenis_kelamin     text,
    tempat_lahir      text,
    tanggal_lahir     date,
    alamat            text,
    status_aktif      text NOT NULL,
    status_aktif_asal text NOT NULL,
    kode_wilayah      text,
    kode_wilayah_asal text,
    warnings          text[] NOT NULL,
    -- Exact: a double holds the microseconds of any date until 2255.
    last_updated      timestamptz NOT NULL GENERATED ALWAYS AS (to_timestamp(last_updated_us / 1000000.0)) STORED,
    fetched_at        timestamptz NOT NULL GENERATED ALWAYS AS (to_timestamp(fetched_at_us / 1000000.0)) STORED
);

-- The rule which of two versions is newer, as in docs/CONTRACT.md. The connector writes whatever comes last, and the topic
-- may bring an older version late (a replay) or the same one again (a poll that overlaps the one before).
CREATE FUNCTION sdmk_worker_never_backwards() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.content_hash = OLD.content_hash
       AND (NEW.last_updated_us = OLD.last_updated_us OR NEW.stamp = 'FETCHED') THEN
        RETURN NULL;
    END IF;
    IF (NEW.last_updated_us, NEW.fetched_at_us, NEW.rules_revision, NEW.content_hash)
       > (OLD.last_updated_us, OLD.fetched_at_us, OLD.rules_revision, OLD.content_hash) THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER never_backwards BEFORE UPDATE ON sdmk_worker
    FOR EACH ROW EXECUTE FUNCTION sdmk_worker_never_backwards();

-- The connector's login is made by an operator, who alone knows its password:
--   CREATE ROLE sdmk_connect_login LOGIN PASSWORD '...' IN ROLE sdmk_connect;
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sdmk_connect') THEN
        CREATE ROLE sdmk_connect NOLOGIN;
    END IF;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON sdmk_worker TO sdmk_connect;
