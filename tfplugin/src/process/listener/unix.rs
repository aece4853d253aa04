//! A unix socket that only its owner, or one group, can connect to.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use tokio::net::{UnixListener, UnixStream};

use super::ListenError;
use crate::process::environment::Environment;

/// The host opens one connection, a person with a debugger perhaps a few.
const BACKLOG: i32 = 128;

/// A listening socket and its file, which goes when this is dropped.
pub(crate) struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl PrivateSocket {
    pub(crate) fn bind(environment: &Environment) -> Result<Self, ListenError> {
        let group = environment.socket_group().map(group_id).transpose()?;
        let name = format!("plugin{:016x}", random());
        let directories = match environment.socket_directory() {
            Some(directory) => vec![directory],
            // A long TMPDIR is common in build systems; the paths of sockets end at about 100 bytes.
            None => vec![std::env::temp_dir(), PathBuf::from("/tmp")],
        };
        let path = directories
            .iter()
            .map(|directory| directory.join(&name))
            .find(|path| SocketAddrUnix::new(path).is_ok())
            .ok_or_else(|| ListenError::PathTooLong { directory: directories[0].display().to_string() })?;
        match listen(&path, group) {
            Ok(listener) => Ok(Self { listener, path }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                let address = path.display().to_string();
                Err(ListenError::Socket { address, error })
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Sets the mode before it listens: until then nobody can connect, whatever the umask.
fn listen(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    let mode = match group {
        Some(group) => {
            std::os::unix::fs::chown(path, None, Some(group))?;
            0o660
        }
        None => 0o600,
    };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn random() -> u64 {
    // Only keeps names apart: without randomness the process id does.
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
}

/// The number of a group that is given by number or by its name in `/etc/group`.
fn group_id(group: &str) -> Result<u32, ListenError> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let file = fs::read_to_string("/etc/group").unwrap_or_default();
    find_group(&file, group).ok_or_else(|| ListenError::Group(group.to_owned()))
}

fn find_group(file: &str, name: &str) -> Option<u32> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn bind_in(directory: &Path, more: &[(&str, &str)]) -> Result<PrivateSocket, ListenError> {
        let directory = directory.to_str().unwrap();
        PrivateSocket::bind(&[("PLUGIN_UNIX_SOCKET_DIR", directory)].into_iter().chain(more.iter().copied()).collect())
    }

    #[tokio::test]
    async fn the_socket_is_the_owners_alone_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let socket = bind_in(directory.path(), &[]).unwrap();
        let path = socket.path().to_owned();
        assert_eq!(path.parent(), Some(directory.path()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_group_may_connect_if_the_host_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let group = fs::metadata(directory.path()).unwrap().gid().to_string();
        let socket = bind_in(directory.path(), &[("PLUGIN_UNIX_SOCKET_GROUP", &group)]).unwrap();
        let metadata = fs::metadata(socket.path()).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o660);
        assert_eq!(metadata.gid().to_string(), group);
    }

    #[tokio::test]
    async fn an_unknown_group_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let group = ("PLUGIN_UNIX_SOCKET_GROUP", "no-such-group");
        let Err(refused) = bind_in(directory.path(), &[group]) else {
            panic!("an unknown group was accepted");
        };
        assert!(refused.to_string().contains("no-such-group"));
    }

    #[tokio::test]
    async fn a_directory_that_is_too_long_for_a_socket_is_named() {
        let directory = PathBuf::from(format!("/{}", "d".repeat(120)));
        let Err(refused) = bind_in(&directory, &[]) else {
            panic!("a path of 120 bytes was accepted");
        };
        assert!(matches!(refused, ListenError::PathTooLong { .. }));
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let file = "root:x:0:\nterraform:x:998:me\n";
        assert_eq!(find_group(file, "terraform"), Some(998));
        assert_eq!(find_group(file, "terra"), None);
    }
}
