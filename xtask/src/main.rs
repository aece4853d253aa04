//! Chores of the repository: `cargo xtask <chore>`.

mod docs;
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
    /// Renders the registry's documentation into docs/ from the schemas and examples/
    Docs {
        /// Writes nothing; fails when a committed file differs from what would be written
        #[arg(long)]
        check: bool,
    },
    /// Writes the machine-readable contracts into schemas/
    Schemas {
        /// Writes nothing; fails when a committed file differs from what would be written
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let schemas = ProviderSchemas::of(&AzureMl::default());
    let outcome = match Arguments::parse().chore {
        Chore::Docs { check } => docs::render(&schemas).and_then(|pages| rendered::settle(&pages, check)),
        Chore::Schemas { check } => rendered::settle(&schemas::render(&schemas), check),
    };
    match outcome {
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
