//! Copies images from one registry to another, and names them.

use futures_util::TryStreamExt as _;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, manifest::OciDescriptor};
use serde::Deserialize;

use super::client::Client;
use super::error::Error;

const ACCEPTED: [&str; 4] =
    [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];

/// Of a manifest or an index, what it points to.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pointers {
    media_type: Option<String>,
    config: Option<OciDescriptor>,
    #[serde(default)]
    layers: Vec<OciDescriptor>,
    #[serde(default)]
    manifests: Vec<Pointer>,
}

#[derive(Deserialize)]
struct Pointer {
    digest: String,
}

impl Client {
    /// Copies an image with all that belongs to it; its digest. Layers that are there already are not copied again.
    pub async fn copy(&self, from: &Reference, to: &Reference) -> Result<String, Error> {
        let (bytes, digest, pointers) = self.manifest(from).await?;
        for pointer in &pointers.manifests {
            let part = from.clone_with_digest(pointer.digest.clone());
            let place = to.clone_with_digest(pointer.digest.clone());
            let (bytes, _, pointers) = self.manifest(&part).await?;
            self.copy_one(&part, &place, bytes, &pointers).await?;
        }
        self.copy_one(from, to, bytes, &pointers).await?;
        Ok(digest)
    }

    /// Gives an image of the same repository another tag.
    pub async fn tag(&self, image: &Reference, tag: &Reference) -> Result<(), Error> {
        let (bytes, _, pointers) = self.manifest(image).await?;
        self.put(tag, bytes, &pointers).await
    }

    async fn manifest(&self, image: &Reference) -> Result<(bytes::Bytes, String, Pointers), Error> {
        let client = self.of(image).await?;
        let pulled = client.pull_manifest_raw(image, &RegistryAuth::Anonymous, &ACCEPTED).await;
        let (bytes, digest) = pulled.map_err(|error| Error::of(&error, "read", image))?;
        let pointers: Pointers = serde_json::from_slice(&bytes).map_err(|error| Error::Other {
            registry: image.registry().to_owned(),
            action: "read",
            image: image.whole(),
            why: error.to_string(),
        })?;
        Ok((bytes, digest, pointers))
    }

    async fn copy_one(
        &self,
        from: &Reference,
        to: &Reference,
        manifest: bytes::Bytes,
        pointers: &Pointers,
    ) -> Result<(), Error> {
        let (source, target) = (self.of(from).await?, self.of(to).await?);
        for blob in pointers.config.iter().chain(&pointers.layers) {
            let there = target.blob_exists(to, &blob.digest).await;
            if there.map_err(|error| Error::of(&error, "look up a layer of", to))? {
                continue;
            }
            let stream = source.pull_blob_stream(from, blob).await;
            let stream = stream.map_err(|error| Error::of(&error, "read a layer of", from))?;
            let stream = stream.stream.map_err(oci_client::errors::OciDistributionError::from);
            let size = u64::try_from(blob.size).ok();
            target
                .push_blob_stream(to, stream, &blob.digest, size)
                .await
                .map_err(|error| Error::of(&error, "write a layer of", to))?;
        }
        self.put(to, manifest, pointers).await
    }

    async fn put(&self, image: &Reference, manifest: bytes::Bytes, pointers: &Pointers) -> Result<(), Error> {
        let kind = pointers.media_type.as_deref().unwrap_or(OCI_IMAGE_MEDIA_TYPE);
        let other = |why: String| Error::Other {
            registry: image.registry().to_owned(),
            action: "write",
            image: image.whole(),
            why,
        };
        let kind = kind.parse().map_err(|_| other(format!("it is of the strange kind {kind:?}")))?;
        let pushed = self.of(image).await?.push_manifest_raw(image, manifest, kind).await;
        pushed.map(drop).map_err(|error| Error::of(&error, "write", image))
    }
}
