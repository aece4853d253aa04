//! Pods that cannot fetch what they are to serve.

use acceptance_kubernetes::Told;
use acceptance_local::DOUBLE;

use super::Healthy;

#[test]
fn a_model_that_is_gone_or_damaged_is_told_by_its_name_and_what_served_before_goes_on() {
    let Some(mut healthy) = Healthy::find("fetch") else { return };
    let container = healthy.stack.container();
    let blobs = container.blobs_of(b"one\n");
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    container.overwrite(&blobs[0], "two\n");
    let expected = ["do not become ready", "model.txt of model model version 1", "sha256", "run terraform apply again"];
    let script = DOUBLE.replace("2 *", "3 *");
    healthy.fails_of(&script, "", &expected).at("model_ids");

    container.delete(&blobs[0]);
    healthy.fails_of(&script, "", &expected).at("model_ids");

    healthy.project.write("model.txt", "one\n");
    healthy.recovers();
    healthy.finish();
}

#[test]
fn a_storage_that_pods_cannot_use_is_told_with_its_address_and_the_argument_that_sets_it() {
    let Some(mut healthy) = Healthy::find("unreach") else { return };
    let right = healthy.stack.site.storage_in_cluster.clone();
    healthy.stack.site.storage_in_cluster = right.replace(":10000", ":1");
    healthy.project.write("src/score.py", DOUBLE.replace("2 *", "3 *"));
    healthy.project.configure(&healthy.stack.render());
    Told::by_apply(&healthy.project, &["do not become ready", ":1/", "What served before keeps serving"]);
    healthy.answers();
    healthy.stack.site.storage_in_cluster = right;
    healthy.project.write("src/score.py", DOUBLE);
    healthy.recovers();
    healthy.finish();
}
