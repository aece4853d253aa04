//! The issuers' programs, installed from the lock file beside this one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copied to where they are installed.
const FILES: [&str; 4] = ["package.json", "package-lock.json", "mock.js", "provider.js"];

/// The folder with the scripts and what they need, below cargo's target directory.
pub(crate) fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("issuers");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Other tests may be at it, in this process and in others.
    let lock = File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("locked");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/router/issuers");
    let changed = copy(&source, &folder);
    let done = folder.join("node_modules/.package-lock.json");
    if changed || !done.exists() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        let output = npm.output().unwrap_or_else(|error| panic!("npm cannot be started: {error}; install Node.js"));
        assert!(
            output.status.success(),
            "npm cannot install the issuers that the router is tested with; it needs its registry, or a warm cache:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    folder
}

/// True if what is to be installed has changed.
fn copy(source: &Path, folder: &Path) -> bool {
    let mut changed = false;
    for name in FILES {
        let wanted = std::fs::read(source.join(name)).expect("a file of this test");
        let target = folder.join(name);
        if std::fs::read(&target).ok().as_ref() != Some(&wanted) {
            changed |= Path::new(name).extension().is_some_and(|kind| kind == "json");
            std::fs::write(&target, wanted).expect("written");
        }
    }
    changed
}
