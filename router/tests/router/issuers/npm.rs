//! The issuers' programs, installed from the lock file beside this one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written to where they are installed.
const FILES: [(&str, &str); 4] = [
    ("package.json", include_str!("package.json")),
    ("package-lock.json", include_str!("package-lock.json")),
    ("mock.js", include_str!("mock.js")),
    ("provider.js", include_str!("provider.js")),
];

/// The folder with the scripts and what they need, below cargo's target directory.
pub(crate) fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("issuers");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Other tests may be at it, in this process and in others.
    let lock = File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("locked");
    let changed = write(&folder);
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
fn write(folder: &Path) -> bool {
    let mut changed = false;
    for (name, wanted) in FILES {
        let target = folder.join(name);
        if std::fs::read_to_string(&target).ok().as_deref() != Some(wanted) {
            changed |= Path::new(name).extension().is_some_and(|kind| kind == "json");
            std::fs::write(&target, wanted).expect("written");
        }
    }
    changed
}
