//! Log lines of the Rust side, in the same form as Python's (R§15.10).

use std::io::Write as _;

/// Writes `<UTC time> <level> [<pid>] <logger> - <message>` to standard output in one write.
pub(crate) fn line(level: char, logger: &str, message: &str) {
    let now = jiff::Timestamp::now();
    let time = now.strftime("%Y-%m-%d %H:%M:%S");
    let text =
        format!("{time},{:03} {level} [{}] {logger} - {message}\n", now.subsec_millisecond(), std::process::id());
    // Nobody can be told that the log is gone.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
