//! A resource's life: validate, plan, apply, read, import, destroy, in Core's order and with its checks.

use bytes::Bytes;

use super::core::{Core, Kind, capabilities};
use super::error::{self, CoreError, Message, Rule, Violation};
use super::proposed::proposed;
use super::rules;
use super::state::{Config, State};
use crate::path::AttributePath;
use crate::proto::{
    RawState, apply_resource_change, import_resource_state, plan_resource_change, read_resource,
    upgrade_resource_state, validate_resource_config,
};
use crate::value::Value;

/// What a plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the object.
    Create,
    /// Changes the object.
    Update,
    /// Destroys the object and makes another.
    Replace,
    /// Destroys the object.
    Destroy,
    /// Does nothing.
    NoOp,
}

/// A plan that can be applied.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it does.
    pub action: Action,
    /// What will be; null when the object is destroyed.
    pub value: Value,
    /// The attributes whose change replaces the object.
    pub requires_replace: Vec<AttributePath>,
    /// The provider's warnings.
    pub messages: Vec<Message>,
    type_name: String,
    prior: Option<State>,
    config: Value,
    private: Bytes,
}

/// What one call of `PlanResourceChange` gives.
struct Answer {
    value: Value,
    private: Bytes,
    requires_replace: Vec<AttributePath>,
    messages: Vec<Message>,
}

impl Core {
    /// Validates the configuration of a resource. Returns the warnings.
    pub async fn validate(&self, type_name: &str, config: impl Into<Config>) -> Result<Vec<Message>, CoreError> {
        let kind = self.resource(type_name)?;
        let request = validate_resource_config::Request {
            type_name: type_name.into(),
            config: kind.encode(&kind.fit(config)?)?,
            client_capabilities: Some(capabilities()),
        };
        error::check(&self.client.clone().validate_resource_config(request).await?.into_inner().diagnostics)
    }

    /// Plans a change from `prior` (none: the object does not exist) to `config`, with all that Core checks of a plan.
    pub async fn plan(
        &self,
        type_name: &str,
        prior: Option<&State>,
        config: impl Into<Config>,
    ) -> Result<Planned, CoreError> {
        let kind = self.resource(type_name)?;
        let config = kind.fit(config)?;
        let before = prior.map_or(Value::Null, |state| state.value.clone());
        let first = self.checked_plan(kind, type_name, &before, &config, prior).await?;
        let replaced =
            !before.is_null() && first.requires_replace.iter().any(|path| before.at(path) != first.value.at(path));
        let action = match prior {
            None => Action::Create,
            Some(_) if replaced => Action::Replace,
            Some(_) if rules::same(&before, &first.value) => Action::NoOp,
            Some(_) => Action::Update,
        };
        let answer = if replaced {
            let again = self.checked_plan(kind, type_name, &Value::Null, &config, None).await?;
            Answer { requires_replace: first.requires_replace, ..again }
        } else {
            first
        };
        Ok(Planned {
            action,
            value: answer.value,
            requires_replace: answer.requires_replace,
            messages: answer.messages,
            type_name: type_name.into(),
            prior: prior.cloned(),
            config,
            private: answer.private,
        })
    }

    /// Plans the destruction of an object.
    pub async fn plan_destroy(&self, state: &State) -> Result<Planned, CoreError> {
        let kind = self.resource(&state.type_name)?;
        let mut private = state.private.clone();
        let mut messages = Vec::new();
        if self.schemas.plan_destroy {
            let answer =
                self.ask_plan(kind, &state.type_name, &state.value, &Value::Null, state.private.clone()).await?;
            if !answer.value.is_null() {
                let detail = "the plan of a destroy is not null".to_owned();
                return Err(Violation { rule: Rule::PlannedValue, path: AttributePath::root(), detail }.into());
            }
            (private, messages) = (answer.private, answer.messages);
        }
        Ok(Planned {
            action: Action::Destroy,
            value: Value::Null,
            requires_replace: Vec::new(),
            messages,
            type_name: state.type_name.clone(),
            prior: Some(state.clone()),
            config: Value::Null,
            private,
        })
    }

    /// Applies a plan; none when it destroyed the object. What a failed apply left is in [`CoreError::Failed`].
    pub async fn apply(&self, planned: Planned) -> Result<Option<State>, CoreError> {
        let config = planned.config.clone();
        self.apply_known(planned, config).await
    }

    /// Applies a plan whose configuration has become known since: `config` is the final one. Plans once more, as Core
    /// does, and checks that nothing known has changed.
    pub async fn apply_with(&self, planned: Planned, config: impl Into<Config>) -> Result<Option<State>, CoreError> {
        let config = self.resource(&planned.type_name)?.fit(config)?;
        self.apply_known(planned, config).await
    }

    async fn apply_known(&self, planned: Planned, config: Value) -> Result<Option<State>, CoreError> {
        let kind = self.resource(&planned.type_name)?;
        match planned.action {
            Action::NoOp => Ok(planned.prior),
            Action::Destroy => {
                let prior = planned.prior.as_ref();
                self.ask_apply(kind, &planned, prior, &Value::Null, &Value::Null, planned.private.clone()).await
            }
            Action::Create | Action::Update | Action::Replace => {
                let mut prior = planned.prior.as_ref();
                if planned.action == Action::Replace
                    && let Some(old) = prior.take()
                {
                    Box::pin(self.destroy(old.clone())).await?;
                }
                let before = prior.map_or(Value::Null, |state| state.value.clone());
                let last = self.checked_plan(kind, &planned.type_name, &before, &config, prior).await?;
                rules::result_fits_plan(&planned.value, &last.value, Rule::FinalPlan, &AttributePath::root())?;
                self.ask_apply(kind, &planned, prior, &last.value, &config, last.private).await
            }
        }
    }

    /// Makes an object: validate, plan, apply.
    pub async fn create(&self, type_name: &str, config: impl Into<Config>) -> Result<State, CoreError> {
        let config = config.into();
        self.validate(type_name, config.clone()).await?;
        let planned = self.plan(type_name, None, config).await?;
        existing(self.apply(planned).await?)
    }

    /// Changes an object, by replacing it if the plan says so: validate, refresh, plan, apply.
    pub async fn update(&self, state: &State, config: impl Into<Config>) -> Result<State, CoreError> {
        let config = config.into();
        self.validate(&state.type_name, config.clone()).await?;
        let found = self.refresh(state).await?;
        let planned = self.plan(&state.type_name, found.as_ref(), config).await?;
        existing(self.apply(planned).await?)
    }

    /// Destroys an object.
    pub async fn destroy(&self, state: State) -> Result<(), CoreError> {
        let planned = self.plan_destroy(&state).await?;
        self.apply(planned).await.map(drop)
    }

    /// Reads an object as it is now; none if it is gone. The state goes through the provider's upgrade first, as Core
    /// does each time that it reads its state file.
    pub async fn refresh(&self, state: &State) -> Result<Option<State>, CoreError> {
        let kind = self.resource(&state.type_name)?;
        let upgraded = self.upgrade(&state.type_name, kind.version, &state.json_text()?).await?;
        self.read(kind, &State { private: state.private.clone(), ..upgraded }).await
    }

    /// Brings the JSON of a state of `version` to the current one.
    pub async fn upgrade(&self, type_name: &str, version: i64, json: &str) -> Result<State, CoreError> {
        let kind = self.resource(type_name)?;
        let request = upgrade_resource_state::Request {
            type_name: type_name.into(),
            version,
            raw_state: Some(RawState { json: json.to_owned().into(), ..RawState::default() }),
        };
        let answer = self.client.clone().upgrade_resource_state(request).await?.into_inner();
        error::check(&answer.diagnostics)?;
        let value = kind.decode(answer.upgraded_state.as_ref())?;
        rules::state_is_final(&kind.shape, &value, &AttributePath::root())?;
        Ok(state(type_name, kind, value, Bytes::new()))
    }

    /// Imports an object by its id and reads it.
    pub async fn import(&self, type_name: &str, id: &str) -> Result<State, CoreError> {
        let request = import_resource_state::Request {
            type_name: type_name.into(),
            id: id.into(),
            client_capabilities: Some(capabilities()),
        };
        let answer = self.client.clone().import_resource_state(request).await?.into_inner();
        error::check(&answer.diagnostics)?;
        let [imported] = answer.imported_resources.as_slice() else {
            return Err(CoreError::Start(format!("{} objects came of one id", answer.imported_resources.len())));
        };
        let kind = self.resource(&imported.type_name)?;
        let value = kind.decode(imported.state.as_ref())?;
        rules::state_is_final(&kind.shape, &value, &AttributePath::root())?;
        let found = self.read(kind, &state(type_name, kind, value, imported.private.clone())).await?;
        // What Core says when a provider imports something that is not there.
        found.ok_or_else(|| CoreError::NoSuchType { kind: "object to import with the id", name: id.into() })
    }

    /// Checks what Core does not, but users do: reading right after apply finds the same, and a plan of the same
    /// configuration changes nothing.
    pub async fn assert_settled(&self, state: &State, config: impl Into<Config>) -> Result<(), CoreError> {
        let root = AttributePath::root();
        let found = self.refresh(state).await?;
        let read = found.as_ref().map_or(&Value::Null, |found| &found.value);
        if let Some(path) = rules::first_difference(&state.value, read, &root) {
            let detail = format!("{:?} was applied and {:?} read", state.value.at(&path), read.at(&path));
            return Err(Violation { rule: Rule::ReadAfterApply, path, detail }.into());
        }
        let planned = self.plan(&state.type_name, found.as_ref(), config).await?;
        if planned.action == Action::NoOp {
            return Ok(());
        }
        let path = rules::first_difference(&state.value, &planned.value, &root).unwrap_or(root);
        let detail = format!("{:?} is planned to become {:?}", state.value.at(&path), planned.value.at(&path));
        Err(Violation { rule: Rule::EmptyPlan, path, detail }.into())
    }

    async fn read(&self, kind: &Kind, current: &State) -> Result<Option<State>, CoreError> {
        let request = read_resource::Request {
            type_name: current.type_name.clone(),
            current_state: kind.encode(&current.value)?,
            private: current.private.clone(),
            provider_meta: None,
            client_capabilities: Some(capabilities()),
        };
        let answer = self.client.clone().read_resource(request).await?.into_inner();
        error::check(&answer.diagnostics)?;
        let value = kind.decode(answer.new_state.as_ref())?;
        if value.is_null() {
            return Ok(None);
        }
        rules::state_is_final(&kind.shape, &value, &AttributePath::root())?;
        Ok(Some(state(&current.type_name, kind, value, answer.private)))
    }

    /// Plans twice, as Core does between plan and apply, and checks the plan.
    async fn checked_plan(
        &self,
        kind: &Kind,
        type_name: &str,
        before: &Value,
        config: &Value,
        prior: Option<&State>,
    ) -> Result<Answer, CoreError> {
        let private = prior.map(|state| state.private.clone()).unwrap_or_default();
        let root = AttributePath::root();
        let answer = self.ask_plan(kind, type_name, before, config, private.clone()).await?;
        rules::nothing_write_only(&kind.shape, &answer.value, &root)?;
        rules::plan_is_valid(&kind.shape, before, config, &answer.value, &root)?;
        let second = self.ask_plan(kind, type_name, before, config, private).await?;
        if let Some(path) = rules::first_difference(&answer.value, &second.value, &root) {
            let detail = format!("{:?} first, then {:?}", answer.value.at(&path), second.value.at(&path));
            return Err(Violation { rule: Rule::PlanTwice, path, detail }.into());
        }
        Ok(answer)
    }

    async fn ask_plan(
        &self,
        kind: &Kind,
        type_name: &str,
        prior: &Value,
        config: &Value,
        prior_private: Bytes,
    ) -> Result<Answer, CoreError> {
        let request = plan_resource_change::Request {
            type_name: type_name.into(),
            prior_state: kind.encode(prior)?,
            proposed_new_state: kind.encode(&proposed(&kind.shape, prior, config))?,
            config: kind.encode(config)?,
            prior_private,
            provider_meta: None,
            client_capabilities: Some(capabilities()),
        };
        let answer = self.client.clone().plan_resource_change(request).await?.into_inner();
        let messages = error::check(&answer.diagnostics)?;
        Ok(Answer {
            value: kind.decode(answer.planned_state.as_ref())?,
            private: answer.planned_private,
            requires_replace: answer.requires_replace.iter().map(error::path).collect(),
            messages,
        })
    }

    async fn ask_apply(
        &self,
        kind: &Kind,
        planned: &Planned,
        prior: Option<&State>,
        value: &Value,
        config: &Value,
        planned_private: Bytes,
    ) -> Result<Option<State>, CoreError> {
        let request = apply_resource_change::Request {
            type_name: planned.type_name.clone(),
            prior_state: kind.encode(prior.map_or(&Value::Null, |state| &state.value))?,
            planned_state: kind.encode(value)?,
            config: kind.encode(config)?,
            planned_private,
            provider_meta: None,
        };
        let answer = self.client.clone().apply_resource_change(request).await?.into_inner();
        let root = AttributePath::root();
        let result = kind.decode(answer.new_state.as_ref())?;
        rules::state_is_final(&kind.shape, &result, &root)?;
        let after = (!result.is_null()).then(|| state(&planned.type_name, kind, result, answer.private));
        if let Err(CoreError::Failed { messages, .. }) = error::check(&answer.diagnostics) {
            return Err(CoreError::Failed { messages, state: after.map(Box::new) });
        }
        match &after {
            Some(_) if value.is_null() => {
                let detail = "something is left after a destroy without an error".to_owned();
                return Err(Violation { rule: Rule::Destroyed, path: root, detail }.into());
            }
            Some(after) => rules::result_fits_plan(value, &after.value, Rule::AppliedValue, &root)?,
            None => rules::result_fits_plan(value, &Value::Null, Rule::AppliedValue, &root)?,
        }
        Ok(after)
    }
}

fn state(type_name: &str, kind: &Kind, value: Value, private: Bytes) -> State {
    State { type_name: type_name.into(), value, private, ty: kind.ty.clone() }
}

fn existing(state: Option<State>) -> Result<State, CoreError> {
    state.ok_or_else(|| {
        let detail = "apply left no object".to_owned();
        Violation { rule: Rule::AppliedValue, path: AttributePath::root(), detail }.into()
    })
}
