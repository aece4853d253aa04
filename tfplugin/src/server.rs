//! The provider service: what Terraform calls.

mod functions;
mod lookups;
mod outcome;
mod plan;
mod resources;
mod rpc;
mod validate;
mod walk;

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::{Model, parse_duration};
use crate::process::Stop;
use crate::provider::{AnyDataSource, AnyEphemeralResource, AnyFunction, AnyResource, Context, Private, Provider};
use crate::schema::Schema;
use crate::types::Type;
use crate::value::Value;

/// The time limit of an operation for which neither the user nor the schema sets one.
const DEFAULT_LIMIT: Duration = Duration::from_mins(20);

/// A [`Provider`] as the service that Terraform calls. Clones are the same server.
pub struct ProviderServer<P: Provider> {
    inner: Arc<Inner<P>>,
}

struct Inner<P: Provider> {
    provider: P,
    schema: Schema,
    resources: BTreeMap<&'static str, Kind<dyn AnyResource<P::Data>>>,
    data_sources: BTreeMap<&'static str, Kind<dyn AnyDataSource<P::Data>>>,
    ephemeral_resources: BTreeMap<&'static str, Kind<dyn AnyEphemeralResource<P::Data>>>,
    functions: BTreeMap<&'static str, Box<dyn AnyFunction>>,
    data: RwLock<Option<Arc<P::Data>>>,
    stop: Stop,
    /// What is wrong between schemas and models.
    problems: Vec<String>,
}

/// One resource, data source or ephemeral resource with its schema.
struct Kind<T: ?Sized> {
    object: Box<T>,
    schema: Schema,
    ty: Type,
}

impl<P: Provider> Clone for ProviderServer<P> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<P: Provider> fmt::Debug for ProviderServer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderServer({})", P::NAME)
    }
}

impl<P: Provider> ProviderServer<P> {
    /// Asks the provider for everything that it offers.
    pub fn new(provider: P) -> Self {
        let schema = provider.schema();
        let mut problems = Vec::new();
        note("the provider block", &schema, P::Config::FIELDS, &mut problems);
        let mut resources = BTreeMap::new();
        for object in provider.resources() {
            let (name, schema) = (object.name(), object.schema());
            note(name, &schema, object.fields(), &mut problems);
            let ty = schema.ty();
            if resources.insert(name, Kind { object, schema, ty }).is_some() {
                problems.push(format!("two resources are called {name}"));
            }
        }
        let mut data_sources = BTreeMap::new();
        for object in provider.data_sources() {
            let (name, schema) = (object.name(), object.schema());
            note(&format!("data source {name}"), &schema, object.fields(), &mut problems);
            let ty = schema.ty();
            if data_sources.insert(name, Kind { object, schema, ty }).is_some() {
                problems.push(format!("two data sources are called {name}"));
            }
        }
        let mut ephemeral_resources = BTreeMap::new();
        for object in provider.ephemeral_resources() {
            let (name, schema) = (object.name(), object.schema());
            note(&format!("ephemeral resource {name}"), &schema, object.fields(), &mut problems);
            let ty = schema.ty();
            if ephemeral_resources.insert(name, Kind { object, schema, ty }).is_some() {
                problems.push(format!("two ephemeral resources are called {name}"));
            }
        }
        let functions = provider.functions().into_iter().map(|function| (function.name(), function)).collect();
        Self {
            inner: Arc::new(Inner {
                provider,
                schema,
                resources,
                data_sources,
                ephemeral_resources,
                functions,
                data: RwLock::new(None),
                stop: Stop::new(),
                problems,
            }),
        }
    }

    /// The handle by which `StopProvider`, and whoever else wants running operations to end, tells them so.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.inner.stop.clone()
    }

    /// What is wrong between the provider's schemas and models, for its own tests. Terraform is told the same.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.inner.problems
    }
}

fn note(name: &str, schema: &Schema, fields: &[&str], problems: &mut Vec<String>) {
    problems.extend(schema.problems(fields).into_iter().map(|problem| format!("{name}: {problem}")));
}

impl<P: Provider> Inner<P> {
    fn data(&self) -> Result<Arc<P::Data>, Diagnostics> {
        let data = self.data.read().unwrap_or_else(PoisonError::into_inner).clone();
        data.ok_or_else(|| Diagnostic::bug("Terraform used the provider before it configured it.").into())
    }

    /// The context of an operation on an object; its time limit is in the first of `values` that has one.
    fn context(
        &self,
        operation: &'static str,
        schema: &Schema,
        values: &[&Value],
        config: Value,
        private: &[u8],
    ) -> Result<Context<P::Data>, Diagnostics> {
        let limit = values
            .iter()
            .find_map(|value| parse_duration(value.attribute("timeouts").attribute(operation).as_str()?))
            .or_else(|| schema.default_timeouts.get(operation).copied())
            .unwrap_or(DEFAULT_LIMIT);
        let private = Private::from_wire(private)
            .map_err(|error| Diagnostic::bug(format!("The private state is not readable: {error}.")))?;
        Ok(Context::new(self.data()?, operation, limit, self.stop.token(), config, private))
    }
}

fn find<'a, T: ?Sized>(
    kinds: &'a BTreeMap<&'static str, Kind<T>>,
    what: &str,
    name: &str,
) -> Result<&'a Kind<T>, Diagnostics> {
    kinds.get(name).ok_or_else(|| {
        Diagnostics::error(
            format!("Unknown {what} {name}"),
            format!(
                "This release of the provider has no {what} of this name. Check the name and the provider's version."
            ),
        )
    })
}
