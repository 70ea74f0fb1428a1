-- What a connection that writes batches needs besides its session.

-- Everything a batch touches is found by its place or its key. Over a table of some hundred thousand
-- rows the planner would rather read all of it into a hash table, for every batch.
SET enable_hashjoin = off;
SET enable_mergejoin = off;

-- Where those rows land that replace others. No constraint and no index: whatever is wrong with a
-- row shows when it is written.

-- States that replace a row, each with the place where that row was found and the keys of all its jobs.
CREATE TEMPORARY TABLE IF NOT EXISTS stage_change (
    place             tid,
    employment_keys   text[],
    last_updated      timestamptz,
    fetched_at        timestamptz,
    rules_revision    integer,
    content_hash      bigint,
    person_id         uuid,
    batch_id          uuid,
    request_id        uuid,
    trace_id          text,
    raw_partition     integer,
    raw_offset        bigint,
    wilayah_versi     text,
    nik               text,
    nama              text,
    nama_asal         text,
    gelar_depan       text,
    gelar_belakang    text,
    jenis_kelamin     text,
    tempat_lahir      text,
    tanggal_lahir     date,
    alamat            text,
    status_aktif      text,
    status_aktif_asal text,
    kode_wilayah      text,
    kode_wilayah_asal text,
    pendidikan        jsonb,
    pelatihan         jsonb,
    warnings          text[]
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS stage_employment (
    person_id          uuid,
    employment_key     text,
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
    kode_wilayah_asal  text
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS stage_deletion (
    run        integer,
    person_id  uuid,
    fetched_at timestamptz
) ON COMMIT DELETE ROWS;
