//! What users write.

use serving::name::Noun;
use tfplugin::{Attribute, Schema};

use crate::deployment::{self, labels};
use crate::{access, schema};

pub(super) fn schema() -> Schema {
    let first = Schema::new(
        "Models behind one scoring URI: a number of replicas that run a score script, each in a process of its own, \
         behind the compute's router.\n\n\
         A change of code, models or environment rolls: new replicas must be ready before old ones stop, and no request \
         fails for it. If the new ones do not become ready, the old ones go on serving, and the apply fails with the reason. \
         Changes of numbers and keys restart nothing.",
    )
    .attribute("id", schema::id("<compute id>/services/<name>"))
    .attribute("name", schema::name(Noun::Webservice))
    .attribute("compute_id", schema::compute_id("Id of the compute that the service runs on. A change replaces the service."));
    let all = labels::attributes(access::schema::attributes(deployment::schema::attributes(first), Noun::Webservice));
    schema::uris(all)
        .attribute("state", deployment::schema::state())
        .attribute(
            "created_time",
            Attribute::string("When it was created, as RFC 3339.").computed().use_state_for_unknown(),
        )
        .attribute("updated_time", Attribute::string("When it was last changed, as RFC 3339.").computed())
        .timeouts(&[("create", "30m"), ("update", "30m"), ("delete", "15m")])
}
