//! Detaching: everything goes that the attachment made, and nothing else.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serving::cluster::{OWNER, PART_OF, component, label, workspace_hash};

use super::super::api::{ApiError, Kind, Problem};
use super::super::labels;
use super::{InstallError, Installer, pause};
use crate::cluster::wait::{Away, Limits};

const PAUSE: Duration = Duration::from_millis(500);
/// What Kubernetes, Istio and `OpenShift` put into every namespace: names of ConfigMaps, and types of Secrets.
const MADE_FOR_EACH: [&str; 5] = [
    "kube-root-ca.crt",
    "istio-ca-root-cert",
    "openshift-service-ca.crt",
    "kubernetes.io/dockercfg",
    "kubernetes.io/service-account-token",
];

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
    /// Removes everything and waits until it is gone. Of whom the namespace is goes last, and then, `with_namespace`, the
    /// namespace, if the attachment made it and nobody else has anything in it. Returns what of others keeps it.
    ///
    /// `uid` is that of the ownership; without it (it was never made, or is gone) the objects are known by their labels
    /// alone.
    pub async fn remove(
        &self,
        uid: Option<String>,
        with_namespace: bool,
        limits: &Limits,
    ) -> Result<Vec<String>, InstallError> {
        for_each_kind!(self, delete_all);
        self.delete_confirmations().await?;
        self.wait_until_gone(limits).await?;
        if let Some(uid) = uid {
            self.namespace.delete_if::<ConfigMap>(OWNER, Some(uid)).await?;
        }
        if !with_namespace || !self.made_namespace().await? {
            return Ok(Vec::new());
        }
        let foreign = self.of_others().await?;
        if foreign.is_empty() {
            self.remove_namespace().await?;
            self.wait_for_namespace(limits).await?;
        }
        Ok(foreign)
    }

    /// What others have in the namespace, of the kinds that hold something or run.
    async fn of_others(&self) -> Result<Vec<String>, ApiError> {
        let mut found = Vec::new();
        self.note_others::<Pod>(&mut found, |_| false).await?;
        self.note_others::<PersistentVolumeClaim>(&mut found, |_| false).await?;
        self.note_others::<Service>(&mut found, |_| false).await?;
        self.note_others::<Secret>(&mut found, |secret| {
            secret.type_.as_deref().is_some_and(|kind| MADE_FOR_EACH.contains(&kind))
        })
        .await?;
        self.note_others::<ConfigMap>(&mut found, |map| {
            map.metadata.name.as_deref().is_some_and(|name| MADE_FOR_EACH.contains(&name))
        })
        .await?;
        Ok(found)
    }

    /// Notes objects that are not the cluster's own. Those that may not be seen may be there.
    async fn note_others<K: Kind>(
        &self,
        found: &mut Vec<String>,
        of_cluster: impl Fn(&K) -> bool,
    ) -> Result<(), ApiError> {
        match self.namespace.list::<K>("").await {
            Ok(all) => {
                let others = all.iter().filter(|object| !of_cluster(object));
                let names = others.filter_map(|object| object.meta().name.as_deref());
                found.extend(names.map(|name| format!("{} {name}", K::kind(&()))));
            }
            Err(error) if error.problem.is_absence() => {}
            Err(ApiError { problem: Problem::Forbidden(_), .. }) => {
                found.push(format!("{}s, which may not be listed", K::kind(&())));
            }
            Err(error) => return Err(error),
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
        let mut away = Away::default();
        loop {
            let left = match self.left().await {
                Ok(left) => {
                    away = Away::default();
                    left
                }
                Err(error) => {
                    let patience = error.patience();
                    vec![away.endure(error, patience)?]
                }
            };
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
