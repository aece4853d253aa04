//! `show --watch`: one service again and again.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::show::describe;
use super::view::View;
use super::{Failure, Noun};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Puts the cursor at the top and clears the screen.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// Shows the service until the process is interrupted, the output closed, or the service removed.
pub(super) fn run(noun: Noun, name: &str, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let screen = !json && out.is_terminal();
    let mut before: Option<(View, Instant)> = None;
    loop {
        let (view, _) = View::look(noun, name)?;
        let now = Instant::now();
        // Written at once, so that the screen does not flicker.
        let mut text = Vec::new();
        if json {
            serde_json::to_writer(&mut text, &view)?;
            text.push(b'\n');
        } else {
            if screen {
                text.extend_from_slice(CLEAR);
            }
            let counted = before.as_ref().and_then(|(view, at)| Some((view.stats.as_ref()?, *at)));
            describe(&mut text, &view, counted.map(|(stats, at)| (stats, (now - at).as_secs_f64())))?;
            if !screen {
                text.push(b'\n');
            }
        }
        out.write_all(&text)?;
        out.flush()?;
        before = Some((view, now));
        std::thread::sleep(INTERVAL.saturating_sub(now.elapsed()));
    }
}
