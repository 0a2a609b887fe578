//! Another number of hash bins, while clients come and go.

use crate::support::{Run, Sandbox, write};

fn tuf_repo(sandbox: &Sandbox, line: &str) -> Run {
    sandbox.tuf_repo(&line.split(' ').collect::<Vec<_>>())
}

/// A repository with hash bins and forty targets.
fn with_targets(init: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.init(init).ok();
    for number in 0..40 {
        write(&sandbox.path(&format!("in/d{}/file{number}", number % 3)), number.to_string());
    }
    tuf_repo(&sandbox, &format!("add {}", sandbox.path("in").display())).ok();
    sandbox
}

/// The names of the hash bins that the newest snapshot lists, with their versions.
fn listed(sandbox: &Sandbox) -> Vec<(String, u64)> {
    let version = sandbox.tuf_repo(&["--json", "status"]).ok().json()["roles"]
        .as_array()
        .unwrap()
        .iter()
        .find(|role| role["role"] == "snapshot")
        .unwrap()["version"]
        .as_u64()
        .unwrap();
    let bytes = std::fs::read(sandbox.public(&format!("metadata/{version}.snapshot.json"))).unwrap();
    let snapshot: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let meta = snapshot["signed"]["meta"].as_object().unwrap();
    let bins = meta.iter().filter(|(name, _)| name.contains("bin-"));
    bins.map(|(name, meta)| (name.clone(), meta["version"].as_u64().unwrap())).collect()
}

#[test]
fn bins_are_resized_up_and_down_under_clients_that_know_the_old_ones() {
    let sandbox = with_targets(&["--bins", "4"]);
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    let targets = sandbox.targets();
    assert_eq!(targets.len(), 40);

    tuf_repo(&sandbox, "bins resize 16").ok().says("16 of them").says("tuf-repo publish");
    // What is staged at the same time goes where it will belong.
    write(&sandbox.path("more/new"), "new");
    tuf_repo(&sandbox, &format!("add {}", sandbox.path("more").display())).ok();
    tuf_repo(&sandbox, "remove d0/file0").ok();
    let plan = tuf_repo(&sandbox, "--json plan").ok().json();
    assert_eq!((&plan["bins"], plan["targets"].as_array().unwrap().len()), (&16.into(), 2));
    tuf_repo(&sandbox, "publish --check all").ok().says("1 targets set, 1 removed");
    sandbox.verify();
    let mut expected: Vec<_> = targets.into_iter().filter(|path| path != "d0/file0").collect();
    expected.push("new".to_owned());
    expected.sort();
    assert_eq!(sandbox.targets(), expected);
    // Clients refuse a snapshot that no longer lists a role.
    assert_eq!(listed(&sandbox).len(), 4 + 16);

    // Back to names that were used: they go on above their old versions.
    tuf_repo(&sandbox, "bins resize 4").ok();
    tuf_repo(&sandbox, "publish --check all").ok();
    sandbox.verify();
    assert_eq!(sandbox.targets(), expected);
    let versions: Vec<_> =
        listed(&sandbox).into_iter().filter(|(name, _)| name.starts_with("bin-4-")).collect();
    assert_eq!(versions.len(), 4);
    assert!(versions.iter().all(|(_, version)| *version == 2), "{versions:?}");
    tuf_repo(&sandbox, "publish").ok().says("nothing to publish");
    let status = tuf_repo(&sandbox, "--json status").ok().json();
    let bins = status["roles"].as_array().unwrap().iter().find(|role| role["role"] == "bin-n").unwrap();
    assert_eq!(bins["count"], 4);
    sandbox.assert_no_leftovers();
}

#[test]
fn the_settings_say_how_many_bins_there_are_after_a_resize() {
    let sandbox = with_targets(&["--bins", "4"]);
    let settings = sandbox.repo().join("tuf-repo.toml");
    let text = std::fs::read_to_string(&settings).unwrap().replace("bins = 4\n", "bins = 4 # enough\n");
    write(&settings, text);
    sandbox.tuf_repo(&["publish"]).ok();
    tuf_repo(&sandbox, "bins resize 8").ok();
    sandbox.tuf_repo(&["publish"]).ok();
    assert!(std::fs::read_to_string(&settings).unwrap().contains("bins = 8 # enough\n"));
    let run = sandbox.tuf_repo(&["doctor"]).ok();
    assert!(!run.stdout.contains("hash bins are published"), "{run:#?}");
}

#[test]
fn what_cannot_be_resized_is_refused() {
    let sandbox = with_targets(&["--bins", "4"]);
    tuf_repo(&sandbox, "bins plan").code(4).says("no hash bins");
    sandbox.tuf_repo(&["publish"]).ok();
    for (line, expected) in [
        ("bins resize 4", "so already: 4 of them"),
        ("bins resize 3", "power of two"),
        ("bins resize 131072", "power of two"),
        ("bins resize 8 --role targets", "no hash bins"),
        ("bins resize 8 --role none", "no role none"),
        ("role edit bin-n --threshold 2", "cannot be met by 1"),
    ] {
        tuf_repo(&sandbox, line).code(4).says(expected);
    }
    tuf_repo(&sandbox, "publish").ok().says("nothing to publish");
}

#[test]
fn the_best_number_is_that_which_costs_a_returning_client_least() {
    let sandbox = with_targets(&["--bins", "4"]);
    sandbox.tuf_repo(&["publish"]).ok();
    let plan = |arguments: &str| tuf_repo(&sandbox, &format!("--json bins plan{arguments}")).ok().json();
    let small = plan("");
    assert_eq!((&small["count"], &small["targets"]), (&4.into(), &40.into()));
    let best = |plan: &serde_json::Value| {
        let choices = plan["choices"].as_array().unwrap();
        let best: Vec<_> = choices.iter().filter(|choice| choice["recommended"] == true).collect();
        assert_eq!(best.len(), 1);
        let least = choices.iter().map(|choice| choice["returning"].as_u64().unwrap()).min();
        assert_eq!(best[0]["returning"].as_u64(), least);
        best[0]["count"].as_u64().unwrap()
    };
    assert!(best(&small) < best(&plan(" --targets 4000")));
    // What it reckons is what is published then.
    tuf_repo(&sandbox, "bins resize 16").ok();
    tuf_repo(&sandbox, "publish").ok();
    let choice = small["choices"].as_array().unwrap().iter().find(|choice| choice["count"] == 16).unwrap();
    let length = std::fs::metadata(sandbox.public("metadata/2.bins.json")).unwrap().len();
    assert_eq!(choice["delegations"].as_u64(), Some(length));
    let text = tuf_repo(&sandbox, "bins plan").ok();
    text.says("now").says("best");
}

#[test]
fn bins_below_a_delegation_are_resized_too() {
    let sandbox = with_targets(&["--preset", "plain"]);
    for key in ["k", "l"] {
        tuf_repo(&sandbox, &format!("key generate {key} --no-passphrase")).ok();
    }
    tuf_repo(&sandbox, "delegate add big --paths d1/* --key file:keys/k.pem --key file:keys/l.pem --bins 4")
        .ok();
    // Before anything is published.
    tuf_repo(&sandbox, "bins resize 2 --role big").ok();
    tuf_repo(&sandbox, "publish").ok();
    sandbox.verify();
    let targets = sandbox.targets();
    assert_eq!(listed(&sandbox).len(), 2);
    tuf_repo(&sandbox, "bins resize 8 --role big").ok();
    tuf_repo(&sandbox, "bins resize 16 --role big").ok();
    tuf_repo(&sandbox, "publish --check all").ok();
    sandbox.verify();
    assert_eq!(sandbox.targets(), targets);
    assert_eq!(listed(&sandbox).len(), 2 + 16);
    // As many of them, each signed by both keys.
    tuf_repo(&sandbox, "role edit big-bin-n --threshold 2").ok();
    tuf_repo(&sandbox, "publish --check all").ok();
    sandbox.verify();
    assert_eq!(sandbox.targets(), targets);
    let (again, version): (Vec<_>, Vec<_>) =
        listed(&sandbox).into_iter().filter(|(name, _)| name.contains("bin-16")).unzip();
    assert_eq!((again.len(), version), (16, vec![2; 16]));
}
