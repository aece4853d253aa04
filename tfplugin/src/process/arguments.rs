//! The flags of a provider's executable.

/// What the executable shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Serve the host that started it.
    Serve,
    /// Serve any host, until a person ends it.
    Debug,
    /// Say which version it is.
    Version,
    /// Say which flags there are.
    Help,
}

pub(crate) const HELP: &str = "\
Options:
  -debug, --debug    serve until Ctrl-C, and print TF_REATTACH_PROVIDERS for Terraform
  --version          print the version
  --help             print this text
";

/// Reads the flags; as in Go, one dash and two are the same. The error is the argument that means nothing.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Mode, String> {
    let mut mode = Mode::Serve;
    for argument in arguments {
        let flag = argument.strip_prefix("--").or(argument.strip_prefix('-'));
        match flag {
            Some("debug" | "debug=true") => mode = Mode::Debug,
            Some("debug=false") => {}
            Some("version") => return Ok(Mode::Version),
            Some("help" | "h") => return Ok(Mode::Help),
            _ => return Err(argument),
        }
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Mode, String> {
        parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn one_dash_and_two_are_the_same() {
        assert_eq!(of(&["-debug"]), Ok(Mode::Debug));
        assert_eq!(of(&["--debug"]), Ok(Mode::Debug));
        assert_eq!(of(&["-version"]), Ok(Mode::Version));
    }

    #[test]
    fn without_flags_it_serves() {
        assert_eq!(of(&[]), Ok(Mode::Serve));
        assert_eq!(of(&["-debug=false"]), Ok(Mode::Serve));
    }

    #[test]
    fn an_unknown_argument_is_given_back() {
        assert_eq!(of(&["--debug", "apply"]), Err("apply".into()));
    }
}
