//! From the ids of a plan to what replicas are made of.

use serving::service::{CodeRef, ModelRef, Template};
use tfplugin::{Diagnostic, Diagnostics, OrDiagnostic as _};

use super::checks::{self, Source};
use super::model::Deployment;
use crate::cluster::{Cluster, Replicas};
use crate::diagnostics::{OrExplain as _, sentence};
use crate::workspace::{Catalogue, Digest, EnvironmentBody, EnvironmentId, ModelBody, ModelVersionId, Revision};

/// Makes the template of a plan: finds models and environment, builds what of the environment is missing, and stores the
/// code. Call with blobs held.
pub async fn template(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    planned: &Deployment,
    source: &Source,
) -> Result<Template, Diagnostics> {
    let models = models(catalogue, planned).await?;
    let environment = environment(catalogue, planned).await?;
    let reference = async {
        match cluster.replicas() {
            Replicas::Processes => crate::environment::prepare(catalogue, &environment).await,
            Replicas::Pods => crate::environment::image_ref(catalogue, &environment),
        }
    };
    let reference = reference.await.map_err(|error| {
        Diagnostic::error(format!("Cannot build environment {}", environment.name), sentence(&error))
            .at(checks::path("inference_config.environment_id"))
    })?;
    let pod = match cluster.replicas() {
        Replicas::Processes => None,
        Replicas::Pods => {
            let bytes = content_bytes(catalogue, &models, source).await?;
            Some(super::pod::Configured::of(&planned.pod).effective(bytes))
        }
    };
    let digest = catalogue.put_code(&source.snapshot).await.or_diagnostic("Cannot store the code")?;
    if digest != source.digest {
        return Err(changed(planned).into());
    }
    Ok(Template {
        models,
        code: CodeRef {
            digest: digest.to_string(),
            directory: source.directory.clone(),
            entry_script: planned.inference().entry_script.unwrap_or_default(),
        },
        environment: reference,
        environment_variables: environment.body.environment_variables.unwrap_or_default(),
        pod,
        unknown: std::collections::BTreeMap::new(),
    })
}

/// Bytes that a pod fetches and unpacks.
async fn content_bytes(catalogue: &Catalogue, models: &[ModelRef], source: &Source) -> Result<u64, Diagnostics> {
    // The archive, and what is unpacked from it.
    let mut bytes = 2 * source.snapshot.bytes();
    for model in models {
        let digest: Digest = model.digest.parse().or_diagnostic("Cannot read a model")?;
        let manifest = catalogue.manifest(&digest).await.or_explain(format!("Cannot read model {}", model.name))?;
        bytes += manifest.files.iter().map(|file| file.size).sum::<u64>();
    }
    Ok(bytes)
}

/// The source directory as the plan saw it; an error if it has changed since.
pub async fn source(planned: &Deployment) -> Result<Source, Diagnostics> {
    let inference = planned.inference();
    let directory = inference.source_directory.unwrap_or_default();
    let script = inference.entry_script.known();
    let source = read_source(directory, script).await?;
    match planned.code_digest.as_deref() {
        Some(digest) if digest != source.digest.to_string() => Err(changed(planned).into()),
        _ => Ok(source),
    }
}

/// Reads a source directory off the async threads.
pub async fn read_source(directory: String, script: Option<String>) -> Result<Source, Diagnostics> {
    let read = tokio::task::spawn_blocking(move || checks::source(&directory, script.as_deref()));
    read.await.or_diagnostic("Cannot read the source directory")?
}

fn changed(planned: &Deployment) -> Diagnostic {
    let directory = planned.inference().source_directory.unwrap_or_default();
    let detail = format!("The files in {directory} were changed after the plan was made. Run terraform apply again.");
    Diagnostic::error("The source directory has changed", detail).at(checks::path("inference_config.source_directory"))
}

async fn models(catalogue: &Catalogue, planned: &Deployment) -> Result<Vec<ModelRef>, Diagnostics> {
    let mut models = Vec::new();
    let mut missing = Diagnostics::new();
    for (index, id) in planned.model_ids.get().into_iter().flatten().enumerate() {
        let parsed: ModelVersionId = id.parse().or_explain("Invalid model_ids")?;
        let name = &parsed.model.name;
        let found = catalogue.find::<ModelBody>(name).await.or_explain(format!("Cannot read model {name}"))?;
        match found.and_then(|model| model.body.versions.get(&parsed.version).map(|version| version.manifest)) {
            Some(manifest) => models.push(ModelRef {
                id: id.clone(),
                name: name.clone(),
                version: parsed.version,
                digest: manifest.to_string(),
            }),
            None => missing.push(
                Diagnostic::error(
                    format!("Model version {id} does not exist"),
                    "Register it, or name one that exists, such as azureml_model.<name>.version_id.",
                )
                .at(checks::path(&format!("model_ids[{index}]"))),
            ),
        }
    }
    missing.into_result()?;
    Ok(models)
}

/// The environment of a plan.
pub async fn environment(
    catalogue: &Catalogue,
    planned: &Deployment,
) -> Result<Revision<EnvironmentBody>, Diagnostics> {
    let id = planned.inference().environment_id.unwrap_or_default();
    let parsed: EnvironmentId = id.parse().or_explain("Invalid inference_config.environment_id")?;
    let found = catalogue.find::<EnvironmentBody>(&parsed.name).await;
    let found = found.or_explain(format!("Cannot read environment {}", parsed.name))?;
    found.ok_or_else(|| {
        Diagnostic::error(
            format!("Environment {id} does not exist"),
            "Create it, or name one that exists, such as azureml_environment.<name>.id.",
        )
        .at(checks::path("inference_config.environment_id"))
        .into()
    })
}
