//! The provider's program: flags, then serve.

use std::process::ExitCode;

use terraform_provider_azureml::provider::AzureMl;

fn main() -> ExitCode {
    tfplugin::serve(AzureMl::default(), env!("CARGO_PKG_VERSION"))
}
