//! The user's cache directory: what is only there to save time, outside of every project.

use std::path::PathBuf;

/// Names the cache directory; for people who keep caches elsewhere, and for tests.
pub const VARIABLE: &str = "AZUREML_CACHE_DIR";

/// This provider's folder in the user's cache directory. `None` if the user has none. It need not exist.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(directory) = variable(VARIABLE).filter(|path| path.is_absolute()) {
        return Some(directory);
    }
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    base.filter(|path| path.is_absolute()).map(|base| base.join("terraform-provider-azureml"))
}
