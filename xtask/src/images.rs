//! The managed images: the router's, and the scorer's, which is also the base of environments' images.
//!
//! Built by whichever of buildah, podman and docker is there, from `images/`. Beside them: bills of materials, and
//! `images.json`, which pins what was pushed by digest and is what a release of the provider brings.

mod base;
mod command;
mod context;
mod error;
mod sbom;
mod tool;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};

pub(crate) use error::ImagesError;
use error::file;
use sbom::Part;
use terraform_provider_azureml::user_cache;
use tool::{Build, Kind, Tool};

use crate::bench::target;
use crate::rendered::root;

/// Time stamp of what is inside images: 1980, the earliest that a zip file has.
const EPOCH: &str = "315532800";
const CREATED: &str = "1980-01-01T00:00:00Z";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const ROUTER_BASE: &str = "docker.io/library/debian:bookworm-slim";
const SCORER_BASE: &str = "docker.io/library/python:3.12-slim-bookworm";

/// How to make the images.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The program that builds. Default: whichever is there
    #[arg(long)]
    tool: Option<Kind>,
    /// Where the images belong: `HOST[:PORT][/PATH]`
    #[arg(long, default_value = "localhost")]
    registry: String,
    /// Base of the router's image: any with a glibc that is no older than the one that the router was linked to
    #[arg(long)]
    router_base: Option<String>,
    /// Base of the scorer's image: any with Python and its venv module
    #[arg(long)]
    scorer_base: Option<String>,
    /// Makes the base of those that have none named
    #[arg(long)]
    base: Option<Base>,
    /// Platform, as in `linux/arm64`; then --router and --wheel must be for it. Default: this machine's
    #[arg(long, requires = "router", requires = "wheel")]
    platform: Option<String>,
    /// The router's program. Default: built now
    #[arg(long)]
    router: Option<PathBuf>,
    /// The scorer's wheel. Default: built now
    #[arg(long)]
    wheel: Option<PathBuf>,
    /// Pushes the images to the registry
    #[arg(long)]
    push: bool,
    /// The registry, and those of the bases, speak plain HTTP
    #[arg(long)]
    plain_http: bool,
    /// Folder for `images.json` and the bills of materials. Default: `target/images`
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Ways to make a base image.
#[derive(Clone, Copy, ValueEnum)]
enum Base {
    /// Debian or Ubuntu, whichever runs here, with Python. Kept between runs
    Debootstrap,
}

/// What is kept between runs and checkouts.
fn cache() -> Result<PathBuf, ImagesError> {
    let path = user_cache::directory().ok_or(ImagesError::NoCache)?;
    fs::create_dir_all(&path).map_err(file(&path))?;
    Ok(path)
}

/// Makes both images and everything beside them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), ImagesError> {
    let out = arguments.out.clone().unwrap_or_else(|| target().join("images"));
    fs::create_dir_all(&out).map_err(file(&out))?;
    let cache = cache()?;
    let lock = cache.join("images.lock");
    let held = File::create(&lock).map_err(file(&lock))?;
    held.lock().map_err(file(&lock))?;
    let mut tool = Tool::find(arguments.tool, &cache)?;
    say(&format!("building with {}", tool.kind()));
    let made = match arguments.base {
        Some(Base::Debootstrap) if arguments.router_base.is_none() || arguments.scorer_base.is_none() => {
            Some(base::debootstrap(&tool, &cache)?)
        }
        _ => None,
    };
    (tool.plain_http, tool.platform) = (arguments.plain_http, arguments.platform.clone());
    let base = |named: &Option<String>, default: &str| {
        named.clone().or_else(|| made.clone()).unwrap_or_else(|| default.to_owned())
    };
    let revision = revision();
    let mut pinned = BTreeMap::new();
    for image in [Image::Router, Image::Scorer] {
        let (name, source, base) = match image {
            Image::Router => {
                let program = arguments.router.clone().map_or_else(context::router, Ok)?;
                ("azureml-fe", program, base(&arguments.router_base, ROUTER_BASE))
            }
            Image::Scorer => {
                let wheel = arguments.wheel.clone().map_or_else(context::wheel, Ok)?;
                ("azureml-scorer", wheel, base(&arguments.scorer_base, SCORER_BASE))
            }
        };
        let tag = format!("{}/{name}:{VERSION}", arguments.registry);
        let context = out.join("context").join(name);
        context::lay_out(&context, &source, matches!(image, Image::Router))?;
        let arguments_of = [("BASE", base.as_str()), ("VERSION", VERSION), ("REVISION", &revision)];
        let dockerfile = root().join("images").join(image.folder()).join("Dockerfile");
        tool.build(&Build { dockerfile: &dockerfile, context: &context, tag: &tag, arguments: &arguments_of })?;
        let document = sbom::document(name, VERSION, &revision, image.parts(&tool, &tag, &base)?);
        write(&out.join(format!("{name}.spdx.json")), &document)?;
        let reference = if arguments.push {
            format!("{}/{name}@{}", arguments.registry, tool.push(&tag)?)
        } else {
            // A digest is the registry's word; here the tag is all that there is.
            tag
        };
        say(&format!("{name}: {reference}"));
        pinned.insert(name, reference);
    }
    write(&out.join("images.json"), &serde_json::json!(pinned))
}

#[derive(Clone, Copy)]
enum Image {
    Router,
    Scorer,
}

impl Image {
    /// Below `images/`.
    const fn folder(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Scorer => "scorer",
        }
    }

    fn parts(self, tool: &Tool, tag: &str, base: &str) -> Result<Vec<Part>, ImagesError> {
        let processor = match tool.platform.as_deref() {
            Some(platform) if platform.contains("arm64") => "aarch64",
            Some(_) => "x86_64",
            None => std::env::consts::ARCH,
        };
        match self {
            Self::Router => {
                let mut parts = sbom::crates("azureml-fe", processor)?;
                parts.extend(sbom::libraries(tool, base));
                Ok(parts)
            }
            Self::Scorer => {
                let mut parts = sbom::crates("azureml-scorer", processor)?;
                parts.extend(sbom::installed(tool, tag, "python")?);
                Ok(parts)
            }
        }
    }
}

/// The commit that images are made of.
fn revision() -> String {
    let git = |arguments: &[&str]| command::output(Command::new("git").args(arguments).current_dir(root()));
    let Ok(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    let clean = git(&["status", "--porcelain"]).is_ok_and(|changes| changes.is_empty());
    if clean { commit } else { format!("{commit}-modified") }
}

fn write(path: &Path, value: &serde_json::Value) -> Result<(), ImagesError> {
    fs::write(path, format!("{value:#}\n")).map_err(file(path))
}

fn say(text: &str) {
    #[allow(clippy::print_stderr, reason = "a chore tells how far it is")]
    {
        eprintln!("==> {text}");
    }
}
