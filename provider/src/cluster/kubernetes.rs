//! A compute in a Kubernetes namespace. See [`serving::cluster`] for what is where.
//!
//! Everything is written by the provider: there is no operator. Routers and scorers follow what is written by watching
//! it, and the cluster's own controllers make pods of Deployments.

mod access;
pub mod api;
pub mod attachment;
mod documents;
mod drift;
mod explain;
mod failure;
mod fit;
pub mod install;
pub mod labels;
mod logs;
mod observe;
pub mod open;
pub mod rights;
#[cfg(test)]
pub(crate) mod testing;
mod workload;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;
use serving::admin::ServiceStatus;
use serving::cluster::{self, component, label};
use serving::pod::Pod;
use serving::service::{Keys, Service, Template, Version};
use serving::token::{self, Issued};

pub use workload::{Site, WorkloadError};

use super::{Cluster, Error, ReplicaLog, Replicas, Router, Shortage};
use crate::workspace::Catalogue;
use api::{Namespace, Problem};

/// How often workloads are brought up again when the document changes meanwhile.
const DEPLOY_TRIES: usize = 60;

/// Services in a namespace. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KubernetesCluster {
    id: Arc<str>,
    namespace: Namespace,
    site: Arc<Site>,
    base_url: Option<Arc<str>>,
    force: bool,
}

impl KubernetesCluster {
    /// The compute of this id in this namespace.
    #[must_use]
    pub fn new(id: &str, namespace: Namespace, site: Site) -> Self {
        Self { id: id.into(), namespace, site: Arc::new(site), base_url: None, force: false }
    }

    /// With the URL that callers reach the router by, without a trailing slash.
    #[must_use]
    pub fn at(mut self, base_url: Option<String>) -> Self {
        self.base_url = base_url.map(Into::into);
        self
    }

    /// Taking over fields that other programs manage.
    #[must_use]
    pub const fn forcing(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Writes the workloads of a service again, after what all of the compute have in common has changed.
    pub async fn redeploy(&self, name: &str) -> Result<(), Error> {
        self.deploy(name).await
    }

    /// Brings back what routers must know of services, where somebody has removed it.
    pub async fn restore_access(&self) -> Result<(), Error> {
        for name in documents::names(&self.namespace).await? {
            match documents::read_served(&self.namespace, &name).await {
                Ok(Some(service)) => {
                    access::restore_digests(&self.namespace, &service).await?;
                    let found = self.workloads(&labels::of_service(component::SCORER, &name)).await?;
                    self.ensure_hop(&name, &found).await?;
                }
                Ok(None) => {}
                // One service that nobody can read is no reason not to bring up the router of all others.
                Err(error) => tracing::warn!(service = name, "what it needs is not looked at: {error}"),
            }
        }
        Ok(())
    }

    /// Makes the hop secret unless it is there. Scorers read it when they start, so that those of a former one are replaced
    /// before, in the way of `kubectl rollout restart`: they start when it is there.
    async fn ensure_hop(&self, name: &str, found: &Workloads) -> Result<(), Error> {
        if access::has_hop(&self.namespace, name).await? {
            return Ok(());
        }
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": {
            "kubectl.kubernetes.io/restartedAt": super::deploy::now(),
        } } } } });
        for deployment in &found.deployments {
            self.namespace.merge::<Deployment>(deployment, &patch).await?;
        }
        access::ensure_hop(&self.namespace, name).await
    }

    /// Brings the workloads to what the document says, and removes those of versions that it does not have.
    ///
    /// Versions of an endpoint are written by several at the same time, and each brings all of them up. So that none
    /// leaves what another has replaced, whoever finds a newer document afterwards does it again.
    async fn deploy(&self, name: &str) -> Result<(), Error> {
        for _ in 0..DEPLOY_TRIES {
            // Before the document is read: a document is there before its workloads.
            let found = self.workloads(&labels::of_service(component::SCORER, name)).await?;
            let document = documents::read_served(&self.namespace, name).await?;
            let (mut wanted, mut refused) = (BTreeSet::new(), None);
            if let Some(service) = &document {
                self.ensure_hop(name, &found).await?;
                for (version_name, version) in &service.versions {
                    wanted.insert(cluster::workload(name, version_name));
                    // One version that the cluster refuses does not keep the others.
                    if let Err(error) = self.deploy_version(service, version_name, version).await {
                        refused.get_or_insert(error);
                    }
                }
            }
            found.remove_others(&self.namespace, &wanted).await?;
            if documents::read_served(&self.namespace, name).await? == document {
                return refused.map_or(Ok(()), Err);
            }
        }
        Err(Error::Overtaken { service: name.to_owned() })
    }

    async fn deploy_version(&self, service: &Service, name: &str, version: &Version) -> Result<(), Error> {
        let workload = workload::build(&self.site, service, name, version)?;
        self.namespace.apply::<Deployment>(&workload.deployment, self.force).await?;
        self.namespace.apply::<PodDisruptionBudget>(&workload.disruption_budget, self.force).await?;
        Ok(())
    }

    /// Removes all workloads of a service.
    async fn remove_workloads(&self, service: &str) -> Result<(), Error> {
        let found = self.workloads(&labels::of_service(component::SCORER, service)).await?;
        found.remove_others(&self.namespace, &BTreeSet::new()).await
    }

    async fn workloads(&self, selector: &str) -> Result<Workloads, Error> {
        let deployments = self.namespace.list::<Deployment>(selector).await?;
        let budgets = self.namespace.list::<PodDisruptionBudget>(selector).await?;
        Ok(Workloads {
            deployments: deployments.into_iter().filter_map(|deployment| deployment.metadata.name).collect(),
            budgets: budgets.into_iter().filter_map(|budget| budget.metadata.name).collect(),
        })
    }

    /// Two that scale one Deployment undo each other's work. KEDA makes such objects, too.
    async fn refuse_foreign_scalers(&self, service: &Service) -> Result<(), Error> {
        let scalers = match self.namespace.list::<HorizontalPodAutoscaler>("").await {
            Ok(scalers) => scalers,
            // Seeing them is an optional right.
            Err(error) if error.problem.is_absence() || matches!(error.problem, Problem::Forbidden(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let ours: BTreeSet<String> =
            service.versions.keys().map(|version| cluster::workload(&service.name, version)).collect();
        let foreign = scalers.into_iter().find(|scaler| {
            let target = scaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
            target.is_some_and(|target| target.kind == "Deployment" && ours.contains(&target.name))
        });
        match foreign {
            Some(scaler) => Err(Error::ForeignScaler {
                scaler: scaler.metadata.name.unwrap_or_default(),
                service: service.name.clone(),
                namespace: self.namespace.name().to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// Names of what runs versions.
struct Workloads {
    deployments: Vec<String>,
    budgets: Vec<String>,
}

impl Workloads {
    /// Removes all but those that are wanted.
    async fn remove_others(self, namespace: &Namespace, wanted: &BTreeSet<String>) -> Result<(), Error> {
        for name in self.deployments.iter().filter(|name| !wanted.contains(*name)) {
            namespace.delete::<Deployment>(name).await?;
        }
        for name in self.budgets.iter().filter(|name| !wanted.contains(*name)) {
            namespace.delete::<PodDisruptionBudget>(name).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Cluster for KubernetesCluster {
    fn id(&self) -> &str {
        &self.id
    }

    fn replicas(&self) -> Replicas {
        Replicas::Pods
    }

    async fn router(&self) -> Result<Router, Error> {
        observe::router(&self.namespace).await
    }

    async fn base_url(&self) -> Result<String, Error> {
        let url = self.base_url.as_deref().map(str::to_owned);
        url.ok_or_else(|| Error::NotRunning { compute: self.id.to_string() })
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        documents::names(&self.namespace).await
    }

    async fn service(&self, name: &str) -> Result<Option<Service>, Error> {
        documents::read(&self.namespace, name).await
    }

    async fn put_service(&self, service: &Service, expected: Option<u64>) -> Result<(), Error> {
        self.refuse_foreign_scalers(service).await?;
        documents::put(&self.namespace, &self.site.workspace, service, expected).await?;
        self.deploy(&service.name).await
    }

    async fn delete_service(&self, name: &str) -> Result<(), Error> {
        documents::withdraw(&self.namespace, name).await?;
        self.remove_workloads(name).await
    }

    async fn forget_service(&self, name: &str, _keep_logs: bool) -> Result<(), Error> {
        if let Some(service) = documents::read_served(&self.namespace, name).await? {
            return Err(Error::Conflict { service: service.name, expected: None, found: Some(service.generation) });
        }
        self.remove_workloads(name).await?;
        access::retire(&self.namespace, name, None).await?;
        documents::remove_withdrawn(&self.namespace, name).await
    }

    async fn keys(&self, service: &str, generation: u64) -> Result<Option<Keys>, Error> {
        access::read(&self.namespace, service, generation).await
    }

    async fn put_keys(&self, service: &str, keys: &Keys) -> Result<u64, Error> {
        access::put(&self.namespace, &self.site.workspace, service, keys).await
    }

    async fn issue_token(&self, service: &Service, lifetime: Option<u64>) -> Result<Issued, Error> {
        let compute = || self.id.to_string();
        let keys = access::signing_keys(&self.namespace).await?;
        let keys = keys.ok_or_else(|| Error::NoSigningKeys { compute: compute() })?;
        super::tokens::issue(&compute(), &keys, &token::Settings::default(), service, lifetime)
    }

    async fn retire_keys(&self, service: &str, keep: u64) -> Result<(), Error> {
        access::retire(&self.namespace, service, Some(keep)).await
    }

    /// Pods fetch code and models themselves.
    async fn prepare(&self, _: &Catalogue, template: &Template) -> Result<(), Error> {
        workload::check(template)?;
        Ok(())
    }

    /// More than the template and the number decide about a pod: the time of a request does, for example.
    fn moves_replicas(&self, service: &Service, name: &str, wanted: &Version) -> bool {
        let pods = |version: &Version| {
            let workload = workload::build(&self.site, service, name, version).ok()?;
            Some((workload.deployment["spec"]["template"].clone(), version.scale.clone()))
        };
        service.versions.get(name).and_then(pods) != pods(wanted)
    }

    async fn observe(&self, name: &str) -> Result<Option<ServiceStatus>, Error> {
        observe::service(&self.namespace, (&self.id, &self.site), name).await
    }

    async fn shortage(&self, pod: &Pod) -> Result<Option<Shortage>, Error> {
        Ok(fit::shortage(&self.namespace.nodes().await?, pod))
    }

    async fn logs(&self, name: &str, lines: usize) -> Result<Vec<ReplicaLog>, Error> {
        logs::tail(&self.namespace, name, lines).await
    }

    /// What a removal of a version that stopped half-way has left. What belongs to a whole service is removed with it.
    async fn sweep(&self) -> Result<(), Error> {
        // Before the documents are read: a document is there before its workloads.
        let found = self.workloads(&labels::selector(&[(label::COMPONENT, component::SCORER)])).await?;
        let mut wanted = BTreeSet::new();
        for service in documents::all(&self.namespace).await? {
            wanted.extend(service.versions.keys().map(|version| cluster::workload(&service.name, version)));
        }
        found.remove_others(&self.namespace, &wanted).await
    }
}

#[cfg(test)]
#[path = "kubernetes/cluster_tests.rs"]
mod tests;
