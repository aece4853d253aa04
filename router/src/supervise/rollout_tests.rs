use proptest::prelude::*;

use super::*;

fn goal(desired: u32) -> Goal {
    Goal { desired, max_surge: 1, max_unavailable: 0, recreate: false }
}

/// `o` and `n` are old and new; the letters after them the phases (s, r, d, b, u = due).
fn places(text: &str) -> Vec<Place> {
    text.split_whitespace()
        .zip(1..)
        .map(|(word, id)| Place {
            id,
            current: word.starts_with('n'),
            phase: match &word[1..] {
                "s" => Phase::Starting,
                "r" => Phase::Ready,
                "d" => Phase::Draining,
                "b" => Phase::BackOff,
                "u" => Phase::Due,
                other => panic!("no phase {other}"),
            },
        })
        .collect()
}

#[test]
fn the_table_of_decisions() {
    use Action::{Restart, Retire, Start};
    let surge = |desired, max_surge, max_unavailable| Goal { desired, max_surge, max_unavailable, recreate: false };
    let recreate = Goal { recreate: true, ..goal(2) };
    let table: Vec<(&str, Goal, &str, Vec<Action>)> = vec![
        ("first start", goal(3), "", vec![Start, Start, Start]),
        ("settled", goal(2), "nr nr", vec![]),
        ("surge first", goal(2), "or or", vec![Start]),
        ("wait for the new one", goal(2), "or or ns", vec![]),
        ("one ready, one retires", goal(2), "or or nr", vec![Retire(1)]),
        ("a draining one holds the place", goal(2), "od or nr", vec![]),
        ("the drained one is gone", goal(2), "or nr", vec![Start]),
        ("last step", goal(2), "or nr nr", vec![Retire(1)]),
        ("scale up", goal(3), "nr", vec![Start, Start]),
        ("scale down takes the unready, then the newest", goal(1), "nr ns nr", vec![Retire(2), Retire(3)]),
        ("a failing new one leaves the old", goal(2), "or or nb", vec![]),
        ("a failing new one is started again", goal(2), "or or nu", vec![Restart(3)]),
        ("an old one that died during a rollout comes back", goal(2), "or ou nb", vec![Restart(2)]),
        ("roll-back while the other revision starts", goal(2), "nr nr os", vec![Retire(3)]),
        ("roll-back while the other revision fails", goal(2), "nr nr ob", vec![Retire(3)]),
        ("a third revision replaces the failing second", goal(1), "or ob", vec![Retire(2)]),
        ("unavailable may be missing", surge(2, 0, 1), "or or", vec![Retire(1)]),
        ("and then the new one starts", surge(2, 0, 1), "or", vec![Start]),
        ("neither surge nor unavailable counts as one unavailable", surge(1, 0, 0), "or", vec![Retire(1)]),
        ("recreate stops all", recreate, "or ob", vec![Retire(1), Retire(2)]),
        ("recreate waits for the last", recreate, "od", vec![]),
        ("recreate starts all", recreate, "", vec![Start, Start]),
        ("removed", goal(0), "nr or ob ns", vec![Retire(4), Retire(1), Retire(3), Retire(2)]),
        ("scale down during a rollout", goal(1), "or or or", vec![Retire(1), Retire(2)]),
        ("scale up during a rollout", goal(4), "or or ns", vec![Start, Start]),
    ];
    for (what, goal, there, wanted) in table {
        assert_eq!(plan(&goal, &places(there)), wanted, "{what}");
    }
}

/// What may happen between two plans.
#[derive(Clone, Copy, Debug)]
enum Event {
    BecomeReady(usize),
    Die(usize),
    BackOffEnds(usize),
    Drained(usize),
}

fn event() -> impl Strategy<Value = Event> {
    (0..4_u8, 0..16_usize).prop_map(|(kind, index)| match kind {
        0 => Event::BecomeReady(index),
        1 => Event::Die(index),
        2 => Event::BackOffEnds(index),
        _ => Event::Drained(index),
    })
}

struct World {
    places: Vec<Place>,
    next: u64,
    goal: Goal,
}

impl World {
    fn ready(&self) -> u32 {
        u32::try_from(self.places.iter().filter(|place| place.phase == Phase::Ready).count()).expect("few")
    }

    fn step(&mut self) {
        let actions = plan(&self.goal, &self.places);
        let before = self.places.len();
        let ready_before = self.ready();
        let old_serve = self.places.iter().any(|place| !place.current && place.phase == Phase::Ready);
        for action in actions {
            match action {
                Action::Start => {
                    self.places.push(Place { id: self.next, current: true, phase: Phase::Starting });
                    self.next += 1;
                }
                Action::Restart(id) => self.place(id).phase = Phase::Starting,
                Action::Retire(id) => match self.place(id).phase {
                    Phase::BackOff | Phase::Due => self.places.retain(|place| place.id != id),
                    _ => self.place(id).phase = Phase::Draining,
                },
            }
        }
        let limit = self.goal.desired + self.goal.max_surge;
        assert!(
            self.places.len() <= before.max(limit as usize),
            "{} places with a limit of {limit}",
            self.places.len()
        );
        if old_serve && !self.goal.recreate {
            let unavailable =
                if self.goal.max_surge == 0 { self.goal.max_unavailable.max(1) } else { self.goal.max_unavailable };
            let promised = self.goal.desired.saturating_sub(unavailable);
            assert!(self.ready() >= promised.min(ready_before), "{} ready of {promised} promised", self.ready());
        }
    }

    fn place(&mut self, id: u64) -> &mut Place {
        self.places.iter_mut().find(|place| place.id == id).expect("an action names a place that is there")
    }

    fn apply(&mut self, event: Event) {
        let (Event::BecomeReady(index) | Event::Die(index) | Event::BackOffEnds(index) | Event::Drained(index)) = event;
        if self.places.is_empty() {
            return;
        }
        let index = index % self.places.len();
        let phase = self.places[index].phase;
        match (event, phase) {
            (Event::BecomeReady(_), Phase::Starting) => self.places[index].phase = Phase::Ready,
            (Event::Die(_), Phase::Starting | Phase::Ready) => self.places[index].phase = Phase::BackOff,
            (Event::BackOffEnds(_), Phase::BackOff) => self.places[index].phase = Phase::Due,
            (Event::Drained(_) | Event::Die(_), Phase::Draining) => {
                self.places.remove(index);
            }
            _ => {}
        }
    }

    /// Everything that starts becomes ready, and everything that drains exits.
    fn fair(&mut self) {
        self.places.retain(|place| place.phase != Phase::Draining);
        for place in &mut self.places {
            place.phase = match place.phase {
                Phase::Starting => Phase::Ready,
                Phase::BackOff => Phase::Due,
                phase => phase,
            };
        }
    }
}

fn any_goal() -> impl Strategy<Value = Goal> {
    (0..6_u32, 0..3_u32, 0..3_u32, any::<bool>()).prop_map(|(desired, max_surge, max_unavailable, recreate)| Goal {
        desired,
        max_surge,
        max_unavailable,
        recreate,
    })
}

proptest! {
    #[test]
    fn whatever_happens_the_bounds_hold_and_peace_ends_the_rollout(
        start in 0..6_u32,
        goals in prop::collection::vec((any_goal(), prop::collection::vec(event(), 0..30)), 1..5),
    ) {
        let mut world = World { places: Vec::new(), next: 1, goal: goal(start) };
        world.step();
        world.fair();
        for (goal, events) in goals {
            // A new revision: everything that is there is old now.
            for place in &mut world.places {
                place.current = false;
            }
            world.goal = goal;
            world.step();
            for event in events {
                world.apply(event);
                world.step();
            }
        }
        for _ in 0..100 {
            world.fair();
            world.step();
        }
        let settled = world.places.iter().all(|place| place.current && place.phase == Phase::Ready);
        prop_assert!(settled, "{:?}", world.places);
        prop_assert_eq!(world.places.len(), world.goal.desired as usize);
        prop_assert_eq!(plan(&world.goal, &world.places), vec![]);
    }
}
