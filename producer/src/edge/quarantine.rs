//! The quarantine store: pages and records that cannot be published, kept byte for byte.
//!
//! One file for each, below `<folder>/<batch id>/`, readable by this user alone: they hold personal
//! data. The name says which request brought it. Writing the same thing again replaces the file, so a
//! repeated transaction leaves no second copy.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use uuid::Uuid;

/// A folder.
#[derive(Debug, Clone)]
pub struct Quarantine {
    folder: PathBuf,
}

impl Quarantine {
    /// The store in this folder; it is made when something is kept first.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps a whole answer that is not the declared shape.
    ///
    /// # Errors
    /// When it is not safely on disk.
    pub fn keep_page(&self, batch_id: Uuid, request_id: Uuid, body: &[u8]) -> io::Result<()> {
        self.keep(batch_id, &format!("{request_id}.page"), body)
    }

    /// Keeps a record that is too large; `index` is its place on the page, from 0.
    ///
    /// # Errors
    /// When it is not safely on disk.
    pub fn keep_record(&self, batch_id: Uuid, request_id: Uuid, index: usize, record: &[u8]) -> io::Result<()> {
        self.keep(batch_id, &format!("{request_id}.{index}.record"), record)
    }

    fn keep(&self, batch_id: Uuid, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder.join(batch_id.to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (part, whole) = (folder.join(format!("{name}.part")), folder.join(name));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, &whole)?;
        fs::File::open(&folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_kept_is_there_byte_for_byte_and_for_this_user_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Quarantine::new(folder.path().join("deep/er"));
        let (batch, request) = (Uuid::from_u128(1), Uuid::from_u128(2));
        store.keep_page(batch, request, b"<html>").expect("kept");
        store.keep_page(batch, request, b"<HTML>\0").expect("kept again");
        store.keep_record(batch, request, 3, b"{}").expect("kept");
        let of_batch = folder.path().join("deep/er").join(batch.to_string());
        let mut names: Vec<_> = fs::read_dir(&of_batch)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        assert_eq!(names, [format!("{request}.3.record"), format!("{request}.page")]);
        let page = of_batch.join(format!("{request}.page"));
        assert_eq!(fs::read(&page).expect("a file"), b"<HTML>\0");
        assert_eq!(fs::metadata(&page).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&of_batch).expect("a folder").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_store_that_cannot_be_written_says_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        fs::write(&file, b"").expect("a file");
        let store = Quarantine::new(file);
        assert!(store.keep_page(Uuid::nil(), Uuid::nil(), b"x").is_err());
    }
}
