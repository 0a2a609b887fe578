//! Downloads: many small targets, and a large one beside what a person would type.

use std::path::Path;

use crate::clients::{Client, Work, median};
use crate::data::Wanted;
use crate::measured::Cost;
use crate::options::Options;
use crate::table::{self, Budgets, mebibytes, ratio};
use crate::{Place, found, show};

const SMALL: u64 = 1_000;

pub(crate) fn run(place: &Place<'_>, options: &Options, memory: &Path, disk: &Path, budgets: &mut Budgets) {
    let Place { set, data, address } = *place;
    let small: Vec<Wanted> = (1..=SMALL).map(|number| set.wanted(number)).collect();
    let large = vec![set.wanted(0)];
    let runs = options.runs.min(5);

    let clients: Vec<Client> = options.clients(set, &[Client::Floor], true);
    let work = Work::new(set, data, address, 1, &small, memory);
    let costs = work.round(&clients, &options.programs, false, runs);
    show("1,000 targets of 10 kB", &costs);
    let one_small = found(&costs, Client::Ours);
    if let Some((peer, ours)) = found(&costs, Client::PythonTuf).zip(one_small) {
        budgets.at_least("1,000 small targets", "x faster than python-tuf", 5.0, ratio(peer.wall, ours.wall));
    }

    // sigstore-tuf holds a target in memory; it and tough are not made for this.
    for (place, scratch, runs, synced) in
        [("in memory", memory, runs, false), ("on disk, all of it synced", disk, 1, true)]
    {
        let work = Work::new(set, data, address, 0, &large, scratch);
        let floor = if synced { Client::Synced } else { Client::Floor };
        let clients = options.clients(set, &[floor, Client::PythonTuf], false);
        let (mut ours, mut curl) = (Vec::new(), Vec::new());
        let mut others: Vec<(Client, Vec<Cost>)> = clients
            .iter()
            .filter(|client| **client != Client::Ours)
            .map(|&client| (client, Vec::new()))
            .collect();
        let url = format!("http://{address}/targets/{}", large[0].remote);
        for number in 0..=runs {
            let keep = |costs: &mut Vec<Cost>, cost: Result<Cost, String>| {
                // One run that does not count goes first, but not to the disk, which takes long.
                if let Some(cost) = cost.ok().filter(|_| number > 0) {
                    costs.push(cost);
                }
            };
            if synced && number == 0 {
                continue;
            }
            keep(&mut ours, work.run(Client::Ours, &options.programs, false));
            keep(&mut curl, fetch(options, &url, scratch, synced));
            for (client, costs) in &mut others {
                keep(costs, work.run(*client, &options.programs, false));
            }
        }
        let label = if synced { "curl, sha256sum, sync" } else { "curl, sha256sum" };
        let row = |name, costs: &[Cost]| {
            (name, if costs.is_empty() { Err("failed".to_owned()) } else { Ok(median(costs)) })
        };
        let mut rows = vec![row("tuf-client", &ours), row(label, &curl)];
        rows.extend(others.iter().map(|(client, costs)| row(client.name(), costs)));
        table::clients(&format!("One target of 1 GiB, {place}"), &rows);
        if let (Ok(ours), Ok(curl)) = (&rows[0].1, &rows[1].1) {
            let work = format!("1 GiB, {place}");
            budgets.at_most(&work, "x curl and sha256sum", 1.1, ratio(ours.wall, curl.wall));
            if let Some(small) = one_small.filter(|_| !synced) {
                let more = mebibytes(ours.peak) - mebibytes(small.peak);
                budgets.at_most("1 GiB, peak beyond that of small targets", "MiB", 4.0, more);
            }
        }
    }
}

/// `curl` to a file, then its hash, then, if asked, a sync of it.
fn fetch(options: &Options, url: &str, scratch: &Path, synced: bool) -> Result<Cost, String> {
    let file = scratch.join("curl");
    let file = file.display();
    let sync = if synced { format!(" && sync {file}") } else { String::new() };
    let script = format!("curl --silent --fail --output {file} {url} && sha256sum {file}{sync}");
    let cost = options.programs.cost(&["/bin/sh", "-c", &script]);
    let _ = std::fs::remove_file(scratch.join("curl"));
    if cost.code == Some(0) { Ok(cost) } else { Err("failed".to_owned()) }
}
