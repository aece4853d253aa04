//! Detaching: everything goes that the attachment made, and nothing else.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serving::cluster::{OWNER, PART_OF, component, label, workspace_hash};

use super::super::api::{ApiError, Kind};
use super::super::labels;
use super::{InstallError, Installer, pause};
use crate::cluster::wait::Limits;

const PAUSE: Duration = Duration::from_millis(500);

/// Calls a function for each kind of object that an attachment or its services make.
macro_rules! for_each_kind {
    ($self:ident, $function:ident $(, $argument:expr)*) => {
        // Deployments first: they would make pods anew.
        $self.$function::<Deployment>($($argument),*).await?;
        $self.$function::<Service>($($argument),*).await?;
        $self.$function::<PodDisruptionBudget>($($argument),*).await?;
        $self.$function::<NetworkPolicy>($($argument),*).await?;
        $self.$function::<RoleBinding>($($argument),*).await?;
        $self.$function::<Role>($($argument),*).await?;
        $self.$function::<ServiceAccount>($($argument),*).await?;
        $self.$function::<Secret>($($argument),*).await?;
        $self.$function::<ConfigMap>($($argument),*).await?;
    };
}

impl Installer {
    /// Removes everything and waits until it is gone. Of whom the namespace is goes last, and then the namespace, if the
    /// attachment made it.
    ///
    /// `uid` is that of the ownership; without it (it was never made, or is gone) the objects are known by their labels
    /// alone.
    pub async fn remove(&self, uid: Option<String>, limits: &Limits) -> Result<(), InstallError> {
        for_each_kind!(self, delete_all);
        self.delete_confirmations().await?;
        self.wait_until_gone(limits).await?;
        if let Some(uid) = uid {
            self.namespace.delete_if::<ConfigMap>(OWNER, Some(uid)).await?;
        }
        if self.remove_namespace().await? {
            self.wait_for_namespace(limits).await?;
        }
        Ok(())
    }

    /// Everything of the workspace's computes in this namespace, which has only one.
    fn selector(&self) -> String {
        let workspace = workspace_hash(&self.ownership.workspace);
        labels::selector(&[(label::PART_OF, PART_OF), (label::WORKSPACE, &workspace)])
    }

    async fn all<K: Kind>(&self) -> Result<Vec<K>, ApiError> {
        match self.namespace.list::<K>(&self.selector()).await {
            Ok(mut all) => {
                all.retain(|object| object.meta().name.as_deref() != Some(OWNER));
                Ok(all)
            }
            Err(error) if error.problem.is_absence() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn delete_all<K: Kind>(&self) -> Result<(), ApiError> {
        for object in self.all::<K>().await? {
            self.namespace
                .delete_if::<K>(object.meta().name.as_deref().unwrap_or_default(), object.meta().uid.clone())
                .await?;
        }
        Ok(())
    }

    /// Leases go with their pods; those of pods that were killed on a lost node do not.
    async fn delete_confirmations(&self) -> Result<(), ApiError> {
        let selector = labels::selector(&[(label::PART_OF, PART_OF), (label::COMPONENT, component::CONFIRMATION)]);
        for lease in self.namespace.list::<Lease>(&selector).await? {
            self.namespace.delete::<Lease>(lease.metadata.name.as_deref().unwrap_or_default()).await?;
        }
        Ok(())
    }

    async fn wait_until_gone(&self, limits: &Limits) -> Result<(), InstallError> {
        loop {
            let left = self.left().await?;
            if left.is_empty() {
                return Ok(());
            }
            if limits.remaining().is_zero() {
                return Err(InstallError::StillThere { namespace: self.namespace.name().to_owned(), left });
            }
            if pause(limits, PAUSE).await {
                return Err(InstallError::Interrupted { doing: "waiting until what was deleted is gone".to_owned() });
            }
        }
    }

    /// What is still there, with what keeps it.
    async fn left(&self) -> Result<Vec<String>, ApiError> {
        let mut left = Vec::new();
        for_each_kind!(self, note, &mut left);
        self.note::<Pod>(&mut left).await?;
        Ok(left)
    }

    async fn note<K: Kind>(&self, left: &mut Vec<String>) -> Result<(), ApiError> {
        for object in self.all::<K>().await? {
            let meta = object.meta();
            let finalizers = meta.finalizers.as_deref().unwrap_or_default().join(", ");
            let name = meta.name.as_deref().unwrap_or_default();
            left.push(if finalizers.is_empty() {
                format!("{} {name}", K::kind(&()))
            } else {
                format!("{} {name} (finalizers: {finalizers})", K::kind(&()))
            });
        }
        Ok(())
    }

    async fn wait_for_namespace(&self, limits: &Limits) -> Result<(), InstallError> {
        let name = self.namespace.name();
        loop {
            let found = self.namespace.ask("read", name, self.namespaces().get_opt(name)).await?;
            let Some(found) = found else { return Ok(()) };
            if limits.remaining().is_zero() {
                let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
                let words = conditions.into_iter().filter(|condition| condition.status == "True");
                let words: Vec<_> = words.filter_map(|condition| condition.message).collect();
                let left = vec![format!("Namespace {name} ({})", words.join(" "))];
                return Err(InstallError::StillThere { namespace: name.to_owned(), left });
            }
            if pause(limits, PAUSE).await {
                return Err(InstallError::Interrupted { doing: "waiting until the namespace is gone".to_owned() });
            }
        }
    }
}
