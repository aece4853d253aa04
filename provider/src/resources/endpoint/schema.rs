//! What users write.

use serving::name::Noun;
use tfplugin::{Attribute, Object, Schema};

use crate::deployment::labels;
use crate::{access, schema};

pub(super) fn schema() -> Schema {
    let first = Schema::new(
        "One scoring URI for up to six versions (`azureml_endpoint_version`), among which the requests are split by exact \
         percentages. Versions share the endpoint's authentication. A request may name the version that is to answer in the \
         header `azureml-model-deployment`; the response names the one that did in the same header.\n\n\
         An endpoint without versions answers 503 with the code `no_versions`.",
    )
    .attribute("id", schema::id("<compute id>/endpoints/<name>"))
    .attribute("name", schema::name(Noun::Endpoint))
    .attribute(
        "compute_id",
        schema::compute_id("Id of the compute that the endpoint is on. A change replaces the endpoint."),
    )
    .attribute("sticky", sticky())
    .attribute(
        "force_destroy",
        Attribute::bool(
            "Whether destroying the endpoint also destroys versions that were made elsewhere. Without, that is an error that \
             names them.",
        )
        .default(false),
    );
    schema::uris(labels::attributes(access::schema::attributes(first, Noun::Endpoint)))
        .attribute(
            "created_time",
            Attribute::string("When it was created, as RFC 3339.").computed().use_state_for_unknown(),
        )
        .attribute(
            "updated_time",
            Attribute::string("When the endpoint itself, not a version, was last changed, as RFC 3339.").computed(),
        )
        .timeouts(&[("create", "10m"), ("update", "10m"), ("delete", "15m")])
}

fn sticky() -> Attribute {
    let name = |description: &str| Attribute::string(description).optional();
    let object = Object::new()
        .attribute("header", name("Name of a request header, such as `x-user-id`."))
        .attribute("cookie", name("Name of a cookie."))
        .attribute("query", name("Name of a query parameter."));
    Attribute::single(
        object,
        "What keeps a caller on one version: requests with the same value of exactly one header, cookie or query parameter \
         go to the same version, whose callers are as many as its percentage says. When percentages change, the fewest \
         callers possible move. Requests without the value are split by percentage alone.",
    )
    .optional()
}
