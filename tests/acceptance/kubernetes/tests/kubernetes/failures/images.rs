//! Images that cannot be pulled.

use acceptance_kubernetes::Told;

use super::Healthy;

#[test]
fn a_router_that_cannot_be_pulled_is_told_with_the_registrys_answer_and_the_old_one_serves_on() {
    let Some(mut healthy) = Healthy::find("image") else { return };
    let right = healthy.stack.site.images.clone();
    let registry = healthy.stack.site.registry.clone();
    let nobody = "127.0.0.1:9";
    for (image, why) in [
        (format!("{registry}/azureml-fe:absent"), "not found"),
        (format!("{registry}/azureml-fe@sha256:{}", "0".repeat(64)), "not found"),
        (format!("{nobody}/azureml-fe:1"), "connection refused"),
    ] {
        healthy.stack.attachment =
            if image.starts_with(nobody) { "timeouts { update = \"15s\" }".into() } else { String::new() };
        healthy.stack.site.images.insert("azureml-fe".into(), image.clone());
        healthy.project.configure(&healthy.stack.render());
        Told::by_apply(&healthy.project, &["router", "does not get ready", &image, why, "image_pull_secret"])
            .at("router");
        healthy.answers();
    }
    healthy.stack.attachment = String::new();
    healthy.stack.site.images = right;
    healthy.recovers();
    healthy.finish();
}
