//! The fields of some records against what a profile declares: which names are there, how often, and what kinds of
//! values stand there. Never a value. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemas::foreign;
use schemas::json;
use schemas::layout::{EmploymentField, Field, Layout, Names, PelatihanField, PendidikanField, PersonField};
use schemas::version::Stamp;

use crate::mask::shown_name;

/// Different names that are not declared and are told; the rest is dropped.
const UNKNOWN_MAX: usize = 100;

/// One declared field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Our name, as in the profile: `record.fields.nik`.
    pub(crate) field: String,
    /// The source's name of it.
    pub(crate) name: String,
    /// In how many of the records, or entries of the list, it stands.
    pub(crate) found: usize,
    /// How many there were.
    pub(crate) of: usize,
    /// Kinds of values: `text`, `number`, `true or false`, `null`, `object`, `list`.
    pub(crate) kinds: BTreeSet<&'static str>,
    /// Without it no record of this source can be good.
    pub(crate) is_mandatory: bool,
}

/// A name that the profile does not declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Where: `record.fields`, `record.employment`.
    pub(crate) section: &'static str,
    /// The name, as far as it can be shown.
    pub(crate) name: String,
    /// How often it stands there.
    pub(crate) found: usize,
    /// Kinds of values.
    pub(crate) kinds: BTreeSet<&'static str>,
}

/// What some records look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) declared: Vec<Declared>,
    pub(crate) unknown: Vec<Unknown>,
    /// Records that are no JSON object, or that no parser takes.
    pub(crate) unreadable: usize,
}

impl Shape {
    /// Declared fields that stand in no record, where there was one to stand in.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &Declared> {
        self.declared.iter().filter(|declared| declared.found == 0 && declared.of > 0)
    }
}

#[derive(Default)]
struct Seen {
    found: usize,
    kinds: BTreeSet<&'static str>,
}

/// Names in one section, over all its objects.
#[derive(Default)]
struct Section {
    of: usize,
    seen: BTreeMap<String, Seen>,
}

impl Section {
    /// Takes in an object; false if it is none.
    fn take<'a>(&mut self, object: &'a [u8]) -> Option<Vec<(String, &'a [u8])>> {
        let members: Result<Vec<_>, _> = json::members(object).collect();
        let members: Vec<(String, &[u8])> =
            members.ok()?.into_iter().map(|member| (member.name.into_owned(), member.value)).collect();
        self.of += 1;
        let mut names = BTreeSet::new();
        for (name, value) in &members {
            let seen = self.seen.entry(name.clone()).or_default();
            seen.found += usize::from(names.insert(name.clone()));
            seen.kinds.insert(foreign::kind(value));
        }
        Some(members)
    }

    fn judge<F: Field>(
        self,
        section: &'static str,
        names: &Names<F>,
        is_mandatory: impl Fn(&str) -> bool,
        shape: &mut Shape,
    ) {
        let mut seen = self.seen;
        for field in F::ALL {
            let Some(name) = names.name(*field) else { continue };
            let Seen { found, kinds } = seen.remove(name).unwrap_or_default();
            let key = field.key();
            shape.declared.push(Declared {
                field: format!("{section}.{key}"),
                name: name.to_owned(),
                found,
                of: self.of,
                kinds,
                is_mandatory: is_mandatory(key),
            });
        }
        let left = UNKNOWN_MAX.saturating_sub(shape.unknown.len());
        shape.unknown.extend(seen.into_iter().take(left).map(|(name, Seen { found, kinds })| Unknown {
            section,
            name: shown_name(name.as_bytes()),
            found,
            kinds,
        }));
    }
}

/// Looks at records.
pub(crate) fn shape<'a>(records: impl Iterator<Item = &'a [u8]>, layout: &Layout) -> Shape {
    let mut shape = Shape { declared: Vec::new(), unknown: Vec::new(), unreadable: 0 };
    let [mut person, mut employment, mut pendidikan, mut pelatihan]: [Section; 4] = Default::default();
    for record in records {
        let Some(members) = person.take(record) else {
            shape.unreadable += 1;
            continue;
        };
        for (name, value) in members {
            let section = match layout.person.field(&name) {
                Some(PersonField::Employments) => &mut employment,
                Some(PersonField::Pendidikan) => &mut pendidikan,
                Some(PersonField::Pelatihan) => &mut pelatihan,
                _ => continue,
            };
            for entry in json::elements(value).filter_map(Result::ok) {
                let _ = section.take(entry);
            }
        }
    }
    let stamped = layout.stamp == Stamp::Source;
    let mandatory = |key: &str| matches!(key, "nik" | "nama" | "status_aktif") || (key == "last_updated" && stamped);
    person.judge::<PersonField>("record.fields", &layout.person, mandatory, &mut shape);
    employment.judge::<EmploymentField>("record.employment", &layout.employment, |_| false, &mut shape);
    pendidikan.judge::<PendidikanField>("record.pendidikan", &layout.pendidikan, |_| false, &mut shape);
    pelatihan.judge::<PelatihanField>("record.pelatihan", &layout.pelatihan, |_| false, &mut shape);
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_told_and_never_a_value() {
        let text = schemas::layout::shipped("sdmk-modified").expect("it ships");
        let layout = Layout::from_profile_toml(text).expect("a good profile");
        let records: [&[u8]; 3] = [
            br#"{"NIK":"3273015705900004","NAMA":"Contoh","STATUS_AKTIF":null,"BARU":{"x":1},"PEKERJAAN":[{"KODE_KAB":3273,"GAJI":9}]}"#,
            br#"{"NIK":3273015705900004,"NAMA":"Contoh","3273015705900004":true,"PEKERJAAN":[{"KODE_KAB":"3273"},{"KODE_KAB":null}]}"#,
            br#"["not an object"]"#,
        ];
        let shape = shape(records.into_iter(), &layout);
        assert_eq!(shape.unreadable, 1);
        let of = |field: &str| shape.declared.iter().find(|declared| declared.field == field).expect(field);
        let nik = of("record.fields.nik");
        assert_eq!((nik.found, nik.of, nik.is_mandatory), (2, 2, true));
        assert_eq!(nik.kinds, BTreeSet::from(["text", "number"]));
        assert_eq!(of("record.employment.kode_kabupaten").kinds, BTreeSet::from(["text", "number", "null"]));
        assert_eq!(of("record.employment.kode_kabupaten").of, 3);
        let missing: Vec<&str> = shape.missing().map(|declared| declared.field.as_str()).collect();
        assert!(missing.contains(&"record.fields.last_updated") && !missing.contains(&"record.fields.status_aktif"));
        assert!(!missing.iter().any(|field| field.starts_with("record.pelatihan")), "no entry to stand in");
        let unknown: Vec<(&str, &str)> =
            shape.unknown.iter().map(|unknown| (unknown.section, unknown.name.as_str())).collect();
        assert_eq!(
            unknown,
            [
                ("record.fields", "(unusual name, 16 characters)"),
                ("record.fields", "BARU"),
                ("record.employment", "GAJI")
            ]
        );
        assert!(!format!("{shape:?}").contains("3273015705900004") && !format!("{shape:?}").contains("Contoh"));
    }
}
