//! A store for tests: Azurite, installed from the lock file of the test node beside the other build output.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use object_store::ObjectStore;

use crate::{Client, Location, Patience};

/// The account of every Azurite, and its key, which everybody knows.
pub const ACCOUNT: &str = "devstoreaccount1";
/// See [`ACCOUNT`].
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// `object_store` makes no containers.
const CREATE_CONTAINER: &str = r"
const [account, key, port, container] = process.argv.slice(1);
const date = new Date().toUTCString(), version = '2021-12-02';
const fields = ['PUT', '', '', '', '', '', '', '', '', '', '', '', `x-ms-date:${date}`, `x-ms-version:${version}`,
  `/${account}/${account}/${container}`, 'restype:container'];
const hmac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(fields.join('\n'), 'utf8');
fetch(`http://127.0.0.1:${port}/${account}/${container}?restype=container`, {
  method: 'PUT',
  headers: { 'x-ms-date': date, 'x-ms-version': version, authorization: `SharedKey ${account}:${hmac.digest('base64')}` },
}).then(async (answer) => { if (answer.status !== 201) { console.error(answer.status, await answer.text()); process.exit(1); } });
";

/// A running Azurite with an empty container `models`. It ends with this value.
#[derive(Debug)]
pub struct Azurite {
    process: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Azurite {
    /// Starts one.
    ///
    /// # Panics
    /// If Node.js is missing or does not run it.
    #[must_use]
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let program = installed().join("node_modules/azurite/dist/src/blob/main.js");
        let mut command = Command::new("node");
        command.arg(program).args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--skipApiVersionCheck"]);
        command.args(["--disableTelemetry", "--loose", "--location"]).arg(data.path());
        let mut process = command.stdout(Stdio::piped()).spawn().expect("Node.js starts");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let port = loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).expect("readable") > 0, "Azurite ended before it listened");
            if let Some((_, address)) = line.split_once("successfully listens on http://127.0.0.1:") {
                break address.trim().parse().expect("a port");
            }
        };
        // Kept readable, or it would end at its next line.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let started = Self { process, port, _data: data };
        let mut create = Command::new("node");
        create.args(["-e", CREATE_CONTAINER, ACCOUNT, KEY, &port.to_string(), "models"]);
        let output = create.output().expect("Node.js starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        started
    }

    /// URL of the account.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// Environment variables that lead to it.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<&'static str, String> {
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
            ("AZURE_STORAGE_ENDPOINT", self.endpoint()),
        ]
        .into()
    }

    /// The store of a location in it.
    ///
    /// # Panics
    /// If the location is none.
    #[must_use]
    pub fn store(&self, url: &str) -> Arc<dyn ObjectStore> {
        let location: Location = url.parse().expect("a location");
        crate::open(&location, &self.variables(), &Client::new(), Patience::Short).expect("a store")
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What npm installs.
const PACKAGES: [(&str, &str); 2] = [
    ("package.json", include_str!("../../tests/acceptance/cluster/azurite/package.json")),
    ("package-lock.json", include_str!("../../tests/acceptance/cluster/azurite/package-lock.json")),
];

/// Where Azurite is installed: beside the folder of the tests' programs.
fn installed() -> PathBuf {
    let tests = std::env::current_exe().expect("a program");
    let folder = tests.ancestors().nth(2).expect("a folder of cargo's").join("azurite");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Other tests may be at it, in this process and in others.
    let lock = File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("locked");
    let mut changed = false;
    for (name, wanted) in PACKAGES {
        let target = folder.join(name);
        if std::fs::read_to_string(&target).ok().as_deref() != Some(wanted) {
            changed = true;
            std::fs::write(&target, wanted).expect("written");
        }
    }
    if changed || !folder.join("node_modules/.package-lock.json").exists() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        let output = npm.output().unwrap_or_else(|error| panic!("npm cannot be started: {error}; install Node.js"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm cannot install Azurite; it needs its registry, or a warm cache:\n{said}");
    }
    folder
}
