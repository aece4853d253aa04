//! What users write.

use serving::name::Noun;
use tfplugin::schema::{check, check_string, integer_between, one_of};
use tfplugin::{Attribute, Nesting, Object, Schema, Type, Value};

use crate::cluster::kubernetes::attachment::{LoadBalancer, Purpose, ServiceType};
use crate::schema;

/// The states that an attachment shows.
pub(super) mod status {
    /// At least one router answers, and everything is there.
    pub(in super::super) const RUNNING: &str = "Running";
    /// No router answers.
    pub(in super::super) const STOPPED: &str = "Stopped";
    /// Something that the attachment made was removed by hand, or the credentials of the storage are others now; the next
    /// apply brings it in order.
    pub(in super::super) const INCOMPLETE: &str = "Incomplete";
}

pub(super) fn schema() -> Schema {
    let all = Schema::new(
        "Attaches a namespace of a Kubernetes cluster, on AKS or anywhere else, as a compute: a router in it answers callers, \
         and services run in it as pods.\n\n\
         The workspace's storage must be one that the cluster's pods can reach, such as `az://` or `s3://`. What the \
         connection's identity must be allowed is in the [guide](../guides/clusters.md).",
    )
    .attribute("id", schema::id("<workspace id>/computes/<name>"))
    .attribute("name", schema::name(Noun::Compute))
    .attribute("workspace_id", schema::workspace_id())
    .attribute(
        "connection",
        Attribute::string(
            "Name of the connection in the provider block's `kubernetes` that leads to the cluster. Another connection to \
             the same cluster changes nothing there; one that leads to another cluster replaces the compute.",
        )
        .required()
        .validate(filled()),
    )
    .attribute(
        "namespace",
        Attribute::string(
            "Namespace that holds everything of the compute, and nothing of another one. Default: `azureml-<name of the \
             workspace>`. A change replaces the compute.",
        )
        .optional()
        .computed()
        .use_state_for_unknown()
        .requires_replace()
        .validate(check_string(Noun::Namespace.rule(), |name| {
            Noun::Namespace.check(name).map_err(|violation| format!("{violation}."))
        })),
    )
    .attribute(
        "create_namespace",
        Attribute::bool(
            "Whether the namespace is made if it is not there; then it goes with the compute, unless others have put pods, \
             services, volume claims, Secrets or ConfigMaps into it. It is made with the `restricted` level of Pod Security \
             enforced.",
        )
        .default(true),
    )
    .attribute(
        "cluster_purpose",
        Attribute::string(
            "`FastProd` or `DenseProd` (production, three routers; the cluster should have 12 cores or more), or `DevTest` \
             (one router).",
        )
        .default(Purpose::default().as_str())
        .validate(one_of(Purpose::ALL)),
    )
    .attribute(
        "enforce_capacity",
        Attribute::bool("Whether too small a cluster for its purpose is an error, and not only a warning.").default(false),
    );
    reached(all)
        .attribute(super::issuers::NAME, super::issuers::attribute())
        .attribute(super::service_accounts::NAME, super::service_accounts::attribute())
        .attribute(
            "force_conflicts",
            Attribute::bool(
                "Whether fields of the compute's objects that another program manages are taken over. By default that is an \
                 error that names program and field.",
            )
            .default(false),
        )
        .attribute(
            "force_destroy",
            Attribute::bool("Whether a destroy also removes services that still run. By default that is an error that names them.")
                .default(false),
        )
        .attribute(
            "status",
            Attribute::string(format!("`{}`, `{}` or `{}`.", status::RUNNING, status::STOPPED, status::INCOMPLETE)).computed(),
        )
        .timeouts(&[("create", "15m"), ("update", "15m"), ("delete", "15m")])
}

/// The router, and the way to it.
fn reached(all: Schema) -> Schema {
    all.attribute("router", router())
        .attribute(
            "router_version",
            Attribute::string(
                "Version of the router. A change updates it without a failed request. When not set, the version of the create \
                 is kept: a new release of the provider changes nothing by itself. With `router.image`, which version the \
                 image must have.",
            )
            .optional()
            .computed(),
        )
        .attribute(
            "load_balancer_type",
            Attribute::string("`PublicIp`, or `InternalLoadBalancer` for an address in the virtual network (AKS).")
                .default(LoadBalancer::default().as_str())
                .validate(one_of(LoadBalancer::ALL)),
        )
        .attribute(
            "load_balancer_subnet",
            Attribute::string("Subnet of the internal load balancer. Only with `InternalLoadBalancer`.")
                .optional()
                .validate(filled()),
        )
        .attribute(
            "image_pull_secret",
            Attribute::string(
                "Name of a Secret in the namespace (type `kubernetes.io/dockerconfigjson`) for the registry of the images. \
                 Without one the nodes must be allowed to pull.",
            )
            .optional()
            .validate(filled()),
        )
        .attribute(
            "storage_endpoint",
            Attribute::string("URL of the workspace's storage as pods reach it, where it is not the provider's own.")
                .optional()
                .validate(url()),
        )
        .attribute(
            "external_url",
            Attribute::string(
                "URL that callers reach the router by, where the cluster does not tell it: behind an ingress or gateway of \
                 one's own, or nodes with another address outside.",
            )
            .optional()
            .validate(url()),
        )
        .attribute("base_url", Attribute::string("URL that all scoring URIs of the compute begin with.").computed())
}

fn router() -> Attribute {
    let cores = |text: &str| Attribute::number(text).optional().validate(positive());
    let texts = |text: &str| Attribute::map(Type::String, text).optional().validate(schema::no_null_values());
    let text = |description: &str| Attribute::string(description).optional();
    let toleration = Object::new()
        .attribute("key", text("Key of the taint; any if not set."))
        .attribute("operator", text("`Equal` (default) or `Exists`.").validate(one_of(&["Equal", "Exists"])))
        .attribute("value", text("Value of the taint."))
        .attribute(
            "effect",
            text("`NoSchedule`, `PreferNoSchedule` or `NoExecute`; any if not set.").validate(one_of(&[
                "NoSchedule",
                "PreferNoSchedule",
                "NoExecute",
            ])),
        );
    let object = Object::new()
        .attribute(
            "image",
            text(
                "Image of the router. Default: that of this release by its digest, which the `images.json` beside the provider \
                 names; without one, or for another `router_version`, `ghcr.io/openazureml/azureml-fe:<router_version>`.",
            )
                .validate(filled()),
        )
        .attribute(
            "replicas",
            Attribute::number("Number of routers. Default 3, on `DevTest` 1.").optional().validate(integer_between(1..=100)),
        )
        .attribute("cpu_cores", cores("Cores that each reserves. Default 0.5."))
        .attribute("cpu_cores_limit", cores("Cores that each may use at most. Default 2."))
        .attribute("memory_gb", cores("GB of memory that each reserves. Default 0.5."))
        .attribute("memory_gb_limit", cores("GB of memory that each may use at most. Default 1.2."))
        .attribute(
            "service_type",
            text("`LoadBalancer` (default), `NodePort` or `ClusterIP`.").validate(one_of(ServiceType::ALL)),
        )
        .attribute(
            "node_port",
            Attribute::number("Port of each node. Default: one that the cluster chooses.")
                .optional()
                .validate(integer_between(1..=65_535)),
        )
        .attribute("annotations", texts("Further annotations of the router's Service."))
        .attribute("node_selector", texts("Labels that a router's node must have."))
        .attribute(
            "tolerations",
            Attribute::nested(Nesting::List, toleration, "Taints of nodes that a router tolerates.").optional(),
        );
    Attribute::single(object, "The router. Each change is a rolling update without a failed request.").optional()
}

fn filled() -> impl tfplugin::schema::Validator + 'static {
    check_string("not empty", |text| if text.is_empty() { Err("It is empty.".into()) } else { Ok(()) })
}

fn url() -> impl tfplugin::schema::Validator + 'static {
    check_string("an http or https URL", |text| match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.query().is_none() => Ok(()),
        _ => Err("Write it like https://ml.example.com.".into()),
    })
}

fn positive() -> impl tfplugin::schema::Validator + 'static {
    check("above 0", |value| match value {
        Value::Number(number) if number.to_f64() <= 0.0 => Err("It must be above 0.".into()),
        _ => Ok(()),
    })
}
