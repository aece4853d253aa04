//! Compiles the protocol definitions in `proto/`, without an installed `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["tfplugin6.proto", "plugin.proto", "health.proto"];
    for file in files {
        println!("cargo::rerun-if-changed=proto/{file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    // `Bytes` keeps a value of several MiB from being copied out of the message;
    // sorted maps make responses the same on every run.
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
