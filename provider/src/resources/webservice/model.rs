//! The webservice as a Rust struct.

use tfplugin::{Attr, Model, Timeouts};

use crate::access::Access;
use crate::deployment::{Deployment, Labels};

/// An `azureml_webservice`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Webservice {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub compute_id: Attr<String>,
    #[model(flatten)]
    pub deployment: Deployment,
    #[model(flatten)]
    pub access: Access,
    #[model(flatten)]
    pub labels: Labels,
    pub scoring_uri: Attr<String>,
    pub swagger_uri: Attr<String>,
    pub state: Attr<String>,
    pub created_time: Attr<String>,
    pub updated_time: Attr<String>,
    pub timeouts: Timeouts,
}
