//! The provider block, data sources and ephemeral resources.

use std::sync::{Arc, PoisonError};

use super::outcome::{decode, encode, guard, guard_blocking, settle};
use super::{Inner, find, validate};
use crate::diagnostic::Diagnostics;
use crate::model::Field as _;
use crate::path::AttributePath;
use crate::proto;
use crate::provider::{Provider, ValidateContext};
use crate::schema::Schema;
use crate::value::Value;

/// Checks a configuration by its schema and then by the provider's own code.
fn check(
    schema: &Schema,
    config: &Value,
    own: impl FnOnce(&mut ValidateContext, Value) -> Result<(), Diagnostics>,
) -> Result<Diagnostics, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    guard_blocking(|| {
        // Only resources have write-only attributes.
        validate::check(schema, config, true, &mut diagnostics);
        Ok(())
    })?;
    if !diagnostics.has_errors() {
        let mut context = ValidateContext::new(config.clone());
        let result = guard_blocking(|| own(&mut context, config.clone()));
        diagnostics.append(context.into_diagnostics());
        diagnostics.append(result.err().unwrap_or_default());
    }
    Ok(diagnostics)
}

impl<P: Provider> Inner<P> {
    pub(super) fn validate_provider(
        &self,
        request: &proto::validate_provider_config::Request,
    ) -> Result<Diagnostics, Diagnostics> {
        let config = decode(request.config.as_ref(), &self.schema.ty())?;
        check(&self.schema, &config, |context, config| match P::Config::from_value(config, &AttributePath::root()) {
            Ok(config) => self.provider.validate(context, &config),
            Err(error) if error.unknown => Ok(()),
            Err(error) => Err(error.into()),
        })
    }

    pub(super) async fn configure(&self, request: proto::configure_provider::Request) -> Result<(), Diagnostics> {
        let config = decode(request.config.as_ref(), &self.schema.ty())?;
        let config = P::Config::from_value(config, &AttributePath::root())?;
        let data = guard(self.provider.configure(config, &request.terraform_version)).await?;
        *self.data.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(data));
        Ok(())
    }

    pub(super) fn validate_data(
        &self,
        request: &proto::validate_data_resource_config::Request,
    ) -> Result<Diagnostics, Diagnostics> {
        let kind = find(&self.data_sources, "data source", &request.type_name)?;
        let config = decode(request.config.as_ref(), &kind.ty)?;
        check(&kind.schema, &config, |context, config| kind.object.validate(context, config))
    }

    pub(super) async fn read_data(
        &self,
        request: proto::read_data_source::Request,
    ) -> Result<proto::read_data_source::Response, Diagnostics> {
        let kind = find(&self.data_sources, "data source", &request.type_name)?;
        let config = decode(request.config.as_ref(), &kind.ty)?;
        let mut context = self.context("read", &kind.schema, &[&config], config.clone(), &[])?;
        let result = guard(kind.object.read(&mut context, config)).await;
        let mut diagnostics = context.take_warnings();
        let state = match result {
            Ok(value) => {
                let value = settle(value, &kind.schema, &kind.ty, &mut diagnostics);
                encode(value, &kind.ty, &mut diagnostics)
            }
            Err(errors) => {
                diagnostics.append(errors);
                None
            }
        };
        Ok(proto::read_data_source::Response { state, diagnostics: diagnostics.to_proto(), ..Default::default() })
    }

    pub(super) fn validate_ephemeral(
        &self,
        request: &proto::validate_ephemeral_resource_config::Request,
    ) -> Result<Diagnostics, Diagnostics> {
        let kind = find(&self.ephemeral_resources, "ephemeral resource", &request.type_name)?;
        let config = decode(request.config.as_ref(), &kind.ty)?;
        check(&kind.schema, &config, |context, config| kind.object.validate(context, config))
    }

    pub(super) async fn open_ephemeral(
        &self,
        request: proto::open_ephemeral_resource::Request,
    ) -> Result<proto::open_ephemeral_resource::Response, Diagnostics> {
        let kind = find(&self.ephemeral_resources, "ephemeral resource", &request.type_name)?;
        let config = decode(request.config.as_ref(), &kind.ty)?;
        let mut context = self.context("open", &kind.schema, &[&config], config.clone(), &[])?;
        let result = guard(kind.object.open(&mut context, config)).await;
        let mut diagnostics = context.take_warnings();
        let (result, renew_at) = match result {
            Ok(opened) => {
                let value = settle(opened.model, &kind.schema, &kind.ty, &mut diagnostics);
                (encode(value, &kind.ty, &mut diagnostics), opened.renew_at)
            }
            Err(errors) => {
                diagnostics.append(errors);
                (None, None)
            }
        };
        Ok(proto::open_ephemeral_resource::Response {
            diagnostics: diagnostics.to_proto(),
            renew_at: renew_at.map(Into::into),
            result,
            private: Some(context.private.to_wire()),
            ..Default::default()
        })
    }

    pub(super) async fn renew_ephemeral(
        &self,
        request: proto::renew_ephemeral_resource::Request,
    ) -> Result<proto::renew_ephemeral_resource::Response, Diagnostics> {
        let kind = find(&self.ephemeral_resources, "ephemeral resource", &request.type_name)?;
        let private = request.private.unwrap_or_default();
        let mut context = self.context("renew", &kind.schema, &[], Value::Null, &private)?;
        let result = guard(kind.object.renew(&mut context)).await;
        let mut diagnostics = context.take_warnings();
        let renew_at = result.unwrap_or_else(|errors| {
            diagnostics.append(errors);
            None
        });
        Ok(proto::renew_ephemeral_resource::Response {
            diagnostics: diagnostics.to_proto(),
            renew_at: renew_at.map(Into::into),
            private: Some(context.private.to_wire()),
        })
    }

    pub(super) async fn close_ephemeral(
        &self,
        request: proto::close_ephemeral_resource::Request,
    ) -> Result<Diagnostics, Diagnostics> {
        let kind = find(&self.ephemeral_resources, "ephemeral resource", &request.type_name)?;
        let private = request.private.unwrap_or_default();
        let mut context = self.context("close", &kind.schema, &[], Value::Null, &private)?;
        let result = guard(kind.object.close(&mut context)).await;
        let mut diagnostics = context.take_warnings();
        diagnostics.append(result.err().unwrap_or_default());
        Ok(diagnostics)
    }
}
