//! Chores of the repository: `cargo xtask <chore>`.

mod bench;
mod docs;
mod images;
mod rendered;
mod schemas;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use terraform_provider_azureml::provider::AzureMl;
use tfplugin::ProviderSchemas;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Measures a program, beside its peers where it has some; writes `target/bench/WHAT.json`
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Renders the registry's documentation into docs/ from the schemas and examples/
    Docs {
        /// Writes nothing; fails when a committed file differs from what would be written
        #[arg(long)]
        check: bool,
    },
    /// Builds the router's and the scorer's images; writes `target/images/images.json` and bills of materials beside it
    Images(images::Arguments),
    /// Writes the machine-readable contracts into schemas/
    Schemas {
        /// Writes nothing; fails when a committed file differs from what would be written
        #[arg(long)]
        check: bool,
    },
}

/// Why a chore failed.
#[derive(Debug, thiserror::Error)]
enum ChoreError {
    #[error(transparent)]
    Render(#[from] rendered::RenderError),
    #[error(transparent)]
    Bench(#[from] bench::BenchError),
    #[error(transparent)]
    Images(#[from] images::ImagesError),
}

fn run(chore: &Chore) -> Result<(), ChoreError> {
    let schemas = || ProviderSchemas::of(&AzureMl::default());
    match *chore {
        Chore::Bench { ref what } => bench::run(what)?,
        Chore::Docs { check } => rendered::settle(&docs::render(&schemas())?, check)?,
        Chore::Images(ref arguments) => images::run(arguments)?,
        Chore::Schemas { check } => rendered::settle(&schemas::render(&schemas()), check)?,
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "a chore tells its user why it failed")]
            {
                eprintln!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
