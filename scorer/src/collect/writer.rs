//! The thread that writes collected rows: repeats what fails, and gives up in time.

use std::time::{Duration, Instant};

use super::folder;
use super::objects::Objects;
use super::queue::{Batch, Queue};
use super::settings::{Settings, Target};

/// Pause after the first failed write; doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Longest pause while the process ends.
const HURRY: Duration = Duration::from_millis(250);

/// Writes until the queue closes.
pub(crate) fn run(settings: &Settings, queue: &Queue) {
    let mut writer = Writer { settings, queue, objects: None, number: 0 };
    while let Some(batches) = queue.take(settings.interval) {
        let until = Instant::now() + settings.retry;
        let mut lost = 0;
        for batch in batches {
            if !writer.write(&batch, until) {
                lost += batch.count;
            }
            queue.settle(batch.count);
        }
        if lost > 0 {
            warn(format_args!("Data collection: {lost} rows could not be written to {} and are lost", settings.target));
        }
        let dropped = queue.settled();
        if dropped > 0 {
            warn(format_args!(
                "Data collection: {dropped} rows were dropped, because the queue (AZUREML_COLLECT_QUEUE_BYTES) was \
                 full while {} was written",
                settings.target
            ));
        }
    }
    queue.end();
}

struct Writer<'a> {
    settings: &'a Settings,
    queue: &'a Queue,
    objects: Option<Objects>,
    /// Of the objects that this process wrote.
    number: u64,
}

impl Writer<'_> {
    /// Writes one batch; false when that fails until it is too late.
    fn write(&mut self, batch: &Batch, until: Instant) -> bool {
        let mut pause = PAUSE;
        let mut told = false;
        self.number += 1;
        loop {
            let Err(error) = self.attempt(batch) else {
                if told {
                    warn(format_args!("Data collection: {} can be written again", self.settings.target));
                }
                return true;
            };
            if !told {
                warn(format_args!(
                    "Data collection: {} cannot be written to {}: {error}. Scoring goes on, and it is tried again for \
                     up to {} s (AML_MODEL_DC_EVENT_RETRY_TIME)",
                    batch.path,
                    self.settings.target,
                    self.settings.retry.as_secs()
                ));
                told = true;
            }
            if Instant::now() + pause > until {
                return false;
            }
            self.queue.pause(pause, HURRY);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn attempt(&mut self, batch: &Batch) -> Result<(), String> {
        if let Target::Folder(root) = &self.settings.target {
            return folder::append(root, batch).map_err(|error| error.to_string());
        }
        let objects = match self.objects.take() {
            Some(objects) => objects,
            None => Objects::open(&self.settings.target)?,
        };
        self.objects.insert(objects).put(batch, self.number)
    }
}

fn warn(message: std::fmt::Arguments<'_>) {
    crate::log::later('W', message);
}
