//! Where the time of a publish goes: the library's spans, each with its wall time and the processor time of the whole
//! process from when it began until it ended.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Wall and processor time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Time {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// When something began.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    wall: Instant,
    cpu: Duration,
}

impl Start {
    pub(crate) fn now() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    pub(crate) fn passed(self) -> Time {
        Time { wall: self.wall.elapsed(), cpu: cpu() - self.cpu }
    }
}

/// Of all threads, user and system.
fn cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

static SEEN: Mutex<Vec<(&'static str, Time)>> = Mutex::new(Vec::new());

struct Clock;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Clock {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target().starts_with("tuf_repo_tool::publish")
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(Start::now());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id);
        let start = span.as_ref().and_then(|span| span.extensions().get::<Start>().copied());
        if let (Some(span), Some(start)) = (span, start) {
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push((span.name(), start.passed()));
        }
    }
}

/// To be called once, before anything is published.
pub(crate) fn watch() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Clock)).unwrap();
}

/// The phases since the last call.
pub(crate) fn take() -> Vec<(&'static str, Time)> {
    std::mem::take(&mut SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}
