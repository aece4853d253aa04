//! What happens.

use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Plan, Resource, Schema, ValidateContext, async_trait};

use super::Environment;
use super::model::DockerBlock;
use crate::diagnostics::OrExplain;
use crate::environment::{
    EnvironmentSpec, Means, definition, image, register_environment, remove_environment, update_environment,
};
use crate::provider::Settings;
use crate::workspace::document::Definition;
use crate::workspace::{Catalogue, EnvironmentBody, EnvironmentId, Revision, WorkspaceBody, WorkspaceId};

/// `azureml_environment`.
#[derive(Clone, Copy, Debug)]
pub struct EnvironmentResource;

fn open(id: &Attr<String>, settings: &Settings) -> Result<(EnvironmentId, Catalogue), Diagnostics> {
    let id: EnvironmentId = id.require("id")?.parse().or_explain("Invalid id of an environment")?;
    let catalogue = settings.catalogue(&id.workspace).or_explain(format!("Cannot open workspace {}", id.workspace))?;
    Ok((id, catalogue))
}

fn spec(planned: &Environment) -> Result<EnvironmentSpec, Diagnostic> {
    planned.spec().ok_or_else(no_definition)
}

fn no_definition() -> Diagnostic {
    Diagnostic::error(
        "Exactly one definition is needed",
        "Set `pip_requirements` or `conda_file`, and not both: together they would not say which one wins.",
    )
}

/// How environments are made.
fn means(settings: &Settings) -> Means<'_> {
    Means { scorers: &settings.scorers, registries: &settings.registries }
}

/// Whether the image of an environment is what its workspace needs now: none, or one in its registry.
fn is_placed(body: &EnvironmentBody, workspace: Option<&WorkspaceBody>) -> bool {
    match (&body.image, workspace) {
        (Some(found), Some(workspace)) => image::belongs(found, workspace),
        (None, Some(workspace)) => workspace.registry.is_none(),
        (_, None) => true,
    }
}

/// Fills in what the workspace has decided.
fn registered(planned: Environment, id: &EnvironmentId, found: &Revision<EnvironmentBody>) -> Environment {
    Environment {
        id: id.to_string().into(),
        scorer_version: found.body.resolved.as_ref().map(|resolved| resolved.scorer.version.clone()).into(),
        version: found.body.version.into(),
        hash: found.body.hash.clone().into(),
        image: found.body.image.clone().into(),
        ..planned
    }
}

#[async_trait]
impl Resource for EnvironmentResource {
    type Data = Settings;
    type Model = Environment;
    const NAME: &'static str = "azureml_environment";

    fn schema(&self) -> Schema {
        super::schema::schema()
    }

    fn validate(&self, _: &mut ValidateContext, config: &Environment) -> Result<(), Diagnostics> {
        match (&config.pip_requirements, &config.conda_file) {
            (Attr::Null, Attr::Null) => Err(no_definition().into()),
            (Attr::Known(_), Attr::Known(_)) => Err(no_definition().at_attribute("conda_file").into()),
            _ => Ok::<_, Diagnostics>(()),
        }?;
        if let Attr::Known(docker) = &config.docker
            && docker.base_image.is_known()
            && docker.base_dockerfile.is_known()
        {
            let detail = "Set `docker.base_image` or `docker.base_dockerfile`, and not both: an image has one base.";
            return Err(Diagnostic::error("Two bases of one image", detail).at_attribute("docker").into());
        }
        let docker = config.docker();
        if let Some(text) = config.definition().filter(|_| !docker.is_unknown()) {
            definition::parse(&text, docker.get()).or_explain("Invalid definition of an environment")?;
        }
        Ok(())
    }

    async fn plan(&self, _: &mut Context<Settings>, plan: &mut Plan<Environment>) -> Result<(), Diagnostics> {
        let replaced = plan.is_replaced();
        let Some(planned) = &mut plan.planned else { return Ok(()) };
        planned.hash = match (planned.definition(), planned.docker()) {
            (Some(text), docker) if !docker.is_unknown() => {
                let parsed = definition::parse(&text, docker.get());
                parsed.or_explain("Invalid definition of an environment")?.hash().into()
            }
            _ => Attr::Unknown,
        };
        let same = plan.prior.as_ref().filter(|prior| {
            !replaced
                && prior.version.is_known()
                && prior.hash == planned.hash
                && prior.scorer_version == planned.scorer_version
                && !planned.environment_variables.is_unknown()
                && prior.environment_variables.clone().unwrap_or_default()
                    == planned.environment_variables.clone().unwrap_or_default()
        });
        if let Some(prior) = same {
            (planned.version, planned.image) = (prior.version, prior.image.clone());
        } else {
            planned.image = Attr::Unknown;
            // The id stays what it is, but only what is not known makes those who use it plan their own update.
            (planned.version, planned.id) = (Attr::Unknown, Attr::Unknown);
        }
        Ok(())
    }

    async fn create(&self, context: &mut Context<Settings>, planned: Environment) -> Result<Environment, Diagnostics> {
        let workspace: WorkspaceId =
            planned.workspace_id.require("workspace_id")?.parse().or_explain("Invalid workspace")?;
        let id = workspace.environment(planned.name.require("name")?);
        let summary = format!("Cannot create environment {id}");
        let catalogue = context.data().catalogue(&workspace).or_explain(&summary)?;
        catalogue.get::<WorkspaceBody>("").await.or_explain(&summary)?;
        let (settings, spec) = (context.data(), spec(&planned)?);
        let work = register_environment(&catalogue, &id.name, &settings.owner, &spec, means(&settings));
        let found = context.bounded("building the environment", work).await?.or_explain(summary)?;
        Ok(registered(planned, &id, &found))
    }

    async fn read(
        &self,
        context: &mut Context<Settings>,
        state: Environment,
    ) -> Result<Option<Environment>, Diagnostics> {
        let (id, catalogue) = open(&state.id, &context.data())?;
        let found = catalogue.find::<EnvironmentBody>(&id.name).await;
        let Some(found) = found.or_explain(format!("Cannot read environment {id}"))? else { return Ok(None) };
        let (pip_requirements, conda_file) = match found.body.definition.clone() {
            Definition::PipRequirements(text) => (Some(text), None),
            Definition::CondaFile(text) => (None, Some(text)),
        };
        let workspace = catalogue.find::<WorkspaceBody>("").await;
        let workspace = workspace.or_explain(format!("Cannot read environment {id}"))?;
        let placed = is_placed(&found.body, workspace.as_ref().map(|workspace| &workspace.body));
        let resolved = found.body.resolved.as_ref();
        Ok(Some(Environment {
            name: id.name.clone().into(),
            // The user may spell the same workspace otherwise.
            workspace_id: match state.workspace_id.as_deref().and_then(|text| text.parse::<WorkspaceId>().ok()) {
                Some(workspace) if workspace == id.workspace => state.workspace_id,
                _ => id.workspace.to_string().into(),
            },
            pip_requirements: pip_requirements.into(),
            conda_file: conda_file.into(),
            environment_variables: found.body.environment_variables.clone().into(),
            scorer_version: resolved.map(|resolved| resolved.scorer.version.clone()).into(),
            docker: found.body.docker.clone().map(DockerBlock::from).into(),
            // An unfinished one has no version; the next apply gives it one. So has one whose workspace has another
            // registry now, in which the next apply places it.
            version: resolved.filter(|_| placed).map(|_| found.body.version).into(),
            image: found.body.image.clone().into(),
            hash: found.body.hash.clone().into(),
            id: state.id,
            timeouts: state.timeouts,
        }))
    }

    async fn update(
        &self,
        context: &mut Context<Settings>,
        prior: Environment,
        planned: Environment,
    ) -> Result<Environment, Diagnostics> {
        let (id, catalogue) = open(&prior.id, &context.data())?;
        let (settings, spec) = (context.data(), spec(&planned)?);
        let work = update_environment(&catalogue, &id.name, &spec, means(&settings));
        let found = context.bounded("building the environment", work).await?;
        let found = found.or_explain(format!("Cannot change environment {id}"))?;
        Ok(registered(planned, &id, &found))
    }

    async fn delete(&self, context: &mut Context<Settings>, state: Environment) -> Result<(), Diagnostics> {
        let (id, catalogue) = open(&state.id, &context.data())?;
        let work = remove_environment(&catalogue, &id.name);
        context
            .bounded("removing the environment", work)
            .await?
            .or_explain(format!("Cannot remove environment {id}"))?;
        Ok(())
    }

    async fn import(&self, _: &mut Context<Settings>, id: &str) -> Result<Environment, Diagnostics> {
        let id: EnvironmentId = id.parse().or_explain("Invalid import id")?;
        Ok(Environment { id: id.to_string().into(), ..Environment::default() })
    }
}
