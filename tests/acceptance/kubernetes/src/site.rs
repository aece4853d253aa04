//! The cluster, registry and storage that the tests are given.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Azurite's account, which everybody knows.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
/// Its key.
pub const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Of a NodePort: where it is reached from this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The cluster's own number.
    pub node: u16,
    /// The number on this machine's loopback.
    pub here: u16,
}

/// What `make test-kubernetes` says of the cluster.
#[derive(Clone, Debug)]
pub struct Site {
    /// `KUBECONFIG`: of an administrator.
    pub kubeconfig: PathBuf,
    /// `REGISTRY`: a registry under one name for this machine and the cluster.
    pub registry: String,
    /// `AZURITE_URL`: blob endpoint for this machine.
    pub storage: String,
    /// `AZURITE_URL_IN_CLUSTER`: the same for pods.
    pub storage_in_cluster: String,
    /// `NODE_PORTS`: what is reached from this machine.
    pub ports: Vec<Port>,
    /// `NODE_PORT_HOST`: where.
    pub host: String,
    /// From `AZUREML_IMAGES`, which `cargo xtask images` writes: the images that are tested, by digest.
    pub images: BTreeMap<String, String>,
}

/// The next NodePort that no test of this process has.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Site {
    /// The cluster; none if there is none to test on, which is said once and loudly. With `AZUREML_CLUSTER_REQUIRED` that
    /// fails.
    pub fn find() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(images), Some(registry)) = (variable("AZUREML_IMAGES"), variable("REGISTRY")) else {
            assert!(
                variable("AZUREML_CLUSTER_REQUIRED").is_none(),
                "AZUREML_IMAGES and REGISTRY are not set: run `make test-kubernetes`"
            );
            return None;
        };
        let need =
            |name: &str| variable(name).unwrap_or_else(|| panic!("{name} is not set: run `make test-kubernetes`"));
        let images = std::fs::read(&images).unwrap_or_else(|error| panic!("{images}: {error}"));
        let ports = need("NODE_PORTS");
        let port = |pair: &str| {
            let (node, here) = pair.split_once(':').expect("node:here");
            Port { node: node.parse().expect("a port"), here: here.parse().expect("a port") }
        };
        Some(Self {
            kubeconfig: need("KUBECONFIG").into(),
            registry,
            storage: need("AZURITE_URL"),
            storage_in_cluster: need("AZURITE_URL_IN_CLUSTER"),
            ports: ports.split(',').map(port).collect(),
            host: need("NODE_PORT_HOST"),
            images: serde_json::from_slice(&images).expect("image names and digests"),
        })
    }

    /// A NodePort of one's own.
    pub fn port(&self) -> Port {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        *self.ports.get(next).expect("a NodePort for each test that asks for one")
    }

    /// One of the images.
    pub fn image(&self, name: &str) -> &str {
        self.images.get(name).unwrap_or_else(|| panic!("no image {name}"))
    }
}
