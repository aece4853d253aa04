//! Descriptors that the program was started with.
//!
//! A worker inherits its listener, and an upgraded supervisor everything that its predecessor held; whatever else is
//! open (a careless parent's files) is closed. This is the one place where a descriptor is made from a number.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Mutex;

static CLAIMED: Mutex<BTreeMap<RawFd, OwnedFd>> = Mutex::new(BTreeMap::new());

/// Takes every inherited descriptor but the standard three, and marks them close-on-exec.
///
/// # Safety
/// Must be the first thing that the program does: nothing else may own a descriptor above 2 yet.
#[allow(unsafe_code, reason = "descriptors arrive as numbers; the caller promises that nothing else owns them")]
pub unsafe fn claim() -> io::Result<()> {
    use std::os::fd::{BorrowedFd, FromRawFd};

    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    // Collected first, so that the listing's own descriptor is closed again and recognised below.
    let names: Vec<_> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    let mut claimed = CLAIMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for number in names.iter().filter_map(|name| name.to_str()?.parse::<RawFd>().ok()).filter(|number| *number > 2) {
        // SAFETY: only borrowed for the question whether it is open.
        let open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok();
        if open {
            // SAFETY: it is open, and by the caller's promise nobody else owns it.
            let owned = unsafe { OwnedFd::from_raw_fd(number) };
            rustix::io::fcntl_setfd(&owned, rustix::io::FdFlags::CLOEXEC)?;
            claimed.insert(number, owned);
        }
    }
    Ok(())
}

/// The inherited descriptor of this number. An error if it was not inherited, or was taken before.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    CLAIMED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .remove(&number)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} was not inherited")))
}

/// Closes what nobody took.
pub fn close_rest() {
    CLAIMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
}
