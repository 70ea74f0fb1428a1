//! What health workers are called and what they learned: invented combinations of common words.

/// Titles around a name, in one of the ways in which people write them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Titles {
    /// Before the name, one blank between titles; empty if none. `H/` becomes `H.` or `Hj.` by sex.
    pub(crate) front: &'static str,
    /// What stands between the name and the titles behind it.
    pub(crate) link: &'static str,
    /// After the name; empty if none.
    pub(crate) back: &'static str,
}

/// A kind of health worker.
#[derive(Debug)]
pub(crate) struct Profession {
    /// The source's `ID_JENIS_SDMK`: invented, since the real list is not public.
    pub(crate) id: u32,
    pub(crate) label: &'static str,
    /// Out of 100.
    weight: u32,
    pub(crate) prodi_code: u32,
    pub(crate) prodi: &'static str,
    pub(crate) jenjang: &'static str,
    /// Whether it needs STR and SIP.
    pub(crate) licensed: bool,
    /// Every entry differs from its neighbours: a change moves on by one.
    pub(crate) titles: &'static [Titles],
}

const fn titles(front: &'static str, link: &'static str, back: &'static str) -> Titles {
    Titles { front, link, back }
}

const PROFESSIONS: [Profession; 12] = [
    Profession {
        id: 201,
        label: "Perawat",
        weight: 33,
        prodi_code: 14901,
        prodi: "Profesi Ners",
        jenjang: "Profesi",
        licensed: true,
        titles: &[
            titles("", "", ""),
            titles("Ns.", ", ", "S.Kep"),
            titles("", ", ", "A.Md.Kep"),
            titles("", ", ", "S.Kep., Ns."),
            titles("", " ", "A.Md.Kep"),
            titles("H/ Ns.", ", ", "S.Kep, M.Kep"),
            titles("", " ", "AMK"),
            titles("Ns", ",", "S.Kep"),
            titles("", ", ", "S. Kep"),
            titles("", " ", "A. Md. Kep"),
        ],
    },
    Profession {
        id: 301,
        label: "Bidan",
        weight: 23,
        prodi_code: 15401,
        prodi: "Kebidanan",
        jenjang: "D3",
        licensed: true,
        titles: &[
            titles("", ", ", "A.Md.Keb"),
            titles("Bdn.", ", ", "S.Tr.Keb"),
            titles("", " ", "A.Md.Keb"),
            titles("", ", ", "S.ST"),
            titles("", ", ", "AMKeb"),
            titles("", ", ", "A.Md.Keb., SKM"),
            titles("", " ", "SST"),
        ],
    },
    Profession {
        id: 100,
        label: "Dokter",
        weight: 11,
        prodi_code: 11901,
        prodi: "Profesi Dokter",
        jenjang: "Profesi",
        licensed: true,
        titles: &[
            titles("dr.", "", ""),
            titles("dr", "", ""),
            titles("Dr. dr.", ", ", "M.Kes"),
            titles("dr.", ", ", "MARS"),
            titles("dr. H/", "", ""),
            titles("dr.", ", ", "M.Biomed"),
        ],
    },
    Profession {
        id: 101,
        label: "Dokter Spesialis",
        weight: 4,
        prodi_code: 11701,
        prodi: "Ilmu Penyakit Dalam",
        jenjang: "Sp-1",
        licensed: true,
        titles: &[
            titles("dr.", ", ", "Sp.A"),
            titles("dr.", ", ", "Sp.THT-KL"),
            titles("dr.", ", ", "Sp.JP(K)-FIHA"),
            titles("dr.", " ", "Sp. PD"),
            titles("dr.", " ", "Sp.PD"),
            titles("dr.", ", ", "Sp.OG(K)"),
            titles("Prof. Dr. dr.", ", ", "Sp.JP, MPH"),
            titles("dr.", ", ", "SpB"),
            titles("dr.", ", ", "M.Kes., Sp.PD"),
        ],
    },
    Profession {
        id: 102,
        label: "Dokter Gigi",
        weight: 3,
        prodi_code: 12901,
        prodi: "Profesi Dokter Gigi",
        jenjang: "Profesi",
        licensed: true,
        titles: &[
            titles("drg.", "", ""),
            titles("drg.", ", ", "M.Kes"),
            titles("drg", ", ", "MM"),
            titles("drg.", ", ", "Sp.KG"),
        ],
    },
    Profession {
        id: 401,
        label: "Apoteker",
        weight: 4,
        prodi_code: 48901,
        prodi: "Profesi Apoteker",
        jenjang: "Profesi",
        licensed: true,
        titles: &[
            titles("apt.", ", ", "S.Farm"),
            titles("", ", ", "S.Farm., Apt."),
            titles("apt", ", ", "S.Farm"),
            titles("apt.", ", ", "S.Farm, M.Farm"),
        ],
    },
    Profession {
        id: 402,
        label: "Tenaga Teknis Kefarmasian",
        weight: 4,
        prodi_code: 48401,
        prodi: "Farmasi",
        jenjang: "D3",
        licensed: true,
        titles: &[
            titles("", ", ", "A.Md.Farm"),
            titles("", "", ""),
            titles("", " ", "A.Md.Farm"),
            titles("H/", ", ", "A.Md.Farm"),
        ],
    },
    Profession {
        id: 601,
        label: "Nutrisionis",
        weight: 3,
        prodi_code: 13211,
        prodi: "Gizi",
        jenjang: "S1",
        licensed: true,
        titles: &[
            titles("", ", ", "S.Gz"),
            titles("", ", ", "A.Md.Gz"),
            titles("", ", ", "S.Gz, M.Kes"),
            titles("", " ", "S.Gz"),
        ],
    },
    Profession {
        id: 501,
        label: "Promosi Kesehatan dan Ilmu Perilaku",
        weight: 4,
        prodi_code: 13201,
        prodi: "Kesehatan Masyarakat",
        jenjang: "S1",
        licensed: true,
        titles: &[
            titles("", ", ", "SKM"),
            titles("", " ", "SKM"),
            titles("", ", ", "S.KM"),
            titles("H/", ", ", "SKM, M.Kes"),
            titles("", ", ", "SKM., MPH"),
        ],
    },
    Profession {
        id: 502,
        label: "Tenaga Sanitasi Lingkungan",
        weight: 2,
        prodi_code: 13454,
        prodi: "Sanitasi",
        jenjang: "D3",
        licensed: true,
        titles: &[titles("", ", ", "A.Md.Kes"), titles("", "", ""), titles("", " ", "A.Md.Kes")],
    },
    Profession {
        id: 701,
        label: "Ahli Teknologi Laboratorium Medik",
        weight: 4,
        prodi_code: 13453,
        prodi: "Teknologi Laboratorium Medis",
        jenjang: "D3",
        licensed: true,
        titles: &[titles("", ", ", "A.Md.AK"), titles("", "", ""), titles("", ", ", "A.Md.AK., SKM")],
    },
    Profession {
        id: 901,
        label: "Tenaga Penunjang",
        weight: 5,
        prodi_code: 61201,
        prodi: "Manajemen",
        jenjang: "S1",
        licensed: false,
        titles: &[
            titles("", "", ""),
            titles("", ", ", "SE"),
            titles("", ", ", "S.Kom"),
            titles("Ir.", ", ", "MM"),
            titles("", ", ", "SH, MM"),
        ],
    },
];

/// The profession of a draw below 100.
pub(crate) fn profession(percent: u32) -> &'static Profession {
    let mut rest = percent;
    for profession in &PROFESSIONS {
        if rest < profession.weight {
            return profession;
        }
        rest -= profession.weight;
    }
    &PROFESSIONS[0]
}

/// Given names of men.
pub(crate) const MEN: [&str; 44] = [
    "Ahmad",
    "Agus",
    "Andi",
    "Arif",
    "Bagus",
    "Bambang",
    "Bayu",
    "Budi",
    "Cahyo",
    "Damar",
    "Dedi",
    "Dimas",
    "Eko",
    "Fajar",
    "Galih",
    "Gede",
    "Hadi",
    "Hendra",
    "Ibrahim",
    "Imam",
    "Indra",
    "Joko",
    "Kadek",
    "Komang",
    "Lukman",
    "Ma'ruf",
    "Made",
    "Nu'man",
    "Oktavianus",
    "Putu",
    "Rahmat",
    "Rizki",
    "Rudi",
    "Satria",
    "Sigit",
    "Slamet",
    "Teguh",
    "Taufik",
    "Untung",
    "Wahyu",
    "Wayan",
    "Yohanes",
    "Yusuf",
    "Zainal",
];

/// Given names of women.
pub(crate) const WOMEN: [&str; 44] = [
    "Aisyah", "Anisa", "Ayu", "Bunga", "Citra", "Desi", "Dewi", "Dian", "Eka", "Endah", "Fatimah", "Fitri", "Hana",
    "Indah", "Intan", "Kartika", "Ketut", "Khadijah", "Laras", "Lestari", "Lia", "Luh", "Maria", "Mega", "Melati",
    "Mutiara", "Nadia", "Ni'mah", "Novi", "Nur", "Putri", "Ratna", "Rina", "Rini", "Sari", "Sinta", "Siti", "Sri",
    "Tri", "Tuti", "Utami", "Wulan", "Yanti", "Yuliana",
];

/// Second and third names.
pub(crate) const FAMILY: [&str; 60] = [
    "Abdullah",
    "Adiputra",
    "Anggraini",
    "Ardiansyah",
    "Astuti",
    "Aswari",
    "Baskoro",
    "Budiman",
    "Cahyani",
    "Damanik",
    "Firmansyah",
    "Fauzi",
    "Ginting",
    "Gunawan",
    "Hakim",
    "Halim",
    "Handayani",
    "Harahap",
    "Hartono",
    "Hasibuan",
    "Hidayat",
    "Irawan",
    "Kambuaya",
    "Kurniawan",
    "Kusuma",
    "Lubis",
    "Lumban Tobing",
    "Maharani",
    "Manurung",
    "Marpaung",
    "Maulana",
    "Mulyani",
    "Nainggolan",
    "Nasution",
    "Nugroho",
    "Nurhayati",
    "Pakpahan",
    "Pangestu",
    "Permata",
    "Pertiwi",
    "Prabowo",
    "Pratama",
    "Purnama",
    "Rahayu",
    "Ramadhani",
    "Rumbiak",
    "Safitri",
    "Santoso",
    "Saputra",
    "Sembiring",
    "Setiawan",
    "Simanjuntak",
    "Siregar",
    "Suryani",
    "Susanti",
    "Tambunan",
    "Wanggai",
    "Wibowo",
    "Wijaya",
    "Yikwa-Wenda",
];

/// Names that sources also write with a combining accent: as received, and composed (Unicode NFC).
pub(crate) const ACCENTED: [(&str, &str); 4] =
    [("Andre\u{301}", "André"), ("Rene\u{301}", "René"), ("Ame\u{301}lie", "Amélie"), ("Jose\u{301}", "José")];

/// Words of streets and facilities.
pub(crate) const PLACES: [&str; 32] = [
    "Anggrek",
    "Cempaka",
    "Cendana",
    "Diponegoro",
    "Flamboyan",
    "Gajah Mada",
    "Garuda",
    "Hasanuddin",
    "Jati",
    "Kamboja",
    "Kartini",
    "Kemuning",
    "Kenanga",
    "Mawar",
    "Melati",
    "Merak",
    "Merdeka",
    "Nusa Indah",
    "Pahlawan",
    "Pattimura",
    "Pelita",
    "Pemuda",
    "Rajawali",
    "Sejahtera",
    "Sehat",
    "Sudirman",
    "Teratai",
    "Tulip",
    "Veteran",
    "Wijaya Kusuma",
    "Yos Sudarso",
    "Zamrud",
];

/// Kinds of facilities.
pub(crate) const FACILITIES: [&str; 6] = ["Puskesmas", "RSUD", "Klinik Pratama", "Apotek", "RS", "Puskesmas Pembantu"];

/// Universities and schools.
pub(crate) const SCHOOLS: [&str; 12] = [
    "Universitas Contoh Nusantara",
    "Universitas Cendekia",
    "Poltekkes Bina Sehat",
    "Poltekkes Karya Medika",
    "STIKES Bakti Husada",
    "STIKES Mitra Insani",
    "Universitas Samudra Hikmah",
    "Akademi Keperawatan Pelita",
    "Akademi Kebidanan Kasih",
    "Universitas Gunung Jaya",
    "Institut Kesehatan Merdeka",
    "Universitas Tanah Damai",
];

/// Names of training courses.
pub(crate) const COURSES: [&str; 10] = [
    "Bantuan Hidup Dasar",
    "BTCLS",
    "Pencegahan dan Pengendalian Infeksi",
    "Manajemen Puskesmas",
    "Konselor Menyusui",
    "Asuhan Persalinan Normal",
    "Surveilans Epidemiologi",
    "Komunikasi Efektif",
    "Pelatihan \"Vaksinator\"",
    "Keselamatan Pasien",
];

/// Who gives them.
pub(crate) const PROVIDERS: [&str; 5] =
    ["Bapelkes", "Dinas Kesehatan Provinsi", "Kementerian Kesehatan", "PPNI", "IBI"];

/// The source's `STATUS` of a job.
pub(crate) const STATUS_PEGAWAI: [&str; 6] = ["PNS", "CPNS", "PPPK", "PPPK Paruh Waktu", "NON PNS", "PJLP"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_percent() {
        assert_eq!(PROFESSIONS.iter().map(|it| it.weight).sum::<u32>(), 100);
    }

    #[test]
    fn a_change_of_titles_is_always_visible() {
        for it in &PROFESSIONS {
            assert!(it.titles.len() >= 3, "{}", it.label);
            for (at, titles) in it.titles.iter().enumerate() {
                let next = &it.titles[(at + 1) % it.titles.len()];
                assert!((titles.front, titles.back) != (next.front, next.back) || titles.link != next.link);
                assert_eq!(titles.back.is_empty(), titles.link.is_empty());
            }
        }
    }
}
