//! Which version of a service a request goes to.

use std::sync::Arc;

use serving::error::RouterError;
use serving::picker::Picker;
use serving::service::Kind;

use super::call::Route;
use super::table::{Service, Split, Version};
use super::thread::Thread;

/// What a request says about its version.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// It names one, by the pin header.
    pub(super) pin: Option<String>,
    /// It has a sticky key, which stands for this slot.
    pub(super) slot: Option<u16>,
}

impl Thread {
    /// Picks the version of a request: the pinned one, the owner of its slot, or one by weight. A version without a ready
    /// replica is passed over for the default and then for the others, unless it is pinned.
    pub(super) fn version(&self, service: &Service, wish: &Wish) -> Result<Arc<Version>, RouterError> {
        if let Some(pin) = &wish.pin {
            return pinned(service, pin);
        }
        let split = split(service)?;
        if let [only] = split.versions[..] {
            return Ok(Arc::clone(&service.versions[only]));
        }
        let at = |share: usize| &service.versions[split.versions[share]];
        self.with_picker(service, split, |picker| {
            let share = wish.slot.and_then(|slot| split.owner(slot)).unwrap_or_else(|| picker.pick());
            let choice = at(share);
            if choice.set.ready(&self.clock) {
                if choice.gate.counters.diverting() && !choice.set.down() {
                    choice.gate.counters.serves_again(&service.name, &choice.name);
                }
                return Arc::clone(choice);
            }
            match picker.divert(|share| at(share).set.ready(&self.clock)) {
                Some(other) => {
                    choice.gate.counters.diverted(&service.name, &choice.name);
                    Arc::clone(at(other))
                }
                // Without any ready version it waits at its own.
                None => Arc::clone(choice),
            }
        })
    }

    /// Picks again for a request that waited: after its version was removed, or lost its last replica.
    pub(super) fn version_again(&self, service: &Service, route: &Route) -> Result<Arc<Version>, RouterError> {
        if let Some(pin) = &route.wish.pin {
            return pinned(service, pin);
        }
        let split = split(service)?;
        let at = |share: usize| &service.versions[split.versions[share]];
        let Some(own) = (0..split.versions.len()).map(at).find(|version| version.name == route.version.name) else {
            return self.version(service, &route.wish);
        };
        // Strictly: here a version that waits for its probe is none to go to, or two of them would pass the request to and fro.
        if !own.gate.set().down() {
            return Ok(Arc::clone(own));
        }
        self.with_picker(service, split, |picker| match picker.divert(|share| !at(share).gate.set().down()) {
            Some(other) => {
                own.gate.counters.diverted(&service.name, &own.name);
                Arc::clone(at(other))
            }
            None => Arc::clone(own),
        })
    }

    /// Uses the thread's picker of a service, a fresh one for each table.
    fn with_picker<T>(
        &self,
        service: &Service,
        split: &Split,
        pick: impl FnOnce(&mut Picker) -> T,
    ) -> Result<T, RouterError> {
        let mut pickers = self.pickers.borrow_mut();
        if pickers.len() <= service.index {
            pickers.resize_with(service.index + 1, || None);
        }
        let place = &mut pickers[service.index];
        if place.as_ref().is_none_or(|(activation, _)| *activation != split.activation) {
            *place = Picker::for_table(&split.table).map(|picker| (split.activation, picker));
        }
        // A table without a picker was refused.
        place.as_mut().map(|(_, picker)| pick(picker)).ok_or(RouterError::Internal)
    }
}

/// The request's version has no ready replica, but another one that it may go to has.
pub(super) fn better_elsewhere(route: &Route) -> bool {
    let up = |place: &usize| !route.service.versions[*place].gate.set().down();
    route.wish.pin.is_none()
        && route.version.gate.set().down()
        && route.service.split.as_ref().is_some_and(|split| split.versions.iter().any(up))
}

fn pinned(service: &Service, pin: &str) -> Result<Arc<Version>, RouterError> {
    let found = service.versions.iter().find(|version| version.name == pin).cloned();
    found.ok_or_else(|| RouterError::VersionNotFound {
        service: service.name.to_string(),
        version: pin.to_owned(),
        versions: service.versions.iter().map(|version| version.name.clone()).collect(),
    })
}

fn split(service: &Service) -> Result<&Split, RouterError> {
    service.split.as_ref().ok_or_else(|| {
        let (name, retry_after) = (service.name.to_string(), 1);
        match service.kind {
            Kind::Endpoint => RouterError::NoVersions { service: name, retry_after },
            Kind::Webservice => RouterError::NoReadyReplicas { service: name, retry_after },
        }
    })
}
