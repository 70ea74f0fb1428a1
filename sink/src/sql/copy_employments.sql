COPY sdmk.employment (
    person_id, employment_key, kode_unit, unit, alamat, id_jenis_sdmk, jenis_sdmk, status_pegawai, nip, str,
    str_tanggal, str_berlaku_sampai, sip, sip_tanggal, sip_berlaku_sampai, tanggal_mulai, tanggal_akhir,
    kode_wilayah, kode_wilayah_asal
) FROM STDIN (FORMAT binary)
