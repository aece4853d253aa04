//! Every example is formatted and valid.

use std::path::{Path, PathBuf};

use acceptance_local::Project;

fn examples() -> PathBuf {
    // cargo runs tests in the folder of their package.
    Path::new("../../../examples").canonicalize().expect("the examples")
}

/// Configuration files below a folder, but not what an apply has left there.
fn configurations(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !name.starts_with('.') {
            found.extend(configurations(&path));
        } else if path.extension().is_some_and(|extension| extension == "tf") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("an example")
}

#[test]
fn every_example_is_formatted() {
    let project = Project::new("");
    let examples = examples();
    project.terraform(["fmt", "-check", "-recursive", "-diff", examples.to_str().expect("UTF-8")]).ok();
}

/// Examples that are configurations of their own; the others are snippets of the documentation.
const WHOLE: [&str; 4] = ["quickstart", "controlled-rollout", "blue-green", "key-rotation"];

#[test]
fn every_whole_example_is_valid_by_itself() {
    for name in WHOLE {
        let all: Vec<String> = configurations(&examples().join(name)).iter().map(|path| read(path)).collect();
        let project = Project::new(&all.join("\n"));
        project.write("requirements.txt", "");
        project.terraform(["validate"]).ok();
    }
}

#[test]
fn the_snippets_of_the_documentation_are_valid_together() {
    let whole = WHOLE.map(|name| examples().join(name));
    let snippets: Vec<PathBuf> = configurations(&examples())
        .into_iter()
        .filter(|path| !whole.iter().any(|example| path.starts_with(example)))
        .collect();
    for part in ["provider/", "resources/", "data-sources/", "ephemeral-resources/", "functions/"] {
        assert!(snippets.iter().any(|path| path.to_string_lossy().contains(&format!("examples/{part}"))), "no {part}");
    }
    let all: Vec<String> = snippets.iter().map(|path| read(path)).collect();
    let project = Project::new(&all.join("\n"));
    project.write("requirements.txt", "");
    project.terraform(["validate"]).ok();
}
