//! The managed images that belong to this release, by digest.

use std::path::Path;

use serde::Deserialize;

/// Names a file of images to use instead of the one beside the provider; for the development of images.
const VARIABLE: &str = "AZUREML_IMAGES";
const FILE: &str = "images.json";
const MAX_BYTES: u64 = 64 << 10;

/// The images that a release of the provider brings, or rather names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Managed {
    /// The router.
    #[serde(default, rename = "azureml-fe")]
    pub router: Option<String>,
    /// The scorer, which is also the base of environments' images.
    #[serde(default, rename = "azureml-scorer")]
    pub scorer: Option<String>,
}

impl Managed {
    /// Those that the variable or the file beside the running provider names; none if there is no such file.
    #[must_use]
    pub fn installed() -> Self {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        match (named, std::env::current_exe()) {
            (Some(path), _) => Self::read(Path::new(&path)),
            (None, Ok(program)) => Self::read(&program.with_file_name(FILE)),
            (None, Err(_)) => Self::default(),
        }
    }

    fn read(path: &Path) -> Self {
        use std::io::Read as _;
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        if read.is_err() {
            return Self::default();
        }
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "The list of managed images cannot be read.");
            Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_a_release_are_read_and_a_missing_list_names_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        assert_eq!(Managed::read(&path), Managed::default());
        std::fs::write(&path, r#"{"azureml-fe":"r@sha256:1","azureml-scorer":"s@sha256:2","more":"x"}"#)
            .expect("written");
        let managed = Managed::read(&path);
        assert_eq!((managed.router.as_deref(), managed.scorer.as_deref()), (Some("r@sha256:1"), Some("s@sha256:2")));
    }
}
