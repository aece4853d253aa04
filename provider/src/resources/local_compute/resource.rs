//! What terraform's operations do.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, OrDiagnostic as _, Plan, Resource, Schema, ValidateContext, async_trait,
};

use super::issuers;
use super::model::LocalCompute;
use super::schema::status;
use super::settings::{self, Settings};
use crate::cluster::local::{Listen, Liveness, LocalCluster, free_port, machine::Machine, program};
use crate::cluster::wait::{self, Goal, Limits};
use crate::cluster::{Cluster, Error, StartProblem};
use crate::diagnostics::{OrExplain as _, explain};
use crate::provider::Settings as Provider;
use crate::workspace::claim::spec_digest;
use crate::workspace::document::ComputeLocation;
use crate::workspace::{Begun, ComputeBody, ComputeId, Revision, WorkspaceBody, WorkspaceId};

/// How often another free port is tried when the chosen one is taken before the router listens on it.
const PORT_TRIES: usize = 5;

/// `azureml_local_compute`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalComputeResource;

/// What adoption compares: everything that was configured.
#[derive(Serialize)]
struct Spec<'a> {
    settings: &'a Settings,
    machine: &'a str,
    directory: &'a Path,
}

#[async_trait]
impl Resource for LocalComputeResource {
    type Data = Provider;
    type Model = LocalCompute;
    const NAME: &'static str = "azureml_local_compute";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    fn validate(&self, _: &mut ValidateContext, config: &LocalCompute) -> Result<(), Diagnostics> {
        issuers::check(&config.token_issuers).into_result()
    }

    async fn plan(&self, context: &mut Context<Provider>, plan: &mut Plan<LocalCompute>) -> Result<(), Diagnostics> {
        let (config, prior) = (plan.config.clone().unwrap_or_default(), plan.prior.clone());
        let Some(planned) = &mut plan.planned else { return Ok(()) };
        planned.status = status::RUNNING.into();
        if let Ok(id) = planned_id(planned) {
            if config.directory.is_null() && prior.is_none() {
                let directory = settings::default_directory(&id.workspace, &id.name);
                planned.directory = directory.map_or(Attr::Unknown, |path| path.to_string_lossy().into_owned().into());
            }
            // Only an id that is not known yet makes the services plan to move, too.
            let moves = prior.is_none() && is_elsewhere(&id, planned, &context.data()).await;
            planned.id = if moves { Attr::Unknown } else { id.to_string().into() };
        }
        if config.router_version.is_null() {
            planned.router_version = match &prior {
                // Another program may have another version.
                Some(prior) if prior.router_path == planned.router_path && prior.router_version.is_known() => {
                    prior.router_version.clone()
                }
                _ => Attr::Unknown,
            };
        }
        Ok(())
    }

    async fn create(
        &self,
        context: &mut Context<Provider>,
        planned: LocalCompute,
    ) -> Result<LocalCompute, Diagnostics> {
        let id = planned_id(&planned)?;
        let failed = || format!("Cannot create local compute {}", id.name);
        let catalogue = context.data().catalogue(&id.workspace).or_explain(failed())?;
        if catalogue.find::<WorkspaceBody>("").await.or_explain(failed())?.is_none() {
            let detail = format!("Workspace {} does not exist. Create it first.", id.workspace);
            return Err(Diagnostic::error(failed(), detail).at_attribute("workspace_id").into());
        }
        let config: LocalCompute = context.config_model()?;
        let wanted = Settings::of(&planned, &config);
        let directory = planned_directory(&planned, &id)?;
        let machine = Machine::this();
        let spec = spec_digest(&Spec { settings: &wanted, machine: &machine.id, directory: &directory });
        let location = ComputeLocation::Local {
            machine: machine.id,
            host: machine.host,
            directory: directory.to_string_lossy().into_owned(),
        };
        let body = ComputeBody { location, configured: wanted.write() };
        let owner = context.data().owner.clone();
        let intent = match catalogue.begin(&id.name, &owner, spec, body).await.or_explain(failed())? {
            Begun::Adopted(compute) => {
                return Ok(configured_as(&planned, read(&id, &compute).await?));
            }
            Begun::Intent(intent) => intent,
        };
        let cluster = LocalCluster::of(&id.to_string(), &intent.body.location).or_explain(failed())?;
        if let Err(error) = cluster.claim_directory().await {
            // Nothing was made, so nothing is left for a later run to look after, in a directory that cannot be used.
            catalogue.abandon(&intent).await;
            return Err(explain(failed(), &error).into());
        }
        let mut begun = planned.clone();
        (begun.id, begun.directory) = (id.to_string().into(), shown_directory(&intent.body));
        context.save(&begun);
        let mut settings = Settings::read(&intent.body.configured);
        context
            .bounded("starting the router", bring_up(&cluster, &mut settings, wanted.port == 0))
            .await?
            .or_explain(failed())?;
        let body = ComputeBody { configured: settings.write(), ..intent.body.clone() };
        let compute = catalogue.commit(intent, body).await.or_explain(failed())?;
        Ok(configured_as(&planned, read(&id, &compute).await?))
    }

    async fn read(
        &self,
        context: &mut Context<Provider>,
        state: LocalCompute,
    ) -> Result<Option<LocalCompute>, Diagnostics> {
        let id: ComputeId = state.id.require("id")?.parse().or_explain("Invalid id of a local compute")?;
        let failed = || format!("Cannot read local compute {}", id.name);
        let catalogue = context.data().catalogue(&id.workspace).or_explain(failed())?;
        let Some(compute) = catalogue.find::<ComputeBody>(&id.name).await.or_explain(failed())? else {
            return Ok(None);
        };
        Ok(Some(configured_as(&state, read(&id, &compute).await?)))
    }

    async fn update(
        &self,
        context: &mut Context<Provider>,
        prior: LocalCompute,
        planned: LocalCompute,
    ) -> Result<LocalCompute, Diagnostics> {
        let id = planned_id(&planned)?;
        let failed = || format!("Cannot update local compute {}", id.name);
        let catalogue = context.data().catalogue(&id.workspace).or_explain(failed())?;
        let compute: Revision<ComputeBody> = catalogue.get(&id.name).await.or_explain(failed())?;
        let cluster = LocalCluster::of(&id.to_string(), &compute.body.location).or_explain(failed())?;
        let config: LocalCompute = context.config_model()?;
        let before = Settings::read(&compute.body.configured);
        let mut settings = Settings::of(&planned, &config);
        if settings.port == 0 {
            settings.port = before.port;
        }
        let other_program = prior.router_path != planned.router_path || prior.router_version != planned.router_version;
        let was_down = cluster.liveness().await.or_explain(failed())? == Liveness::Dead;
        let work = async {
            cluster.claim_directory().await?;
            let listen = Listen { address: settings.address, port: settings.port };
            let moved = cluster.listen().await? != Some(listen);
            if moved {
                cluster.stop().await?;
                cluster.configure(listen).await?;
            }
            let trusts = cluster.token_issuers().await? == settings.token_issuers;
            if !trusts {
                cluster.trust(settings.token_issuers.clone()).await?;
            }
            if other_program || cluster.installed().await?.is_none() {
                install(&cluster, &settings).await?;
                cluster.upgrade().await?;
            }
            if !trusts {
                cluster.reload().await?;
            }
            cluster.start().await?;
            Ok::<_, Error>(moved)
        };
        let moved = context.bounded("bringing up the router", work).await?.or_explain(failed())?;
        if was_down || moved {
            for warning in services_back(&cluster, context).await.or_explain(failed())? {
                context.warn(warning);
            }
        }
        let compute = if compute.header.committed {
            catalogue.update(&id.name, |body: &mut ComputeBody| body.configured = settings.write()).await
        } else {
            let body = ComputeBody { configured: settings.write(), ..compute.body.clone() };
            catalogue.commit(compute, body).await
        };
        let compute = compute.or_explain(failed())?;
        Ok(configured_as(&planned, read(&id, &compute).await?))
    }

    async fn delete(&self, context: &mut Context<Provider>, state: LocalCompute) -> Result<(), Diagnostics> {
        let id: ComputeId = state.id.require("id")?.parse().or_explain("Invalid id of a local compute")?;
        let failed = || format!("Cannot delete local compute {}", id.name);
        let catalogue = context.data().catalogue(&id.workspace).or_explain(failed())?;
        let Some(compute) = catalogue.find::<ComputeBody>(&id.name).await.or_explain(failed())? else { return Ok(()) };
        let cluster = LocalCluster::of(&id.to_string(), &compute.body.location).or_explain(failed())?;
        let services = held_services(&cluster).await.or_explain(failed())?;
        if !services.is_empty() {
            let detail = format!(
                "It still runs the services {}. Destroy them first; those that no state knows can be imported with the id \
                 '{id}/services/<name>'.",
                services.join(", ")
            );
            return Err(Diagnostics::error(failed(), detail));
        }
        let work = async {
            cluster.stop().await?;
            cluster.remove_directory().await
        };
        context.bounded("stopping the router", work).await?.or_explain(failed())?;
        if let Some(root) = id.workspace.directory() {
            // Stays while another compute is in it.
            let _ = std::fs::remove_dir(root.join(settings::FOLDER));
        }
        catalogue.remove::<ComputeBody>(&id.name).await.or_explain(failed())?;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Provider>, id: &str) -> Result<LocalCompute, Diagnostics> {
        let id: ComputeId = id.parse().or_explain("Invalid import id of a local compute")?;
        Ok(LocalCompute { id: id.to_string().into(), ..LocalCompute::default() })
    }
}

fn planned_id(planned: &LocalCompute) -> Result<ComputeId, Diagnostics> {
    let workspace = planned.workspace_id.require("workspace_id")?.parse().or_explain("Invalid workspace_id")?;
    Ok(ComputeId { workspace, name: planned.name.require("name")?.clone() })
}

fn planned_directory(planned: &LocalCompute, id: &ComputeId) -> Result<PathBuf, Diagnostics> {
    if let Attr::Known(directory) = &planned.directory {
        return Ok(settings::absolute(directory).or_diagnostic("Invalid directory")?);
    }
    settings::default_directory(&id.workspace, &id.name).ok_or_else(|| {
        let detail = "The workspace is not a folder of this machine, so the compute has no default directory. Set one.";
        Diagnostic::error("The directory is missing", detail).at_attribute("directory").into()
    })
}

/// Whether the compute exists in another directory: what is planned then is the second half of a replacement.
async fn is_elsewhere(id: &ComputeId, planned: &LocalCompute, provider: &Provider) -> bool {
    let Ok(catalogue) = provider.catalogue(&id.workspace) else { return false };
    let Ok(Some(compute)) = catalogue.find::<ComputeBody>(&id.name).await else { return false };
    let ComputeLocation::Local { directory, .. } = &compute.body.location else { return true };
    planned_directory(planned, id).is_ok_and(|planned| planned != Path::new(directory))
}

/// The directory as configured, else as it is.
fn shown_directory(body: &ComputeBody) -> Attr<String> {
    let ComputeLocation::Local { directory, .. } = &body.location else { return Attr::Null };
    Settings::read(&body.configured).directory.unwrap_or_else(|| directory.clone()).into()
}

/// With what only the configuration knows.
fn configured_as(known: &LocalCompute, found: LocalCompute) -> LocalCompute {
    let spelled = known.workspace_id.as_deref().and_then(|text| text.parse::<WorkspaceId>().ok());
    let same = spelled.is_some_and(|workspace| found.workspace_id.as_deref() == Some(workspace.as_str()));
    let workspace_id = if same { known.workspace_id.clone() } else { found.workspace_id };
    let token_issuers = issuers::shown(issuers::wanted(&found.token_issuers), &known.token_issuers);
    LocalCompute { workspace_id, token_issuers, timeouts: known.timeouts.clone(), ..found }
}

/// A compute as its document, its configuration file and its router tell. Fails on another machine.
async fn read(id: &ComputeId, compute: &Revision<ComputeBody>) -> Result<LocalCompute, Diagnostics> {
    let failed = || format!("Cannot read local compute {}", id.name);
    let cluster = LocalCluster::of(&id.to_string(), &compute.body.location).or_explain(failed())?;
    let settings = Settings::read(&compute.body.configured);
    let listen = cluster.listen().await.or_explain(failed())?;
    let listen = listen.unwrap_or(Listen { address: settings.address, port: settings.port });
    let trusted = cluster.token_issuers().await.or_explain(failed())?;
    let (status, version) = match cluster.status().await {
        Ok(status) => (status::RUNNING, Some(status.version)),
        Err(Error::NotRunning { .. }) => (status::STOPPED, installed_version(&cluster).await),
        Err(error) => return Err(explain(failed(), &error).into()),
    };
    Ok(LocalCompute {
        id: id.to_string().into(),
        name: id.name.as_str().into(),
        workspace_id: id.workspace.as_str().into(),
        address: listen.address.to_string().into(),
        port: i64::from(listen.port).into(),
        directory: shown_directory(&compute.body),
        router_path: settings.router_path.into(),
        router_version: version.into(),
        token_issuers: issuers::shown(trusted, &Attr::Null),
        status: if compute.header.committed { status } else { status::STOPPED }.into(),
        timeouts: tfplugin::Timeouts::default(),
    })
}

/// Version that the next start will run, if that can be told.
async fn installed_version(cluster: &LocalCluster) -> Option<String> {
    let program = cluster.installed().await.ok().flatten()?;
    program::version(&program).await.ok()
}

/// Finds the program that the settings want, checks its version, and installs it.
async fn install(cluster: &LocalCluster, settings: &Settings) -> Result<(), Error> {
    let found = program::find(settings.router_path.as_deref().map(Path::new))?;
    let version = program::version(&found).await?;
    if let Some(wanted) = settings.router_version.as_ref().filter(|wanted| **wanted != version) {
        return Err(Error::RouterVersion { path: found.display().to_string(), found: version, wanted: wanted.clone() });
    }
    cluster.install(&found).await?;
    Ok(())
}

/// Installs the program in the claimed directory and starts it. An open port is chosen and written into the settings.
async fn bring_up(cluster: &LocalCluster, settings: &mut Settings, choose_port: bool) -> Result<(), Error> {
    install(cluster, settings).await?;
    if choose_port && let Some(listen) = cluster.listen().await? {
        // An interrupted create may have started the router already.
        settings.port = listen.port;
    }
    for attempt in 1.. {
        if settings.port == 0 {
            settings.port = free_port(settings.address)?;
        }
        let listen = Listen { address: settings.address, port: settings.port };
        if cluster.listen().await? != Some(listen) {
            cluster.stop().await?;
            cluster.configure(listen).await?;
        }
        if cluster.token_issuers().await? != settings.token_issuers {
            cluster.trust(settings.token_issuers.clone()).await?;
            cluster.reload().await?;
        }
        match cluster.start().await {
            Err(Error::Start { problem: StartProblem::PortInUse, .. }) if choose_port && attempt < PORT_TRIES => {
                settings.port = 0;
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    // Runs already, with another program, if an interrupted create had started it.
    let installed = installed_version(cluster).await;
    if installed != Some(cluster.status().await?.version) {
        cluster.upgrade().await?;
    }
    Ok(())
}

/// Services whose create was finished once. What an interrupted create has left is known to no state and goes with the
/// compute.
async fn held_services(cluster: &LocalCluster) -> Result<Vec<String>, Error> {
    let mut held = Vec::new();
    for name in cluster.services().await? {
        let service = cluster.service(&name).await?;
        if service.is_some_and(|service| crate::cluster::deploy::committed_before(&service).is_some()) {
            held.push(name);
        }
    }
    Ok(held)
}

/// Waits until the services answer again; warnings about those that do not.
async fn services_back(cluster: &LocalCluster, context: &Context<Provider>) -> Result<Vec<Diagnostic>, Error> {
    let limits = Limits { deadline: tokio::time::Instant::from_std(context.deadline()), cancel: context.token() };
    let mut warnings = Vec::new();
    for name in cluster.services().await? {
        let Some(service) = cluster.service(&name).await? else { continue };
        if let Err(reason) = wait::until(cluster, &name, service.generation, Goal::Settled, &limits).await {
            let summary = format!("Service {name} is not back");
            warnings.push(Diagnostic::warning(summary, format!("The router runs, but of this service: {reason}.")));
        }
    }
    Ok(warnings)
}
