//! What an environment is: its definition in a normal form, the hash of that, and the key of what is built from it.
//!
//! The hash covers the base image, the Docker steps and the Python packages. It never covers names, environment
//! variables, code or models; and comments, order, spelling of package names and white space do not change it.

mod conda;
mod requirements;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use conda::CondaError;
pub use requirements::{RequirementError, RequirementProblem, Requirements, normalize_name};

/// The largest pip requirements or conda file, in bytes.
pub const MAX_DEFINITION_BYTES: usize = 1 << 20;

/// The definition of an environment, in its normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Base image with its digest, `registry/name@sha256:<hex>`. None on the local compute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<String>,
    /// Docker steps in their order.
    #[serde(default)]
    pub docker_steps: Vec<String>,
    /// Wanted Python as a PEP 440 specifier set, for example `==3.11.*`. None: any that is supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Conda channels, highest priority first.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Conda packages other than `python` and `pip`, sorted.
    #[serde(default)]
    pub conda: Vec<String>,
    /// Packages that pip installs.
    #[serde(default)]
    pub pip: Requirements,
}

/// Why a definition cannot become a virtual environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the conda packages {} cannot be installed on the local compute, which makes virtual environments from `python` and the `pip:` section only; move them to the `pip:` section, or, for a workspace with a registry, name a base image that has micromamba or conda in `docker.base_image`", packages.join(", ")
)]
pub struct OtherCondaPackages {
    /// Specifications of the packages.
    pub packages: Vec<String>,
}

impl Definition {
    /// From the text of a pip requirements file.
    pub fn from_pip_requirements(text: &str) -> Result<Self, RequirementError> {
        Ok(Self { pip: Requirements::parse(text)?, ..Self::default() })
    }

    /// From the text of a conda environment file. Its `name` and `prefix` mean nothing here.
    pub fn from_conda_file(text: &str) -> Result<Self, CondaError> {
        conda::parse(text)
    }

    /// Fails if the definition has parts that a virtual environment cannot have.
    pub fn check_virtual_environment(&self) -> Result<(), OtherCondaPackages> {
        if self.conda.is_empty() { Ok(()) } else { Err(OtherCondaPackages { packages: self.conda.clone() }) }
    }

    /// Hash of the definition: 64 hex digits.
    ///
    /// # Panics
    /// Never: a definition serialises.
    #[must_use]
    pub fn hash(&self) -> String {
        let steps = self.docker_steps.iter().map(|step| step.trim_end().to_owned()).collect();
        let normal = Self { docker_steps: steps, ..self.clone() };
        let json = serde_json::to_vec(&normal).expect("a definition serialises");
        crate::hex(&Sha256::new().chain_update("azureml environment 1\n").chain_update(json).finalize())
    }
}

/// Identifies what is built from a definition: 32 hex digits over the definition's hash, the lock file's text, the
/// platform (for example `x86_64-unknown-linux-gnu`), the full Python version and the scorer's version.
#[must_use]
pub fn build_key(hash: &str, lock: &str, platform: &str, python: &str, scorer_version: &str) -> String {
    key("azureml build 1\n", &[hash, lock, platform, python, scorer_version])
}

/// Identifies an image of an environment: 32 hex digits over what was built ([`build_key`]), the Dockerfile, which names
/// the base image by digest, and the digest of the scorer's wheel.
#[must_use]
pub fn image_key(build_key: &str, dockerfile: &str, wheel: &str) -> String {
    key("azureml image 1\n", &[build_key, dockerfile, wheel])
}

fn key(kind: &str, parts: &[&str]) -> String {
    let mut digest = Sha256::new().chain_update(kind);
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        digest = digest.chain_update((part.len() as u64).to_be_bytes()).chain_update(part);
    }
    crate::hex(&digest.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pip(text: &str) -> Definition {
        Definition::from_pip_requirements(text).expect("requirements")
    }

    #[test]
    fn comments_order_spelling_and_white_space_do_not_change_the_hash() {
        let one = pip("scikit-learn==1.7.2\nnumpy >= 2, < 3\n");
        let two = pip("# what we need\nNumPy<3,>=2   # arrays\n\nScikit_Learn == 1.7.2");
        assert_eq!(one.hash(), two.hash());
        assert_ne!(one.hash(), pip("scikit-learn==1.7.1\nnumpy>=2,<3").hash());
    }

    #[test]
    fn the_hash_of_a_recorded_definition_never_changes() {
        // Stored environments and images are found by it.
        assert_eq!(pip("scikit-learn==1.7.2\nnumpy>=2,<3").hash(), RECORDED);
    }

    const RECORDED: &str = "c33d0da6a24ddbfc116ebe8e9011e551a0dbe685852b120cc9fd11b44ff0b1c8";

    #[test]
    fn the_same_packages_in_a_conda_file_are_the_same_environment() {
        let conda = "name: x\ndependencies:\n  - pip:\n    - numpy\n";
        assert_eq!(Definition::from_conda_file(conda).expect("conda file").hash(), pip("NumPy").hash());
    }

    #[test]
    fn the_base_image_and_every_docker_step_change_the_hash() {
        let plain = pip("numpy");
        let image = Definition { base_image: Some("python@sha256:00".into()), ..plain.clone() };
        let steps = |steps: &[&str]| Definition {
            docker_steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            ..image.clone()
        };
        let hashes = [plain.hash(), image.hash(), steps(&["RUN a", "RUN b"]).hash(), steps(&["RUN b", "RUN a"]).hash()];
        let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
        assert_eq!(steps(&["RUN a  "]).hash(), steps(&["RUN a"]).hash());
    }

    #[test]
    fn every_part_of_an_image_has_its_share_in_the_key() {
        let keys = [("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"), ("a", "b", "x"), ("ab", "", "c")];
        let distinct: std::collections::BTreeSet<_> = keys.iter().map(|(a, b, c)| image_key(a, b, c)).collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn every_part_of_a_build_has_its_share_in_the_key() {
        let base = ["hash", "lock", "linux", "3.11.9", "0.1.0"];
        let key = |parts: [&str; 5]| build_key(parts[0], parts[1], parts[2], parts[3], parts[4]);
        assert_eq!(key(base).len(), 32);
        for index in 0..base.len() {
            let mut other = base;
            other[index] = "other";
            assert_ne!(key(other), key(base));
        }
        assert_ne!(build_key("ab", "c", "", "", ""), build_key("a", "bc", "", "", ""));
    }
}
