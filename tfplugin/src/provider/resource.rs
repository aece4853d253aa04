//! Resources.

use async_trait::async_trait;
use serde_json::Value as Json;

use super::context::{Context, ValidateContext};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::{Field, Model};
use crate::path::AttributePath;
use crate::schema::Schema;
use crate::value::Value;

/// What Terraform is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// Make the object.
    Create,
    /// Change the object, or nothing at all.
    Update,
    /// Destroy the object.
    Destroy,
}

/// A planned change, for [`Resource::plan`] to inspect and alter.
#[derive(Clone, Debug)]
pub struct Plan<M> {
    /// What the user wrote; none when the object is destroyed.
    pub config: Option<M>,
    /// The state; none when the object is created.
    pub prior: Option<M>,
    /// What will be, with defaults and the schema's plan modifiers applied; none when the object is destroyed. Only
    /// computed attributes may be altered, to what apply will really produce, or to unknown.
    pub planned: Option<M>,
    requires_replace: Vec<AttributePath>,
}

impl<M> Plan<M> {
    /// What Terraform is going to do.
    #[must_use]
    pub const fn kind(&self) -> PlanKind {
        match (&self.prior, &self.planned) {
            (_, None) => PlanKind::Destroy,
            (None, Some(_)) => PlanKind::Create,
            (Some(_), Some(_)) => PlanKind::Update,
        }
    }

    /// Replaces the object because of this attribute.
    pub fn require_replace(&mut self, path: AttributePath) {
        self.requires_replace.push(path);
    }

    /// Whether the schema or an earlier call wants the object replaced.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        !self.requires_replace.is_empty()
    }
}

/// Brings a state from one version of the schema to the next.
pub struct Upgrader {
    pub(crate) from: i64,
    pub(crate) upgrade: Box<dyn Fn(Json) -> Result<Json, String> + Send + Sync>,
}

impl Upgrader {
    /// Turns the state of version `from`, as JSON, into that of version `from + 1`. The error says what is wrong with it.
    pub fn new(from: i64, upgrade: impl Fn(Json) -> Result<Json, String> + Send + Sync + 'static) -> Self {
        Self { from, upgrade: Box::new(upgrade) }
    }
}

impl std::fmt::Debug for Upgrader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upgrader(from {})", self.from)
    }
}

/// A kind of object that Terraform manages.
///
/// The model's fields are [`crate::Attr`]s wherever the configuration may be unknown while planning, which is nearly
/// everywhere.
#[async_trait]
pub trait Resource: Send + Sync + 'static {
    /// What the provider made of its configuration.
    type Data: Send + Sync + 'static;

    /// The object.
    type Model: Model;

    /// The name in configurations, such as `azureml_model`.
    const NAME: &'static str;

    /// What the user may write.
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond what the schema says. Values may be unknown.
    fn validate(&self, context: &mut ValidateContext, config: &Self::Model) -> Result<(), Diagnostics> {
        let _ = (context, config);
        Ok(())
    }

    /// Alters a planned change; called for create, update (also when nothing seems to change) and destroy.
    async fn plan(&self, context: &mut Context<Self::Data>, plan: &mut Plan<Self::Model>) -> Result<(), Diagnostics> {
        let _ = (context, plan);
        Ok(())
    }

    /// Makes the object. `planned` has unknown computed values; the result must have none.
    async fn create(&self, context: &mut Context<Self::Data>, planned: Self::Model)
    -> Result<Self::Model, Diagnostics>;

    /// Reads the object as it really is; none when it is gone.
    async fn read(
        &self,
        context: &mut Context<Self::Data>,
        state: Self::Model,
    ) -> Result<Option<Self::Model>, Diagnostics>;

    /// Changes the object. When it fails without [`Context::save`], the state stays what it was.
    async fn update(
        &self,
        context: &mut Context<Self::Data>,
        prior: Self::Model,
        planned: Self::Model,
    ) -> Result<Self::Model, Diagnostics>;

    /// Destroys the object; one that is gone already is no error.
    async fn delete(&self, context: &mut Context<Self::Data>, state: Self::Model) -> Result<(), Diagnostics>;

    /// Makes the beginning of a state from an import id; Terraform reads the object right after.
    async fn import(&self, context: &mut Context<Self::Data>, id: &str) -> Result<Self::Model, Diagnostics> {
        let _ = context;
        Err(Diagnostics::error(
            format!("Cannot import {}", Self::NAME),
            format!("The resource type {} has no import, so `{id}` cannot be imported.", Self::NAME),
        ))
    }

    /// The upgraders of old states, one for each version before the current one.
    fn upgraders(&self) -> Vec<Upgrader> {
        Vec::new()
    }
}

/// A planned change as plain values.
#[derive(Clone, Debug)]
pub struct PlanValues {
    pub(crate) config: Value,
    pub(crate) prior: Value,
    pub(crate) planned: Value,
    pub(crate) requires_replace: Vec<AttributePath>,
}

/// A [`Resource`] of any model; every one is this by itself.
#[async_trait]
#[doc(hidden)]
pub trait AnyResource<D>: Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self) -> Schema;
    fn fields(&self) -> &'static [&'static str];
    fn validate(&self, context: &mut ValidateContext, config: Value) -> Result<(), Diagnostics>;
    async fn plan(&self, context: &mut Context<D>, plan: &mut PlanValues) -> Result<(), Diagnostics>;
    async fn create(&self, context: &mut Context<D>, planned: Value) -> Result<Value, Diagnostics>;
    async fn read(&self, context: &mut Context<D>, state: Value) -> Result<Value, Diagnostics>;
    async fn update(&self, context: &mut Context<D>, prior: Value, planned: Value) -> Result<Value, Diagnostics>;
    async fn delete(&self, context: &mut Context<D>, state: Value) -> Result<(), Diagnostics>;
    async fn import(&self, context: &mut Context<D>, id: &str) -> Result<Value, Diagnostics>;
    fn upgraders(&self) -> Vec<Upgrader>;
}

pub(super) fn model<M: Model>(value: Value) -> Result<M, Diagnostics> {
    Ok(M::from_value(value, &AttributePath::root())?)
}

fn optional<M: Model>(value: &Value) -> Result<Option<M>, Diagnostics> {
    if value.is_null() {
        return Ok(None);
    }
    M::from_value(value.clone(), &AttributePath::root()).map(Some).map_err(|error| {
        if error.unknown {
            Diagnostic::bug(format!("{error}, which its model cannot hold.")).at(error.path).into()
        } else {
            error.into()
        }
    })
}

/// A check of a configuration: not done while the model cannot hold it because something is unknown, for Terraform checks
/// again when it is known.
pub(super) fn validate<M: Model>(
    config: Value,
    check: impl FnOnce(&M) -> Result<(), Diagnostics>,
) -> Result<(), Diagnostics> {
    match M::from_value(config, &AttributePath::root()) {
        Ok(model) => check(&model),
        Err(error) if error.unknown => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes over into `value` what differs between `before` and `after`, and nothing else, because a model may not hold all
/// that a value says (partly unknown collections, refinements).
fn take_changes(value: Value, before: &Value, after: Value) -> Value {
    if *before == after {
        return value;
    }
    match (value, before, after) {
        (Value::Object(values), Value::Object(before), Value::Object(mut after)) => Value::Object(
            values
                .into_iter()
                .map(|(name, value)| {
                    let value = match (before.get(&name), after.remove(&name)) {
                        (Some(before), Some(after)) => take_changes(value, before, after),
                        (None, Some(after)) => after,
                        (_, None) => value,
                    };
                    (name, value)
                })
                .collect(),
        ),
        (_, _, after) => after,
    }
}

#[async_trait]
impl<R: Resource> AnyResource<R::Data> for R {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn schema(&self) -> Schema {
        Resource::schema(self)
    }

    fn fields(&self) -> &'static [&'static str] {
        R::Model::FIELDS
    }

    fn validate(&self, context: &mut ValidateContext, config: Value) -> Result<(), Diagnostics> {
        validate(config, |config| Resource::validate(self, context, config))
    }

    async fn plan(&self, context: &mut Context<R::Data>, values: &mut PlanValues) -> Result<(), Diagnostics> {
        let mut plan = Plan::<R::Model> {
            config: optional(&values.config)?,
            prior: optional(&values.prior)?,
            planned: optional(&values.planned)?,
            requires_replace: std::mem::take(&mut values.requires_replace),
        };
        let before = plan.planned.as_ref().map(Field::to_value);
        let result = Resource::plan(self, context, &mut plan).await;
        values.requires_replace = plan.requires_replace;
        match (before, plan.planned) {
            (Some(before), Some(after)) => {
                values.planned = take_changes(std::mem::take(&mut values.planned), &before, after.to_value());
            }
            (None, None) => {}
            _ => return Err(Diagnostic::bug("A plan turned a destroy into something else, or the reverse.").into()),
        }
        result
    }

    async fn create(&self, context: &mut Context<R::Data>, planned: Value) -> Result<Value, Diagnostics> {
        Ok(Resource::create(self, context, model(planned)?).await?.to_value())
    }

    async fn read(&self, context: &mut Context<R::Data>, state: Value) -> Result<Value, Diagnostics> {
        let state = Resource::read(self, context, model(state)?).await?;
        Ok(state.map_or(Value::Null, |state| state.to_value()))
    }

    async fn update(&self, context: &mut Context<R::Data>, prior: Value, planned: Value) -> Result<Value, Diagnostics> {
        Ok(Resource::update(self, context, model(prior)?, model(planned)?).await?.to_value())
    }

    async fn delete(&self, context: &mut Context<R::Data>, state: Value) -> Result<(), Diagnostics> {
        Resource::delete(self, context, model(state)?).await
    }

    async fn import(&self, context: &mut Context<R::Data>, id: &str) -> Result<Value, Diagnostics> {
        Ok(Resource::import(self, context, id).await?.to_value())
    }

    fn upgraders(&self) -> Vec<Upgrader> {
        Resource::upgraders(self)
    }
}
