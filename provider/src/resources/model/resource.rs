//! What happens.

use std::path::Path;

use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Plan, PlanKind, Resource, Schema, async_trait};

use super::Model;
use crate::diagnostics::{OrExplain, explain};
use crate::provider::Settings;
use crate::workspace::hash_cache::HashCache;
use crate::workspace::manifest::Scan;
use crate::workspace::model::{RegisterError, lost_properties};
use crate::workspace::{Catalogue, ModelBody, ModelId, Revision, WorkspaceBody, WorkspaceId};

/// `azureml_model`.
#[derive(Clone, Copy, Debug)]
pub struct ModelResource;

/// Reads the sums of a model's files.
async fn scan(context: &Context<Settings>, path: &str) -> Result<Scan, Diagnostics> {
    let summary = format!("Cannot use {path:?} as a model");
    let path = path.to_owned();
    let scan = tokio::task::spawn_blocking(move || {
        let path = Path::new(&path);
        let mut cache = HashCache::for_path(path);
        let scan = Scan::of(path, &mut cache);
        cache.save();
        scan
    });
    let scan = context.bounded("reading the model", scan).await?;
    let scan = scan.map_err(|error| Diagnostic::error(&summary, error.to_string()))?;
    Ok(scan.or_explain(summary)?)
}

fn open(id: &Attr<String>, settings: &Settings) -> Result<(ModelId, Catalogue), Diagnostics> {
    let id: ModelId = id.require("id")?.parse().or_explain("Invalid id of a model")?;
    let catalogue = settings.catalogue(&id.workspace).or_explain(format!("Cannot open workspace {}", id.workspace))?;
    Ok((id, catalogue))
}

/// Fills in what the workspace has decided.
fn registered(planned: Model, id: &ModelId, model: &Revision<ModelBody>) -> Model {
    Model {
        id: id.to_string().into(),
        version: model.body.version.into(),
        version_id: id.version(model.body.version).to_string().into(),
        digest: model.body.digest().map(|digest| digest.to_string()).into(),
        ..planned
    }
}

#[async_trait]
impl Resource for ModelResource {
    type Data = Settings;
    type Model = Model;
    const NAME: &'static str = "azureml_model";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    async fn plan(&self, context: &mut Context<Settings>, plan: &mut Plan<Model>) -> Result<(), Diagnostics> {
        let Some(planned) = &mut plan.planned else { return Ok(()) };
        planned.digest = match planned.path.as_deref() {
            Some(path) => scan(context, path).await?.manifest.digest().to_string().into(),
            None => Attr::Unknown,
        };
        let same = plan.prior.as_ref().filter(|prior| prior.digest == planned.digest && prior.version.is_known());
        (planned.version, planned.version_id) = match same {
            Some(prior) => (prior.version, prior.version_id.clone()),
            None => (Attr::Unknown, Attr::Unknown),
        };
        if let (Some(prior), Some(planned)) = (&plan.prior, &plan.planned)
            && plan.kind() == PlanKind::Update
            && !plan.is_replaced()
            && !planned.properties.is_unknown()
        {
            let lost = lost_properties(prior.properties.get(), planned.properties.get());
            if !lost.is_empty() {
                return Err(explain("Cannot change properties", &RegisterError::Properties(lost)).into());
            }
        }
        Ok(())
    }

    async fn create(&self, context: &mut Context<Settings>, planned: Model) -> Result<Model, Diagnostics> {
        let workspace: WorkspaceId =
            planned.workspace_id.require("workspace_id")?.parse().or_explain("Invalid workspace")?;
        let id = workspace.model(planned.name.require("name")?);
        let summary = format!("Cannot register model {id}");
        let catalogue = context.data().catalogue(&workspace).or_explain(&summary)?;
        catalogue.get::<WorkspaceBody>("").await.or_explain(&summary)?;
        let scan = scan(context, planned.path.require("path")?).await?;
        unchanged(&planned, &scan)?;
        let (owner, spec) = (context.data().owner.clone(), planned.spec());
        let work = catalogue.register_model(&id.name, &owner, &spec, &scan);
        let model = context.bounded("registering the model", work).await?.or_explain(summary)?;
        Ok(registered(planned, &id, &model))
    }

    async fn read(&self, context: &mut Context<Settings>, state: Model) -> Result<Option<Model>, Diagnostics> {
        let (id, catalogue) = open(&state.id, &context.data())?;
        let summary = format!("Cannot read model {id}");
        let Some(found) = catalogue.find::<ModelBody>(&id.name).await.or_explain(&summary)? else { return Ok(None) };
        let digest = match found.body.digest() {
            // Without its content the version is not what the state says; the next apply puts it back.
            Some(digest) if catalogue.is_whole(&digest).await.or_explain(&summary)? => Some(digest.to_string()),
            _ => None,
        };
        let body = &found.body;
        let numbered = Some(body.version).filter(|version| *version > 0);
        Ok(Some(Model {
            name: id.name.clone().into(),
            // The user may spell the same workspace otherwise.
            workspace_id: match state.workspace_id.as_deref().and_then(|text| text.parse::<WorkspaceId>().ok()) {
                Some(workspace) if workspace == id.workspace => state.workspace_id,
                _ => id.workspace.to_string().into(),
            },
            path: body.path.clone().into(),
            description: body.description.clone().into(),
            tags: body.tags.clone().into(),
            properties: body.properties.clone().into(),
            keep_versions: body.keep_versions.into(),
            version: numbered.into(),
            version_id: numbered.map(|version| id.version(version).to_string()).into(),
            digest: digest.into(),
            id: state.id,
            timeouts: state.timeouts,
        }))
    }

    async fn update(
        &self,
        context: &mut Context<Settings>,
        prior: Model,
        planned: Model,
    ) -> Result<Model, Diagnostics> {
        let (id, catalogue) = open(&prior.id, &context.data())?;
        let summary = format!("Cannot change model {id}");
        let scan = scan(context, planned.path.require("path")?).await?;
        unchanged(&planned, &scan)?;
        let spec = planned.spec();
        let work = catalogue.update_model(&id.name, &spec, &scan);
        let model = context.bounded("changing the model", work).await?.or_explain(summary)?;
        Ok(registered(planned, &id, &model))
    }

    async fn delete(&self, context: &mut Context<Settings>, state: Model) -> Result<(), Diagnostics> {
        let (id, catalogue) = open(&state.id, &context.data())?;
        let work = catalogue.remove_model(&id.name);
        context.bounded("removing the model", work).await?.or_explain(format!("Cannot remove model {id}"))?;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<Model, Diagnostics> {
        let id: ModelId = id.parse().or_explain("Invalid import id")?;
        Ok(Model { id: id.to_string().into(), ..Model::default() })
    }
}

/// What is registered must be what was planned.
fn unchanged(planned: &Model, scan: &Scan) -> Result<(), Diagnostic> {
    let digest = scan.manifest.digest().to_string();
    match planned.digest.as_deref() {
        Some(wanted) if wanted != digest => Err(Diagnostic::error(
            "The model changed since the plan",
            format!(
                "{} is not what it was when the change was planned. Plan again, and apply when nothing writes to it.",
                planned.path.as_deref().unwrap_or_default()
            ),
        )
        .at_attribute("path")),
        _ => Ok(()),
    }
}
