//! The messages and services of the wire, generated from `proto/`.
//!
//! [`provider_server`] and [`provider_client`] are the two ends of the provider
//! service; [`plugin`] and [`health`] hold what a plugin process serves beside it.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code; the protocol is documented in proto/tfplugin6.proto"
)]

tonic::include_proto!("tfplugin6");

/// The services of the plugin process itself: orderly end and output streams.
pub mod plugin {
    tonic::include_proto!("plugin");
}

/// The standard health service of gRPC.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
