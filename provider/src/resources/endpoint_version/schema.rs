//! What users write.

use serving::name::Noun;
use tfplugin::{Attribute, Schema};

use crate::deployment::{self, labels};
use crate::schema;

pub(super) fn schema() -> Schema {
    let first = Schema::new(
        "A version of an endpoint: a deployment of its own with a share of the endpoint's requests. At most six per \
         endpoint; versions of one endpoint may be in several configurations.\n\n\
         What no version claims goes to the default version, on top of its own share: 20 % alone serves 100 %; 20 % (default) \
         and 10 % serve 90 and 10. The default is the version that claims it; without a claim the present default, else the \
         version with the largest share, else the oldest. Dropping a claim moves nothing until another version claims it.\n\n\
         A version gets traffic when its replicas are ready, and loses it before they stop. Versions that are changed in one \
         apply may be changed in any order: as soon as their declarations agree they are served. While they do not, what \
         was served before keeps being served, and an apply waits ten seconds for the others before it fails. To move a \
         split as a whole, use `azureml_endpoint_traffic`.",
    )
    .attribute("id", schema::id("<endpoint id>/versions/<name>"))
    .attribute("name", schema::name(Noun::EndpointVersion))
    .attribute("endpoint_id", schema::endpoint_id("Id of the endpoint that it belongs to. A change replaces the version."));
    let all = deployment::schema::attributes(first)
        .attribute(
            "traffic_percentile",
            Attribute::number(
                "Share of the endpoint's requests: 0 to 100, at most two decimals. Default 0. Not to be used beside an \
                 `azureml_endpoint_traffic`.",
            )
            .optional(),
        )
        .attribute(
            "is_default",
            Attribute::bool(
                "Whether the version gets what no version claims. At most one version of an endpoint. Not to be used beside \
                 an `azureml_endpoint_traffic`.",
            )
            .optional(),
        )
        .attribute(
            "is_control_version_type",
            Attribute::bool(
                "Whether the version is the control that the others, the treatments, are compared with. At most one version \
                 of an endpoint; without effect on the traffic.",
            )
            .optional(),
        );
    labels::attributes(all)
        .attribute("state", deployment::schema::state())
        .attribute(
            "created_time",
            Attribute::string("When it was created, as RFC 3339.").computed().use_state_for_unknown(),
        )
        .attribute("updated_time", Attribute::string("When it was last changed, as RFC 3339.").computed())
        .timeouts(&[("create", "30m"), ("update", "30m"), ("delete", "15m")])
}
