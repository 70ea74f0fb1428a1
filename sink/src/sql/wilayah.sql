WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS row (kode, kode_bps, tingkat, nama, kode_induk)
), gone AS (
    DELETE FROM sdmk.wilayah w WHERE NOT EXISTS (SELECT FROM given g WHERE g.kode = w.kode)
)
INSERT INTO sdmk.wilayah AS w (kode, kode_bps, tingkat, nama, kode_induk)
SELECT kode, kode_bps, tingkat, nama, kode_induk FROM given
ON CONFLICT (kode) DO UPDATE
    SET kode_bps = excluded.kode_bps, tingkat = excluded.tingkat, nama = excluded.nama, kode_induk = excluded.kode_induk
    WHERE (w.kode_bps, w.tingkat, w.nama, w.kode_induk)
        IS DISTINCT FROM (excluded.kode_bps, excluded.tingkat, excluded.nama, excluded.kode_induk)
