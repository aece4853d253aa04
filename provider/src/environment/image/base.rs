//! What an environment's image is built on.

use serde::{Deserialize, Serialize};

use super::Places;
use crate::environment::error::Error;
use crate::registry::{self, Managed, Registries};
use crate::workspace::document::Docker;

/// What an image is built on when nothing else is said: the official image of the Python that the lock is for.
const OFFICIAL: &str = "docker.io/library/python:{python}-slim-bookworm";
const PYTHON: &str = "{python}";

/// A base with everything that was open in it decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// An image by its digest.
    Image {
        /// As it was asked for: what is kept until this changes.
        name: String,
        /// With its digest.
        pinned: String,
    },
    /// A Dockerfile of the user's own.
    Dockerfile,
}

/// A base before its digest is known.
pub struct Wanted {
    name: Option<String>,
    /// The user's own, so that a mistake in it is in `docker.base_image`.
    own: bool,
}

impl Wanted {
    /// What an environment asks for.
    #[must_use]
    pub fn of(docker: Option<&Docker>, registries: &Registries) -> Self {
        match docker {
            Some(Docker { base_dockerfile: Some(_), .. }) => Self { name: None, own: true },
            Some(Docker { base_image: Some(image), .. }) => Self { name: Some(image.clone()), own: true },
            _ => {
                let default = registries.base_image().map(str::to_owned).or_else(|| Managed::installed().scorer);
                Self { name: Some(default.unwrap_or_else(|| OFFICIAL.to_owned())), own: false }
            }
        }
    }

    fn failed(&self, image: &str) -> impl FnOnce(registry::Error) -> Error + use<> {
        let (image, own) = (image.to_owned(), self.own);
        move |source| Error::BaseImage { image, own, source }
    }
}

impl Places {
    /// The Python of a base that tells it, as a set of specifiers: then that is the one to resolve packages for.
    pub async fn python(&self, wanted: &Wanted) -> Result<Option<String>, Error> {
        let Some(name) = wanted.name.as_ref().filter(|name| !name.contains(PYTHON)) else { return Ok(None) };
        let image = registry::parse(name).map_err(wanted.failed(name))?;
        let python = self.client.python(&image).await.map_err(wanted.failed(name))?;
        Ok(python.map(|python| format!("=={python}.*")))
    }

    /// Decides which image exactly a base is. One that was decided before stays while its name does; and one that the
    /// environment does not name stays while the environment does (`kept`): another release of the provider brings
    /// another default, which by itself changes nothing.
    pub async fn pin(&self, wanted: &Wanted, python: &str, before: Option<&Base>, kept: bool) -> Result<Base, Error> {
        let Some(name) = &wanted.name else { return Ok(Base::Dockerfile) };
        if let Some(before @ Base::Image { .. }) = before.filter(|_| kept && !wanted.own) {
            return Ok(before.clone());
        }
        let minor: Vec<&str> = python.split('.').take(2).collect();
        let name = name.replace(PYTHON, &minor.join("."));
        if let Some(before @ Base::Image { name: same, .. }) = before
            && *same == name
        {
            return Ok(before.clone());
        }
        let image = registry::parse(&name).map_err(wanted.failed(&name))?;
        let digest = match image.digest() {
            Some(digest) => digest.to_owned(),
            None => self.client.digest(&image).await.map_err(wanted.failed(&name))?.ok_or_else(|| {
                let missing = registry::Error::Missing { registry: image.registry().to_owned(), image: image.whole() };
                wanted.failed(&name)(missing)
            })?,
        };
        Ok(Base::Image { name, pinned: super::by_digest(&image, &digest) })
    }
}
