//! The example provider's executable.

use std::path::PathBuf;
use std::time::Duration;

/// Far more than anything here takes; only a test that hangs meets it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The executable of `examples/minimal.rs`, which cargo builds along with the tests.
pub(crate) fn provider() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests are in target/<profile>/deps");
    let path = profile.join("examples").join("minimal");
    assert!(path.exists(), "{} is missing: run `cargo build -p tfplugin --examples`", path.display());
    path
}
