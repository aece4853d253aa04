//! Bills of materials in SPDX 2.3: what is inside an image.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use super::command::output;
use super::error::ImagesError;
use super::tool::Tool;
use crate::rendered::root;

/// One thing inside an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    name: String,
    version: String,
    licence: String,
    /// Package URL.
    url: String,
}

impl Part {
    /// A part whose licence only its own package tells.
    fn unlicensed(kind: &str, name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: "NOASSERTION".to_owned(),
            url: format!("pkg:{kind}/{name}@{version}"),
        }
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct PipPackage {
    name: String,
    version: String,
}

/// The crates that a program of this workspace is linked from, as the lock file has them.
pub(super) fn crates(program: &str, processor: &str) -> Result<Vec<Part>, ImagesError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let platform = format!("{processor}-unknown-linux-gnu");
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform]);
    let said = output(command.current_dir(root()))?;
    let metadata: Metadata = serde_json::from_str(&said)
        .map_err(|error| ImagesError::Said { command: "cargo metadata".to_owned(), why: error.to_string() })?;
    Ok(linked(&metadata, program))
}

fn linked(metadata: &Metadata, program: &str) -> Vec<Part> {
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut open: Vec<&str> =
        metadata.packages.iter().filter(|package| package.name == program).map(|package| package.id.as_str()).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            let dependencies = nodes.get(id).into_iter().flat_map(|node| &node.deps);
            // Kinds other than none are what only builds and tests need.
            let normal = dependencies.filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            open.extend(normal.map(|dependency| dependency.pkg.as_str()));
        }
    }
    let packages = metadata.packages.iter().filter(|package| found.contains(package.id.as_str()));
    packages
        .map(|package| Part {
            name: package.name.clone(),
            version: package.version.clone(),
            // The older form of `OR`.
            licence: package.license.as_deref().map_or("NOASSERTION".to_owned(), |text| text.replace('/', " OR ")),
            url: format!("pkg:cargo/{}@{}", package.name, package.version),
        })
        .collect()
}

/// The Python and system packages that an image has.
pub(super) fn installed(tool: &Tool, image: &str, python: &str) -> Result<Vec<Part>, ImagesError> {
    let said =
        tool.output_in(image, &[python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"])?;
    let listed: Vec<PipPackage> = serde_json::from_str(&said)
        .map_err(|error| ImagesError::Said { command: "pip list".to_owned(), why: error.to_string() })?;
    let python = listed.iter().map(|found| Part::unlicensed("pypi", &found.name, &found.version));
    Ok(python.chain(system(tool, image)).collect())
}

/// Debian's packages in an image. Other distributions have other tools, and then none are listed.
fn system(tool: &Tool, image: &str) -> Vec<Part> {
    let query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n"];
    let said = tool.output_in(image, &query).unwrap_or_default();
    let lines = said.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, version)| Part::unlicensed("deb", name, version)).collect()
}

/// What the router's image has of its base: the C library, the compiler's, and certificates.
pub(super) fn libraries(tool: &Tool, base: &str) -> Vec<Part> {
    let taken = ["ca-certificates", "libc6", "libgcc-s1"];
    system(tool, base).into_iter().filter(|part| taken.contains(&part.name.as_str())).collect()
}

/// The document.
pub(super) fn document(image: &str, version: &str, revision: &str, mut parts: Vec<Part>) -> Value {
    parts.sort_unstable();
    parts.dedup();
    let package = |id: String, part: &Part| {
        json!({
            "SPDXID": id,
            "name": part.name,
            "versionInfo": part.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": part.licence,
            "copyrightText": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": part.url,
            }],
        })
    };
    let whole = Part {
        name: image.to_owned(),
        version: version.to_owned(),
        licence: "Apache-2.0".to_owned(),
        url: format!("pkg:oci/{image}@{version}"),
    };
    let inside = |index: usize| format!("SPDXRef-Package-{index}");
    let packages: Vec<Value> = std::iter::once(package("SPDXRef-Image".to_owned(), &whole))
        .chain(parts.iter().enumerate().map(|(index, part)| package(inside(index), part)))
        .collect();
    let relation = |from: &str, kind: &str, to: &str| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let relations: Vec<Value> = std::iter::once(relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"))
        .chain((0..parts.len()).map(|index| relation("SPDXRef-Image", "CONTAINS", &inside(index))))
        .collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{image}-{version}"),
        "documentNamespace": format!("https://github.com/openazureml/terraform-provider-azureml/sbom/{image}/{version}/{revision}"),
        "creationInfo": { "created": super::CREATED, "creators": ["Tool: cargo xtask images"] },
        "packages": packages,
        "relationships": relations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_into_the_program_is_listed() {
        let dependency =
            |name: &str, kind: Value| json!({ "name": name, "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let package = |name: &str, licence: Option<&str>| json!({ "id": name, "name": name, "version": "1.0.0", "license": licence });
        let metadata = json!({
            "packages": [
                package("azureml-fe", Some("Apache-2.0")), package("ring", Some("MIT/ISC")), package("proptest", None),
                package("cc", None), package("untrusted", None), package("elsewhere", None),
            ],
            "resolve": { "nodes": [
                { "id": "azureml-fe", "deps": [dependency("ring", Value::Null), dependency("proptest", json!("dev"))] },
                { "id": "ring", "deps": [dependency("untrusted", Value::Null), dependency("cc", json!("build"))] },
                { "id": "untrusted", "deps": [] },
            ] },
        });
        let metadata: Metadata = serde_json::from_value(metadata).expect("metadata");
        let parts = linked(&metadata, "azureml-fe");
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["azureml-fe", "ring", "untrusted"]);
        assert_eq!((parts[1].licence.as_str(), parts[1].url.as_str()), ("MIT OR ISC", "pkg:cargo/ring@1.0.0"));
    }

    #[test]
    fn every_part_of_the_document_is_contained_in_the_image() {
        let part =
            |name: &str| Part { name: name.into(), version: "1".into(), licence: "MIT".into(), url: String::new() };
        let document = document("azureml-fe", "0.1.0", "abc", vec![part("b"), part("a"), part("a")]);
        let names: Vec<&str> =
            document["packages"].as_array().expect("packages").iter().filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(names, ["azureml-fe", "a", "b"]);
        assert_eq!(document["relationships"].as_array().map(Vec::len), Some(3));
    }
}
