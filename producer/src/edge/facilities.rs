//! Where the list of facilities is read from.

use crate::facility::{self, FacilityFault};
use crate::region::Region;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes of a list; a million codes take some twelve million.
const LIST_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Reads a file, as [`facility::parse`] says.
///
/// # Errors
/// The file cannot be read, is far too long, or is no such list.
pub fn read(path: &Path) -> Result<Vec<Region>, FacilityFault> {
    let file = File::open(path).map_err(FacilityFault::Unreadable)?;
    let mut bytes = Vec::new();
    file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(FacilityFault::Unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LIST_BYTES_MAX) {
        return Err(FacilityFault::TooLong);
    }
    facility::parse(&String::from_utf8_lossy(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_and_a_missing_one_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("facilities");
        assert!(matches!(read(&path), Err(FacilityFault::Unreadable(_))));
        for (text, count) in [("P1\n", 1), ("P1\nP2\n", 2)] {
            std::fs::write(&path, text).expect("a file");
            assert_eq!(read(&path).expect("a list").len(), count);
        }
    }
}
