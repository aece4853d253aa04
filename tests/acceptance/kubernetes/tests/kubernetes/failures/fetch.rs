//! Pods that cannot fetch what they are to serve.

use acceptance_kubernetes::Told;
use acceptance_local::DOUBLE;

use super::Healthy;

#[test]
fn a_model_that_is_gone_or_damaged_is_told_by_its_name_and_comes_back_with_the_next_apply() {
    let Some(mut healthy) = Healthy::find("fetch") else { return };
    let container = healthy.stack.container();
    let blob = || {
        let blobs = container.blobs_of(b"one\n");
        assert_eq!(blobs.len(), 1, "{blobs:?}");
        blobs[0].clone()
    };
    let expected = |problem, remedy| {
        [
            "do not become ready",
            problem,
            "model.txt of model model version",
            "sha256",
            remedy,
            "What served before keeps serving",
        ]
    };
    healthy.project.write("src/score.py", DOUBLE.replace("\n\n\ndef run", "\n\n\n\ndef run"));
    container.overwrite(&blob(), "two\n");
    let damaged = expected("Cannot use", "delete the object of this digest from the storage");
    Told::by_apply(&healthy.project, &damaged).without(&["environment again"]).at("model_ids");
    healthy.answers();
    container.delete(&blob());
    healthy.project.apply().ok();
    healthy.project.assert_no_changes();

    healthy.project.write("src/score.py", DOUBLE);
    container.delete(&blob());
    // An ordinary apply looks at the model first, and puts it back.
    let without_a_look = ["apply", "-auto-approve", "-input=false", "-no-color", "-refresh=false"];
    let gone = expected("Cannot fetch", "run terraform apply again to put it back");
    let told = Told::by(&gone, || healthy.project.terraform(without_a_look));
    told.without(&["environment again"]).at("model_ids");
    healthy.answers();
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
