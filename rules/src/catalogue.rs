//! The catalogue of reasons: what can be wrong with a record, in our words.
//!
//! Codes are names that dead letters, metrics, tables and people keep: one may be added, none may be renamed or
//! given another meaning. No sentence here has a place for a value, so none can carry one.

use std::fmt;

/// Whether a reason refuses the record or only marks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The record becomes a dead letter.
    Hard,
    /// The record stays clean and carries the code in `warnings`.
    Soft,
}

/// Who can remove the cause of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The health facility or the Dinkes that keeps the record in SISDMK.
    Facility,
    /// The people who run this pipeline: profile, settings, keys.
    Operator,
}

impl Party {
    /// Stable lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Facility => "facility",
            Self::Operator => "operator",
        }
    }
}

/// What to do about a reason, and who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Who acts.
    pub by: Party,
    /// The advice in English.
    pub en: &'static str,
    /// The advice in Indonesian.
    pub id: &'static str,
}

/// Everything the catalogue says about one code.
struct Entry {
    name: &'static str,
    severity: Severity,
    message_en: &'static str,
    message_id: &'static str,
    action: Action,
}

/// Writes the enum, its order and its texts from one table, so that none of the three can drift from the others.
macro_rules! catalogue {
    ($( $code:ident $name:literal $severity:ident
        $message_en:literal $message_id:literal
        $by:ident $action_en:literal $action_id:literal; )*) => {
        /// A reason's code, in catalogue order (`docs/CONTRACT.md` section 11.12).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $( #[doc = $message_en] $code, )*
        }

        impl Code {
            /// Every code once, in catalogue order.
            pub const ALL: &'static [Self] = &[$( Self::$code, )*];

            fn entry(self) -> &'static Entry {
                match self {
                    $( Self::$code => &Entry {
                        name: $name,
                        severity: Severity::$severity,
                        message_en: $message_en,
                        message_id: $message_id,
                        action: Action { by: Party::$by, en: $action_en, id: $action_id },
                    }, )*
                }
            }
        }
    };
}

catalogue! {
    JsonInvalid "json_invalid" Hard
        "the record is not one JSON value in UTF-8"
        "data bukan satu nilai JSON dalam UTF-8"
        Operator "Report it to the owner of the source: its answer cannot be read. Replay once it is corrected."
        "Laporkan kepada pengelola sumber: jawabannya tidak dapat dibaca. Putar ulang setelah diperbaiki.";
    JsonNotObject "json_not_object" Hard
        "the record is JSON, but not an object"
        "data adalah JSON, tetapi bukan objek"
        Operator "Check where the profile says the records are, then report it to the owner of the source."
        "Periksa letak data menurut profil, lalu laporkan kepada pengelola sumber.";
    JsonDuplicateKey "json_duplicate_key" Hard
        "a field stands twice in one object, so its value is not certain"
        "satu isian muncul dua kali dalam satu objek sehingga nilainya tidak pasti"
        Operator "Report it to the owner of the source: which of the two is meant cannot be known."
        "Laporkan kepada pengelola sumber: tidak dapat diketahui mana yang dimaksud.";
    JsonNumberRange "json_number_range" Hard
        "a number is too large to be held exactly by any reader"
        "ada angka yang terlalu besar untuk dibaca"
        Operator "Report it to the owner of the source: identifiers have to be sent as text."
        "Laporkan kepada pengelola sumber: nomor harus dikirim sebagai teks.";
    JsonSurrogate "json_surrogate" Hard
        "a text holds half of a character"
        "ada teks yang memuat setengah karakter"
        Facility "Type the affected text again in SISDMK; it was cut in the middle of a character."
        "Ketik ulang teks tersebut di SISDMK; teks terpotong di tengah karakter.";
    JsonNul "json_nul" Hard
        "a text holds the character NUL, which no database stores"
        "ada teks yang memuat karakter NUL yang tidak dapat disimpan"
        Facility "Type the affected text again in SISDMK instead of pasting it."
        "Ketik ulang teks tersebut di SISDMK, jangan ditempel.";
    JsonDepth "json_depth" Hard
        "the record is nested deeper than 64 levels"
        "data bersarang lebih dari 64 tingkat"
        Operator "Report it to the owner of the source: no declared field is nested this deep."
        "Laporkan kepada pengelola sumber: tidak ada isian yang bersarang sedalam ini.";
    HeaderMissing "header_missing" Hard
        "the message has no readable batch id or fetch time, so it did not come from our producer"
        "pesan tidak memuat id batch atau waktu pengambilan yang terbaca, jadi bukan dari producer kita"
        Operator "Find out who writes to the raw topic, and take that right away."
        "Cari siapa yang menulis ke topik raw, dan cabut haknya.";
    IdentityMismatch "identity_mismatch" Hard
        "the message's key is not the identity of the person in the record"
        "kunci pesan bukan identitas orang di dalam data"
        Operator "Check that all processes read the same HMAC key and profile, and who else writes to the raw topic."
        "Pastikan semua proses membaca kunci HMAC dan profil yang sama, dan siapa lagi yang menulis ke topik raw.";
    NikMissing "nik_missing" Hard
        "the NIK is missing"
        "NIK tidak ada"
        Facility "Enter the NIK in SISDMK."
        "Isi NIK di SISDMK.";
    NikNumberInexact "nik_number_inexact" Hard
        "the NIK was sent as a number with a fraction or an exponent, so digits may be lost"
        "NIK dikirim sebagai angka desimal atau berpangkat, sehingga ada angka yang mungkin hilang"
        Operator "Report it to the owner of the source: a NIK has to be sent as text."
        "Laporkan kepada pengelola sumber: NIK harus dikirim sebagai teks.";
    NikSpreadsheet "nik_spreadsheet" Hard
        "the NIK was damaged by a spreadsheet: exponent, decimals, or a leading apostrophe or equals sign"
        "NIK rusak oleh lembar kerja: berpangkat, berdesimal, atau diawali apostrof atau tanda sama dengan"
        Facility "Enter the NIK again from the identity card; lost digits cannot be computed back."
        "Isi ulang NIK dari KTP; angka yang hilang tidak dapat dihitung kembali.";
    NikLength "nik_length" Hard
        "the NIK is not exactly 16 digits"
        "NIK tidak tepat 16 angka"
        Facility "Compare the NIK with the identity card and correct it in SISDMK."
        "Cocokkan NIK dengan KTP dan perbaiki di SISDMK.";
    NikProvince "nik_province" Hard
        "the first two digits of the NIK are no province"
        "dua angka pertama NIK bukan kode provinsi"
        Facility "Compare the NIK with the identity card; an old-style number has to be replaced by today's NIK."
        "Cocokkan NIK dengan KTP; nomor lama harus diganti dengan NIK yang berlaku.";
    NikBirthDay "nik_birth_day" Hard
        "the day of birth in the NIK is neither 01 to 31 nor 41 to 71"
        "tanggal lahir di NIK bukan 01 sampai 31 atau 41 sampai 71"
        Facility "Compare the NIK with the identity card and correct it in SISDMK."
        "Cocokkan NIK dengan KTP dan perbaiki di SISDMK.";
    NikBirthMonth "nik_birth_month" Hard
        "the month of birth in the NIK is not 01 to 12"
        "bulan lahir di NIK bukan 01 sampai 12"
        Facility "Compare the NIK with the identity card and correct it in SISDMK."
        "Cocokkan NIK dengan KTP dan perbaiki di SISDMK.";
    NikBirthDate "nik_birth_date" Hard
        "the date of birth in the NIK does not exist in any year it can mean"
        "tanggal lahir di NIK tidak ada dalam kalender"
        Facility "Compare the NIK with the identity card and correct it in SISDMK."
        "Cocokkan NIK dengan KTP dan perbaiki di SISDMK.";
    NikSerial "nik_serial" Hard
        "the last four digits of the NIK are 0000, which is never issued"
        "empat angka terakhir NIK adalah 0000 yang tidak pernah diterbitkan"
        Facility "Enter the NIK again from the identity card; a spreadsheet turns the last digit into 0."
        "Isi ulang NIK dari KTP; lembar kerja mengubah angka terakhir menjadi 0.";
    NamaMissing "nama_missing" Hard
        "the name is missing"
        "nama tidak ada"
        Facility "Enter the name in SISDMK."
        "Isi nama di SISDMK.";
    StatusAktifMissing "status_aktif_missing" Hard
        "the active status is missing"
        "status aktif tidak ada"
        Facility "Enter the active status in SISDMK; if no record of this source has one, check the profile."
        "Isi status aktif di SISDMK; bila tidak ada data sumber ini yang memuatnya, periksa profil.";
    StatusAktifUnknown "status_aktif_unknown" Hard
        "the active status is not one of the declared values"
        "status aktif bukan salah satu nilai yang dikenal"
        Operator "Ask the owner of the source what it means, add it to rules.status_aktif, then replay."
        "Tanyakan artinya kepada pengelola sumber, tambahkan ke rules.status_aktif, lalu putar ulang.";
    LastUpdatedMissing "last_updated_missing" Hard
        "the time of the last change is missing"
        "waktu perubahan terakhir tidak ada"
        Operator "Report it to the owner of the source; for a source without such a time declare stamp = \"fetched\"."
        "Laporkan kepada pengelola sumber; untuk sumber tanpa waktu ini nyatakan stamp = \"fetched\".";
    LastUpdatedInvalid "last_updated_invalid" Hard
        "the time of the last change has none of the declared forms"
        "waktu perubahan terakhir tidak sesuai bentuk yang dinyatakan"
        Operator "Compare it with stamp_formats of the profile, correct the profile, then replay."
        "Bandingkan dengan stamp_formats pada profil, perbaiki profil, lalu putar ulang.";
    LastUpdatedFuture "last_updated_future" Hard
        "the time of the last change lies after the time at which the source gave the record out"
        "waktu perubahan terakhir lebih lambat daripada waktu data diberikan sumber"
        Operator "Compare the zone of the profile and the clocks of source and host."
        "Bandingkan zona pada profil serta jam sumber dan jam server ini.";
    LastUpdatedTooOld "last_updated_too_old" Hard
        "the time of the last change lies before the year 2000"
        "waktu perubahan terakhir sebelum tahun 2000"
        Operator "Report it to the owner of the source: an empty time was probably sent as a number."
        "Laporkan kepada pengelola sumber: waktu kosong mungkin terkirim sebagai angka.";
    DateInvalid "date_invalid" Hard
        "a date has none of the declared forms, does not exist, or cannot be true"
        "ada tanggal yang tidak sesuai bentuk yang dinyatakan, tidak ada dalam kalender, atau tidak mungkin benar"
        Facility "Correct the date in SISDMK; if a whole batch is affected, compare date_formats of the profile."
        "Perbaiki tanggal di SISDMK; bila satu batch terkena, bandingkan date_formats pada profil.";
    DateAmbiguous "date_ambiguous" Hard
        "a date means different days under two declared forms"
        "ada tanggal yang berarti hari berbeda menurut dua bentuk yang dinyatakan"
        Operator "Find out which form the source uses, and declare only that one in date_formats."
        "Pastikan bentuk yang dipakai sumber, dan nyatakan hanya bentuk itu di date_formats.";
    RegionUnknown "region_unknown" Hard
        "a region code is not in the declared code system"
        "ada kode wilayah yang tidak terdapat dalam sistem kode yang dinyatakan"
        Facility "Correct the region in SISDMK; if a whole batch is affected, compare code_system of the profile."
        "Perbaiki wilayah di SISDMK; bila satu batch terkena, bandingkan code_system pada profil.";
    RegionProvinceDiffers "region_province_differs" Hard
        "the province code is not the province of the regency code"
        "kode provinsi bukan provinsi dari kode kabupaten/kota"
        Facility "Correct province or regency in SISDMK; if a whole batch is affected, compare code_system of the profile."
        "Perbaiki provinsi atau kabupaten/kota di SISDMK; bila satu batch terkena, bandingkan code_system pada profil.";
    RegionNameDiffers "region_name_differs" Hard
        "the regency's name is not the name of its code: perhaps another code system"
        "nama kabupaten/kota bukan nama dari kodenya: mungkin sistem kode lain"
        Facility "Correct code or name in SISDMK; if a whole batch is affected, compare code_system of the profile."
        "Perbaiki kode atau nama di SISDMK; bila satu batch terkena, bandingkan code_system pada profil.";
    FieldType "field_type" Hard
        "a field has another JSON type than its text, date or list"
        "ada isian yang jenis JSON-nya bukan teks, tanggal, atau daftar"
        Operator "Compare the record's shape with the profile, then report it to the owner of the source."
        "Bandingkan bentuk data dengan profil, lalu laporkan kepada pengelola sumber.";
    TextControlCharacter "text_control_character" Hard
        "a text holds an invisible control character"
        "ada teks yang memuat karakter kendali yang tidak terlihat"
        Facility "Type the affected text again in SISDMK instead of pasting it."
        "Ketik ulang teks tersebut di SISDMK, jangan ditempel.";
    TextTooLong "text_too_long" Hard
        "a text is longer than 4,096 bytes"
        "ada teks yang lebih panjang dari 4.096 bita"
        Facility "Shorten the affected text in SISDMK."
        "Persingkat teks tersebut di SISDMK.";
    ListTooLong "list_too_long" Hard
        "a list has more than 1,000 elements"
        "ada daftar dengan lebih dari 1.000 unsur"
        Operator "Report it to the owner of the source: an export has probably joined the lists of many people."
        "Laporkan kepada pengelola sumber: ekspor mungkin menggabungkan daftar banyak orang.";
    RecordTooLarge "record_too_large" Hard
        "the clean record would be larger than its topic takes"
        "data bersih akan lebih besar daripada yang diterima topiknya"
        Operator "Report it to the owner of the source; texts or lists of this record cannot be right."
        "Laporkan kepada pengelola sumber; teks atau daftar dalam data ini tidak mungkin benar.";
    FrameUndecodable "frame_undecodable" Hard
        "the record of the clean topic is not one that this program can read"
        "data pada topik bersih tidak dapat dibaca oleh program ini"
        Operator "Find out who wrote it: the sink can only read what the processor wrote with a known schema."
        "Cari tahu siapa yang menulisnya: sink hanya membaca tulisan processor dengan skema yang dikenal.";
    RowRefused "row_refused" Hard
        "the database refuses this row"
        "basis data menolak baris ini"
        Operator "Report it with its coordinates: the rules let a record through that the tables do not take."
        "Laporkan beserta koordinatnya: aturan meloloskan data yang tidak diterima tabel.";
    NikRegionUnknown "nik_region_unknown" Soft
        "the first four digits of the NIK are no regency, neither of today nor retired"
        "empat angka pertama NIK bukan kabupaten/kota, baik yang berlaku maupun yang lama"
        Facility "Compare the NIK with the identity card."
        "Cocokkan NIK dengan KTP.";
    NikKecamatanUnknown "nik_kecamatan_unknown" Soft
        "the fifth and sixth digit of the NIK are no kecamatan of its regency"
        "angka kelima dan keenam NIK bukan kecamatan dari kabupaten/kotanya"
        Facility "Compare the NIK with the identity card; a kecamatan that no longer exists is no fault."
        "Cocokkan NIK dengan KTP; kecamatan yang sudah tidak ada bukan kesalahan.";
    NikBirthDateDiffers "nik_birth_date_differs" Soft
        "the date of birth is not the one in the NIK"
        "tanggal lahir tidak sama dengan yang tertera di NIK"
        Facility "Compare both with the identity card; a NIK stays when a date of birth is corrected later."
        "Cocokkan keduanya dengan KTP; NIK tetap meskipun tanggal lahir kemudian diperbaiki.";
    NikSexDiffers "nik_sex_differs" Soft
        "the sex is not the one in the NIK"
        "jenis kelamin tidak sama dengan yang tertera di NIK"
        Facility "Compare both with the identity card."
        "Cocokkan keduanya dengan KTP.";
    JenisKelaminUnknown "jenis_kelamin_unknown" Soft
        "the sex is not one of the known values and was left empty"
        "jenis kelamin bukan salah satu nilai yang dikenal dan dikosongkan"
        Facility "Correct the sex in SISDMK."
        "Perbaiki jenis kelamin di SISDMK.";
    TanggalLahirMissing "tanggal_lahir_missing" Soft
        "the date of birth is missing"
        "tanggal lahir tidak ada"
        Facility "Enter the date of birth in SISDMK."
        "Isi tanggal lahir di SISDMK.";
    RegionMissing "region_missing" Soft
        "the person has no region code"
        "data orang ini tidak memuat kode wilayah"
        Facility "Enter province and regency in SISDMK."
        "Isi provinsi dan kabupaten/kota di SISDMK.";
}

impl Code {
    /// Stable name in snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// The code of a stable name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// Whether it refuses the record.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.entry().severity
    }

    /// What is wrong, in English, as a fragment without a full stop.
    #[must_use]
    pub fn message_en(self) -> &'static str {
        self.entry().message_en
    }

    /// What is wrong, in Indonesian, as a fragment without a full stop.
    #[must_use]
    pub fn message_id(self) -> &'static str {
        self.entry().message_id
    }

    /// What to do about it, and who.
    #[must_use]
    pub fn action(self) -> Action {
        self.entry().action
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_snake_case_and_read_back() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let name = code.as_str();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(Code::parse(name), Some(*code));
            assert_eq!(code.to_string(), name);
        }
        assert_eq!(Code::parse("nik"), None);
        assert_eq!(Code::parse("NIK_MISSING"), None);
        assert_eq!(Code::parse(""), None);
    }

    #[test]
    fn the_order_is_the_order_of_the_enum_and_hard_comes_before_soft() {
        assert!(Code::ALL.is_sorted());
        assert!(Code::ALL.is_sorted_by_key(|code| code.severity()));
        assert_eq!(Code::ALL.len(), 44);
    }

    #[test]
    fn the_contract_lists_the_same_codes_in_the_same_order() {
        let contract = include_str!("../../docs/CONTRACT.md");
        let (_, list) = contract.split_once("<!-- reasons:begin -->").expect("the catalogue is in the contract");
        let (list, _) = list.split_once("<!-- reasons:end -->").expect("the catalogue has an end");
        let (hard, soft) = list.split_once("Soft:").expect("hard reasons, then soft ones");
        let codes = |text: &str| -> Vec<Code> {
            let names = text.split('`').skip(1).step_by(2);
            names.map(|name| Code::parse(name).expect("a code of the catalogue")).collect()
        };
        let of =
            |severity| -> Vec<Code> { Code::ALL.iter().copied().filter(|code| code.severity() == severity).collect() };
        assert_eq!(codes(hard), of(Severity::Hard));
        assert_eq!(codes(soft), of(Severity::Soft));
    }

    #[test]
    fn every_code_says_what_is_wrong_and_what_to_do_in_both_languages() {
        let mut messages = BTreeSet::new();
        for code in Code::ALL {
            let action = code.action();
            for text in [code.message_en(), code.message_id()] {
                assert!(text.len() > 10 && !text.ends_with('.'), "{code}");
                assert!(messages.insert(text), "{code}: said already");
            }
            for text in [action.en, action.id] {
                assert!(text.len() > 10 && text.ends_with('.'), "{code}");
            }
        }
    }
}
