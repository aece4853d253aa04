//! What an operation knows about the call that it serves.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::private::Private;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::error::ValueError;
use crate::model::Model;
use crate::path::AttributePath;
use crate::value::Value;

/// Why an operation should end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The user pressed Ctrl-C, or Terraform was asked to stop otherwise.
    Stopped,
    /// The operation's time limit is over.
    TimedOut,
}

/// The context of one operation.
///
/// Neither Ctrl-C nor the time limit ends an operation by force, for only it knows what must still be saved. It watches
/// [`Context::token`] or uses [`Context::bounded`], and returns an error. What exists by then it reports by
/// [`Context::save`], so that Terraform does not forget it.
pub struct Context<D> {
    data: Arc<D>,
    config: Value,
    operation: &'static str,
    limit: Duration,
    deadline: Instant,
    stop: CancellationToken,
    token: CancellationToken,
    timer: AbortHandle,
    warnings: Diagnostics,
    saved: Option<Value>,
    importing: bool,
    /// What is kept beside the state; stored also when the operation fails.
    pub private: Private,
}

impl<D> Context<D> {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(
        data: Arc<D>,
        operation: &'static str,
        limit: Duration,
        stop: CancellationToken,
        config: Value,
        private: Private,
    ) -> Self {
        let token = stop.child_token();
        let expired = token.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            expired.cancel();
        })
        .abort_handle();
        let deadline = Instant::now() + limit;
        Self {
            data,
            config,
            operation,
            limit,
            deadline,
            stop,
            token,
            timer,
            warnings: Diagnostics::new(),
            saved: None,
            importing: false,
            private,
        }
    }

    pub(crate) fn set_importing(&mut self) {
        self.importing = true;
    }

    /// What the provider made of its configuration.
    #[must_use]
    pub fn data(&self) -> Arc<D> {
        Arc::clone(&self.data)
    }

    /// Cancelled when the operation should end early: on Ctrl-C and when its time is over.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Why the operation should end early, if it should.
    #[must_use]
    pub fn interrupt(&self) -> Option<Interrupt> {
        if self.stop.is_cancelled() {
            Some(Interrupt::Stopped)
        } else if self.token.is_cancelled() || self.deadline <= Instant::now() {
            Some(Interrupt::TimedOut)
        } else {
            None
        }
    }

    /// When the operation's time is over: its `timeouts`, the schema's default, or 20 minutes.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time that is left.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits for something that may be dropped half-way, until the operation should end. `doing` completes the
    /// message "Interrupted while ...".
    pub async fn bounded<T>(&self, doing: &str, work: impl Future<Output = T>) -> Result<T, Diagnostic> {
        tokio::select! {
            biased;
            result = work => Ok(result),
            () = self.token.cancelled() => Err(self.interruption(doing)),
        }
    }

    /// The error for an operation that ended early.
    #[must_use]
    pub fn interruption(&self, doing: &str) -> Diagnostic {
        let operation = self.operation;
        match self.interrupt() {
            Some(Interrupt::Stopped) => Diagnostic::error(
                format!("Interrupted while {doing}"),
                "Terraform was asked to stop. What exists by now is in the state; run apply again to go on.",
            ),
            _ => Diagnostic::error(
                format!("Time limit of {operation} reached while {doing}"),
                format!(
                    "The operation may take {} seconds. If it only needs more time, raise `{operation}` in the `timeouts` \
                     block.",
                    self.limit.as_secs_f64()
                ),
            ),
        }
    }

    /// The raw configuration, with the write-only values. Null on read, delete and import, which Terraform does not tell it.
    #[must_use]
    pub const fn config(&self) -> &Value {
        &self.config
    }

    /// The configuration as the model, with the write-only values.
    pub fn config_model<M: Model>(&self) -> Result<M, ValueError> {
        M::from_value(self.config.clone(), &AttributePath::root())
    }

    /// Whether this read follows an import, so that it must fill everything in.
    #[must_use]
    pub const fn is_importing(&self) -> bool {
        self.importing
    }

    /// Adds a warning (or an error, which makes the operation count as failed, with its state kept).
    pub fn warn(&mut self, diagnostic: Diagnostic) {
        self.warnings.push(diagnostic);
    }

    /// Records what exists by now. If the operation fails, this becomes the state (after a failed create the object is
    /// then tainted); what is unknown in it becomes null. If it succeeds, its result counts alone.
    pub fn save<M: Model>(&mut self, model: &M) {
        self.saved = Some(model.to_value());
    }

    pub(crate) fn take_saved(&mut self) -> Option<Value> {
        self.saved.take()
    }

    pub(crate) fn take_warnings(&mut self) -> Diagnostics {
        std::mem::take(&mut self.warnings)
    }
}

impl<D> Drop for Context<D> {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

impl<D> fmt::Debug for Context<D> {
    /// Without any value, for there may be secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("operation", &self.operation)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The context of a check of a configuration, which happens before the provider is configured.
#[derive(Debug)]
pub struct ValidateContext {
    config: Value,
    diagnostics: Diagnostics,
}

impl ValidateContext {
    pub(crate) const fn new(config: Value) -> Self {
        Self { config, diagnostics: Diagnostics::new() }
    }

    /// The raw configuration.
    #[must_use]
    pub const fn config(&self) -> &Value {
        &self.config
    }

    /// Adds an error or a warning and goes on.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics
    }
}
