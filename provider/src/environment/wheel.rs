//! The scorer's wheel, which a release brings beside the provider.

use std::cmp::Ordering;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::Error;

/// Names a wheel to use instead of the one beside the provider; for the development of the scorer.
pub const VARIABLE: &str = "AZUREML_SCORER_WHEEL";
const PREFIX: &str = "azureml_scorer-";
const MAX_METADATA: u64 = 1 << 20;

/// A wheel of the scorer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// The file.
    pub path: PathBuf,
    /// File name.
    pub file: String,
    /// The scorer's version.
    pub version: String,
    /// What it needs, in the form of PEP 508.
    pub requirements: Vec<String>,
}

/// Where wheels of the scorer are.
#[derive(Clone, Debug)]
pub struct Scorers {
    directory: PathBuf,
    instead: Option<PathBuf>,
}

impl Scorers {
    /// Beside the running provider, or the one that the variable names.
    #[must_use]
    pub fn installed() -> Self {
        let program = std::env::current_exe().unwrap_or_default();
        let directory = program.parent().unwrap_or(Path::new(".")).to_owned();
        let instead = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { directory, instead }
    }

    /// In this folder.
    #[must_use]
    pub fn within(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), instead: None }
    }

    /// Finds the scorer of a version, or the newest.
    pub fn find(&self, version: Option<&str>) -> Result<Wheel, Error> {
        if let Some(path) = &self.instead {
            let wheel = Wheel::read(path)?;
            if version.is_none_or(|version| version == wheel.version) {
                return Ok(wheel);
            }
        }
        find_in(&self.directory, version)
    }
}

fn find_in(directory: &Path, wanted: Option<&str>) -> Result<Wheel, Error> {
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(version) = version_of(&name) {
            found.push((version.to_owned(), name));
        }
    }
    // The newest last; of one version, the one that is made for this processor.
    found.sort_by(|one, two| {
        let fits = |name: &str| name.contains(std::env::consts::ARCH);
        compare(&one.0, &two.0).then_with(|| fits(&one.1).cmp(&fits(&two.1))).then_with(|| one.1.cmp(&two.1))
    });
    let newest = found.iter().rev().find(|(version, _)| wanted.is_none_or(|wanted| wanted == version));
    if let Some((_, name)) = newest {
        return Wheel::read(&directory.join(name));
    }
    let mut versions: Vec<String> = found.into_iter().map(|(version, _)| version).collect();
    versions.dedup();
    Err(Error::NoScorer { wanted: wanted.map(str::to_owned), directory: directory.to_owned(), found: versions })
}

fn version_of(file: &str) -> Option<&str> {
    file.strip_prefix(PREFIX)?.strip_suffix(".whl")?.split('-').next().filter(|version| !version.is_empty())
}

/// Compares versions part by part, numbers as numbers.
fn compare(one: &str, two: &str) -> Ordering {
    let parts = |version: &str| -> Vec<(Option<u64>, String)> {
        version.split(['.', '+']).map(|part| (part.parse().ok(), part.to_owned())).collect()
    };
    parts(one).cmp(&parts(two))
}

impl Wheel {
    /// Reads a wheel's metadata.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bad = |message: String| Error::BadWheel { path: path.to_owned(), message };
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version = version_of(file).ok_or_else(|| bad(format!("its name is not {PREFIX}<version>-<tags>.whl")))?;
        let open =
            std::fs::File::open(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
        let mut archive = zip::ZipArchive::new(open).map_err(|error| bad(error.to_string()))?;
        let metadata = format!("{PREFIX}{version}.dist-info/METADATA");
        let entry = archive.by_name(&metadata).map_err(|error| bad(format!("{metadata}: {error}")))?;
        let mut text = String::new();
        entry.take(MAX_METADATA).read_to_string(&mut text).map_err(|error| bad(format!("{metadata}: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            file: file.to_owned(),
            version: version.to_owned(),
            requirements: requirements(&text),
        })
    }
}

/// `Requires-Dist` of a wheel's metadata, without those of extras.
fn requirements(metadata: &str) -> Vec<String> {
    let head = metadata.lines().take_while(|line| !line.is_empty());
    head.filter_map(|line| line.strip_prefix("Requires-Dist:"))
        .map(|requirement| requirement.trim().to_owned())
        .filter(|requirement| !requirement.split(';').skip(1).any(|marker| marker.contains("extra")))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;

    /// Writes a wheel that holds one empty package.
    pub(crate) fn write(folder: &Path, package: &str, version: &str, metadata: &str) -> PathBuf {
        let path = folder.join(format!("{package}-{version}-py3-none-any.whl"));
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).expect("made"));
        let info = format!("{package}-{version}.dist-info");
        let head = format!("Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{metadata}\nText: x\n");
        for (name, content) in [
            (format!("{package}/__init__.py"), format!("__version__ = {version:?}\n")),
            (format!("{info}/METADATA"), head),
            (format!("{info}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned()),
            (format!("{info}/RECORD"), String::new()),
        ] {
            zip.start_file(name, SimpleFileOptions::default()).expect("started");
            zip.write_all(content.as_bytes()).expect("written");
        }
        zip.finish().expect("finished");
        path
    }

    #[test]
    fn the_newest_wheel_or_the_wanted_one_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        for version in ["0.9.0", "0.10.0", "0.2.1"] {
            write(folder.path(), "azureml_scorer", version, "");
        }
        assert_eq!(find_in(folder.path(), None).expect("found").version, "0.10.0");
        assert_eq!(find_in(folder.path(), Some("0.2.1")).expect("found").version, "0.2.1");
        let error = find_in(folder.path(), Some("3.0.0")).expect_err("missing").to_string();
        assert!(error.contains("3.0.0") && error.contains("0.2.1, 0.9.0, 0.10.0"), "{error}");
    }

    #[test]
    fn what_the_scorer_needs_is_read_without_its_extras() {
        let folder = tempfile::tempdir().expect("a folder");
        let metadata = "Requires-Dist: typing-extensions>=4\nRequires-Dist: pytest ; extra == 'test'\nRequires-Dist: tomli; python_version < '3.11'\n";
        let path = write(folder.path(), "azureml_scorer", "1.0.0", metadata);
        let wheel = Wheel::read(&path).expect("read");
        assert_eq!(wheel.requirements, ["typing-extensions>=4", "tomli; python_version < '3.11'"]);
    }

    #[test]
    fn what_is_no_wheel_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("azureml_scorer-1.0.0-py3-none-any.whl");
        std::fs::write(&path, "no zip").expect("written");
        assert!(matches!(Wheel::read(&path), Err(Error::BadWheel { .. })));
        assert!(matches!(Wheel::read(&folder.path().join("x.whl")), Err(Error::BadWheel { .. })));
    }
}
