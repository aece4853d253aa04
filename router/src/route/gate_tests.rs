use std::sync::atomic::AtomicU32;

use serving::snapshot::Address;

use super::*;

fn gate(replicas: u64, limit: u32) -> Arc<Gate> {
    let replicas =
        (0..replicas).map(|key| Arc::new(Replica::new(key, key.to_string(), Address::Unix(String::new())))).collect();
    let gate = Arc::new(Gate::new(crate::route::Clock::new(), Upstream::default(), Arc::default()));
    gate.install(Arc::new(ReplicaSet { limit, replicas }));
    gate
}

#[test]
fn slots_go_to_the_least_loaded_replica_and_end_at_the_limit() {
    let gate = gate(3, 2);
    let slots: Vec<Slot> = (0..6).map(|_| gate.try_take(0).expect("a slot")).collect();
    let keys: Vec<u64> = slots.iter().map(|slot| slot.replica.key).collect();
    assert_eq!(keys, [0, 1, 2, 0, 1, 2]);
    assert!(gate.try_take(0).is_none());
}

#[test]
fn waiting_requests_get_slots_oldest_first_and_a_returning_one_keeps_its_age() {
    let gate = gate(1, 1);
    let running = gate.try_take(0).expect("a slot");
    let mut first = gate.enqueue(None, 10).expect("a place");
    let mut second = gate.enqueue(None, 10).expect("a place");
    let third = gate.enqueue(None, 10).expect("a place");
    assert!(gate.try_take(0).is_none(), "newcomers do not overtake");
    drop(running);
    let slot = first.slot.try_recv().expect("the oldest");
    assert!(second.slot.try_recv().is_err());
    let age = first.age;
    drop(first);
    let mut returned = gate.enqueue(Some(age), 10).expect("a place");
    drop(slot);
    let slot = returned.slot.try_recv().expect("still the oldest");
    drop((second, third));
    drop(slot);
    assert!(gate.try_take(0).is_some(), "slots of those who left are not lost");
}

#[test]
fn a_full_queue_refuses_and_a_closed_gate_sends_its_waiters_away() {
    let gate = gate(1, 1);
    let _running = gate.try_take(0).expect("a slot");
    let mut ticket = gate.enqueue(None, 1).expect("a place");
    assert_eq!(gate.enqueue(None, 1).map(|ticket| ticket.age), Err(NoPlace::Full));
    gate.close();
    assert!(ticket.slot.try_recv().is_err());
    drop(ticket);
    assert_eq!(gate.enqueue(None, 1).map(|ticket| ticket.age), Err(NoPlace::Gone));
    assert_eq!(gate.service.queued.load(SeqCst), 0);
}

#[test]
fn under_contention_no_slot_is_lost_and_the_limit_is_never_exceeded() {
    let gate = gate(2, 2);
    let running = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (gate, running) = (&gate, &running);
            scope.spawn(move || {
                for _ in 0..2_000 {
                    let slot = gate.try_take(thread).unwrap_or_else(|| {
                        let ticket = gate.enqueue(None, 100).expect("a place");
                        take(ticket)
                    });
                    assert!(running.fetch_add(1, SeqCst) < 4);
                    running.fetch_sub(1, SeqCst);
                    drop(slot);
                }
            });
        }
    });
    assert_eq!(gate.counters.read(false).in_flight, 0);
    assert_eq!(gate.service.queued.load(SeqCst), 0);
}

/// Waits for the ticket's slot without an event loop.
fn take(mut ticket: Ticket) -> Slot {
    loop {
        if let Ok(slot) = ticket.slot.try_recv() {
            return slot;
        }
        std::thread::yield_now();
    }
}
