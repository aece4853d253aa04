//! Measures an apply until the first answer, with images that are there: `bench-apply ROUNDS`. Prints seconds as JSON.

#![allow(clippy::print_stdout, reason = "a measurement tells its figures")]

use std::time::Instant;

use acceptance_kubernetes::{KEYS, Stack, key};
use acceptance_local::{Project, eventually, request};

/// From the start of the apply to the first answer with status 200.
fn seconds(project: &Project) -> f64 {
    let started = Instant::now();
    project.apply().ok();
    let (uri, key) = (project.scoring_uri(), key(project));
    eventually("an answer", || {
        let answer = request("POST", &uri, Some(&key), &[], r#"{"x": 21}"#);
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    started.elapsed().as_secs_f64()
}

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("a number of rounds");
    let mut stack = Stack::find("bench").expect("AZUREML_IMAGES and REGISTRY are not set");
    stack.make_namespace();
    stack.more = KEYS.into();
    // Builds the image and lets the node pull it.
    let project = stack.project();
    project.apply().ok();

    let (mut whole, mut service) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        project.destroy().ok();
        whole.push(seconds(&project));
        project.configure(&stack.base());
        project.apply().ok();
        project.configure(&stack.render());
        service.push(seconds(&project));
    }
    println!("{}", serde_json::json!({ "whole": whole, "service": service }));
    stack.finish(project);
}
