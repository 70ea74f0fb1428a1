-- Brings the jobs of the persons just written to their new state. Jobs are staged of winners only.
-- Every look at the table is one by key for a staged row (OFFSET 0 keeps the planner from anything else).
WITH gone AS (
    -- Jobs that the new state no longer has.
    DELETE FROM sdmk.employment e
    USING (
        SELECT c.person_id, held.employment_key
        FROM stage_change c
        CROSS JOIN LATERAL (
            SELECT employment_key FROM sdmk.employment
            WHERE person_id = c.person_id
              AND cardinality(c.employment_keys) <= 32 AND employment_key <> ALL (c.employment_keys)
            UNION ALL
            -- An array is searched from its beginning for each row: of very many jobs a difference of sets.
            (SELECT employment_key FROM sdmk.employment
             WHERE person_id = c.person_id AND cardinality(c.employment_keys) > 32
             EXCEPT
             SELECT unnest(c.employment_keys) WHERE cardinality(c.employment_keys) > 32)
            OFFSET 0
        ) held
    ) lost
    WHERE e.person_id = lost.person_id AND e.employment_key = lost.employment_key
)
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
-- A person who moved house keeps the same jobs, so most of these are in the table as they are. Left out here and
-- not by a WHERE of the update, which would lock each row and write that into the WAL before it asks.
LEFT JOIN LATERAL (
    SELECT true AS same
    FROM sdmk.employment h
    WHERE h.person_id = s.person_id AND h.employment_key = s.employment_key
      AND (h.kode_unit, h.unit, h.alamat, h.id_jenis_sdmk, h.jenis_sdmk, h.status_pegawai, h.nip, h.str,
           h.str_tanggal, h.str_berlaku_sampai, h.sip, h.sip_tanggal, h.sip_berlaku_sampai, h.tanggal_mulai,
           h.tanggal_akhir, h.kode_wilayah, h.kode_wilayah_asal)
          IS NOT DISTINCT FROM
          (s.kode_unit, s.unit, s.alamat, s.id_jenis_sdmk, s.jenis_sdmk, s.status_pegawai, s.nip, s.str,
           s.str_tanggal, s.str_berlaku_sampai, s.sip, s.sip_tanggal, s.sip_berlaku_sampai, s.tanggal_mulai,
           s.tanggal_akhir, s.kode_wilayah, s.kode_wilayah_asal)
    OFFSET 0
) held ON true
WHERE held.same IS NULL
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
