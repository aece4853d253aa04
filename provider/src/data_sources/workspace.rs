//! `azureml_workspace`: a workspace that exists already.

use tfplugin::{Attr, Attribute, Context, DataSource, Diagnostics, Model, Schema, async_trait};

use crate::diagnostics::OrExplain;
use crate::provider::Settings;
use crate::schema;
use crate::workspace::{WorkspaceBody, WorkspaceId};

/// The data source.
#[derive(Clone, Copy, Debug)]
pub struct WorkspaceData;

/// Arguments and results. What each field means says the schema.
#[derive(Clone, Debug, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Found {
    pub storage_url: String,
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub owner: Attr<String>,
    pub created_time: Attr<String>,
}

#[async_trait]
impl DataSource for WorkspaceData {
    type Data = Settings;
    type Model = Found;
    const NAME: &'static str = "azureml_workspace";

    fn schema(&self) -> Schema {
        Schema::new("A workspace that exists already.")
            .attribute(
                "storage_url",
                Attribute::string("URL of its storage root: `file:///<absolute path>`, `az://<container>/<prefix>` or `s3://<bucket>/<prefix>`.")
                    .required()
                    .validate(schema::workspace_url()),
            )
            .attribute("id", Attribute::string("Its id, for `workspace_id`.").computed())
            .attribute("name", Attribute::string("Its name.").computed())
            .attribute("owner", Attribute::string("Who created it.").computed())
            .attribute("created_time", Attribute::string("When it was created, as RFC 3339.").computed())
    }

    async fn read(&self, context: &mut Context<Settings>, config: Found) -> Result<Found, Diagnostics> {
        let id: WorkspaceId = config.storage_url.parse().or_explain("Invalid workspace")?;
        let summary = format!("Cannot read workspace {id}");
        let catalogue = context.data().catalogue(&id).or_explain(&summary)?;
        let found = catalogue.get::<WorkspaceBody>("").await;
        let found = found.map_err(|error| crate::diagnostics::explain(summary, &error).at_attribute("storage_url"))?;
        Ok(Found {
            id: id.to_string().into(),
            name: found.body.name.into(),
            owner: found.header.owner.into(),
            created_time: found.header.created_time.into(),
            ..config
        })
    }
}
