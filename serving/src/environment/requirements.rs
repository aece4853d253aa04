use std::fmt;

use serde::{Deserialize, Serialize};

use super::MAX_DEFINITION_BYTES;

/// A pip requirements file in its normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirements {
    /// Options that hold for the whole file, one each, long form, in the order of the file, which may matter.
    pub options: Vec<String>,
    /// Requirements in the form of PEP 508, sorted, each once.
    pub packages: Vec<String>,
}

/// A line that is not understood or not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RequirementError {
    /// Line in the text, from 1; of a continued line the first. 0 if the whole text is meant.
    pub line: usize,
    /// What is wrong.
    pub problem: RequirementProblem,
}

impl fmt::Display for RequirementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        self.problem.fmt(f)
    }
}

/// What is wrong with a requirement. Never shows a URL, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequirementProblem {
    /// The text is larger than [`MAX_DEFINITION_BYTES`].
    #[error("the requirements are larger than {MAX_DEFINITION_BYTES} bytes")]
    TooLarge,
    /// `-r`, `-c`, `-e`, a path: something that exists only where the file was written.
    #[error("`{0}` refers to a file beside the requirements, but they must stand on their own; write its content here")]
    NotSelfContained(String),
    /// An option that is not allowed in a requirements file, or not here.
    #[error("the option `{0}` is not supported here")]
    Option(String),
    /// An option lacks its value.
    #[error("the option `{0}` needs a value")]
    OptionValue(String),
    /// Not the form of PEP 508.
    #[error("`{0}` is not a requirement like `name==1.2`, `name[extra]>=1,<2` or `name @ https://...`")]
    Syntax(String),
    /// A URL with a literal password or token.
    #[error(
        "a URL contains a user name or password; refer to an environment variable as in https://${{USER}}:${{PASSWORD}}@host/"
    )]
    Credential,
}

/// Options with their short forms, and whether they have a value.
const OPTIONS: [(&str, &str, bool); 10] = [
    ("--index-url", "-i", true),
    ("--extra-index-url", "", true),
    ("--no-index", "", false),
    ("--find-links", "-f", true),
    ("--no-binary", "", true),
    ("--only-binary", "", true),
    ("--prefer-binary", "", false),
    ("--require-hashes", "", false),
    ("--pre", "", false),
    ("--trusted-host", "", true),
];

/// Options that name another file.
const FILE_OPTIONS: [&str; 6] = ["-r", "--requirement", "-c", "--constraint", "-e", "--editable"];

impl Requirements {
    /// Parses and normalises the text of a requirements file.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        if text.len() > MAX_DEFINITION_BYTES {
            return Err(RequirementError { line: 0, problem: RequirementProblem::TooLarge });
        }
        let mut requirements = Self::default();
        for (line, content) in logical_lines(text) {
            requirements.add(&content).map_err(|problem| RequirementError { line, problem })?;
        }
        requirements.packages.sort_unstable();
        requirements.packages.dedup();
        Ok(requirements)
    }

    /// The normal form as the text of a requirements file.
    #[must_use]
    pub fn text(&self) -> String {
        self.options.iter().chain(&self.packages).fold(String::new(), |text, line| text + line + "\n")
    }

    fn add(&mut self, line: &str) -> Result<(), RequirementProblem> {
        check_credentials(line)?;
        if line.starts_with('-') {
            self.options.push(option(line)?);
        } else {
            self.packages.push(requirement(line)?);
        }
        Ok(())
    }
}

/// The form of a package name by which an index compares: PEP 503.
#[must_use]
pub fn normalize_name(name: &str) -> String {
    let words: Vec<&str> = name.split(['-', '_', '.']).filter(|word| !word.is_empty()).collect();
    words.join("-").to_ascii_lowercase()
}

/// Lines without comments and blank ones, continued lines joined, with the number of their first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (start, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let comment = line.trim_start().starts_with('#');
        if let Some(head) = line.strip_suffix('\\').filter(|_| !comment) {
            joined.push_str(head);
            open = Some((start, joined));
            continue;
        }
        joined.push_str(line);
        lines.push((start, joined));
    }
    lines.extend(open);
    lines
        .into_iter()
        .map(|(number, line)| (number, without_comment(&line).trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// A `#` starts a comment at the start of the line or after white space; elsewhere it belongs to a URL.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        if character == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = character;
    }
    line
}

fn option(line: &str) -> Result<String, RequirementProblem> {
    let end = line.find(|character: char| character == '=' || character.is_whitespace()).unwrap_or(line.len());
    let (name, value) = (&line[..end], line[end..].trim_start_matches(['=', ' ', '\t']).trim());
    // The short forms may be glued to their value: `-rother.txt`.
    let short = line.get(..2).filter(|_| !line.starts_with("--"));
    if FILE_OPTIONS.iter().any(|file| name == *file || short == Some(*file)) {
        return Err(RequirementProblem::NotSelfContained(short.unwrap_or(name).to_owned()));
    }
    let known = OPTIONS.iter().find(|(long, brief, _)| name == *long || (!brief.is_empty() && name == *brief));
    let Some((long, _, has_value)) = known else {
        return Err(RequirementProblem::Option(name.to_owned()));
    };
    match (has_value, value.is_empty()) {
        (true, true) => Err(RequirementProblem::OptionValue((*long).to_owned())),
        (true, false) if is_path(value) && *long == "--find-links" => {
            Err(RequirementProblem::NotSelfContained((*long).to_owned()))
        }
        (true, false) => Ok(format!("{long} {value}")),
        (false, true) => Ok((*long).to_owned()),
        (false, false) => Err(RequirementProblem::Option(line.to_owned())),
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/', '~']) || text.to_ascii_lowercase().starts_with("file:") || !text.contains("://")
}

/// PEP 508 and, behind it, `--hash` options.
fn requirement(line: &str) -> Result<String, RequirementProblem> {
    let syntax = || RequirementProblem::Syntax(if line.contains("://") { "<url>".to_owned() } else { line.to_owned() });
    let (line, hashes) = split_hashes(line)?;
    let name_length = line
        .find(|character: char| !character.is_ascii_alphanumeric() && !"-_.".contains(character))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(name_length);
    let sound = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.ends_with(|last: char| last.is_ascii_alphanumeric());
    if !sound || rest.starts_with(['/', ':', '\\']) {
        let place = line.starts_with(['.', '/', '~']) || line.starts_with("file:") || rest.starts_with(['/', '\\']);
        return Err(if place { RequirementProblem::NotSelfContained(line.to_owned()) } else { syntax() });
    }
    let rest = rest.trim_start();
    let (extras, rest) = match rest.strip_prefix('[') {
        Some(inside) => {
            let (list, rest) = inside.split_once(']').ok_or_else(syntax)?;
            (names(list).ok_or_else(syntax)?, rest.trim_start())
        }
        None => (Vec::new(), rest),
    };
    let mut normal = normalize_name(name);
    if !extras.is_empty() {
        normal = format!("{normal}[{}]", extras.join(","));
    }
    let marker = if let Some(url) = rest.strip_prefix('@') {
        let url = url.trim_start();
        // In a URL a semicolon is a character like others, unless white space comes before it.
        let (url, marker) = url.split_once(" ;").map_or((url, None), |(url, marker)| (url, Some(marker)));
        let url = url.trim();
        if url.is_empty() || url.contains(char::is_whitespace) {
            return Err(syntax());
        }
        if is_path(url) {
            return Err(RequirementProblem::NotSelfContained(name.to_owned()));
        }
        normal = format!("{normal} @ {url}");
        marker
    } else {
        let (specifiers, marker) = rest.split_once(';').map_or((rest, None), |(head, marker)| (head, Some(marker)));
        normal.push_str(&specifier_set(specifiers).ok_or_else(syntax)?);
        marker
    };
    if let Some(marker) = marker {
        normal =
            format!("{normal} ; {}", normalize_marker(marker).filter(|marker| !marker.is_empty()).ok_or_else(syntax)?);
    }
    for hash in hashes {
        normal = format!("{normal} --hash={hash}");
    }
    Ok(normal)
}

fn split_hashes(line: &str) -> Result<(&str, Vec<&str>), RequirementProblem> {
    let Some(at) = line.find(" --").or_else(|| line.find("\t--")) else { return Ok((line.trim(), Vec::new())) };
    let mut hashes = Vec::new();
    for option in line[at..].split_whitespace() {
        let hash = option.strip_prefix("--hash=").filter(|hash| hash.contains(':'));
        hashes.push(hash.ok_or_else(|| RequirementProblem::Option(option.to_owned()))?);
    }
    hashes.sort_unstable();
    Ok((line[..at].trim(), hashes))
}

fn names(list: &str) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !name.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character)) {
            return None;
        }
        names.push(normalize_name(name));
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// `>=1, <2` to `<2,>=1`: without white space and sorted. An empty text is an empty set.
pub(super) fn specifier_set(text: &str) -> Option<String> {
    let text = text.trim();
    let text = match text.strip_prefix('(') {
        Some(inside) => inside.strip_suffix(')')?.trim(),
        None => text,
    };
    if text.is_empty() {
        return Some(String::new());
    }
    let mut specifiers = Vec::new();
    for specifier in text.split(',').map(str::trim) {
        let operator = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"]
            .into_iter()
            .find(|operator| specifier.starts_with(operator))?;
        let version = specifier[operator.len()..].trim();
        let plain = |character: char| character.is_ascii_alphanumeric() || ".*+!-_".contains(character);
        if version.is_empty() || !version.chars().all(plain) {
            return None;
        }
        specifiers.push(format!("{operator}{}", version.to_ascii_lowercase()));
    }
    specifiers.sort_unstable();
    specifiers.dedup();
    Some(specifiers.join(","))
}

/// One space between the tokens, double quotes around texts. None if a quote does not end.
fn normalize_marker(marker: &str) -> Option<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = marker.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => rest[1..].find(first)? + 2,
            '(' | ')' => 1,
            '<' | '>' | '=' | '!' | '~' => rest.find(|character| !"<>=!~".contains(character)).unwrap_or(rest.len()),
            _ => rest
                .find(|character: char| character.is_whitespace() || "()<>=!~\"'".contains(character))
                .unwrap_or(rest.len()),
        };
        let token = &rest[..length];
        let text =
            token.strip_prefix('\'').and_then(|token| token.strip_suffix('\'')).filter(|text| !text.contains('"'));
        tokens.push(text.map_or_else(|| token.to_owned(), |text| format!("\"{text}\"")));
        rest = rest[length..].trim_start();
    }
    Some(tokens.join(" "))
}

/// Refuses literal credentials: definitions are stored in the catalogue, which holds no secrets.
fn check_credentials(line: &str) -> Result<(), RequirementProblem> {
    for (at, _) in line.match_indices("://") {
        let scheme = line[..at].rsplit(|character: char| !character.is_ascii_alphanumeric()).next().unwrap_or_default();
        let authority = line[at + 3..].split(['/', ' ', '?', '#']).next().unwrap_or_default();
        let Some((user_info, _)) = authority.rsplit_once('@') else { continue };
        let variable = |text: &str| text.starts_with("${") && text.ends_with('}');
        let harmless = match user_info.split_once(':') {
            Some((_, password)) => variable(password),
            // A lone user name is a token with HTTP, and just a name with SSH.
            None => scheme == "ssh" || variable(user_info),
        };
        if !harmless {
            return Err(RequirementProblem::Credential);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "requirements_tests.rs"]
mod tests;
