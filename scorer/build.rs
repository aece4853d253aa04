//! Compiles the protocol definition in `proto/`, without an installed `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/grpc_predict_v2.proto");
    let descriptors = protox::compile(["grpc_predict_v2.proto"], ["proto"])?;
    // `Bytes` keeps tensors of many MiB from being copied out of a message.
    tonic_prost_build::configure().build_client(false).bytes(".").btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
