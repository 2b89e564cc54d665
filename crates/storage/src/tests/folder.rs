//! The data folder: one owner, one format.

use std::fs;

use super::*;

#[test]
fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path()).unwrap();
    let second = open_at(folder.path()).err().unwrap();
    assert!(matches!(&second, Error::Locked { path } if path == folder.path()));
    assert!(second.to_string().contains(folder.path().to_str().unwrap()));
    store.close().unwrap();
    let _again = open_at(folder.path()).unwrap();
}

#[test]
fn a_folder_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open_at(folder.path()).unwrap().close().unwrap();
    let format = folder.path().join("FORMAT");
    assert_eq!(fs::read_to_string(&format).unwrap(), "1\n");
    fs::write(&format, "2\n").unwrap();
    let error = open_at(folder.path()).err().unwrap();
    assert!(matches!(error, Error::Format { found: 2, supported: 1 }));
    fs::write(&format, "one").unwrap();
    assert!(matches!(open_at(folder.path()).err().unwrap(), Error::Corrupt(_)));
}

#[test]
fn a_folder_of_someone_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "x").unwrap();
    assert!(matches!(open_at(folder.path()).err().unwrap(), Error::Foreign { .. }));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn an_interrupted_creation_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    open_at(folder.path()).unwrap().close().unwrap();
    fs::remove_file(folder.path().join("data/version")).unwrap();
    let store = open_at(folder.path()).unwrap();
    write(&store, |commit| {
        put(commit, "a", "1");
        Ok(())
    })
    .unwrap();
}
