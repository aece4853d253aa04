//! Scripts that cannot run.

use super::Healthy;

#[test]
fn a_script_that_cannot_run_is_told_in_its_own_words_and_what_served_before_goes_on() {
    let Some(mut healthy) = Healthy::find("script") else { return };
    let raises = "def init():\n    raise ValueError('no weights')\n\ndef run(data):\n    return data\n";
    healthy
        .fails_of(
            raises,
            "",
            &["do not become ready", "ValueError: no weights", "score.py", "line 2", "Correct init()"],
        )
        .at("inference_config");

    let dies =
        "import os\n\ndef init():\n    print('loading shard 7')\n    os._exit(7)\n\ndef run(data):\n    return data\n";
    healthy
        .fails_of(dies, "", &["do not become ready", "exit code 7", "loading shard 7", "The log says more"])
        .at("inference_config");

    let eater = "def init():\n    global data\n    data = b'x' * (512 << 20)\n\ndef run(data):\n    return data\n";
    healthy
        .fails_of(eater, "memory_gb_limit = 0.1", &["too much memory", "its limit is 103Mi", "Raise memory_gb_limit"])
        .at("memory_gb_limit");

    let hangs = "import time\n\ndef init():\n    time.sleep(600)\n\ndef run(data):\n    return data\n";
    healthy
        .fails_of(
            hangs,
            "rollout = { progress_deadline_seconds = 4 }",
            &["do not become ready", "init()", "rollout.progress_deadline_seconds"],
        )
        .at("rollout");
    healthy.recovers();
    healthy.finish();
}
