//! Resolves a definition to exact packages.

use std::path::Path;

use super::definition::uv_options;
use super::error::Error;
use super::process::{self, Log};
use super::python::Python;
use super::uv::Uv;
use super::wheel::Wheel;

/// Resolves the packages of a definition together with what the scorer needs, for this Python and platform.
///
/// `before` is the lock of the same definition with another scorer: its packages are kept where they still fit.
pub async fn resolve(
    uv: &Uv,
    definition: &serving::environment::Definition,
    scorer: &Wheel,
    python: &Python,
    before: Option<&str>,
) -> Result<String, Error> {
    let folder = tempfile::tempdir().map_err(|source| Error::Io {
        action: "create a folder in",
        path: std::env::temp_dir(),
        source,
    })?;
    let at = |name: &str| folder.path().join(name);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    let (options, flags) = uv_options(&definition.pip.options);
    let options: String = options.iter().flat_map(|line| [line, "\n"]).collect();
    let packages = definition.pip.packages.iter().chain(&scorer.requirements);
    let input = packages.fold(options.clone(), |text, line| text + line + "\n");
    let (requirements, output) = (at("requirements.in"), at("requirements.txt"));
    std::fs::write(&requirements, input).map_err(failed("write", &requirements))?;
    // An output that is there is what `uv` prefers the versions of.
    std::fs::write(&output, before.unwrap_or_default()).map_err(failed("write", &output))?;
    let log = Log::create(&at("log")).map_err(failed("write", folder.path()))?;
    let mut command = uv.command(folder.path());
    command.args(["pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]).args(flags);
    command.arg("--python").arg(&python.program).arg("--output-file").arg(&output).arg(&requirements);
    let status = process::run(command, &log, None).await.map_err(failed("run uv in", folder.path()))?;
    if !status.success() {
        return Err(Error::Resolve { tail: log.tail() });
    }
    let packages = std::fs::read_to_string(&output).map_err(failed("read", &output))?;
    // Where the packages are from is part of the lock; `uv` leaves it out.
    Ok(options + &packages)
}
