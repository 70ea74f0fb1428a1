-- Writes the states that were judged newer. The rows are found where the judgement saw them, which
-- spares a second look-up by key; the key is compared all the same, because a vacuum may have given
-- the place to somebody else. The guard asks the rule again about the row that is now locked. The
-- caller rolls back when fewer rows were written than judged.
UPDATE sdmk.person p SET
    last_updated = c.last_updated,
    fetched_at = c.fetched_at,
    rules_revision = c.rules_revision,
    content_hash = c.content_hash,
    batch_id = c.batch_id,
    request_id = c.request_id,
    trace_id = c.trace_id,
    raw_partition = c.raw_partition,
    raw_offset = c.raw_offset,
    wilayah_versi = c.wilayah_versi,
    nik = c.nik,
    nama = c.nama,
    nama_asal = c.nama_asal,
    gelar_depan = c.gelar_depan,
    gelar_belakang = c.gelar_belakang,
    jenis_kelamin = c.jenis_kelamin,
    tempat_lahir = c.tempat_lahir,
    tanggal_lahir = c.tanggal_lahir,
    alamat = c.alamat,
    status_aktif = c.status_aktif,
    status_aktif_asal = c.status_aktif_asal,
    kode_wilayah = c.kode_wilayah,
    kode_wilayah_asal = c.kode_wilayah_asal,
    pendidikan = c.pendidikan,
    pelatihan = c.pelatihan,
    warnings = c.warnings,
    deleted_at = NULL
FROM stage_change c
WHERE p.ctid = c.place
  AND p.person_id = c.person_id
  -- The table does not keep where a stamp came from; the judgement has dropped what it would change.
  AND sink.outcome(c.last_updated, c.fetched_at, c.rules_revision, c.content_hash, false,
                   p.last_updated, p.fetched_at, p.rules_revision, p.content_hash, p.deleted_at) = 'updated'
