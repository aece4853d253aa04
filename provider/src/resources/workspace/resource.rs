//! What happens.

use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Resource, Schema, async_trait};

use super::Workspace;
use crate::diagnostics::OrExplain;
use crate::provider::Settings;
use crate::workspace::claim::spec_digest;
use crate::workspace::document::Kind;
use crate::workspace::holdings::Holding;
use crate::workspace::store::create_private_directory;
use crate::workspace::{Begun, Catalogue, WorkspaceBody, WorkspaceId};

/// How many of the things that a workspace still holds an error names.
const NAMED: usize = 20;

/// `azureml_workspace`.
#[derive(Clone, Copy, Debug)]
pub struct WorkspaceResource;

fn open(url: &Attr<String>, attribute: &str, settings: &Settings) -> Result<Catalogue, Diagnostics> {
    let id: WorkspaceId = url.require(attribute)?.parse().or_explain("Invalid workspace")?;
    Ok(settings.catalogue(&id).or_explain(format!("Cannot open workspace {id}"))?)
}

fn body(planned: &Workspace) -> Result<WorkspaceBody, Diagnostics> {
    let (name, storage_url) = (planned.name.require("name")?, planned.storage_url.require("storage_url")?);
    Ok(WorkspaceBody {
        name: name.clone(),
        storage_url: storage_url.clone(),
        registry: planned.registry.clone().known(),
        global_registry: planned.global_registry.clone().known(),
        destroying: false,
    })
}

#[async_trait]
impl Resource for WorkspaceResource {
    type Data = Settings;
    type Model = Workspace;
    const NAME: &'static str = "azureml_workspace";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    async fn create(&self, context: &mut Context<Settings>, planned: Workspace) -> Result<Workspace, Diagnostics> {
        let catalogue = open(&planned.storage_url, "storage_url", &context.data())?;
        let summary = format!("Cannot create workspace {}", catalogue.workspace());
        if let Some(directory) = catalogue.directory() {
            create_private_directory(directory).map_err(|error| {
                let detail = format!(
                    "Cannot create {}: {error}. Choose a directory that can be written to.",
                    directory.display()
                );
                Diagnostic::error(&summary, detail).at_attribute("storage_url")
            })?;
        }
        let body = body(&planned)?;
        catalogue.check_place().await.or_explain(&summary)?;
        let owner = &context.data().owner;
        // Against what removes the traces of a workspace that was here before.
        let _held = catalogue.hold_blobs().await.or_explain(&summary)?;
        let begun = catalogue.begin("", owner, spec_digest(&body), body.clone()).await.or_explain(&summary)?;
        if let Begun::Intent(intent) = begun {
            catalogue.commit(intent, body).await.or_explain(summary)?;
        }
        Ok(Workspace { id: catalogue.workspace().to_string().into(), ..planned })
    }

    async fn read(&self, context: &mut Context<Settings>, state: Workspace) -> Result<Option<Workspace>, Diagnostics> {
        let catalogue = open(&state.id, "id", &context.data())?;
        let found = catalogue.find::<WorkspaceBody>("").await;
        let Some(found) = found.or_explain(format!("Cannot read workspace {}", catalogue.workspace()))? else {
            catalogue.remove_traces().await.or_explain("Cannot remove the traces of a destroyed workspace")?;
            return Ok(None);
        };
        Ok(Some(Workspace {
            name: found.body.name.into(),
            storage_url: found.body.storage_url.into(),
            registry: found.body.registry.into(),
            global_registry: found.body.global_registry.into(),
            // After an import: the default.
            force_destroy: state.force_destroy.unwrap_or(false).into(),
            id: state.id,
        }))
    }

    async fn update(
        &self,
        context: &mut Context<Settings>,
        prior: Workspace,
        planned: Workspace,
    ) -> Result<Workspace, Diagnostics> {
        let catalogue = open(&prior.id, "id", &context.data())?;
        let wanted = body(&planned)?;
        let change = |body: &mut WorkspaceBody| body.clone_from(&wanted);
        let updated = catalogue.update::<WorkspaceBody, _>("", change).await;
        updated.or_explain(format!("Cannot change workspace {}", catalogue.workspace()))?;
        Ok(planned)
    }

    async fn delete(&self, context: &mut Context<Settings>, state: Workspace) -> Result<(), Diagnostics> {
        let catalogue = open(&state.id, "id", &context.data())?;
        let summary = format!("Cannot destroy workspace {}", catalogue.workspace());
        let holdings = catalogue.holdings(&context.data().owner).await.or_explain(&summary)?;
        if !holdings.is_empty() && !state.force_destroy.unwrap_or(false) {
            return Err(Diagnostics::error(
                summary,
                format!(
                    "It still holds {}. Destroy these first, or set `force_destroy = true`, apply that, and destroy again.",
                    listed(&holdings)
                ),
            ));
        }
        let running = catalogue.running_computes().await.or_explain(&summary)?;
        if let Some(compute) = running.first() {
            return Err(Diagnostics::error(
                summary,
                format!(
                    "Its compute {compute} is running, and its files cannot be removed under it. Destroy the \
                     azureml_local_compute first, where its state is."
                ),
            ));
        }
        context.bounded("destroying the workspace", catalogue.destroy()).await?.or_explain(summary)?;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<Workspace, Diagnostics> {
        let id: WorkspaceId = id.parse().or_explain("Invalid import id")?;
        Ok(Workspace { id: id.to_string().into(), ..Workspace::default() })
    }
}

fn listed(holdings: &[Holding]) -> String {
    let kinds = Kind::HELD.into_iter().filter_map(|kind| {
        let names: Vec<&str> =
            holdings.iter().filter(|held| held.kind == kind).map(|held| held.name.as_str()).collect();
        let shown = names[..names.len().min(NAMED)].join(", ");
        let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
        (!names.is_empty()).then(|| format!("{kind}s {shown}{more}"))
    });
    kinds.collect::<Vec<_>>().join("; ")
}
