//! Look-alikes of public repositories, with their odd key IDs, extra fields, old forms and long root chains: from the
//! first root to the newest, to a verified target; and none with one signature too few.

use ring::digest::SHA256;
use serde_json::{Map, Value, json};

use super::lookalike::{Lookalike, Role, Signer, sum};
use crate::support::{Run, Sandbox, tuf_client};

const LONG_AGO: &str = "2021-12-18T13:28:12Z";
const FAR: &str = "2100-01-01T00:00:00Z";

/// Reads it with the first root, all targets; then again with the newest root one signature short.
#[track_caller]
fn is_read(mut repository: Lookalike, targets: &[&str]) {
    let sandbox = Sandbox::new();
    let run = |store: &str, arguments: &[&str]| {
        let directory = sandbox.path("repository");
        let mut command = sandbox.command(tuf_client());
        command.arg("--root").arg(directory.join("metadata/1.root.json")).arg("--url").arg(&directory);
        Run::of(command.arg("--json").arg("--store").arg(sandbox.path(store)).args(arguments))
    };
    repository.save(&sandbox.path("repository"));
    let roles = run("store", &["refresh"]).ok().json();
    assert_eq!(roles["roles"]["root"]["version"], Value::from(repository.version));
    let out = sandbox.path("out");
    run("store", &[&["download", "-o", out.to_str().unwrap()], targets].concat()).ok();
    for path in targets {
        assert_eq!(std::fs::read_to_string(out.join(path)).unwrap(), format!("the target {path}"));
    }

    let (version, threshold) = (repository.version, repository.root.threshold);
    repository.weaken();
    repository.save(&sandbox.path("repository"));
    let short = format!(
        "root {version} refused: signed by {} of the {threshold} keys needed, as root {} demands",
        threshold - 1,
        version - 1
    );
    run("new", &["refresh"]).code(4).says(&short);
}

/// Five holders of P-256 keys, three of whom must sign.
fn holders(form: impl Fn(Signer) -> Signer) -> Role {
    Role::new(&[(); 5].map(|()| form(Signer::p256())), 3)
}

/// The first roots of sigstore: points in hex, `spec_version` of two parts, times in other zones and with nine digits,
/// the same five for everything, no consistent snapshots.
#[test]
fn old_sigstore() {
    let five = holders(Signer::in_hex);
    let mut repository = Lookalike::new(five.clone(), five.clone(), &Signer::p256().in_hex());
    (repository.spec_version, repository.consistent) = ("1.0", Some(false));
    let online = (repository.timestamp, repository.snapshot);
    (repository.timestamp, repository.snapshot) = (five.clone(), five.clone());
    repository.expires = "2021-12-18T13:28:12.99008-06:00";
    repository.next_root(&[], &json!({}));
    (repository.timestamp, repository.snapshot) = online;
    repository.expires = "2022-05-11T19:09:02.663975009Z";
    repository.next_root(&[], &json!({}));
    // One holder leaves, and signs no more.
    let newcomer = Signer::p256().in_hex();
    let left = std::mem::replace(&mut repository.root.keys[1], newcomer);
    repository.targets = repository.root.clone();
    repository.expires = FAR;
    repository.next_root(&[], &json!({}));
    assert!(!repository.root.keys.iter().any(|key| key.id == left.id));
    let custom = json!({"custom": {"sigstore": {"status": "Active", "usage": "CTFE"}}});
    let targets = repository.targets.clone();
    repository.publish("targets", 3, &targets, &["ctfe.pub"], &json!({"x-of-each-target": custom}));
    repository.remember("root", 2);
    repository.remember("rekor", 3);
    repository.finish(20);
    is_read(repository, &["ctfe.pub"]);
}

/// Sigstore since: the same keys in PEM under other IDs, then under their present type with notes of tuf-on-ci, which
/// their IDs do not cover.
#[test]
fn sigstore_root_signing() {
    let old_type = |key: Signer| key.written(|json| json["keytype"] = "ecdsa-sha2-nistp256".into());
    let bare = holders(|key| key);
    let form = |change: &dyn Fn(Signer) -> Signer| {
        Role::new(&bare.keys.iter().cloned().map(change).collect::<Vec<_>>(), 3)
    };
    let in_hex = form(&Signer::in_hex);
    let in_pem = form(&|key| old_type(key).with_hash_algorithms());
    let today = form(&|key| key.with_hash_algorithms().noted("x-tuf-on-ci-keyowner", "@somebody"));

    let online = Signer::p256().with_hash_algorithms();
    let mut repository = Lookalike::new(in_hex.clone(), in_hex.clone(), &old_type(online.clone()));
    (repository.spec_version, repository.indent, repository.pinned) = ("1.0", b" ", false);
    repository.expires = LONG_AGO;
    repository.consistent = Some(false);
    repository.next_root(&[], &json!({}));
    repository.consistent = Some(true);
    (repository.root, repository.targets) = (in_pem.clone(), in_pem.clone());
    repository.next_root(&in_hex.keys, &json!({}));
    repository.expires = FAR;
    (repository.root, repository.targets) = (today.clone(), today.clone());
    let online = Role::new(&[online.noted("x-tuf-on-ci-online-uri", "kms:projects/p/keyRings/root")], 1);
    let days = |expiry: u32, signing: u32| json!({"x-tuf-on-ci-expiry-period": expiry, "x-tuf-on-ci-signing-period": signing});
    repository.timestamp = Role { more: days(7, 6), ..online.clone() };
    repository.snapshot = Role { more: days(3650, 365), ..online };
    repository.next_root(&in_pem.keys, &days(197, 46));

    let delegate = Signer::p256().noted("x-tuf-on-ci-online-uri", "kms://vault/keys/delegate");
    let delegate = Role::new(&[delegate], 1);
    let name = "packages.example.org";
    let paths = json!({"name": name, "paths": ["packages.example.org/*"], "terminating": true});
    let entry = Role { more: paths, ..delegate.clone() }.json();
    let delegations = json!({"delegations": {"keys": delegate.listed(), "roles": [entry]}});
    repository.publish("targets", 14, &today, &["trusted_root.json"], &delegations);
    repository.publish(name, 8, &delegate, &["packages.example.org/keys.json"], &json!({}));
    repository.remember("staging", 2);
    repository.finish(165);
    // Two holders have not signed yet.
    repository.resign(|signatures| {
        for signature in &mut signatures[3..5] {
            signature["sig"] = "".into();
        }
    });
    is_read(repository, &["trusted_root.json", "packages.example.org/keys.json"]);
}

/// tuf-on-ci: keys of several kinds, one of which nobody but its own tools can use, and delegations of delegations.
#[test]
fn tuf_on_ci() {
    let owner = |key: Signer, name: &str| key.noted("x-tuf-on-ci-keyowner", name);
    let keyless = Signer::ed25519(9).written(|json| {
        *json = json!({
            "keytype": "sigstore-oidc", "scheme": "Fulcio",
            "keyval": {"identity": "a@example.org", "issuer": "https://issuer.example"},
        });
    });
    let keys = [owner(Signer::ed25519(1), "@a"), owner(Signer::p256(), "@b"), owner(keyless, "@c")];
    let root = Role::new(&keys, 2);
    let online = Signer::ed25519(4).noted("x-tuf-on-ci-online-uri", "file2:online.pem");
    let mut repository = Lookalike::new(root.clone(), root.clone(), &online);
    (repository.indent, repository.pinned) = (b" ", false);
    repository.next_root(&[], &json!({"x-tuf-on-ci-expiry-period": 365}));
    repository.root.keys.rotate_left(1);
    repository.next_root(&[], &json!({"x-tuf-on-ci-expiry-period": 365}));

    let team = Role::new(&[owner(Signer::p384(), "@d"), owner(Signer::ed25519(5), "@e")], 1);
    let delegations = |name: &str, paths: &[&str]| {
        let more = json!({"name": name, "paths": paths, "terminating": true});
        let entry = Role { more, ..team.clone() }.json();
        json!({"delegations": {"keys": team.listed(), "roles": [entry]}})
    };
    repository.publish("targets", 2, &root, &["top.txt"], &delegations("team", &["team/*", "team/*/*"]));
    repository.publish("team", 1, &team, &["team/a.bin"], &delegations("team-part", &["team/part/*"]));
    repository.publish("team-part", 1, &team, &["team/part/b.bin"], &json!({}));
    repository.finish(3);
    is_read(repository, &["top.txt", "team/a.bin", "team/part/b.bin"]);
}

/// The roles of PEP 458 with the keys of its ceremony (P-256 and P-384), and hash bins listed one by one.
#[test]
fn pep_458() {
    let three = [Signer::p256(), Signer::p384(), Signer::p256()];
    let three = Role::new(&three, 2);
    let online = Signer::ed25519(1);
    let mut repository = Lookalike::new(three.clone(), three.clone(), &online);
    repository.expires = LONG_AGO;
    repository.next_root(&[], &json!({}));
    repository.expires = FAR;
    let leaver = repository.root.keys.remove(0);
    repository.root.keys.push(Signer::p384());
    repository.next_root(&[leaver], &json!({}));

    let online = Role::new(&[online], 1);
    let bin = |prefixes: &[String]| format!("{}-{}", prefixes[0], prefixes[prefixes.len() - 1]);
    let prefixes: Vec<String> = (0..256).map(|number| format!("{number:02x}")).collect();
    let bins = prefixes.chunks(32).map(|prefixes| {
        let more = json!({"name": bin(prefixes), "path_hash_prefixes": prefixes, "terminating": false});
        Role { more, ..online.clone() }.json()
    });
    let bins = json!({"delegations": {"keys": online.listed(), "roles": bins.collect::<Vec<_>>()}});
    let more = json!({"name": "bins", "paths": ["*", "*/*", "*/*/*", "*/*/*/*"], "terminating": false});
    let entry = Role { more, ..three.clone() }.json();
    let top = json!({"delegations": {"keys": three.listed(), "roles": [entry]}});
    repository.publish("targets", 1, &three, &[], &top);
    repository.publish("bins", 1, &three, &[], &bins);
    let files = ["simple/demo/index.html", "simple/other/index.html", "packages/ab/cd/demo-1.0.tar.gz"];
    for prefixes in prefixes.chunks(32) {
        let is_in = |path: &&str| prefixes.contains(&sum(&SHA256, path.as_bytes())[..2].to_owned());
        let files: Vec<&str> = files.into_iter().filter(is_in).collect();
        repository.publish(&bin(prefixes), 5, &online, &files, &json!({}));
    }
    repository.finish(77);
    is_read(repository, &files);
}

/// RSTUF: indented by one, notes in keys, succinct hash bins (TAP 15), the online key exchanged once.
#[test]
fn rstuf() {
    let note = |key: Signer, name: &str| key.noted("x-rstuf-key-name", name);
    let root = Role::new(&[note(Signer::ed25519(1), "a"), note(Signer::rsa(), "b")], 2);
    let online = |seed| Signer::ed25519(seed).noted("x-rstuf-online-key-uri", "fn:0123456789abcdef");
    let mut repository = Lookalike::new(root, Role::new(&[online(3)], 1), &online(3));
    (repository.indent, repository.pinned) = (b" ", false);
    repository.next_root(&[], &json!({}));
    let online = Role::new(&[online(4)], 1);
    (repository.timestamp, repository.snapshot) = (online.clone(), online.clone());
    repository.targets = online.clone();
    repository.next_root(&[], &json!({}));
    let bins = with_bits(online.json(), 2);
    let delegations = json!({"delegations": {"keys": online.listed(), "succinct_roles": bins}});
    repository.publish("targets", 2, &online, &[], &delegations);
    let files = ["a/file.tar.gz", "v1.0/b.tar.gz", "c"];
    for bin in 0..4 {
        let is_in = |path: &&str| {
            let first = &sum(&SHA256, path.as_bytes())[..1];
            u32::from_str_radix(first, 16).unwrap() / 4 == bin
        };
        let files: Vec<&str> = files.into_iter().filter(is_in).collect();
        repository.publish(&format!("bins-{bin}"), 3, &online, &files, &json!({}));
    }
    repository.finish(9);
    is_read(repository, &files);
}

fn with_bits(mut role: Value, bits: u32) -> Value {
    role["bit_length"] = bits.into();
    role["name_prefix"] = "bins".into();
    role
}

/// tough: an RSA key for everything, fractions of a second, versions that are times, empty delegations, and a root for
/// every release for years.
#[test]
fn bottlerocket() {
    let rsa = Signer::rsa();
    let only = Role::new(&[rsa], 1);
    let mut repository = Lookalike::new(only.clone(), only.clone(), &only.keys[0]);
    repository.spec_version = "1.0.0";
    repository.expires = "2020-10-28T03:29:53.178Z";
    for number in 0..119_u8 {
        repository.timestamp = Role::new(&[Signer::ed25519(number)], 1);
        repository.next_root(&[], &json!({}));
    }
    repository.expires = "2099-12-31T23:59:59.999999999Z";
    repository.next_root(&[], &json!({}));
    let none = json!({"delegations": {"keys": {}, "roles": []}});
    let files = ["image-x86_64-1.0.0-deadbeef-boot.ext4.lz4", "manifest.json"];
    repository.publish("targets", 1_700_000_000, &only, &files, &none);
    repository.finish(1_700_000_001);
    assert_eq!(repository.version, 120);
    is_read(repository, &files);
}

/// A director: key IDs that are names, no word of consistent snapshots, state of its own in `custom`, at both levels.
#[test]
fn director() {
    let keys =
        [1, 2, 3].map(|seed| Signer::ed25519(seed).with_hash_algorithms().named(&format!("hsm/{seed}")));
    let online = Signer::p256().named("ü \"online\"");
    let root = Role::new(&keys, 3);
    let mut repository = Lookalike::new(root.clone(), Role::new(&keys[..1], 1), &online);
    (repository.spec_version, repository.consistent) = ("1.0", None);
    repository.expires = LONG_AGO;
    repository.next_root(&[], &json!({}));
    repository.expires = FAR;
    // The same ID, another key: an ID means something within its file only.
    repository.timestamp = Role::new(&[Signer::ed25519(8).named("ü \"online\"")], 1);
    repository.snapshot = repository.timestamp.clone();
    repository.next_root(&[], &json!({}));
    let more = json!({
        "custom": {"opaque_backend_state": "AAECAw==", "agent_refresh_interval": null},
        "x-of-each-target": {"custom": {"ecuIdentifier": "e-1", "hardwareIdentifiers": ["h"], "v": 1}},
    });
    let files = ["company/2/PRODUCT/dynamic_rates/config"];
    let targets = repository.targets.clone();
    repository.publish("targets", 7_000_000_000, &targets, &files, &more);
    repository.finish(42);
    is_read(repository, &files);
}

/// Notary's first version is not TUF 1.0 (no `spec_version`, certificates as keys, signatures in base64 that name their
/// algorithm): it is refused with a reason.
#[test]
fn notary_is_refused() {
    let sandbox = Sandbox::new();
    let role = json!({"keyids": ["a"], "threshold": 1});
    let roles: Map<String, Value> = ["root", "snapshot", "targets", "timestamp"]
        .map(|name| (name.to_owned(), role.clone()))
        .into_iter()
        .collect();
    let key = json!({"keytype": "ecdsa-x509", "keyval": {"private": null, "public": "LS0tLS1CRUdJTg=="}});
    let signed = json!({
        "_type": "Root", "consistent_snapshot": false, "expires": FAR, "keys": {"a": key}, "roles": roles, "version": 1,
    });
    let signatures = json!([{"keyid": "a", "method": "ecdsa", "sig": "MEUCIQ=="}]);
    let root = sandbox.path("root.json");
    crate::support::write(&root, json!({"signatures": signatures, "signed": signed}).to_string());
    let mut command = sandbox.command(tuf_client());
    command.arg("--root").arg(&root).arg("--store").arg(sandbox.path("store"));
    Run::of(command.arg("--url").arg(sandbox.path("")).arg("refresh")).code(4).says("its _type is \"Root\"");
}
