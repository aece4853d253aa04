//! Where a workspace is in object storage: `az://<container>[/<prefix>]` or `s3://<bucket>[/<prefix>]`.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;

/// Kinds of object storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Azure Blob Storage.
    Azure,
    /// S3, or whatever speaks its protocol.
    S3,
}

impl Scheme {
    const ALL: [Self; 2] = [Self::Azure, Self::S3];

    /// As URLs spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "az",
            Self::S3 => "s3",
        }
    }

    /// What it calls the place that holds objects.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Azure => "container",
            Self::S3 => "bucket",
        }
    }
}

/// Why a URL is not one of a workspace in object storage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{url:?} is not the URL of a workspace's storage root: {problem}; write it like {}://<{}>/<prefix>",
    scheme.as_str(),
    scheme.place()
)]
pub struct LocationError {
    url: String,
    scheme: Scheme,
    problem: &'static str,
}

/// A container or bucket, and the prefix of a workspace's objects in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    scheme: Scheme,
    container: String,
    prefix: String,
}

/// Longest prefix: names of objects may have 1024 bytes, and a workspace's own names need some.
const LONGEST_PREFIX: usize = 512;

impl Location {
    /// Kind of the storage.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Container or bucket.
    #[must_use]
    pub fn container(&self) -> &str {
        &self.container
    }

    /// Prefix of all objects of the workspace.
    #[must_use]
    pub fn prefix(&self) -> Path {
        Path::from(self.prefix.as_str())
    }

    /// A URL as a location; `None` if its scheme is another one.
    #[must_use]
    pub fn parse(url: &str) -> Option<Result<Self, LocationError>> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = Scheme::ALL.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_str()))?;
        Some(parse(scheme, rest).map_err(|problem| LocationError { url: shown(url), scheme, problem }))
    }
}

/// A URL without what may be a secret.
fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect()
}

fn parse(scheme: Scheme, rest: &str) -> Result<Location, &'static str> {
    if rest.contains(['?', '#']) {
        return Err("it has a query or fragment");
    }
    if rest.split('/').next().is_some_and(|host| host.contains(['@', ':'])) {
        return Err("account, credentials and port belong into the provider block's `storage`");
    }
    let rest = rest.trim_end_matches('/');
    let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let dots = scheme == Scheme::S3;
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let inside = |letter: u8| plain(letter) || letter == b'-' || (dots && letter == b'.');
    let bytes = container.as_bytes();
    let ends = bytes.first().is_some_and(|first| plain(*first)) && bytes.last().is_some_and(|last| plain(*last));
    let double = !dots && container.contains("--");
    if !(3..=63).contains(&bytes.len()) || !ends || double || !bytes.iter().all(|letter| inside(*letter)) {
        return Err(match scheme {
            Scheme::Azure => {
                "a container's name has 3 to 63 lower-case letters, digits and single hyphens, and begins and ends with \
                 a letter or digit"
            }
            Scheme::S3 => {
                "a bucket's name has 3 to 63 lower-case letters, digits, hyphens and dots, and begins and ends with a \
                 letter or digit"
            }
        });
    }
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    for segment in prefix.split('/').filter(|_| !prefix.is_empty()) {
        if segment.is_empty() || segment == "." || segment == ".." {
            return Err("its prefix has an empty segment, or one that is . or ..");
        }
        if !segment.bytes().all(allowed) {
            return Err("its prefix has other characters than letters, digits, '-', '_', '.' and '/'");
        }
    }
    if prefix.len() > LONGEST_PREFIX {
        return Err("its prefix has more than 512 characters");
    }
    Ok(Location { scheme, container: container.to_owned(), prefix: prefix.to_owned() })
}

impl FromStr for Location {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let Some(location) = Self::parse(url) else {
            return Err(format!("{:?} is not the URL of an object store; write it like az://<container>", shown(url)));
        };
        location.map_err(|error| error.to_string())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.container)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        Location::parse(url).expect("a known scheme").expect_err(url).to_string()
    }

    #[test]
    fn a_location_has_one_spelling() {
        for url in ["az://models/team/ws", "AZ://models/team/ws/", "az://models/team/ws//"] {
            assert_eq!(url.parse::<Location>().expect(url).to_string(), "az://models/team/ws");
        }
        assert_eq!("s3://my.bucket/".parse::<Location>().expect("whole bucket").to_string(), "s3://my.bucket");
        assert_eq!(Location::parse("file:///data"), None);
    }

    #[test]
    fn what_is_not_of_the_form_is_refused_with_the_form() {
        for (url, part) in [
            ("az://", "3 to 63"),
            ("az://Models", "lower-case"),
            ("az://a--b", "single hyphens"),
            ("az://my.models", "hyphens"),
            ("s3://-bucket", "begins"),
            ("az://models/a//b", "empty segment"),
            ("s3://bucket/../other", ".."),
            ("az://models/a b", "characters"),
            ("az://models@account/x", "`storage`"),
            ("s3://bucket:9000", "`storage`"),
        ] {
            let problem = problem(url);
            assert!(problem.contains(part) && problem.contains("write it like"), "{problem}");
        }
        let problem = problem("az://models?sig=SECRET");
        assert!(problem.contains("query") && !problem.contains("SECRET"), "{problem}");
    }
}
