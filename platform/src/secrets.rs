//! Secrets: from files only, masked in every debug output, re-read when their content changes.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::exit::Failure;

/// Largest file that is taken for a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The bytes of a secret, without one trailing newline.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Wraps bytes that are a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The secret itself. Hand it to the client that needs it, and to nothing that prints.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(hidden)")
    }
}

/// A secret that is text.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps text that is a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Hand it to the client that needs it, and to nothing that prints.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(hidden)")
    }
}

/// Why a secret cannot be used. The path is told, the content never.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file is not there or not readable.
    #[error("read the secret in {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else than its owner may write it, so it could be anybody's.
    #[error("trust the secret in {}: its mode {mode:03o} lets others write it", .path.display())]
    WritableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing in it.
    #[error("use the secret in {}: it is empty", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Far too long for a secret.
    #[error("use the secret in {}: it is longer than 64 KiB", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Not text where text is needed.
    #[error("use the secret in {}: it is not UTF-8 text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl From<SecretFault> for Failure {
    fn from(fault: SecretFault) -> Self {
        let hint = match &fault {
            SecretFault::WritableByOthers { path, .. } => format!("chmod go-w {}", path.display()),
            SecretFault::Unreadable { .. } => "the setting names a file that this user can read".to_owned(),
            SecretFault::Empty { .. } | SecretFault::TooLong { .. } | SecretFault::NotText { .. } => String::new(),
        };
        let source = std::error::Error::source(&fault).map(ToString::to_string);
        let failure = Failure::config(format!("failed to {fault}")).hint(hint);
        match source {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}

/// A file that holds one secret, and what was last read from it.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    last: Mutex<Option<SecretBytes>>,
}

impl SecretFile {
    /// Names the file; nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), last: Mutex::new(None) }
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the secret and remembers it for [`SecretFile::changed`].
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or may be written by others than its owner.
    pub fn read(&self) -> Result<SecretBytes, SecretFault> {
        let secret = read(&self.path)?;
        *self.remembered() = Some(secret.clone());
        Ok(secret)
    }

    /// Reads the secret as text, otherwise as [`SecretFile::read`].
    ///
    /// # Errors
    /// As [`SecretFile::read`], and when it is not UTF-8.
    pub fn read_text(&self) -> Result<SecretText, SecretFault> {
        text(&self.path, self.read()?)
    }

    /// Whether the content now differs from what was last read. A file that cannot be read at this
    /// moment (it is being replaced) counts as unchanged.
    #[must_use]
    pub fn changed(&self) -> bool {
        match quietly(&self.path) {
            Ok(now) => self.remembered().as_ref() != Some(&now),
            Err(_) => false,
        }
    }

    /// What stands in the file at this moment, without remembering it; `None` if it cannot be read as text.
    #[must_use]
    pub fn glance(&self) -> Option<SecretText> {
        let secret = quietly(&self.path).ok()?;
        text(&self.path, secret).ok()
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Option<SecretBytes>> {
        // Nothing is done under the lock that could leave it half changed.
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads the secret in a file: its bytes without one trailing newline.
///
/// # Errors
/// When the file cannot be read, is empty, or may be written by others than its owner.
pub fn read(path: &Path) -> Result<SecretBytes, SecretFault> {
    let secret = quietly(path)?;
    if mode(path).is_some_and(|mode| mode & 0o004 != 0) {
        tracing::warn!(path = %path.display(), "a secret's file can be read by everybody on this machine; chmod o-r it");
    }
    Ok(secret)
}

/// Reads the secret in a file as text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path) -> Result<SecretText, SecretFault> {
    text(path, read(path)?)
}

fn text(path: &Path, secret: SecretBytes) -> Result<SecretText, SecretFault> {
    String::from_utf8(secret.0).map(SecretText).map_err(|_| SecretFault::NotText { path: path.to_owned() })
}

fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|metadata| metadata.mode() & 0o777)
}

/// The same as [`read`], without a word about who else can read it: for looks that are repeated.
pub(crate) fn quietly(path: &Path) -> Result<SecretBytes, SecretFault> {
    let unreadable = |source| SecretFault::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Of the opened file, not of the path: what is checked is what is read.
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(SecretFault::WritableByOthers { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, SECRET_BYTES_MAX + 1), &mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > SECRET_BYTES_MAX) {
        return Err(SecretFault::TooLong { path: path.to_owned() });
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(SecretFault::Empty { path: path.to_owned() });
    }
    Ok(SecretBytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("token");
        fs::write(&path, content).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        (folder, path)
    }

    #[test]
    fn exactly_one_trailing_newline_is_not_part_of_a_secret() {
        let check = |content: &[u8], secret: &[u8]| {
            let (_folder, path) = file(content, 0o600);
            assert_eq!(read(&path).expect("read").expose(), secret);
        };
        check(b"key", b"key");
        check(b"key\n", b"key");
        check(b"key\n\n", b"key\n");
        check(b" key ", b" key ");
        check(b"\xff\n", b"\xff");
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        for mode in [0o620, 0o602, 0o666] {
            let (_folder, path) = file(b"hunter22", mode);
            let failure = Failure::from(read(&path).expect_err("refused"));
            assert_eq!(failure.exit, crate::exit::Exit::Config);
            assert!(!crate::exit::sentence(&failure).contains("hunter22"));
        }
        let (_folder, path) = file(b"key", 0o644);
        assert!(read(&path).is_ok(), "readable by others is a warning only");
    }

    #[test]
    fn an_empty_a_missing_and_a_huge_file_are_refused() {
        for content in [b"".as_slice(), b"\n", &[b'x'; 70_000]] {
            let (_folder, path) = file(content, 0o600);
            assert!(read(&path).is_err());
        }
        assert!(read(Path::new("/nonexistent/secret")).is_err());
    }

    #[test]
    fn a_change_of_content_is_seen_and_a_touch_is_not() {
        let (_folder, path) = file(b"one\n", 0o600);
        let secret = SecretFile::new(&path);
        assert_eq!(secret.read_text().expect("read").expose(), "one");
        assert!(!secret.changed());
        fs::write(&path, b"one").expect("write");
        assert!(!secret.changed(), "only the newline went");
        fs::write(&path, b"two\n").expect("write");
        assert!(secret.changed());
        assert_eq!(secret.glance().expect("text").expose(), "two");
        assert!(secret.changed(), "a glance is not a reading");
        assert_eq!(secret.read_text().expect("read").expose(), "two");
        assert!(!secret.changed());
        fs::remove_file(&path).expect("remove");
        assert!(!secret.changed(), "a file that is being replaced is not a change yet");
        assert_eq!(secret.glance(), None);
    }

    #[test]
    fn debug_output_never_holds_a_secret() {
        let shown = format!("{:?} {:?}", SecretText::new("hunter22"), SecretBytes::new(b"hunter22".to_vec()));
        assert!(!shown.contains("hunter22") && !shown.contains("104"), "{shown}");
    }
}
