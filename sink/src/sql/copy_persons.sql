COPY sdmk.person (
    last_updated, fetched_at, rules_revision, content_hash, person_id, batch_id, request_id, trace_id,
    raw_partition, raw_offset, wilayah_versi, nik, nama, nama_asal, gelar_depan, gelar_belakang, jenis_kelamin,
    tempat_lahir, tanggal_lahir, alamat, status_aktif, status_aktif_asal, kode_wilayah, kode_wilayah_asal,
    pendidikan, pelatihan, warnings
) FROM STDIN (FORMAT binary)
