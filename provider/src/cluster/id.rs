//! Ids of services, and the way from an id to the place where the service runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serving::name::{Noun, Violation};

use super::{Cluster, Error};
use crate::diagnostics::Blame;
use crate::workspace::id::ParseError;
use crate::workspace::{Catalogue, ComputeBody, ComputeId};

const FOLDER: &str = "services";

/// `<workspace>/computes/<compute>/services/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceId {
    /// The compute that it runs on.
    pub compute: ComputeId,
    /// Its name.
    pub name: String,
}

/// Why a text is not the id of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceIdError {
    /// It has another form.
    #[error("{0:?} is not the id of a webservice; write it like <workspace id>/computes/<compute>/services/<name>")]
    Form(String),
    /// The name breaks its rule.
    #[error(transparent)]
    Name(#[from] Violation),
    /// The part before the name is not the id of a compute.
    #[error(transparent)]
    Compute(#[from] ParseError),
}

impl Blame for ServiceIdError {}

impl FromStr for ServiceId {
    type Err = ServiceIdError;

    fn from_str(text: &str) -> Result<Self, ServiceIdError> {
        let wrong = || ServiceIdError::Form(text.to_owned());
        let (rest, name) = text.rsplit_once('/').ok_or_else(wrong)?;
        let (compute, folder) = rest.rsplit_once('/').ok_or_else(wrong)?;
        if folder != FOLDER || name.is_empty() {
            return Err(wrong());
        }
        Noun::Webservice.check(name)?;
        let compute = compute.parse().map_err(|error| match error {
            ParseError::Form { .. } => wrong(),
            error => error.into(),
        })?;
        Ok(Self { compute, name: name.to_owned() })
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{FOLDER}/{}", self.compute, self.name)
    }
}

/// The place of a compute; none if there is no such compute. Fails if the compute is processes of another machine.
pub async fn open(id: &ComputeId) -> Result<Option<Arc<dyn Cluster>>, Error> {
    let Some(compute) = Catalogue::open(&id.workspace)?.find::<ComputeBody>(&id.name).await? else { return Ok(None) };
    at(&id.to_string(), &compute.body).map(Some)
}

#[cfg(unix)]
fn at(id: &str, compute: &ComputeBody) -> Result<Arc<dyn Cluster>, Error> {
    Ok(Arc::new(super::local::LocalCluster::of(id, &compute.location)?))
}

#[cfg(not(unix))]
fn at(id: &str, compute: &ComputeBody) -> Result<Arc<dyn Cluster>, Error> {
    let crate::workspace::document::ComputeLocation::Local { host, .. } = &compute.location;
    Err(Error::OtherMachine { compute: id.to_owned(), host: host.clone(), here: "this system".to_owned() })
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
