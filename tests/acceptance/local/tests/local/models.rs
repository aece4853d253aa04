//! What may be a model or a source directory, and where scripts find their models.

use std::os::unix::net::UnixListener;

use acceptance_local::{DOUBLE, Project, Stack, post};
use serde_json::{Value, json};

/// Lists what it finds in `AZUREML_MODEL_DIR`, and where that is below the app root.
const LIST: &str = r#"import os


def init():
    pass


def run(raw_data):
    top = os.environ.get("AZUREML_MODEL_DIR")
    files = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path) as file:
                files[os.path.relpath(path, top)] = file.read()
    return {"at": os.path.relpath(top, os.environ["AML_APP_ROOT"]), "files": files}
"#;

fn listed(project: &Project) -> Value {
    let uri = project.scoring_uri();
    let answer = post(&uri, &project.key("double"), "{}");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn a_path_that_is_no_file_or_folder_with_files_fails_the_plan_on_path() {
    let project = Stack::default().project();
    let root = project.path();
    std::fs::create_dir_all(root.join("empty/nested")).expect("a folder");
    let _listener = UnixListener::bind(root.join("socket")).expect("a socket");
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("a pipe");
    std::os::unix::fs::symlink("/dev/null", root.join("device")).expect("a link");
    // Unreadable even for root.
    std::os::unix::fs::symlink("/proc/self/mem", root.join("unreadable")).expect("a link");
    project.write("folder/good.txt", "x");
    std::os::unix::fs::symlink("../empty", root.join("folder/link")).expect("a link");
    project.write("dangling/good.txt", "x");
    std::os::unix::fs::symlink("nothing", root.join("dangling/link")).expect("a link");
    project.write("holder/good.txt", "x");
    let _inner = UnixListener::bind(root.join("holder/socket")).expect("a socket");
    for (path, expected) in [
        ("missing", "missing does not exist"),
        ("empty", "empty holds no file"),
        ("socket", "socket is a socket"),
        ("fifo", "fifo is a named pipe"),
        ("device", "device is a device"),
        ("unreadable", "unreadable cannot be read"),
        ("folder", "folder/link is a symbolic link to a folder"),
        ("dangling", "dangling/link is a symbolic link to nothing"),
        ("holder", "holder/socket is a socket"),
        ("model.txt/below", "below cannot be read"),
    ] {
        project.configure(&Stack::default().render().replace("/model.txt", &format!("/{path}")));
        let text = project.plan().fails_with(&["with azureml_model.this", "path ", expected]);
        assert_eq!(text.matches("Error:").count(), 1, "{text}");
    }
}

#[test]
fn a_source_directory_that_cannot_be_used_fails_the_plan_on_its_attribute() {
    let project = Stack::default().project();
    let root = project.path();
    project.write("large/score.py", DOUBLE);
    let large = std::fs::File::create(root.join("large/weights.bin")).expect("a file");
    large.set_len(300_000_001).expect("a sparse file");
    project.write("device/score.py", DOUBLE);
    let _listener = UnixListener::bind(root.join("device/socket")).expect("a socket");
    project.write("ignored/score.py", DOUBLE);
    project.write("ignored/.amlignore", "*.py\n");
    project.write("named/my-script.py", DOUBLE);
    std::fs::create_dir(root.join("azureml-models")).expect("a folder");
    project.write("azureml-models/score.py", DOUBLE);
    let source = "source_directory";
    for (folder, script, attribute, expected) in [
        ("large", "score.py", source, "more than 300 MB"),
        ("missing", "score.py", source, "missing does not exist"),
        ("model.txt", "score.py", source, "model.txt is not a folder"),
        ("device", "score.py", source, "socket is a socket"),
        ("azureml-models", "score.py", source, "must not be called azureml-models"),
        ("src", "other.py", "entry_script", "\"other.py\" does not exist"),
        ("src", "../src/score.py", "entry_script", "score.py"),
        ("src", "score.txt", "entry_script", ".py"),
        ("named", "my-script.py", "entry_script", "my-script"),
        ("ignored", "score.py", "entry_script", "ignored by the .amlignore"),
    ] {
        let text = Stack::default().render().replace("/src\"", &format!("/{folder}\""));
        project.configure(&text.replace("\"score.py\"", &format!("{script:?}")));
        project.plan().fails_with(&["with azureml_webservice.this", attribute, expected]);
    }

    // What is ignored does not count.
    project.write("large/.amlignore", "weights.bin\n");
    project.configure(&Stack::default().render().replace("/src\"", "/large\""));
    project.apply().ok();
    project.assert_no_changes();
}

#[test]
fn a_folder_keeps_its_nested_files_and_a_changed_one_shows_as_the_next_version() {
    let project = Project::new(&Stack::default().render().replace("/model.txt", "/bert"));
    project.write("src/score.py", LIST);
    project.write("bert/config.json", "{}");
    project.write("bert/layers/1/weights.bin", "w");
    project.write("shared.txt", "linked");
    std::os::unix::fs::symlink("../shared.txt", project.path().join("bert/vocabulary.txt")).expect("a link");
    project.apply().ok();
    project.assert_no_changes();
    let files = json!({"bert/config.json": "{}", "bert/layers/1/weights.bin": "w", "bert/vocabulary.txt": "linked"});
    assert_eq!(listed(&project), json!({"at": "azureml-models/model/1", "files": files}));

    project.write("shared.txt", "changed");
    project.apply().ok();
    project.assert_no_changes();
    let now = listed(&project);
    assert_eq!(
        (&now["at"], &now["files"]["bert/vocabulary.txt"]),
        (&json!("azureml-models/model/2"), &json!("changed"))
    );

    // Equal contents are stored once, under whatever name and in whatever version.
    let blobs = |project: &Project| -> usize {
        let folders = std::fs::read_dir(project.path().join("ws/blobs/sha256")).expect("blobs").flatten();
        folders.map(|folder| std::fs::read_dir(folder.path()).expect("a folder").count()).sum()
    };
    let before = blobs(&project);
    project.write("bert/layers/2/weights.bin", "w");
    project.apply().ok();
    assert_eq!(blobs(&project), before + 1, "only the new manifest");
}

#[test]
fn one_model_has_its_own_folder_and_several_are_below_their_names_and_versions() {
    let several = |ids: &str| {
        let more = r#"
resource "azureml_model" "second" {
  name         = "second"
  workspace_id = azureml_workspace.this.id
  path         = "${path.module}/second.txt"
}"#;
        let stack = Stack { more: more.to_owned(), ..Stack::default() };
        stack.render().replace("[azureml_model.this.version_id]", ids)
    };
    let both = several("[azureml_model.second.version_id, azureml_model.this.version_id]");
    let project = Project::new(&both);
    project.write("src/score.py", LIST);
    project.write("model.txt", "first");
    project.write("second.txt", "second");
    project.apply().ok();
    project.assert_no_changes();
    let files = json!({"model/1/model.txt": "first", "second/1/second.txt": "second"});
    assert_eq!(listed(&project), json!({"at": "azureml-models", "files": files}));

    project.configure(&several("[azureml_model.second.version_id]"));
    project.apply().ok();
    project.assert_no_changes();
    let files = json!({"second.txt": "second"});
    assert_eq!(listed(&project), json!({"at": "azureml-models/second/1", "files": files}));

    for none in ["[]", "null"] {
        project.configure(&several(none));
        project.apply().ok();
        project.assert_no_changes();
        assert_eq!(listed(&project), json!({"at": "azureml-models", "files": {}}));
    }
}

#[test]
fn a_model_that_is_named_twice_or_does_not_exist_or_is_elsewhere_is_refused() {
    let project = Stack::default().project();
    project.apply().ok();
    let id = project.attribute("azureml_workspace.this", "id");
    for (ids, expected) in [
        (format!("[\"{id}/models/model/1\", \"{id}/models/model/1\"]"), "already model_ids[0]"),
        (format!("[\"{id}/models/model/7\"]"), "models/model/7 does not exist"),
        ("[\"file:///elsewhere/models/model/1\"]".to_owned(), "file:///elsewhere"),
        ("[\"model\"]".to_owned(), "model_ids"),
    ] {
        project.configure(&Stack::default().render().replace("[azureml_model.this.version_id]", &ids));
        project.apply().fails_with(&["with azureml_webservice.this", "model_ids", expected]);
    }
    project.configure(&Stack::default().render());
    project.assert_no_changes();
}
