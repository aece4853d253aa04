//! Names of everything that users name, and the rules that each must obey.

use std::fmt;

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Noun {
    /// A webservice.
    Webservice,
    /// An endpoint. Webservices and endpoints of a compute share one name space.
    Endpoint,
    /// A version of an endpoint.
    EndpointVersion,
    /// A registered model.
    Model,
    /// An environment.
    Environment,
    /// A workspace.
    Workspace,
    /// A compute that is attached from outside.
    Compute,
    /// The local compute, which may also be called `local`.
    LocalCompute,
    /// A Kubernetes namespace.
    Namespace,
}

/// Names that no attached compute may have. A local compute may be called `local`.
pub const RESERVED_COMPUTE_NAMES: [&str; 3] = ["amlcompute", "local", "containerinstance"];

impl Noun {
    /// The noun as it is written in a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webservice => "webservice",
            Self::Endpoint => "endpoint",
            Self::EndpointVersion => "endpoint version",
            Self::Model => "model",
            Self::Environment => "environment",
            Self::Workspace => "workspace",
            Self::Compute => "compute",
            Self::LocalCompute => "local compute",
            Self::Namespace => "namespace",
        }
    }

    /// The whole rule as one phrase, for diagnostics and documentation.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Webservice | Self::Endpoint | Self::EndpointVersion => {
                "3 to 32 characters: lower-case letters, digits and dashes, starting with a letter and ending with a letter or digit"
            }
            Self::Model | Self::Environment => {
                "1 to 255 characters: letters, digits, dashes, dots and underscores, starting with a letter or digit"
            }
            Self::Workspace => {
                "3 to 33 characters: letters, digits, dashes and underscores, starting with a letter or digit"
            }
            Self::Compute => {
                "3 to 24 characters: letters, digits and dashes, starting with a letter and ending with a letter or digit, and none of amlcompute, local, containerinstance"
            }
            Self::LocalCompute => {
                "3 to 24 characters: letters, digits and dashes, starting with a letter and ending with a letter or digit, and none of amlcompute, containerinstance"
            }
            Self::Namespace => {
                "1 to 63 characters: lower-case letters, digits and dashes, starting and ending with a letter or digit"
            }
        }
    }

    const fn length(self) -> (usize, usize) {
        match self {
            Self::Webservice | Self::Endpoint | Self::EndpointVersion => (3, 32),
            Self::Model | Self::Environment => (1, 255),
            Self::Workspace => (3, 33),
            Self::Compute | Self::LocalCompute => (3, 24),
            Self::Namespace => (1, 63),
        }
    }

    fn allows(self, character: char) -> bool {
        match self {
            Self::Webservice | Self::Endpoint | Self::EndpointVersion | Self::Namespace => {
                matches!(character, 'a'..='z' | '0'..='9' | '-')
            }
            Self::Model | Self::Environment => {
                character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_')
            }
            Self::Workspace => character.is_ascii_alphanumeric() || matches!(character, '-' | '_'),
            Self::Compute | Self::LocalCompute => character.is_ascii_alphanumeric() || character == '-',
        }
    }

    fn may_start_with(self, character: char) -> bool {
        match self {
            Self::Webservice | Self::Endpoint | Self::EndpointVersion | Self::Compute | Self::LocalCompute => {
                character.is_ascii_alphabetic()
            }
            Self::Model | Self::Environment | Self::Workspace | Self::Namespace => character.is_ascii_alphanumeric(),
        }
    }

    fn may_end_with(self, character: char) -> bool {
        match self {
            Self::Model | Self::Environment | Self::Workspace => true,
            _ => character.is_ascii_alphanumeric(),
        }
    }

    /// Checks a name against the whole rule; reports the first thing that is wrong with it.
    pub fn check(self, name: &str) -> Result<(), Violation> {
        self.problem(name).map_or(Ok(()), |problem| Err(Violation { noun: self, name: name.to_owned(), problem }))
    }

    fn problem(self, name: &str) -> Option<Problem> {
        if let Some(character) = name.chars().find(|character| !self.allows(*character)) {
            return Some(Problem::Character(character));
        }
        // Only ASCII is left, so bytes are characters from here on.
        let (min, max) = self.length();
        if name.len() < min || name.len() > max {
            return Some(Problem::Length(name.len()));
        }
        if let Some(first) = name.chars().next().filter(|first| !self.may_start_with(*first)) {
            return Some(Problem::Start(first));
        }
        if let Some(last) = name.chars().next_back().filter(|last| !self.may_end_with(*last)) {
            return Some(Problem::End(last));
        }
        let reserved: &[&str] = match self {
            Self::Compute => &RESERVED_COMPUTE_NAMES,
            Self::LocalCompute => &["amlcompute", "containerinstance"],
            _ => &[],
        };
        reserved.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(Problem::Reserved)
    }
}

/// A name that breaks its rule. Its text says what is wrong and states the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it was to be the name of.
    pub noun: Noun,
    /// The refused name.
    pub name: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is this many characters long.
    Length(usize),
    /// It contains this character.
    Character(char),
    /// It starts with this character.
    Start(char),
    /// It ends with this character.
    End(char),
    /// It has a meaning of its own.
    Reserved,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.noun.as_str();
        // `{:?}` shows line breaks and other invisible characters as escapes.
        write!(f, "{:?} is not a valid {noun} name: it ", self.name)?;
        match self.problem {
            Problem::Length(0) => f.write_str("is empty")?,
            Problem::Length(length) => write!(f, "has {length} character{}", if length == 1 { "" } else { "s" })?,
            Problem::Character(character) => write!(f, "contains {character:?}")?,
            Problem::Start(character) => write!(f, "starts with {character:?}")?,
            Problem::End(character) => write!(f, "ends with {character:?}")?,
            Problem::Reserved => f.write_str("is reserved")?,
        }
        write!(f, "; allowed are {}", self.noun.rule())
    }
}

impl std::error::Error for Violation {}

/// Checks a webservice's name.
pub fn webservice(name: &str) -> Result<(), Violation> {
    Noun::Webservice.check(name)
}

/// Checks an endpoint's name.
pub fn endpoint(name: &str) -> Result<(), Violation> {
    Noun::Endpoint.check(name)
}

/// Checks an endpoint version's name.
pub fn endpoint_version(name: &str) -> Result<(), Violation> {
    Noun::EndpointVersion.check(name)
}

/// Checks a model's name.
pub fn model(name: &str) -> Result<(), Violation> {
    Noun::Model.check(name)
}

/// Checks an environment's name. The original publishes no rule for it; this one is the models'.
pub fn environment(name: &str) -> Result<(), Violation> {
    Noun::Environment.check(name)
}

/// Checks a workspace's name.
pub fn workspace(name: &str) -> Result<(), Violation> {
    Noun::Workspace.check(name)
}

/// Checks a compute's name. The reserved names are refused in any case.
pub fn compute(name: &str) -> Result<(), Violation> {
    Noun::Compute.check(name)
}

/// Checks a local compute's name.
pub fn local_compute(name: &str) -> Result<(), Violation> {
    Noun::LocalCompute.check(name)
}

/// Checks a Kubernetes namespace.
pub fn namespace(name: &str) -> Result<(), Violation> {
    Noun::Namespace.check(name)
}

/// Python's keywords: not allowed as a module name.
const PYTHON_KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Why a path is not an entry script's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryScriptViolation {
    /// It leads out of the source directory or is not a plain relative path.
    #[error("entry script {0:?} must be a path inside the source directory, with `/` between folders")]
    NotInside(String),
    /// It does not end in `.py`.
    #[error("entry script {0:?} must be a Python file whose name ends in `.py`")]
    NotPython(String),
    /// Python cannot import a module of this name.
    #[error("entry script {0:?} cannot be imported: {1:?} is not a Python identifier or is a keyword; rename the file")]
    NotImportable(String, String),
}

/// Checks the path of an entry script, relative to its source directory: no way out of it, ends in `.py`, and the name
/// before that is a Python identifier and not a keyword.
pub fn entry_script(path: &str) -> Result<(), EntryScriptViolation> {
    let parts: Vec<&str> = path.split('/').collect();
    let plain =
        |part: &&str| !part.is_empty() && !matches!(*part, "." | "..") && !part.contains(['\\', '\0', '\n', '\r']);
    if !parts.iter().all(plain) {
        return Err(EntryScriptViolation::NotInside(path.to_owned()));
    }
    let file = parts.last().copied().unwrap_or_default();
    let Some(module) = file.strip_suffix(".py") else {
        return Err(EntryScriptViolation::NotPython(path.to_owned()));
    };
    let mut characters = module.chars();
    let identifier = characters.next().is_some_and(|first| first == '_' || first.is_alphabetic())
        && characters.all(|character| character == '_' || character.is_alphanumeric());
    if !identifier || PYTHON_KEYWORDS.contains(&module) {
        return Err(EntryScriptViolation::NotImportable(path.to_owned(), module.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Noun; 9] = [
        Noun::Webservice,
        Noun::Endpoint,
        Noun::EndpointVersion,
        Noun::Model,
        Noun::Environment,
        Noun::Workspace,
        Noun::Compute,
        Noun::LocalCompute,
        Noun::Namespace,
    ];

    fn problem(noun: Noun, name: &str) -> Option<Problem> {
        noun.check(name).err().map(|violation| violation.problem)
    }

    #[test]
    fn ordinary_names_pass_for_everything() {
        for noun in ALL {
            assert_eq!(noun.check("diabetes-2"), Ok(()), "{noun:?}");
        }
    }

    #[test]
    fn nothing_can_be_smuggled_in_behind_a_line_break() {
        for noun in ALL {
            assert_eq!(problem(noun, "diabetes\n"), Some(Problem::Character('\n')), "{noun:?}");
            assert_eq!(problem(noun, "dia/betes"), Some(Problem::Character('/')), "{noun:?}");
            assert_eq!(problem(noun, ""), Some(Problem::Length(0)), "{noun:?}");
            assert_eq!(problem(noun, "diabète"), Some(Problem::Character('è')), "{noun:?}");
        }
    }

    #[test]
    fn lengths_are_bounded_at_both_ends() {
        for (noun, min, max) in [
            (Noun::Webservice, 3, 32),
            (Noun::EndpointVersion, 3, 32),
            (Noun::Model, 1, 255),
            (Noun::Workspace, 3, 33),
            (Noun::Compute, 3, 24),
            (Noun::Namespace, 1, 63),
        ] {
            assert_eq!(problem(noun, &"a".repeat(min)), None, "{noun:?}");
            assert_eq!(problem(noun, &"a".repeat(max)), None, "{noun:?}");
            assert_eq!(problem(noun, &"a".repeat(max + 1)), Some(Problem::Length(max + 1)), "{noun:?}");
            assert_eq!(problem(noun, &"a".repeat(min - 1)), Some(Problem::Length(min - 1)), "{noun:?}");
        }
    }

    #[test]
    fn first_and_last_characters_have_rules_of_their_own() {
        assert_eq!(problem(Noun::Webservice, "1abc"), Some(Problem::Start('1')));
        assert_eq!(problem(Noun::Webservice, "abc-"), Some(Problem::End('-')));
        assert_eq!(problem(Noun::Webservice, "Abc"), Some(Problem::Character('A')));
        assert_eq!(problem(Noun::Model, ".abc"), Some(Problem::Start('.')));
        assert_eq!(problem(Noun::Model, "9_A.b-"), None);
        assert_eq!(problem(Noun::Workspace, "_abc"), Some(Problem::Start('_')));
        assert_eq!(problem(Noun::Compute, "abc-"), Some(Problem::End('-')));
        assert_eq!(problem(Noun::Namespace, "-a"), Some(Problem::Start('-')));
    }

    #[test]
    fn reserved_compute_names_are_refused_in_any_case() {
        for name in ["local", "Local", "amlcompute", "containerinstance"] {
            assert_eq!(problem(Noun::Compute, name), Some(Problem::Reserved), "{name}");
        }
        assert_eq!(problem(Noun::Webservice, "local"), None);
        assert_eq!(problem(Noun::LocalCompute, "local"), None);
        assert_eq!(problem(Noun::LocalCompute, "AmlCompute"), Some(Problem::Reserved));
    }

    #[test]
    fn the_text_states_problem_and_rule() {
        assert_eq!(
            webservice("My Model").expect_err("refused").to_string(),
            "\"My Model\" is not a valid webservice name: it contains 'M'; allowed are 3 to 32 characters: lower-case \
             letters, digits and dashes, starting with a letter and ending with a letter or digit"
        );
    }

    #[test]
    fn entry_scripts_are_importable_files_inside_the_source_directory() {
        for good in ["score.py", "src/score_2.py", "_x.py", "a b/score.py"] {
            assert_eq!(entry_script(good), Ok(()), "{good}");
        }
        for outside in ["../score.py", "/score.py", "a//score.py", "./score.py", "a\\score.py", ""] {
            assert!(matches!(entry_script(outside), Err(EntryScriptViolation::NotInside(_))), "{outside}");
        }
        assert!(matches!(entry_script("score.txt"), Err(EntryScriptViolation::NotPython(_))));
        for strange in ["class.py", "my-score.py", "2score.py", ".py"] {
            assert!(matches!(entry_script(strange), Err(EntryScriptViolation::NotImportable(..))), "{strange}");
        }
    }
}
