-- Writes the staged states: one statement, so that the comparison and the writing see the same
-- rows. `judged` compares with the rows as they were before the statement and is what is counted;
-- the guard of the upsert asks again against the row it has locked, and the caller rolls back when
-- the two disagree (somebody else wrote meanwhile).
WITH judged AS MATERIALIZED (
    -- `wins` as a boolean, because the planner takes half of those for true; of an equality with
    -- text that it knows nothing of it expects one row in two hundred, and plans for that.
    SELECT j.*, j.outcome IN ('inserted', 'updated') AS wins
    FROM (
        SELECT s.*,
               sink.outcome(s.last_updated, s.fetched_at, s.rules_revision, s.content_hash, s.fetched_stamp,
                            p.last_updated, p.fetched_at, p.rules_revision, p.content_hash, p.deleted_at) AS outcome,
               coalesce(s.last_updated = p.last_updated AND s.content_hash <> p.content_hash, false) AS conflict
        FROM stage_person s
        -- One look-up by key for each staged row, in key order. Written as a plain join the planner
        -- reads the whole table instead as long as that seems to be a few hundred thousand rows.
        LEFT JOIN LATERAL (SELECT * FROM sdmk.person WHERE person_id = s.person_id LIMIT 1) p ON true
    ) j
), written AS (
    INSERT INTO sdmk.person AS p (
        last_updated, fetched_at, rules_revision, content_hash, person_id, batch_id, request_id, trace_id,
        raw_partition, raw_offset, wilayah_versi, nik, nama, nama_asal, gelar_depan, gelar_belakang, jenis_kelamin,
        tempat_lahir, tanggal_lahir, alamat, status_aktif, status_aktif_asal, kode_wilayah, kode_wilayah_asal,
        pendidikan, pelatihan, warnings
    )
    SELECT
        last_updated, fetched_at, rules_revision, content_hash, person_id, batch_id, request_id, trace_id,
        raw_partition, raw_offset, wilayah_versi, nik, nama, nama_asal, gelar_depan, gelar_belakang, jenis_kelamin,
        tempat_lahir, tanggal_lahir, alamat, status_aktif, status_aktif_asal, kode_wilayah, kode_wilayah_asal,
        pendidikan, pelatihan, warnings
    FROM judged
    WHERE wins
    ON CONFLICT (person_id) DO UPDATE SET
        last_updated = excluded.last_updated,
        fetched_at = excluded.fetched_at,
        rules_revision = excluded.rules_revision,
        content_hash = excluded.content_hash,
        batch_id = excluded.batch_id,
        request_id = excluded.request_id,
        trace_id = excluded.trace_id,
        raw_partition = excluded.raw_partition,
        raw_offset = excluded.raw_offset,
        wilayah_versi = excluded.wilayah_versi,
        nik = excluded.nik,
        nama = excluded.nama,
        nama_asal = excluded.nama_asal,
        gelar_depan = excluded.gelar_depan,
        gelar_belakang = excluded.gelar_belakang,
        jenis_kelamin = excluded.jenis_kelamin,
        tempat_lahir = excluded.tempat_lahir,
        tanggal_lahir = excluded.tanggal_lahir,
        alamat = excluded.alamat,
        status_aktif = excluded.status_aktif,
        status_aktif_asal = excluded.status_aktif_asal,
        kode_wilayah = excluded.kode_wilayah,
        kode_wilayah_asal = excluded.kode_wilayah_asal,
        pendidikan = excluded.pendidikan,
        pelatihan = excluded.pelatihan,
        warnings = excluded.warnings,
        deleted_at = NULL
    -- The table does not keep where a stamp came from; `judged` has dropped what it would change.
    WHERE sink.outcome(excluded.last_updated, excluded.fetched_at, excluded.rules_revision, excluded.content_hash, false,
                       p.last_updated, p.fetched_at, p.rules_revision, p.content_hash, p.deleted_at) = 'updated'
    -- No transaction has touched a row version that was just inserted.
    RETURNING p.person_id, p.xmax = 0 AS fresh
), lost AS (
    -- Jobs that the new state no longer has. Found by key, and as a difference of sets, because the
    -- planner can be led to compare every row with every other one by a NOT EXISTS.
    SELECT w.person_id, held.employment_key
    FROM written w
    CROSS JOIN LATERAL (SELECT employment_key FROM sdmk.employment WHERE person_id = w.person_id OFFSET 0) held
    WHERE NOT w.fresh
    EXCEPT
    SELECT person_id, employment_key FROM stage_employment
), gone AS (
    DELETE FROM sdmk.employment e
    USING lost
    WHERE e.person_id = lost.person_id AND e.employment_key = lost.employment_key
), jobs AS (
    INSERT INTO sdmk.employment AS e (
        person_id, employment_key, kode_unit, unit, alamat, id_jenis_sdmk, jenis_sdmk, status_pegawai, nip, str,
        str_tanggal, str_berlaku_sampai, sip, sip_tanggal, sip_berlaku_sampai, tanggal_mulai, tanggal_akhir,
        kode_wilayah, kode_wilayah_asal
    )
    SELECT
        s.person_id, s.employment_key, s.kode_unit, s.unit, s.alamat, s.id_jenis_sdmk, s.jenis_sdmk, s.status_pegawai,
        s.nip, s.str, s.str_tanggal, s.str_berlaku_sampai, s.sip, s.sip_tanggal, s.sip_berlaku_sampai, s.tanggal_mulai,
        s.tanggal_akhir, s.kode_wilayah, s.kode_wilayah_asal
    FROM stage_employment s
    JOIN written w USING (person_id)
    ON CONFLICT (person_id, employment_key) DO UPDATE SET
        kode_unit = excluded.kode_unit,
        unit = excluded.unit,
        alamat = excluded.alamat,
        id_jenis_sdmk = excluded.id_jenis_sdmk,
        jenis_sdmk = excluded.jenis_sdmk,
        status_pegawai = excluded.status_pegawai,
        nip = excluded.nip,
        str = excluded.str,
        str_tanggal = excluded.str_tanggal,
        str_berlaku_sampai = excluded.str_berlaku_sampai,
        sip = excluded.sip,
        sip_tanggal = excluded.sip_tanggal,
        sip_berlaku_sampai = excluded.sip_berlaku_sampai,
        tanggal_mulai = excluded.tanggal_mulai,
        tanggal_akhir = excluded.tanggal_akhir,
        kode_wilayah = excluded.kode_wilayah,
        kode_wilayah_asal = excluded.kode_wilayah_asal
    -- A person who moved house keeps the same jobs: most rows here do not change.
    WHERE (e.*) IS DISTINCT FROM (excluded.*)
)
SELECT run,
       count(*)                                         AS staged,
       count(*) FILTER (WHERE outcome = 'inserted')     AS inserted,
       count(*) FILTER (WHERE outcome = 'updated')      AS updated,
       count(*) FILTER (WHERE outcome = 'sink_equal')   AS sink_equal,
       count(*) FILTER (WHERE outcome = 'sink_stale')   AS sink_stale,
       count(*) FILTER (WHERE conflict)                 AS conflict,
       (SELECT count(*) FROM written WHERE fresh)       AS written_new,
       (SELECT count(*) FROM written WHERE NOT fresh)   AS written_over
FROM judged
GROUP BY run
