//! What users write.

use std::net::IpAddr;

use serving::name::Noun;
use tfplugin::schema::{check_string, integer_between};
use tfplugin::{Attribute, Schema};

use crate::schema;

/// The states that a local compute shows.
pub(super) mod status {
    /// The router answers.
    pub(in super::super) const RUNNING: &str = "Running";
    /// It does not; the next apply starts it and everything that it serves.
    pub(in super::super) const STOPPED: &str = "Stopped";
}

pub(super) fn schema() -> Schema {
    Schema::new(
        "The embedded default for serving models: a router and its scorers as processes of this machine, without Docker, a \
         cluster or a cloud account.\n\n\
         They go on running after Terraform has ended. If they end, for example by a reboot, the next plan shows an update of \
         `status`, and the apply brings everything back. The compute belongs to the machine on which it was created.",
    )
    .attribute("id", schema::id("<workspace id>/computes/<name>"))
    .attribute("name", schema::name(Noun::LocalCompute))
    .attribute("workspace_id", schema::workspace_id())
    .attribute(
        "address",
        Attribute::string(
            "IP address that the router listens on. `0.0.0.0` or `::` makes the services reachable for other machines, \
             without TLS. A change restarts the router; the services' URIs follow at the next plan.",
        )
        .default("127.0.0.1")
        .validate(check_string("an IP address", |text| {
            match text.parse::<IpAddr>() {
                Ok(address) if address.to_string() == text => Ok(()),
                Ok(address) => Err(format!("`{text}` is the long form of `{address}`; write it so.")),
                Err(_) => Err(format!("`{text}` is not an IP address, such as 127.0.0.1.")),
            }
        })),
    )
    .attribute(
        "port",
        Attribute::number(
            "TCP port that the router listens on, from 1 to 65535. When not set, a free one is taken at the create and kept. A \
             change restarts the router.",
        )
        .optional()
        .computed()
        .use_state_for_unknown()
        .validate(integer_between(1..=65_535)),
    )
    .attribute(
        "directory",
        Attribute::string(
            "Folder that the compute keeps its documents, keys, logs and programs in, readable only by its owner. It must be \
             new, empty, or this compute's. Default: `local/<name>` below the workspace's folder. A change replaces the \
             compute.",
        )
        .optional()
        .computed()
        .use_state_for_unknown()
        .requires_replace(),
    )
    .attribute(
        "router_path",
        Attribute::string(
            "The router program `azureml-fe`. Default: the one next to the provider, else the one on `PATH`. It is copied \
             below `directory`. A change upgrades the running router without a failed request.",
        )
        .optional(),
    )
    .attribute(
        "router_version",
        Attribute::string(
            "Version of the router. When set, the program must have this version, and a change upgrades the running router \
             without a failed request. When not set, the version of the create is kept: a new release of the provider changes \
             nothing by itself.",
        )
        .optional()
        .computed(),
    )
    .attribute(super::issuers::NAME, super::issuers::attribute())
    .attribute("status", Attribute::string(format!("`{}` or `{}`.", status::RUNNING, status::STOPPED)).computed())
    .timeouts(&[("create", "5m"), ("update", "15m"), ("delete", "10m")])
}
