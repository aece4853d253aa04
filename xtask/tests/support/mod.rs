//! A real registry on loopback, with the managed images in it, for all tests of one process.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde::Deserialize;
use serde_json::{Value, json};
use terraform_provider_azureml::environment::wheel::Scorers;
use terraform_provider_azureml::provider::AzureMl;
use tfplugin::testing::{Core, CoreError, State};

/// What `images.json` says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Images {
    #[serde(rename = "azureml-fe")]
    pub(crate) router: String,
    #[serde(rename = "azureml-scorer")]
    pub(crate) scorer: String,
}

/// A registry's program, which ends with this process at the latest, and its folder with it.
pub(crate) struct Registry {
    pub(crate) address: String,
    process: Child,
    folder: PathBuf,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The shell around it clears up when its input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    shared: &'static Shared,
}

struct Shared {
    registry: Registry,
    images: OnceLock<Images>,
    making: Mutex<()>,
}

fn target() -> PathBuf {
    // <target>/release/xtask
    let program = Path::new(env!("CARGO_BIN_EXE_xtask"));
    program.parent().and_then(Path::parent).expect("a target directory").to_owned()
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file())
}

fn registry_program() -> Option<PathBuf> {
    on_path(&["docker-registry", "registry"])
}

/// Says loudly why the tests cannot run here; on a machine that is there to test, that is a failure.
fn missing() -> Option<&'static str> {
    let why = if !rustix::process::geteuid().is_root() {
        "debootstrap needs root"
    } else if on_path(&["debootstrap"]).is_none() {
        "there is no debootstrap"
    } else if on_path(&["buildah"]).is_none() {
        "there is no buildah"
    } else if registry_program().is_none() {
        "there is no docker-registry"
    } else {
        return None;
    };
    Some(why)
}

impl Registry {
    fn start(authentication: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "warn" },
            "storage": { "filesystem": { "rootdirectory": folder.join("data") } },
            "http": { "addr": address },
        });
        if authentication {
            let passwords = folder.join("htpasswd");
            fs::write(&passwords, "").expect("written");
            config["auth"] = json!({ "htpasswd": { "realm": "test", "path": passwords } });
        }
        let file = folder.join("config.yml");
        fs::write(&file, config.to_string()).expect("written");
        let program = registry_program().expect("a registry");
        let script = "\"$0\" serve \"$1\" < /dev/null & read -r _; kill $!; wait; rm -rf \"$2\"";
        let process = Command::new("/bin/sh")
            .args(["-c", script])
            .arg(program)
            .args([&file, &folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            std::thread::yield_now();
        }
        Self { address, process, folder }
    }
}

impl World {
    /// None where it cannot run.
    pub(crate) fn start() -> Option<Self> {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        if let Some(why) = missing() {
            assert!(std::env::var_os("CI").is_none(), "images cannot be tested: {why}");
            #[expect(clippy::print_stderr, reason = "one loud line")]
            {
                eprintln!("SKIPPED: images are not tested here: {why}");
            }
            return None;
        }
        let shared = SHARED.get_or_init(|| Shared {
            registry: Registry::start(false),
            images: OnceLock::new(),
            making: Mutex::default(),
        });
        Some(Self { folder: tempfile::tempdir().expect("a folder"), shared })
    }

    pub(crate) fn registry(&self) -> &str {
        &self.shared.registry.address
    }

    /// A registry that lets nobody in.
    pub(crate) fn closed_registry() -> Registry {
        Registry::start(true)
    }

    /// A builder that is not there.
    pub(crate) fn broken_tool() -> &'static str {
        if on_path(&["podman"]).is_none() { "podman" } else { "docker" }
    }

    /// Where `cargo xtask images` leaves what is beside the images.
    pub(crate) fn by_products(&self) -> PathBuf {
        self.shared.registry.folder.join("by-products")
    }

    fn wheel() -> PathBuf {
        let folder = target().join("wheels");
        let mut files = fs::read_dir(&folder).expect("`make build` leaves a wheel").flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "whl")).expect("a wheel")
    }

    /// The managed images, made once.
    pub(crate) fn images(&self) -> &Images {
        let _one = self.shared.making.lock().expect("one at a time");
        self.shared.images.get_or_init(|| self.run_xtask())
    }

    /// The managed images, made again.
    pub(crate) fn make_images(&self) -> Images {
        let _one = self.shared.making.lock().expect("one at a time");
        self.run_xtask()
    }

    fn run_xtask(&self) -> Images {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["images", "--tool", "buildah", "--base", "debootstrap", "--push", "--plain-http"])
            .args(["--registry", self.registry()])
            .arg("--router")
            .arg(target().join("release/azureml-fe"))
            .arg("--wheel")
            .arg(Self::wheel())
            .arg("--out")
            .arg(self.by_products())
            .output()
            .expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(self.by_products().join("images.json")).expect("read");
        serde_json::from_str(&text).expect("the images")
    }

    /// Terraform Core with a provider whose `registry` is this.
    pub(crate) async fn core(&self, registry: Value) -> Core {
        let wheel = Self::wheel();
        let provider = AzureMl::with_scorers(Scorers::within(wheel.parent().expect("a folder")));
        let mut registry = registry;
        for (name, default) in [("plain_http", json!([self.registry()])), ("tool", "buildah".into())] {
            if registry.get(name).is_none() {
                registry[name] = default;
            }
        }
        Core::start_with(provider, json!({ "owner": "me", "registry": registry })).await.expect("started")
    }

    pub(crate) fn workspace_config(&self, name: &str) -> Value {
        let url = format!("file://{}/{name}", self.folder.path().display());
        json!({ "name": name, "storage_url": url, "registry": self.registry() })
    }

    pub(crate) async fn workspace(&self, core: &Core, name: &str, changes: Value) -> State {
        let mut config = self.workspace_config(name);
        for (key, value) in changes.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        core.create("azureml_workspace", config).await.expect("created")
    }

    pub(crate) fn environment(workspace: &State, changes: &Value) -> Value {
        let mut config =
            json!({ "name": "small", "workspace_id": workspace.text("id"), "pip_requirements": "idna==3.10\n" });
        for (key, value) in changes.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    }

    /// What a program in an image says, as the user of the image.
    pub(crate) fn run_in(image: &str, program: &[&str]) -> String {
        let buildah = |arguments: &[&str]| {
            let output = Command::new("buildah").args(arguments).output().expect("run");
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let container = buildah(&["from", "--quiet", "--tls-verify=false", image]);
        let said = buildah(&[&["run", "--isolation", "chroot", &container, "--"], program].concat());
        buildah(&["rm", &container]);
        said
    }
}

/// Where the first message of an error is, and what it says.
pub(crate) fn complaint(error: &CoreError) -> (String, String) {
    let message = error.messages().first().unwrap_or_else(|| panic!("{error}"));
    (message.path.to_string(), format!("{} {}", message.summary, message.detail))
}
