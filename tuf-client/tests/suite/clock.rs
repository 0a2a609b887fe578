//! A clock that jumps while a refresh runs: its time is the one at its start. Jumps between two are in
//! `tuf-core/tests/clock.rs`.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use tuf_client::Url;
use tuf_client::transport::{Body, Transport, TransportError};
use tuf_client::{Client, ErrorKind, TargetPath};

use crate::common::{MapTransport, Repo, now};

type Time = Arc<Mutex<DateTime<Utc>>>;

/// Moves the clock when one file is asked for.
#[derive(Clone, Debug)]
struct Jumping {
    files: MapTransport,
    time: Time,
    at: &'static str,
    jump: TimeDelta,
}

impl Transport for Jumping {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        if url.path().ends_with(self.at) {
            *self.time.lock().unwrap() += self.jump;
        }
        self.files.fetch(url)
    }
}

#[tokio::test]
async fn a_jump_during_a_refresh_counts_from_the_next_one_on() {
    let mut repo = Repo::new();
    // One hour and one second later.
    repo.timestamp_expires = now() + TimeDelta::seconds(3_601);
    let files = Arc::new(repo.build());
    let (hour, day, year) = (3_600, 86_400, 31_557_600);
    for at in ["2.root.json", "1.snapshot.json"] {
        for jump in [-30 * year, -year, -day, -hour, -1, 1, hour, day, year, 30 * year] {
            let case = format!("{jump} s at {at}");
            let time: Time = Arc::new(Mutex::new(now()));
            let clock = Arc::clone(&time);
            let jumping =
                Jumping { files: MapTransport(Arc::clone(&files)), time, at, jump: TimeDelta::seconds(jump) };
            let client =
                Client::builder(files["metadata/1.root.json"].clone(), "https://r.example".parse().unwrap())
                    .transport(jumping)
                    .clock(move || *clock.lock().unwrap())
                    .build()
                    .unwrap();
            let view = client.refresh().await.unwrap_or_else(|error| panic!("{case}: {error}"));
            let found = view.require(&TargetPath::new("a.txt").unwrap()).await;
            let expired = jump > hour;
            match found {
                Ok(_) => assert!(!expired, "{case}: an expired view is used"),
                Err(error) => {
                    assert!(expired && matches!(error.kind(), ErrorKind::ViewExpired(_)), "{case}: {error}");
                    assert_eq!(error.attack(), Some("freeze"), "{case}");
                }
            }
        }
    }
}
