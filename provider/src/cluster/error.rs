use serving::ReadError;

use crate::diagnostics::Blame;

/// Why a cluster could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be used.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, for example `write`.
        action: &'static str,
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The compute is processes of another machine.
    #[error(
        "compute {compute} runs on the host {host}, not on this one ({here}); run terraform there, or give the compute another name here"
    )]
    OtherMachine {
        /// Id of the compute.
        compute: String,
        /// Its host.
        host: String,
        /// This host.
        here: String,
    },
    /// The compute is no processes of a machine.
    #[error(
        "compute {compute} is in the namespace {namespace} of a Kubernetes cluster, and not processes of a machine; it belongs to an azureml_aks_attachment"
    )]
    NotLocal {
        /// Id of the compute.
        compute: String,
        /// Its namespace.
        namespace: String,
    },
    /// The compute is in no cluster.
    #[error(
        "compute {compute} is processes of a machine, and not in a cluster; it belongs to an azureml_local_compute"
    )]
    NotInACluster {
        /// Id of the compute.
        compute: String,
    },
    /// The connection leads to another cluster than the one that was attached, or the attachment was removed by hand.
    #[error(
        "the namespace {namespace} that connection {connection} leads to {problem}, and not compute {compute}; if the connection leads to the wrong cluster, correct it. If the namespace was emptied by hand, apply the azureml_aks_attachment again"
    )]
    Elsewhere {
        /// Id of the compute.
        compute: String,
        /// The namespace.
        namespace: String,
        /// The connection.
        connection: String,
        /// What was found, as the rest of a clause.
        problem: &'static str,
    },
    /// The cluster cannot be connected to.
    #[error(transparent)]
    Connection(#[from] crate::connections::Error),
    /// The directory belongs to something else.
    #[error("the directory {path} {problem}; choose another `directory`")]
    ForeignDirectory {
        /// The directory.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The directory cannot be used.
    #[error("cannot {action} {path}: {source}; choose a `directory` that can be written to")]
    UnusableDirectory {
        /// What was tried, for example `create`.
        action: &'static str,
        /// The directory, or a file in it.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// No router program was found.
    #[error("there is no router program: {tried}; set `router_path` to the azureml-fe of this provider's release")]
    NoProgram {
        /// Where it was looked for, as a clause.
        tried: String,
    },
    /// A program that should be the router is not.
    #[error("{path} is not a router program: {problem}")]
    NotARouter {
        /// The program.
        path: String,
        /// What it did instead.
        problem: String,
    },
    /// The program has another version than the configuration wants.
    #[error(
        "the router program {path} has version {found}, but router_version is {wanted}; set `router_path` to an azureml-fe of version {wanted}, or remove router_version"
    )]
    RouterVersion {
        /// The program.
        path: String,
        /// Its version.
        found: String,
        /// The configured version.
        wanted: String,
    },
    /// The router did not start.
    #[error("the router does not start: {message}{hint}", hint = problem.hint())]
    Start {
        /// Kind of the problem.
        problem: StartProblem,
        /// The router's words.
        message: String,
    },
    /// No router runs.
    #[error(
        "the router of compute {compute} does not run; apply the compute, which starts it and everything that it serves"
    )]
    NotRunning {
        /// Id of the compute.
        compute: String,
    },
    /// There is nothing to sign tokens with.
    #[error("compute {compute} has no key to sign tokens with; apply the compute, which makes one")]
    NoSigningKeys {
        /// Id of the compute.
        compute: String,
    },
    /// The lifetime of a token is out of bounds.
    #[error(
        "a lifetime of {lifetime} seconds is out of the bounds of azureml-fe.toml in the compute's directory, which are {min} to {max}"
    )]
    TokenLifetime {
        /// What was asked for.
        lifetime: u64,
        /// Shortest.
        min: u64,
        /// Longest.
        max: u64,
    },
    /// The router runs, but does not answer its admin socket as it should.
    #[error("the router of compute {compute} does not answer on {socket}: {problem}")]
    Admin {
        /// Id of the compute.
        compute: String,
        /// The socket.
        socket: String,
        /// What went wrong.
        problem: String,
    },
    /// The router could not do what it was told to.
    #[error("the router of compute {compute} refused to {order}: {message}")]
    Refused {
        /// Id of the compute.
        compute: String,
        /// What it was told to do.
        order: &'static str,
        /// Its reason.
        message: String,
    },
    /// Somebody else changed the document.
    #[error(
        "the document of service {service} was changed by somebody else in the meantime ({}, {}); run terraform apply again",
        generation("expected", *expected), generation("found", *found)
    )]
    Conflict {
        /// The service.
        service: String,
        /// Generation that was to be replaced.
        expected: Option<u64>,
        /// Generation that is there.
        found: Option<u64>,
    },
    /// Others change the document faster than one can follow.
    #[error("the service {service} is changed by others again and again; run terraform apply again when they are done")]
    Overtaken {
        /// The service.
        service: String,
    },
    /// A document names a template that was not prepared, or was swept away since.
    #[error("template {revision} is not prepared on the compute; run terraform apply again")]
    Unprepared {
        /// Revision of the template.
        revision: String,
    },
    /// A document is damaged.
    #[error("{path} is damaged: {source}; restore it, or remove it so that the service is created again")]
    BadDocument {
        /// The document.
        path: String,
        /// What is wrong.
        #[source]
        source: ReadError,
    },
    /// Another file that this provider writes is damaged.
    #[error("{path} is damaged: {problem}")]
    BadFile {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Others held the lock for too long.
    #[error("{path} has been locked by another program for {seconds} seconds")]
    Locked {
        /// The lock file.
        path: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The workspace could not be read.
    #[error(transparent)]
    Workspace(#[from] crate::workspace::Error),
    /// The workspace's code or models could not be made folders of this machine.
    #[error(transparent)]
    Materialize(#[from] crate::workspace::materialize::MaterializeError),
    /// An API server did not do what it was asked to.
    #[error(transparent)]
    Api(#[from] super::kubernetes::api::ApiError),
    /// A version cannot run in a cluster.
    #[error(transparent)]
    Workload(#[from] super::kubernetes::WorkloadError),
    /// The Secret that routers read is gone.
    #[error(
        "Secret {secret} of namespace {namespace} is missing; apply the azureml_aks_attachment of the compute, which makes it"
    )]
    NoAccessSecret {
        /// The namespace.
        namespace: String,
        /// The Secret.
        secret: &'static str,
    },
    /// Something else scales what the router scales.
    #[error(
        "HorizontalPodAutoscaler {scaler} in namespace {namespace} scales replicas of service {service}, which Terraform or the router sets; delete it (a KEDA ScaledObject may have made it)"
    )]
    ForeignScaler {
        /// Its name.
        scaler: String,
        /// The service.
        service: String,
        /// The namespace.
        namespace: String,
    },
    /// The system has no random numbers.
    #[error("no random numbers to make keys from: {0}")]
    Random(#[from] getrandom::Error),
}

impl Blame for Error {
    fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Start { problem: StartProblem::PortInUse, .. } => Some("port"),
            Self::TokenLifetime { .. } => Some("lifetime"),
            Self::NoProgram { .. } | Self::NotARouter { .. } => Some("router_path"),
            Self::RouterVersion { .. } => Some("router_version"),
            Self::ForeignDirectory { .. } | Self::UnusableDirectory { .. } => Some("directory"),
            _ => None,
        }
    }
}

fn generation(word: &str, generation: Option<u64>) -> String {
    generation.map_or_else(|| format!("{word} none"), |generation| format!("{word} generation {generation}"))
}

/// Why a router did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartProblem {
    /// Something else listens on its port.
    PortInUse,
    /// Another supervisor holds the directory.
    AlreadyRunning,
    /// It cannot use its configuration file.
    InvalidConfig,
    /// The system refused something.
    Io,
    /// It ended, or did not get ready in time, without saying why.
    Silent,
}

impl StartProblem {
    fn hint(self) -> &'static str {
        match self {
            // The router's own words say what to do.
            Self::PortInUse | Self::AlreadyRunning | Self::Io | Self::Silent => "",
            Self::InvalidConfig => "; correct azureml-fe.toml in the compute's directory, or remove it",
        }
    }

    /// From the router's own name of the reason.
    #[must_use]
    pub fn from_reason(reason: &str) -> Self {
        match reason {
            "port_in_use" => Self::PortInUse,
            "already_running" => Self::AlreadyRunning,
            "invalid_config" => Self::InvalidConfig,
            _ => Self::Io,
        }
    }
}
