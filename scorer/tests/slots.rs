//! The slot rules, without the library that only Python can load.

#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test crate that includes one module of the library")]

#[path = "../src/slots.rs"]
mod slots;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slots::{RESERVATION, Refusal, Slots};

type Wake = Box<dyn FnOnce(u64) -> bool>;

fn asker(name: &'static str, log: &Rc<RefCell<Vec<(&'static str, u64)>>>) -> Wake {
    let log = log.clone();
    Box::new(move |grant| {
        log.borrow_mut().push((name, grant));
        true
    })
}

#[test]
fn a_request_above_the_limit_is_refused_until_a_slot_is_given_back() {
    let (mut slots, now) = (Slots::<Wake>::new(), Instant::now());
    assert_eq!(slots.take(Some(2), None, now), Ok(()));
    assert_eq!(slots.take(Some(2), None, now), Ok(()));
    assert_eq!(slots.take(Some(2), None, now), Err(Refusal::Busy));
    slots.give_back(now);
    assert_eq!(slots.take(Some(2), None, now), Ok(()));
}

#[test]
fn freed_slots_go_to_the_oldest_asker_and_are_kept_from_others() {
    let (mut slots, now) = (Slots::new(), Instant::now());
    let log = Rc::default();
    slots.take(Some(1), None, now).expect("a slot");
    slots.ask(1, asker("first", &log), now).expect("room");
    slots.ask(1, asker("second", &log), now).expect("room");
    slots.give_back(now);
    assert_eq!(*log.borrow(), [("first", 1)]);
    assert_eq!(slots.take(Some(1), None, now), Err(Refusal::Busy));
    assert_eq!(slots.take(Some(1), Some(1), now), Ok(()));
    slots.give_back(now);
    assert_eq!(log.borrow()[1], ("second", 2));
}

#[test]
fn a_reservation_that_is_not_used_lapses_to_the_next_asker() {
    let (mut slots, now) = (Slots::new(), Instant::now());
    let log = Rc::default();
    slots.ask(1, asker("first", &log), now).expect("room");
    slots.ask(1, asker("second", &log), now).expect("room");
    let later = now + RESERVATION;
    slots.grant(later);
    assert_eq!(log.borrow().len(), 2);
    assert_eq!(slots.take(Some(1), Some(1), later), Err(Refusal::Busy), "the lapsed grant is worth nothing");
    assert_eq!(slots.take(Some(1), Some(2), later), Ok(()));
}

#[test]
fn an_asker_that_has_gone_is_passed_over() {
    let (mut slots, now) = (Slots::new(), Instant::now());
    let log = Rc::default();
    slots.take(Some(1), None, now).expect("a slot");
    slots.ask(1, Box::new(|_| false) as Wake, now).expect("room");
    slots.ask(1, asker("second", &log), now).expect("room");
    slots.give_back(now);
    assert_eq!(log.borrow().len(), 1);
}

#[test]
fn a_draining_scorer_refuses_and_is_drained_when_the_last_request_ends() {
    let (mut slots, now) = (Slots::<Wake>::new(), Instant::now());
    slots.take(Some(1), None, now).expect("a slot");
    slots.drain();
    assert_eq!(slots.take(Some(2), None, now), Err(Refusal::Draining));
    assert!(slots.draining() && !slots.drained());
    slots.give_back(now);
    assert!(slots.drained());
}

#[test]
fn the_busy_integral_counts_slots_times_time() {
    let (mut slots, now) = (Slots::<Wake>::new(), Instant::now());
    slots.take(None, None, now).expect("a slot");
    slots.take(None, None, now + Duration::from_secs(1)).expect("a slot");
    assert_eq!(slots.busy_time(now + Duration::from_secs(3)), Duration::from_secs(5));
    assert_eq!(Refusal::Busy.name(), "busy");
}
