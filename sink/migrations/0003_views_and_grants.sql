-- Who sees what. Roles have no login; an operator's logins become members of them.

-- No name, no address, of the birth date only the year, of the NIK the province and the last two
-- digits. `security_barrier`: a function in somebody's WHERE clause never sees an unmasked row.
CREATE VIEW sdmk.person_masked WITH (security_barrier) AS
SELECT person_id,
       left(nik, 2) || '************' || right(nik, 2)    AS nik,
       jenis_kelamin,
       extract(year FROM tanggal_lahir)::integer          AS tahun_lahir,
       status_aktif,
       kode_wilayah,
       wilayah_versi,
       jsonb_array_length(pendidikan)                     AS pendidikan,
       jsonb_array_length(pelatihan)                      AS pelatihan,
       warnings,
       last_updated,
       fetched_at,
       rules_revision,
       batch_id,
       request_id,
       trace_id,
       raw_partition,
       raw_offset,
       deleted_at
FROM sdmk.person;

CREATE VIEW sdmk.employment_masked WITH (security_barrier) AS
SELECT person_id,
       employment_key,
       kode_unit,
       unit,
       id_jenis_sdmk,
       jenis_sdmk,
       status_pegawai,
       nip IS NOT NULL AS nip,
       str IS NOT NULL AS str,
       str_tanggal,
       str_berlaku_sampai,
       sip IS NOT NULL AS sip,
       sip_tanggal,
       sip_berlaku_sampai,
       tanggal_mulai,
       tanggal_akhir,
       kode_wilayah
FROM sdmk.employment;

REVOKE ALL ON SCHEMA sdmk, audit, sink FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA sdmk, audit, sink FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sdmk, audit, sink FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- The sink writes; it removes nothing but jobs that the source no longer lists.
GRANT USAGE ON SCHEMA sdmk, audit, sink TO sisdmk_sink;
GRANT SELECT, INSERT, UPDATE ON sdmk.person, sdmk.employment TO sisdmk_sink;
GRANT DELETE ON sdmk.employment TO sisdmk_sink;
-- Positions are made by `sisdmk setup` and `sisdmk offsets reset` alone: a sink that could insert
-- one could start a partition where nobody asked it to.
GRANT SELECT, UPDATE ON sink.offset TO sisdmk_sink;
GRANT SELECT, INSERT, UPDATE ON sink.outbox TO sisdmk_sink;
GRANT SELECT ON sink.migration TO sisdmk_sink;
GRANT EXECUTE ON FUNCTION sink.outcome TO sisdmk_sink;
GRANT SELECT, INSERT ON audit.stage_report, audit.event TO sisdmk_sink;
GRANT SELECT, INSERT, UPDATE ON audit.batch TO sisdmk_sink;

-- The reader: masked people, and how the batches went.
GRANT USAGE ON SCHEMA sdmk, audit TO sisdmk_reader;
GRANT SELECT ON sdmk.person_masked, sdmk.employment_masked, sdmk.wilayah, audit.batch TO sisdmk_reader;

-- The auditor: every book, no person.
GRANT USAGE ON SCHEMA audit, sink TO sisdmk_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO sisdmk_auditor;
GRANT SELECT ON sink.offset, sink.outbox, sink.migration TO sisdmk_auditor;
