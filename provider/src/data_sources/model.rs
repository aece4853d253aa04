//! `azureml_model`: a registered model, its newest version or a certain one.

use std::collections::BTreeMap;

use serving::name::Noun;
use tfplugin::schema::{check_string, integer_between};
use tfplugin::{Attr, Attribute, Context, DataSource, Diagnostic, Diagnostics, Model, Schema, Type, async_trait};

use crate::diagnostics::OrExplain;
use crate::provider::Settings;
use crate::schema;
use crate::workspace::{ModelBody, WorkspaceId};

/// The data source.
#[derive(Clone, Copy, Debug)]
pub struct ModelData;

/// Arguments and results. What each field means says the schema.
#[derive(Clone, Debug, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Found {
    pub workspace_id: String,
    pub name: String,
    pub version: Attr<u64>,
    pub id: Attr<String>,
    pub version_id: Attr<String>,
    pub digest: Attr<String>,
    pub description: Attr<String>,
    pub tags: Attr<BTreeMap<String, String>>,
    pub properties: Attr<BTreeMap<String, String>>,
    pub created_time: Attr<String>,
}

#[async_trait]
impl DataSource for ModelData {
    type Data = Settings;
    type Model = Found;
    const NAME: &'static str = "azureml_model";

    fn schema(&self) -> Schema {
        Schema::new("A registered model: its newest version, or a certain one.")
            .attribute(
                "workspace_id",
                Attribute::string("Id of the workspace that holds it.").required().validate(schema::workspace_url()),
            )
            .attribute(
                "name",
                Attribute::string("Its name.").required().validate(check_string(Noun::Model.rule(), |name| {
                    serving::name::model(name).map_err(|violation| format!("{violation}."))
                })),
            )
            .attribute(
                "version",
                Attribute::number("The wanted version. Default: the newest.")
                    .optional()
                    .computed()
                    .validate(integer_between(1..=i64::MAX)),
            )
            .attribute("id", Attribute::string("`<workspace id>/models/<name>`.").computed())
            .attribute("version_id", Attribute::string("Id of the version, for `model_ids`.").computed())
            .attribute("digest", Attribute::string("SHA-256 over the version's files, `sha256:<hex>`.").computed())
            .attribute("description", Attribute::string("The model's description.").computed())
            .attribute("tags", Attribute::map(Type::String, "The model's tags.").computed())
            .attribute("properties", Attribute::map(Type::String, "The model's properties.").computed())
            .attribute("created_time", Attribute::string("When the version was registered, as RFC 3339.").computed())
    }

    async fn read(&self, context: &mut Context<Settings>, config: Found) -> Result<Found, Diagnostics> {
        let workspace: WorkspaceId = config.workspace_id.parse().or_explain("Invalid workspace")?;
        let id = workspace.model(&config.name);
        let summary = format!("Cannot read model {id}");
        let catalogue = context.data().catalogue(&workspace).or_explain(&summary)?;
        let found = catalogue.get::<ModelBody>(&id.name).await;
        let body = found.map_err(|error| crate::diagnostics::explain(&summary, &error).at_attribute("name"))?.body;
        let number = config.version.unwrap_or(body.version);
        let Some(version) = body.versions.get(&number) else {
            let there: Vec<String> = body.versions.keys().map(ToString::to_string).collect();
            let there = if there.is_empty() { "none yet".to_owned() } else { there.join(", ") };
            let detail = format!("There is no version {number} of it. Its versions: {there}.");
            return Err(Diagnostic::error(summary, detail).at_attribute("version").into());
        };
        Ok(Found {
            version: number.into(),
            version_id: id.version(number).to_string().into(),
            digest: version.manifest.to_string().into(),
            created_time: version.created_time.clone().into(),
            id: id.to_string().into(),
            description: body.description.into(),
            tags: body.tags.unwrap_or_default().into(),
            properties: body.properties.unwrap_or_default().into(),
            ..config
        })
    }
}
