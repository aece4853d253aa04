//! What a failing run tells its user.

use std::time::{Duration, Instant};

use acceptance_local::{Outcome, Project};

/// Five times what users are promised: the reason of a failure within 20 seconds.
const DEADLINE: Duration = Duration::from_secs(100);

/// The one error of a run that failed.
#[derive(Clone, Debug)]
pub struct Told {
    /// Everything that the run said.
    pub text: String,
    /// The line of the configuration that the error is shown on, without its number.
    pub place: String,
}

impl Told {
    /// Applies, which must fail within five times the promised time, with one error that has each of `expected`.
    #[track_caller]
    pub fn by_apply(project: &Project, expected: &[&str]) -> Self {
        Self::by(expected, || project.apply())
    }

    /// The same of a destroy.
    #[track_caller]
    pub fn by_destroy(project: &Project, expected: &[&str]) -> Self {
        Self::by(expected, || project.destroy())
    }

    /// The same of any run.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "a measured time is of interest, and no claim")]
    pub fn by(expected: &[&str], run: impl FnOnce() -> Outcome) -> Self {
        let started = Instant::now();
        let text = run().fails_with(expected);
        let took = started.elapsed();
        println!("told after {:.1} s: {}", took.as_secs_f64(), expected[0]);
        assert!(took < DEADLINE, "told after {took:?}:\n{text}");
        let errors = text.lines().filter(|line| bare(line).starts_with("Error: ")).count();
        assert_eq!(errors, 1, "errors in:\n{text}");
        // A warning may stand before it, with a place of its own.
        let error = text.lines().map(bare).skip_while(|line| !line.starts_with("Error: "));
        let mut lines = error.skip_while(|line| !line.contains("in resource \""));
        let place = lines.nth(1).and_then(|line| line.split_once(": ")).map_or("", |(_, source)| source.trim());
        let place = place.to_owned();
        Self { text, place }
    }

    /// Asserts that the error is shown on this argument.
    #[track_caller]
    pub fn at(&self, argument: &str) -> &Self {
        let found = self.place.split([' ', '=']).next();
        assert_eq!(found, Some(argument), "{}", self.text);
        self
    }

    /// Asserts that none of these texts is told.
    #[track_caller]
    pub fn without(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(!self.text.contains(text), "{text:?} in:\n{}", self.text);
        }
        self
    }
}

/// A text without the box and the line breaks that terraform puts into it.
pub fn flat(text: &str) -> String {
    text.lines().map(bare).flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// A line without the box that diagnostics are drawn in.
fn bare(line: &str) -> &str {
    line.trim_start_matches(['│', '╷', '╵', ' '])
}
