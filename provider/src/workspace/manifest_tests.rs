use super::*;
use crate::workspace::Digest;

fn scan(path: &Path) -> Result<Scan, EntryError> {
    Scan::of(path, &mut HashCache::default())
}

fn paths(scan: &Scan) -> Vec<&str> {
    scan.manifest.files.iter().map(|file| file.path.as_str()).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_file_and_a_folder_keep_their_names() {
    let folder = folder();
    let model = folder.path().join("bert");
    std::fs::create_dir_all(model.join("vocab/empty")).expect("made");
    std::fs::write(model.join("weights.bin"), "w").expect("written");
    std::fs::write(model.join("vocab/a.txt"), "a").expect("written");
    assert_eq!(paths(&scan(&model).expect("scanned")), ["bert/vocab/a.txt", "bert/weights.bin"]);
    assert_eq!(paths(&scan(&model.join("vocab/..")).expect("scanned"))[1], "bert/weights.bin");
    let file = scan(&model.join("weights.bin")).expect("scanned");
    assert_eq!(file.manifest.files, [ManifestFile { path: "weights.bin".into(), size: 1, digest: Digest::of(b"w") }]);
}

#[test]
fn the_digest_follows_contents_and_names_and_nothing_else() {
    let folder = folder();
    let digest = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        scan(&path).expect("scanned").manifest.digest()
    };
    let one = digest("a", "1");
    assert_eq!(digest("a", "1"), one);
    assert_ne!(digest("a", "2"), one);
    assert_ne!(digest("b", "1"), one);
}

#[test]
fn the_digest_of_a_recorded_manifest_never_changes() {
    // Registered versions are recognised by it.
    let files = vec![ManifestFile { path: "a".into(), size: 1, digest: Digest::of(b"1") }];
    assert_eq!(
        Manifest { format: 1, files }.digest().to_string(),
        "sha256:4f0929b7c33c0cc75942405dedaa3ee40a49256fc5bdf1a5082770e4944899e9"
    );
}

#[test]
fn what_cannot_be_stored_is_named() {
    let folder = folder();
    let path = folder.path().join("model");
    assert!(matches!(scan(&path), Err(EntryError::Missing(missing)) if missing == path));
    std::fs::create_dir(&path).expect("made");
    assert!(matches!(scan(&path), Err(EntryError::Empty(_))));
    std::fs::create_dir(path.join("sub")).expect("made");
    assert!(matches!(scan(&path), Err(EntryError::Empty(_))));
}

#[cfg(unix)]
#[test]
fn sockets_pipes_and_devices_are_refused_by_their_kind() {
    let folder = folder();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).expect("made");
    std::fs::write(model.join("a"), "a").expect("written");
    let _listener = std::os::unix::net::UnixListener::bind(model.join("s")).expect("bound");
    let error = scan(&model).expect_err("refused");
    assert!(matches!(&error, EntryError::Special { what: "socket", path } if path.ends_with("s")), "{error}");
    assert!(matches!(scan(Path::new("/dev/null")), Err(EntryError::Special { what: "device", .. })));
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("made");
    assert!(matches!(scan(&pipe), Err(EntryError::Special { what: "named pipe", .. })));
}

#[cfg(unix)]
#[test]
fn links_to_files_are_followed_and_others_refused_inside_a_folder() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let (model, store) = (folder.path().join("model"), folder.path().join("store"));
    std::fs::create_dir(&model).expect("made");
    std::fs::write(&store, "weights").expect("written");
    symlink(&store, model.join("weights.bin")).expect("linked");
    let found = scan(&model).expect("scanned");
    assert_eq!(found.manifest.files[0].digest, Digest::of(b"weights"));

    symlink(folder.path().join("nothing"), model.join("broken")).expect("linked");
    assert!(matches!(scan(&model), Err(EntryError::Link { target: "nothing", .. })));
    std::fs::remove_file(model.join("broken")).expect("removed");
    symlink(&model, model.join("cycle")).expect("linked");
    assert!(matches!(scan(&model), Err(EntryError::Link { target: "a folder", .. })));

    // A link at the top is the user's way to say where the model is.
    std::fs::remove_file(model.join("cycle")).expect("removed");
    symlink(&model, folder.path().join("current")).expect("linked");
    assert_eq!(paths(&scan(&folder.path().join("current")).expect("scanned")), ["current/weights.bin"]);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).expect("made");
    std::fs::write(model.join(OsStr::from_bytes(b"\xff")), "").expect("written");
    assert!(matches!(scan(&model), Err(EntryError::Name(_))));
}
