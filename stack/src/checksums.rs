//! The list of what the downloaded files must be. Pure, but for [`digest_of`].
//!
//! The format is that of `sha256sum`: 64 hexadecimal digits, two blanks, a path.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Path below the download directory -> SHA-256 in lower-case hexadecimal.
pub(crate) type Checksums = BTreeMap<String, String>;

/// Reads a list; the error names the first line that is none.
pub(crate) fn parse(text: &str) -> Result<Checksums, String> {
    let mut list = Checksums::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() {
            continue;
        }
        let refuse = |why: &str| format!("line {}: {why}", index + 1);
        let (digest, path) = line.split_once("  ").ok_or_else(|| refuse("expected a digest, two blanks and a path"))?;
        if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(refuse("the digest is not 64 lower-case hexadecimal digits"));
        }
        // The path is joined to the cache directory, so it must not be able to leave it.
        if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(refuse("the path is not below the download directory"));
        }
        if list.insert(path.to_owned(), digest.to_owned()).is_some() {
            return Err(refuse("the path is listed twice"));
        }
    }
    Ok(list)
}

/// What is wrong with a set of downloaded files: `(file, what and what to do)`, or nothing.
pub(crate) fn compare(expected: &Checksums, found: &Checksums) -> Option<(String, String)> {
    for (file, digest) in found {
        match expected.get(file) {
            None => {
                return Some((
                    file.clone(),
                    "it is not in checksums.sha256; if a version in pom.xml was changed on purpose, write the list anew (stack/README.md)".to_owned(),
                ));
            }
            Some(wanted) if wanted != digest => {
                return Some((
                    file.clone(),
                    format!(
                        "its SHA-256 is {digest}, checksums.sha256 says {wanted}; delete the file from the local Maven repository (~/.m2/repository) and try again"
                    ),
                ));
            }
            Some(_) => {}
        }
    }
    let missing = expected.keys().find(|file| !found.contains_key(*file))?;
    Some((missing.clone(), "it is in checksums.sha256 and Maven did not bring it".to_owned()))
}

/// SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(buffer.get(..length).unwrap_or_default());
    }
}

/// SHA-256 of some bytes, in lower-case hexadecimal.
pub(crate) fn digest_of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn the_list_in_the_repository_is_readable_and_names_both_servers() {
        let list = parse(crate::cache::CHECKSUMS).expect("the list is readable");
        assert!(list.contains_key("kafka/kafka_2.13-4.3.1.jar"));
        assert!(list.contains_key("registry/apicurio-registry-app-3.0.9-all.tar.gz"));
    }

    #[test]
    fn lines_that_are_not_checksums_are_refused_with_their_number() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        };
        check("abc", "line 1: expected a digest");
        check("abc  a.jar", "line 1: the digest");
        check(&format!("{}  a.jar", A.to_uppercase()), "line 1: the digest");
        check(&format!("{A}  a.jar\n\n{A}  ../a.jar"), "line 3: the path is not below");
        check(&format!("{A}  /a.jar"), "line 1: the path is not below");
        check(&format!("{A}  a.jar\n{B}  a.jar"), "line 2: the path is listed twice");
    }

    #[test]
    fn a_changed_an_unlisted_and_a_missing_file_are_each_named() {
        let list = |text: &str| parse(text).expect("readable");
        let expected = list(&format!("{A}  k/a.jar\n{B}  k/b.jar"));
        let check = |found: &str, file: &str, word: &str| {
            let (name, detail) = compare(&expected, &list(found)).expect(found);
            assert_eq!(name, file);
            assert!(detail.contains(word), "{detail}");
        };
        assert_eq!(compare(&expected, &expected), None);
        check(&format!("{A}  k/a.jar\n{A}  k/b.jar"), "k/b.jar", "SHA-256 is aaaa");
        check(&format!("{A}  k/a.jar\n{B}  k/b.jar\n{A}  k/c.jar"), "k/c.jar", "not in checksums");
        check(&format!("{A}  k/a.jar"), "k/b.jar", "did not bring it");
    }

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        assert_eq!(digest_of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
