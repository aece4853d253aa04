//! Measurements of the three programs, the servers beside their peers in the same run.
//!
//! One core is the server's, another the load's and the backends'. Servers take turns under the same load, so that other
//! use of the machine meets all of them, and ratios are taken within a round. What counts most is the CPU time of a
//! request: rate and latency depend on the load generator as well.

mod cluster;
mod contest;
mod error;
mod processes;
mod provider;
mod report;
mod router;
mod scorer;
mod server;
mod tools;
mod wrk;

use clap::Subcommand;

pub(crate) use error::BenchError;
pub(crate) use tools::target;

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// azureml-fe beside nginx: key check and an 80/20 split over two backends
    Router(router::Arguments),
    /// azureml-scorer beside azureml-inference-server-http, Granian and six others, on the same score scripts
    Scorer(scorer::Arguments),
    /// The provider's start, from exec to its handshake line
    Provider(provider::Arguments),
    /// From `terraform apply` to the first answer, on the cluster that the environment names
    Apply(cluster::Apply),
    /// The throughput of replicas with one slot behind one router and behind two, on the cluster that the environment names
    Slots(cluster::Slots),
}

/// Builds what is measured, measures it, prints the results and writes them to `<target>/bench/<what>.json`.
pub(crate) fn run(what: &Bench) -> Result<(), BenchError> {
    if !cfg!(target_os = "linux") {
        return Err(BenchError::NoLinux);
    }
    match what {
        Bench::Router(arguments) => router::run(arguments),
        Bench::Scorer(arguments) => scorer::run(arguments),
        Bench::Provider(arguments) => provider::run(arguments),
        Bench::Apply(arguments) => cluster::apply(arguments),
        Bench::Slots(arguments) => cluster::slots(arguments),
    }
}
