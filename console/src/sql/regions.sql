SELECT kode, kode_bps, tingkat, nama, kode_induk
FROM sdmk.wilayah
