use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    folder
}

fn snapshot(folder: &tempfile::TempDir) -> Snapshot {
    Snapshot::of(folder.path()).expect("listed")
}

fn paths(folder: &tempfile::TempDir) -> Vec<String> {
    snapshot(folder).paths().map(str::to_owned).collect()
}

#[test]
fn equal_files_give_equal_bytes_and_the_recorded_digest() {
    let files = [("score.py", "def init(): pass\n"), ("lib/util.py", "x = 1\n"), ("empty", "")];
    let (one, two) = (folder(&files), folder(&[files[2], files[1], files[0]]));
    assert_eq!(snapshot(&one).digest().expect("read"), snapshot(&two).digest().expect("read"));
    // Were it to change with a release, every service would roll with that release.
    assert_eq!(snapshot(&one).digest().expect("read").to_string(), RECORDED);
}

const RECORDED: &str = "sha256:9b7f986c2ea36a7eed8c3277acadf6082ffb3efb26c4b42b7ab9acb14e128270";

#[test]
fn contents_names_and_the_executable_bit_change_the_digest() {
    let base = snapshot(&folder(&[("a.py", "1")])).digest().expect("read");
    assert_ne!(snapshot(&folder(&[("a.py", "2")])).digest().expect("read"), base);
    assert_ne!(snapshot(&folder(&[("b.py", "1")])).digest().expect("read"), base);
    #[cfg(unix)]
    {
        let executable = folder(&[("a.py", "1")]);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(executable.path().join("a.py"), mode).expect("set");
        assert_ne!(snapshot(&executable).digest().expect("read"), base);
    }
}

#[test]
fn the_amlignore_decides_and_otherwise_the_gitignore() {
    let files = [("score.py", ""), ("data/big.csv", ""), (".hidden", ""), ("notes.md", ""), (".gitignore", "data/\n")];
    let folder = folder(&files);
    assert_eq!(paths(&folder), [".gitignore", ".hidden", "notes.md", "score.py"]);
    std::fs::write(folder.path().join(".amlignore"), "*.md\n").expect("written");
    assert_eq!(paths(&folder), [".gitignore", ".hidden", "data/big.csv", "score.py"]);
}

#[test]
fn ignore_files_of_folders_below_count_and_those_above_do_not() {
    let folder =
        folder(&[(".gitignore", "*"), ("src/score.py", ""), ("src/sub/.gitignore", "b.py"), ("src/sub/b.py", "")]);
    let source = Snapshot::of(&folder.path().join("src")).expect("listed");
    assert_eq!(source.paths().collect::<Vec<_>>(), ["score.py", "sub/.gitignore"]);
}

#[test]
fn what_python_and_git_leave_behind_is_never_taken() {
    let folder =
        folder(&[("score.py", ""), ("__pycache__/score.pyc", ""), (".git/HEAD", ""), ("lib/__pycache__/x.pyc", "")]);
    assert_eq!(paths(&folder), ["score.py"]);
}

#[test]
fn the_entry_script_must_be_one_of_the_files() {
    let folder = folder(&[("score.py", ""), ("lib/main.py", ""), ("drafts/x.py", ""), (".amlignore", "drafts")]);
    let snapshot = snapshot(&folder);
    snapshot.check_entry_script("score.py").expect("there");
    snapshot.check_entry_script("lib/main.py").expect("there");
    assert!(matches!(snapshot.check_entry_script("nothing.py"), Err(EntryScriptError::Missing { .. })));
    let ignored = snapshot.check_entry_script("drafts/x.py").expect_err("ignored");
    assert!(ignored.to_string().contains(".amlignore"), "{ignored}");
    assert!(matches!(snapshot.check_entry_script("class.py"), Err(EntryScriptError::Name(_))));
}

#[test]
fn too_much_and_what_is_no_folder_is_refused() {
    let folder = folder(&[("score.py", "")]);
    let big = std::fs::File::create(folder.path().join("big.bin")).expect("made");
    big.set_len(MAX_BYTES + 1).expect("sparse");
    let error = Snapshot::of(folder.path()).expect_err("refused");
    assert!(matches!(&error, SnapshotError::Entry(EntryError::TooLarge { .. })), "{error}");
    assert!(error.to_string().contains("300 MB"), "{error}");
    let file = Snapshot::of(&folder.path().join("score.py")).expect_err("refused");
    assert!(matches!(file, SnapshotError::Entry(EntryError::NotAFolder(_))), "{file}");
    let missing = Snapshot::of(&folder.path().join("nothing")).expect_err("refused");
    assert!(matches!(missing, SnapshotError::Entry(EntryError::Missing(_))), "{missing}");
}

#[test]
fn a_snapshot_is_a_zip_that_python_can_import_from() {
    let folder = folder(&[("score.py", "x = 41"), ("lib/a.py", "")]);
    let mut bytes = Vec::new();
    snapshot(&folder).write(&mut bytes).expect("written");
    let mut archive = zip::ZipArchive::new(io::Cursor::new(bytes)).expect("a zip");
    let mut text = String::new();
    archive.by_name("score.py").expect("there").read_to_string(&mut text).expect("read");
    assert_eq!((archive.len(), text.as_str()), (2, "x = 41"));
}
