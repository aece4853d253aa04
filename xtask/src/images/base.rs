//! A base image for machines without a public registry: Debian or Ubuntu as debootstrap installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::command::{output, run, works};
use super::error::{ImagesError, file};
use super::tool::{Build, Tool};
use crate::rendered::root;

const PACKAGES: &str = "ca-certificates,python3,python3-venv";
/// What no program in a container reads.
const SUPERFLUOUS: [&str; 10] = [
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/lintian",
    "usr/lib/python3/dist-packages/__pycache__",
];
/// Counts the changes of what is done with it here.
const EDITION: u32 = 1;

/// Makes the image unless it is there, and tells its name. The root file system is kept by a hash of what it is made of.
pub(super) fn debootstrap(tool: &Tool, cache: &Path) -> Result<String, ImagesError> {
    let suite = suite();
    let processor = std::env::consts::ARCH;
    let identity = format!("{suite} {processor} {PACKAGES} {EDITION} {}", SUPERFLUOUS.join(" "));
    let hash = Sha256::digest(identity)[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    let hash = format!("{hash:016x}");
    let tag = format!("localhost/azureml-base:{suite}-{hash}");
    if tool.has(&tag) {
        return Ok(tag);
    }
    let archive = cache.join(format!("base-{suite}-{hash}")).join("root.tar");
    if !archive.is_file() {
        make(&suite, &archive)?;
    }
    let context = archive.parent().unwrap_or(cache);
    let dockerfile = root().join("images/base/Dockerfile");
    tool.build(&Build { dockerfile: &dockerfile, context, tag: &tag, arguments: &[] })?;
    Ok(tag)
}

/// The release that runs here: what is built on this machine needs a C library that is no older.
fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.map(|name| name.trim_matches('"')).filter(|name| !name.is_empty()).unwrap_or("bookworm").to_owned()
}

fn make(suite: &str, archive: &Path) -> Result<(), ImagesError> {
    if !rustix::process::geteuid().is_root() {
        return Err(ImagesError::NotRoot);
    }
    let purpose = "to make a base image";
    works("debootstrap", &["--version"]).map_err(|_| ImagesError::Missing { program: "debootstrap", purpose })?;
    let folder = archive.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(file(folder))?;
    let work = tempfile::Builder::new().prefix(".debootstrap-").tempdir_in(folder).map_err(file(folder))?;
    let root: PathBuf = work.path().join("root");
    run(Command::new("debootstrap").args(["--variant=minbase", &format!("--include={PACKAGES}"), suite]).arg(&root))?;
    for name in SUPERFLUOUS {
        let path = root.join(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(file(&path))?;
        }
    }
    // Package tools want these two.
    for name in ["var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log/apt"] {
        let path = root.join(name);
        fs::create_dir_all(&path).map_err(file(&path))?;
    }
    let whole = work.path().join("root.tar");
    let tar = ["--numeric-owner", "--sort=name", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"];
    output(
        Command::new("tar").args(tar).arg("--create").arg("--file").arg(&whole).arg("--directory").arg(&root).arg("."),
    )?;
    fs::rename(&whole, archive).map_err(file(archive))
}
