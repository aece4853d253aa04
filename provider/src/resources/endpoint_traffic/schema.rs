//! What users write.

use serving::name::Noun;
use tfplugin::schema::check_string;
use tfplugin::{Attribute, Schema, Type};

use crate::schema;

pub(super) fn schema() -> Schema {
    let version = |description: &str| {
        Attribute::string(description).optional().validate(check_string(Noun::EndpointVersion.rule(), |name| {
            Noun::EndpointVersion.check(name).map_err(|violation| format!("{violation}."))
        }))
    };
    Schema::new(
        "The whole split of an endpoint's requests, changed in one step: for swaps such as blue/green, and where versions \
         come and go in the same apply as their traffic. The endpoint's versions must then not have `traffic_percentile` or \
         `is_default`.\n\n\
         Name versions by their attribute, `(azureml_endpoint_version.<name>.name) = 100`, so that Terraform creates them \
         first. A version that is destroyed in the same apply keeps serving until the traffic has moved, at most an hour.\n\n\
         Destroying it leaves the split to what the versions declare: without a declaration, everything goes to the present \
         default.",
    )
    .attribute("id", schema::id("<endpoint id>/traffic"))
    .attribute("endpoint_id", schema::endpoint_id("Id of the endpoint. A change replaces the object."))
    .attribute(
        "traffic",
        Attribute::map(
            Type::Number,
            "Percentage by version: 0 to 100 with at most two decimals, in sum at most 100. Versions that are not listed get \
             nothing; what is not given to any version goes to the default.",
        )
        .required(),
    )
    .attribute(
        "default_version",
        version("The version that gets what is not given to any. Default: the present one, else that with the largest share."),
    )
    .attribute(
        "control_version",
        version(
            "The version that the others, the treatments, are compared with; without effect on the traffic. Default: what \
             the versions say.",
        ),
    )
    .timeouts(&[("create", "10m"), ("update", "15m"), ("delete", "10m")])
}
