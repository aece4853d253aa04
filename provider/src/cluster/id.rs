//! Ids of services, and the way from an id to the place where the service runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serving::name::{Noun, Violation};

use super::kubernetes::KubernetesCluster;
use super::{Cluster, Error};
use crate::diagnostics::Blame;
use crate::provider::Settings;
use crate::workspace::document::ComputeLocation;
use crate::workspace::id::ParseError;
use crate::workspace::{ComputeBody, ComputeId};

/// `<workspace>/computes/<compute>/services/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceId {
    /// The compute that it runs on.
    pub compute: ComputeId,
    /// Its name.
    pub name: String,
}

/// `<workspace>/computes/<compute>/endpoints/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointId {
    /// The compute that it is on.
    pub compute: ComputeId,
    /// Its name.
    pub name: String,
}

/// `<endpoint>/versions/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointVersionId {
    /// The endpoint that it belongs to.
    pub endpoint: EndpointId,
    /// Its name.
    pub name: String,
}

/// `<endpoint>/traffic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficId(
    /// The endpoint whose traffic it is.
    pub EndpointId,
);

/// Why a text is not the id of a webservice, of an endpoint or of a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceIdError {
    /// It has another form.
    #[error("{text:?} is not the id of {what}; write it like {form}")]
    Form {
        /// What was written.
        text: String,
        /// What it should name.
        what: &'static str,
        /// How it is written.
        form: &'static str,
    },
    /// The name breaks its rule.
    #[error(transparent)]
    Name(#[from] Violation),
    /// The part before the name is not the id of a compute.
    #[error(transparent)]
    Compute(#[from] ParseError),
}

impl Blame for ServiceIdError {}

/// A form of ids.
struct Form {
    what: &'static str,
    form: &'static str,
}

const WEBSERVICE: Form = Form { what: "a webservice", form: "<workspace id>/computes/<compute>/services/<name>" };
const ENDPOINT: Form = Form { what: "an endpoint", form: "<workspace id>/computes/<compute>/endpoints/<name>" };
const VERSION: Form = Form {
    what: "a version of an endpoint",
    form: "<workspace id>/computes/<compute>/endpoints/<name>/versions/<version>",
};
const TRAFFIC: Form =
    Form { what: "the traffic of an endpoint", form: "<workspace id>/computes/<compute>/endpoints/<name>/traffic" };

impl Form {
    fn wrong(&self, text: &str) -> ServiceIdError {
        ServiceIdError::Form { text: text.to_owned(), what: self.what, form: self.form }
    }

    /// What stands before `/<folder>/<name>`, and the name.
    fn split<'t>(&self, text: &'t str, folder: &str) -> Result<(&'t str, &'t str), ServiceIdError> {
        let (rest, name) = text.rsplit_once('/').ok_or_else(|| self.wrong(text))?;
        let (parent, found) = rest.rsplit_once('/').ok_or_else(|| self.wrong(text))?;
        if found == folder && !name.is_empty() { Ok((parent, name)) } else { Err(self.wrong(text)) }
    }

    fn on_compute(&self, text: &str, folder: &str, noun: Noun) -> Result<(ComputeId, String), ServiceIdError> {
        let (compute, name) = self.split(text, folder)?;
        noun.check(name)?;
        let compute = compute.parse().map_err(|error| match error {
            ParseError::Form { .. } => self.wrong(text),
            error => error.into(),
        })?;
        Ok((compute, name.to_owned()))
    }
}

impl FromStr for ServiceId {
    type Err = ServiceIdError;

    fn from_str(text: &str) -> Result<Self, ServiceIdError> {
        let (compute, name) = WEBSERVICE.on_compute(text, "services", Noun::Webservice)?;
        Ok(Self { compute, name })
    }
}

impl FromStr for EndpointId {
    type Err = ServiceIdError;

    fn from_str(text: &str) -> Result<Self, ServiceIdError> {
        let (compute, name) = ENDPOINT.on_compute(text, "endpoints", Noun::Endpoint)?;
        Ok(Self { compute, name })
    }
}

impl FromStr for EndpointVersionId {
    type Err = ServiceIdError;

    fn from_str(text: &str) -> Result<Self, ServiceIdError> {
        let (endpoint, name) = VERSION.split(text, "versions")?;
        Noun::EndpointVersion.check(name)?;
        Ok(Self { endpoint: endpoint.parse().map_err(|_| VERSION.wrong(text))?, name: name.to_owned() })
    }
}

impl FromStr for TrafficId {
    type Err = ServiceIdError;

    fn from_str(text: &str) -> Result<Self, ServiceIdError> {
        let endpoint = text.strip_suffix("/traffic").ok_or_else(|| TRAFFIC.wrong(text))?;
        endpoint.parse().map(Self).map_err(|_| TRAFFIC.wrong(text))
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/services/{}", self.compute, self.name)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/endpoints/{}", self.compute, self.name)
    }
}

impl fmt::Display for EndpointVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/{}", self.endpoint, self.name)
    }
}

impl fmt::Display for TrafficId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/traffic", self.0)
    }
}

/// The place of a compute; none if there is no such compute. Fails if the compute is processes of another machine.
pub async fn open(id: &ComputeId, settings: &Settings) -> Result<Option<Arc<dyn Cluster>>, Error> {
    let catalogue = settings.catalogue(&id.workspace)?;
    let Some(compute) = catalogue.find::<ComputeBody>(&id.name).await? else { return Ok(None) };
    if let ComputeLocation::Kubernetes { .. } = &compute.body.location {
        let cluster = KubernetesCluster::open(&id.to_string(), &compute.body, settings).await?;
        return Ok(Some(Arc::new(cluster)));
    }
    on_this_machine(&id.to_string(), &compute.body.location).map(Some)
}

#[cfg(unix)]
fn on_this_machine(id: &str, location: &ComputeLocation) -> Result<Arc<dyn Cluster>, Error> {
    Ok(Arc::new(super::local::LocalCluster::of(id, location)?))
}

#[cfg(not(unix))]
fn on_this_machine(id: &str, location: &ComputeLocation) -> Result<Arc<dyn Cluster>, Error> {
    match location {
        ComputeLocation::Local { host, .. } => {
            Err(Error::OtherMachine { compute: id.to_owned(), host: host.clone(), here: "this system".to_owned() })
        }
        ComputeLocation::Kubernetes { namespace, .. } => {
            Err(Error::NotLocal { compute: id.to_owned(), namespace: namespace.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_they_are_written() {
        let text = "file:///data/ws/computes/local/services/diabetes";
        let id: ServiceId = text.parse().expect("an id");
        assert_eq!((id.compute.name.as_str(), id.name.as_str()), ("local", "diabetes"));
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn ids_of_an_endpoints_parts_read_back_as_they_are_written() {
        let endpoint = "file:///data/ws/computes/local/endpoints/churn";
        assert_eq!(endpoint.parse::<EndpointId>().expect("an id").to_string(), endpoint);
        let version = format!("{endpoint}/versions/churn");
        assert_eq!(version.parse::<EndpointVersionId>().expect("an id").to_string(), version);
        let traffic = format!("{endpoint}/traffic");
        assert_eq!(traffic.parse::<TrafficId>().expect("an id").to_string(), traffic);
        let error = endpoint.parse::<EndpointVersionId>().expect_err("an endpoint's").to_string();
        assert!(error.contains("/versions/<version>"), "{error}");
        let service = "file:///data/ws/computes/local/services/churn";
        assert!(service.parse::<EndpointId>().expect_err("a webservice's").to_string().contains("/endpoints/<name>"));
    }

    #[test]
    fn other_texts_are_refused_with_the_right_form() {
        for text in [
            "diabetes",
            "file:///ws/computes/local",
            "file:///ws/models/a/services/abc",
            "file:///ws/computes/local/services/",
        ] {
            let error = text.parse::<ServiceId>().expect_err(text).to_string();
            assert!(error.contains("/services/<name>"), "{error}");
        }
        assert!(matches!("file:///ws/computes/local/services/A".parse::<ServiceId>(), Err(ServiceIdError::Name(_))));
    }
}
