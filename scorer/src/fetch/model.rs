//! Models: their manifests, then their files.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _};
use serving::digest::Digest;
use serving::manifest::{MAX_BYTES, Manifest};
use serving::service::ModelRef;
use serving::wire;

use super::failure::Failed;
use super::place::{self, Place};
use super::{Fetcher, Model, name};

/// Files that are fetched at once; of large ones the downloads bound what is in memory.
const FILES: usize = 16;

impl Fetcher {
    /// What a model version is made of; none if it is there already.
    pub(super) async fn model<'a>(&self, reference: &'a ModelRef) -> Result<Option<Model<'a>>, Failed> {
        let wrong = |what: String| Failed::setting(wire::FETCH, what);
        let digest: Digest = reference.digest.parse().map_err(|error| wrong(format!("{error}")))?;
        let path: PathBuf = [wire::MODELS_DIRECTORY, &reference.name, &reference.version.to_string()].iter().collect();
        let place = Place::of(&self.root, &path, digest);
        let place = place.ok_or_else(|| wrong(format!("names the model {:?}, which is no folder", reference.name)))?;
        if place.is_there() {
            return Ok(None);
        }
        let named = name(reference);
        let manifest = self.downloads.read(&self.store, &digest, MAX_BYTES).await;
        let manifest = manifest.map_err(|error| Failed::download(&self.location, &named, &digest, error))?;
        let content = |what: String| Failed::content(&self.location, &named, &digest, &what);
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .map_err(|error| content(format!("its manifest is not understood: {error}")))?;
        if let Some(file) = manifest.files.iter().find(|file| file.relative().is_none()) {
            return Err(content(format!("its file {:?} leaves its folder", file.path)));
        }
        Ok(Some(Model { reference, digest, manifest, place }))
    }

    /// Fetches the files of a model, and puts the whole in its place.
    pub(super) async fn files(&self, model: &Model<'_>) -> Result<(), Failed> {
        model.place.prepare()?;
        let tree = model.place.tree();
        let mut files = Vec::with_capacity(model.manifest.files.len());
        for (index, file) in model.manifest.files.iter().enumerate() {
            let Some(relative) = file.relative() else { continue };
            let to = tree.join(relative);
            // Checked before it got its name.
            if to.metadata().map(|metadata| metadata.len()).ok() == Some(file.size) {
                continue;
            }
            place::create_folder(to.parent().unwrap_or(&tree))?;
            files.push((file.path.clone(), file.digest, file.size, model.place.part(index), to));
        }
        let named = model.name();
        let fetch = |(path, digest, size, part, to): (String, Digest, u64, PathBuf, PathBuf)| {
            let object = format!("{path} of {named}");
            async move { self.file(&object, &digest, size, &part, &to).await }
        };
        futures_util::stream::iter(files).map(fetch).buffer_unordered(FILES).try_collect::<()>().await?;
        model.place.finish().map_err(|failed| failed.of(&named, &model.digest))
    }

    async fn file(&self, object: &str, digest: &Digest, size: u64, part: &Path, to: &Path) -> Result<(), Failed> {
        self.one(object, digest, Some(size), part).await?;
        place::rename(part, to)
    }
}
