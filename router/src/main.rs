//! `azureml-fe`: see `azureml-fe --help`.

use std::process::ExitCode;

#[allow(unsafe_code, reason = "the only caller of `claim`, before anything else has opened a descriptor")]
fn main() -> ExitCode {
    // SAFETY: nothing has run before.
    let claimed = unsafe { azureml_fe::inherit::claim() };
    azureml_fe::cli::main(claimed)
}
