//! Which machine this is.

use std::process::Command;

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Stays the same over reboots and new host names, where the system has such a thing; else the host name.
    pub id: String,
    /// Host name, for people.
    pub host: String,
}

/// Files of the system that hold an identity, as systemd and D-Bus keep it.
const IDENTITY_FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

impl Machine {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let from_file = IDENTITY_FILES.iter().find_map(|path| {
            let text = std::fs::read_to_string(path).ok()?;
            let id = text.trim();
            // An image that was never booted says `uninitialized`, or nothing.
            (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
        });
        let id = from_file.or_else(hardware_id).unwrap_or_else(|| host.clone());
        Self { id, host }
    }
}

/// The hardware's identity, where the system tells it to everybody.
fn hardware_id() -> Option<String> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let output = Command::new("/usr/sbin/ioreg").args(["-rd1", "-c", "IOPlatformExpertDevice"]).output().ok()?;
    platform_uuid(&String::from_utf8_lossy(&output.stdout))
}

fn platform_uuid(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains("\"IOPlatformUUID\""))?;
    let id = line.split('"').nth(3)?;
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_the_same_each_time() {
        let machine = Machine::this();
        assert_eq!(machine, Machine::this());
        assert!(!machine.id.is_empty());
    }

    #[test]
    fn the_hardware_identity_is_found_in_what_macos_prints() {
        let text = "+-o J314sAP  <class IOPlatformExpertDevice>\n    {\n      \"IOPlatformSerialNumber\" = \"X\"\n      \"IOPlatformUUID\" = \"0A1B2C3D-0000-1111-2222-333344445555\"\n    }";
        assert_eq!(platform_uuid(text).as_deref(), Some("0A1B2C3D-0000-1111-2222-333344445555"));
        assert_eq!(platform_uuid("nothing"), None);
    }
}
