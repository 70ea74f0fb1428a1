-- The tables of the pipeline. Made by the role `sisdmk_owner`; grants are in 0003.
--
-- What is deliberately absent:
-- * an index on anything that an update changes. With fillfactor 50 and no such index every update
--   of sdmk.person stays on its page (HOT) and writes about half the WAL.
-- * a foreign key from sdmk.employment to sdmk.person. Both are written by one statement of one
--   program; the check would cost one trigger call a row for a thing that cannot happen.

CREATE TABLE sdmk.person (
    last_updated      timestamptz NOT NULL,
    fetched_at        timestamptz NOT NULL,
    rules_revision    integer     NOT NULL,
    content_hash      bigint      NOT NULL,
    person_id         uuid        NOT NULL,
    batch_id          uuid        NOT NULL,
    request_id        uuid        NOT NULL,
    trace_id          text        NOT NULL,
    raw_partition     integer     NOT NULL,
    raw_offset        bigint      NOT NULL,
    wilayah_versi     text        NOT NULL,
    nik               char(16)    NOT NULL,
    nama              text        NOT NULL,
    nama_asal         text        NOT NULL,
    gelar_depan       text,
    gelar_belakang    text,
    jenis_kelamin     text,
    tempat_lahir      text,
    tanggal_lahir     date,
    alamat            text,
    status_aktif      text        NOT NULL,
    status_aktif_asal text        NOT NULL,
    kode_wilayah      text,
    kode_wilayah_asal text,
    pendidikan        jsonb       NOT NULL,
    pelatihan         jsonb       NOT NULL,
    warnings          text[]      NOT NULL,
    deleted_at        timestamptz,
    CONSTRAINT person_pkey PRIMARY KEY (person_id),
    -- A shorter text would be padded with blanks in silence.
    CONSTRAINT person_nik_length CHECK (length(nik) = 16),
    -- A time from a bad clock would beat every real one for ever.
    CONSTRAINT person_times CHECK (
        last_updated >= timestamptz '2000-01-01 00:00:00Z' AND last_updated < timestamptz '2200-01-01 00:00:00Z'
        AND fetched_at >= timestamptz '2000-01-01 00:00:00Z' AND fetched_at < timestamptz '2200-01-01 00:00:00Z'
    )
) WITH (
    fillfactor = 50,
    -- Two million rows: the defaults (a fifth of the table) would let dead rows pile up for hours
    -- and leave the planner without figures after the first load.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
COMMENT ON TABLE sdmk.person IS 'The newest known state of each health worker; the key is the HMAC of the NIK';

CREATE TABLE sdmk.employment (
    person_id          uuid NOT NULL,
    employment_key     text NOT NULL,
    kode_unit          text,
    unit               text,
    alamat             text,
    id_jenis_sdmk      text,
    jenis_sdmk         text,
    status_pegawai     text,
    nip                text,
    str                text,
    str_tanggal        date,
    str_berlaku_sampai date,
    sip                text,
    sip_tanggal        date,
    sip_berlaku_sampai date,
    tanggal_mulai      date,
    tanggal_akhir      date,
    kode_wilayah       text,
    kode_wilayah_asal  text,
    CONSTRAINT employment_pkey PRIMARY KEY (person_id, employment_key)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
COMMENT ON TABLE sdmk.employment IS 'The jobs of a health worker, as in the newest known state';

CREATE TABLE sdmk.wilayah (
    kode       text NOT NULL,
    kode_bps   text,
    tingkat    text NOT NULL,
    nama       text NOT NULL,
    kode_induk text,
    CONSTRAINT wilayah_pkey PRIMARY KEY (kode)
);
COMMENT ON TABLE sdmk.wilayah IS 'Regions by the internal code (Kemendagri 2025); filled by sisdmk setup';

CREATE TABLE sink.offset (
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    next_offset bigint      NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT offset_pkey PRIMARY KEY (topic, partition)
) WITH (
    -- One row a partition, written by every transaction: room for many versions on the page, and
    -- a vacuum by count, because a share of a dozen rows means nothing.
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000
);
COMMENT ON TABLE sink.offset IS 'How far each partition has been taken in; the only truth about positions';

CREATE TABLE sink.outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    event_id     uuid  NOT NULL,
    key          text  NOT NULL,
    value        bytea NOT NULL,
    published_at timestamptz,
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_event_id_key UNIQUE (event_id)
);
CREATE INDEX outbox_unpublished ON sink.outbox (id) WHERE published_at IS NULL;
COMMENT ON TABLE sink.outbox IS 'Events for sisdmk.audit, written with the row they tell of and published at least once';

CREATE TABLE audit.stage_report (
    stage        text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    first_offset bigint      NOT NULL,
    next_offset  bigint      NOT NULL,
    batch_id     uuid        NOT NULL,
    region       text,
    counts       jsonb       NOT NULL,
    reported_at  timestamptz NOT NULL,
    CONSTRAINT stage_report_pkey PRIMARY KEY (stage, topic, partition, first_offset),
    CONSTRAINT stage_report_range CHECK (next_offset >= first_offset)
);
CREATE INDEX stage_report_batch ON audit.stage_report (batch_id);
COMMENT ON TABLE audit.stage_report IS 'What each stage did with each range of its input; ranges tile';

CREATE TABLE audit.batch (
    batch_id        uuid   NOT NULL,
    kind            text   NOT NULL,
    source          text   NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz,
    status          text,
    tied            boolean,
    fetched         bigint NOT NULL DEFAULT 0,
    raw             bigint NOT NULL DEFAULT 0,
    quarantined     bigint NOT NULL DEFAULT 0,
    clean           bigint NOT NULL DEFAULT 0,
    deletes_found   bigint NOT NULL DEFAULT 0,
    dlq             bigint NOT NULL DEFAULT 0,
    processor_equal bigint NOT NULL DEFAULT 0,
    processor_stale bigint NOT NULL DEFAULT 0,
    inserted        bigint NOT NULL DEFAULT 0,
    updated         bigint NOT NULL DEFAULT 0,
    deleted         bigint NOT NULL DEFAULT 0,
    sink_equal      bigint NOT NULL DEFAULT 0,
    sink_stale      bigint NOT NULL DEFAULT 0,
    superseded      bigint NOT NULL DEFAULT 0,
    rejected        bigint NOT NULL DEFAULT 0,
    conflict        bigint NOT NULL DEFAULT 0,
    requests        bigint,
    dlq_by_code     jsonb,
    duration        interval,
    trace_id        text,
    detail          text,
    CONSTRAINT batch_pkey PRIMARY KEY (batch_id)
);
CREATE INDEX batch_open ON audit.batch (batch_id) WHERE status IS NULL;
CREATE INDEX batch_started_at ON audit.batch (started_at);
COMMENT ON TABLE audit.batch IS 'One row a batch; status is null while it is open';

CREATE TABLE audit.event (
    event_id    uuid        NOT NULL,
    event_type  text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    batch_id    uuid,
    kind        text,
    source      text,
    region      text,
    status      text,
    detail      text,
    payload     jsonb       NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT event_pkey PRIMARY KEY (event_id)
);
CREATE INDEX event_batch ON audit.event (batch_id, event_type);
CREATE INDEX event_occurred_at ON audit.event USING brin (occurred_at);
COMMENT ON TABLE audit.event IS 'Everything that happened, append-only';

-- Grants alone do not bind the owner; a trigger does.
CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit.event is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.event
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
