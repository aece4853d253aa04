//! `azureml-fe.toml`: the provider sets where the router listens and leaves everything else in the file alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use serving::layout;
use serving::token::{self, Issuer};
use toml::Table;

use super::files::{self, Mode};
use crate::cluster::Error;

/// Where a router listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address, possibly "all of this host's" (`0.0.0.0`, `::`).
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
}

impl Listen {
    /// URL that reaches it from this machine.
    #[must_use]
    pub fn url(self) -> String {
        let address = match self.address {
            IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            address => address,
        };
        format!("http://{}", SocketAddr::new(address, self.port))
    }
}

/// Ports to choose from: below those that systems give to outgoing connections, one of which might otherwise hold the
/// port when the router starts again.
const CHOICE: std::ops::Range<u16> = 20_000..32_768;
const TRIES: usize = 100;
const TOKENS: &str = "tokens";

/// A port of this address that nothing listens on now.
pub fn free_port(address: IpAddr) -> Result<u16, Error> {
    for _ in 0..TRIES {
        let mut random = [0; 2];
        getrandom::fill(&mut random)?;
        let port = CHOICE.start + u16::from_ne_bytes(random) % (CHOICE.end - CHOICE.start);
        match TcpListener::bind((address, port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(source) => {
                return Err(Error::Io { action: "listen on", path: address.to_string(), source });
            }
        }
    }
    let message = format!("no free port was found on {address} between {} and {}", CHOICE.start, CHOICE.end);
    Err(Error::Start { problem: super::super::StartProblem::PortInUse, message })
}

fn table(path: &Path) -> Result<Option<Table>, Error> {
    let Some(content) = files::read(path)? else { return Ok(None) };
    let bad = |problem: String| Error::BadFile { path: path.display().to_string(), problem };
    let text = String::from_utf8(content).map_err(|error| bad(error.to_string()))?;
    text.parse().map(Some).map_err(|error: toml::de::Error| bad(error.to_string()))
}

/// What the file says; none if there is no file, or it does not say it.
pub(super) fn read(directory: &Path) -> Result<Option<Listen>, Error> {
    let Some(table) = table(&directory.join(layout::CONFIG))? else { return Ok(None) };
    let address = table.get("address").and_then(|value| value.as_str()).and_then(|text| text.parse().ok());
    let port = table.get("port").and_then(toml::Value::as_integer).and_then(|port| port.try_into().ok());
    Ok(address.zip(port).map(|(address, port)| Listen { address, port }))
}

/// What the file says of tokens. Settings that this program does not know are left out.
pub(super) fn tokens(directory: &Path) -> Result<token::Settings, Error> {
    let path = directory.join(layout::CONFIG);
    let Some(mut table) = table(&path)? else { return Ok(token::Settings::default()) };
    let Some(toml::Value::Table(mut tokens)) = table.remove(TOKENS) else { return Ok(token::Settings::default()) };
    let known = Table::try_from(token::Settings::default()).unwrap_or_default();
    tokens.retain(|name, _| known.contains_key(name));
    let bad = |error: toml::de::Error| Error::BadFile {
        path: path.display().to_string(),
        problem: format!("in [{TOKENS}], {}", error.message()),
    };
    tokens.try_into().map_err(bad)
}

/// Sets the issuers of access tokens in the file.
pub(super) fn trust(directory: &Path, issuers: &[Issuer]) -> Result<(), Error> {
    let path = directory.join(layout::CONFIG);
    let bad = |problem: String| Error::BadFile { path: path.display().to_string(), problem };
    let mut table = table(&path)?.unwrap_or_default();
    let tokens = table.entry(TOKENS).or_insert_with(|| Table::new().into());
    let tokens = tokens.as_table_mut().ok_or_else(|| bad(format!("`{TOKENS}` is not a table")))?;
    let list: Result<Vec<_>, _> = issuers.iter().map(toml::Value::try_from).collect();
    let list = list.map_err(|error| bad(error.to_string()))?;
    if list.is_empty() {
        tokens.remove("issuers");
    } else {
        tokens.insert("issuers".to_owned(), list.into());
    }
    if tokens.is_empty() {
        table.remove(TOKENS);
    }
    files::put(&path, table.to_string().as_bytes(), Mode::Replace)?;
    Ok(())
}

/// Sets address and port in the file.
pub(super) fn write(directory: &Path, listen: Listen) -> Result<(), Error> {
    let path = directory.join(layout::CONFIG);
    let mut table = table(&path)?.unwrap_or_default();
    table.insert("address".to_owned(), listen.address.to_string().into());
    table.insert("port".to_owned(), i64::from(listen.port).into());
    files::put(&path, table.to_string().as_bytes(), Mode::Replace)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_written_and_read_back_beside_other_settings_of_tokens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(layout::CONFIG);
        std::fs::write(&path, "port = 1\n\n[tokens]\nlifetime_seconds = 90\nof_a_newer_router = 1\n").expect("written");
        let issuer = Issuer { issuer: "https://a".into(), audiences: vec!["api".into()], ..Issuer::default() };
        trust(directory.path(), std::slice::from_ref(&issuer)).expect("written");
        let tokens_now = tokens(directory.path()).expect("read");
        assert_eq!((tokens_now.lifetime_seconds, tokens_now.issuers), (90, vec![issuer]));
        trust(directory.path(), &[]).expect("written");
        assert_eq!(tokens(directory.path()).expect("read").issuers, []);
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.contains("of_a_newer_router") && text.contains("port = 1"), "{text}");
    }

    #[test]
    fn other_settings_of_the_file_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(read(directory.path()).expect("read"), None);
        let path = directory.path().join(layout::CONFIG);
        std::fs::write(&path, "port = 1\n\n[limits]\nbody_bytes = 5\n").expect("written");
        assert_eq!(read(directory.path()).expect("read"), None);
        let listen = Listen { address: "127.0.0.1".parse().expect("an address"), port: 2_000 };
        write(directory.path(), listen).expect("written");
        assert_eq!(read(directory.path()).expect("read"), Some(listen));
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.contains("body_bytes = 5"), "{text}");
    }

    #[test]
    fn a_file_that_is_not_toml_is_an_error_with_its_place() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(layout::CONFIG), "port = = 1").expect("written");
        let error = read(directory.path()).expect_err("refused").to_string();
        assert!(error.contains("azureml-fe.toml") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn the_url_of_all_addresses_is_one_that_works() {
        let url = |address: &str| Listen { address: address.parse().expect("an address"), port: 80 }.url();
        assert_eq!(url("0.0.0.0"), "http://127.0.0.1:80");
        assert_eq!(url("::"), "http://[::1]:80");
        assert_eq!(url("192.168.1.2"), "http://192.168.1.2:80");
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = free_port(address).expect("a port");
        assert!(CHOICE.contains(&port));
    }
}
