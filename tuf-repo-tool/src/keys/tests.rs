//! Key files against OpenSSL: it reads what is written here, and what it writes is read here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

const PASSPHRASE: &str = "correct horse 7";
const PAYLOAD: &[u8] = b"{\"_type\":\"root\"}";

struct Nobody;

impl passphrase::Prompt for Nobody {
    fn ask(&self, _: &str, _: bool) -> io::Result<Option<Passphrase>> {
        Ok(None)
    }
}

fn with(passphrase: &'static str) -> Passphrases {
    Passphrases::new(move |name| (name == "TUF_PASSPHRASE").then(|| passphrase.to_owned()), Nobody)
}

fn passphrase() -> Option<Passphrase> {
    Passphrase::new(PASSPHRASE.to_owned())
}

/// Runs the OpenSSL program, which these tests cannot do without.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .output()
        .expect("these tests need the program `openssl` (3.0 or newer) on the PATH");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn put(path: &Path, bytes: &[u8]) {
    let created = tuf_client::durable::create_private(path, bytes).unwrap();
    assert_eq!(created, tuf_client::durable::Created::New);
}

/// Signs with the key in `path`; the signature must hold here and with OpenSSL, and for no other payload.
fn sign_and_verify(path: &Path, dir: &Path) {
    let signer = file::open(path, &mut with(PASSPHRASE)).unwrap();
    let signature = signer.sign(PAYLOAD).unwrap();
    assert!(signer.public().verify(PAYLOAD, &signature));
    assert!(!signer.public().verify(b"another payload", &signature));
    assert_eq!(file::public(path).unwrap().id(), signer.public().id());
    assert!(!format!("{signer:?}").contains("secret"));

    let stem = path.file_stem().unwrap().to_str().unwrap();
    let [public, message, held] = ["pub", "msg", "sig"].map(|end| dir.join(format!("{stem}.check.{end}")));
    put(&message, PAYLOAD);
    put(&held, &signature);
    let pass = format!("pass:{PASSPHRASE}");
    openssl(&["pkey", "-in", text(path), "-passin", &pass, "-pubout", "-out", text(&public)]);
    let (public, message, held) = (text(&public), text(&message), text(&held));
    let digest = |hash| ["dgst", hash, "-verify", public, "-signature", held];
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
    match signer.public().scheme() {
        "ed25519" => openssl(&[
            "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", message, "-sigfile", held,
        ]),
        "ecdsa-sha2-nistp256" => openssl(&[&digest("-sha256")[..], &[message]].concat()),
        "ecdsa-sha2-nistp384" => openssl(&[&digest("-sha384")[..], &[message]].concat()),
        "rsassa-pss-sha256" => openssl(&[&digest("-sha256")[..], &pss, &[message]].concat()),
        other => panic!("unexpected scheme {other}"),
    };
}

#[test]
fn openssl_reads_every_key_that_is_generated() {
    let dir = tempfile::tempdir().unwrap();
    for (name, algorithm) in Algorithm::NAMES {
        assert_eq!(name.parse::<Algorithm>().unwrap(), algorithm);
        assert_eq!(algorithm.to_string(), name);
        if algorithm == Algorithm::Rsa3072 {
            let path = dir.path().join("rsa.pem");
            let error = file::generate(&path, algorithm, None).unwrap_err();
            assert!(matches!(error, KeyError::CannotGenerate { .. }), "{error}");
            assert!(error.hint().unwrap().contains("openssl genpkey") && !path.exists());
            continue;
        }
        for (kind, passphrase) in [("plain", None), ("encrypted", passphrase())] {
            let path = dir.path().join(format!("{name}-{kind}.pem"));
            let key = file::generate(&path, algorithm, passphrase.as_ref()).unwrap();
            assert_eq!(file::is_encrypted(&path).unwrap(), passphrase.is_some());
            assert_eq!(file::public(&path).unwrap(), key);
            let shown = openssl(&[
                "pkey",
                "-in",
                text(&path),
                "-passin",
                &format!("pass:{PASSPHRASE}"),
                "-noout",
                "-text",
            ]);
            assert!(shown.contains("rivate-Key") || shown.contains("PRIVATE"), "{shown}");
            sign_and_verify(&path, dir.path());
        }
    }
}

#[test]
fn keys_that_openssl_generates_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("ed25519", &["-algorithm", "ed25519"][..]),
        ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ] {
        for (kind, encryption) in
            [("plain", &[][..]), ("encrypted", &["-aes256", "-pass", "pass:correct horse 7"])]
        {
            let theirs = dir.path().join(format!("{name}-{kind}-theirs.pem"));
            openssl(&[&["genpkey"][..], options, encryption, &["-out", text(&theirs)]].concat());
            assert!(matches!(
                file::open(&theirs, &mut with(PASSPHRASE)),
                Err(KeyError::PublicMissing { .. })
            ));

            let ours = dir.path().join(format!("{name}-{kind}.pem"));
            let key = file::import(&theirs, &mut with(PASSPHRASE), &ours, passphrase().as_ref()).unwrap();
            assert!(file::is_encrypted(&ours).unwrap());
            sign_and_verify(&ours, dir.path());

            // The file itself, once its public half lies beside it.
            put(&file::public_path(&theirs), key.to_json().unwrap().to_string().as_bytes());
            sign_and_verify(&theirs, dir.path());
        }
    }
}

#[test]
fn other_kinds_of_key_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (name, options, reason) in [
        ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"][..], "P-256 and P-384"),
        ("x25519", &["-algorithm", "X25519"], "1.3.101.110"),
        ("rsa1024", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "2048 to 4096"),
    ] {
        openssl(&[&["genpkey"][..], options, &["-out", text(&path(name))]].concat());
        let error = file::import(&path(name), &mut with(""), &path("unused.pem"), None).unwrap_err();
        assert!(matches!(error, KeyError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", text(&path("sec1"))]);
    let error = file::import(&path("sec1"), &mut with(""), &path("unused.pem"), None).unwrap_err();
    assert!(error.to_string().contains("openssl pkcs8 -topk8"), "{error}");
    assert!(!path("unused.pem").exists() && !path("unused.pub.json").exists());
}

#[test]
fn a_wrong_passphrase_is_not_a_damaged_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.pem");
    file::generate(&path, Algorithm::Ed25519, passphrase().as_ref()).unwrap();

    let wrong = file::open(&path, &mut with("another")).unwrap_err();
    assert_eq!(wrong.to_string(), "Wrong passphrase for key root");
    let none = file::open(&path, &mut with("")).unwrap_err();
    assert!(none.to_string().contains("TUF_PASSPHRASE_ROOT"), "{none}");

    let pem = std::fs::read_to_string(&path).unwrap();
    let cut = pem.lines().take(2).collect::<Vec<_>>().join("\n");
    for (name, damaged) in [
        ("empty", String::new()),
        ("truncated", cut),
        ("not-base64", pem.replacen("\nM", "\n*", 1)),
        ("not-der", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned()),
        ("huge", "x".repeat(70_000)),
    ] {
        let path = dir.path().join(name);
        put(&path, damaged.as_bytes());
        let error = file::open(&path, &mut with(PASSPHRASE)).unwrap_err();
        assert!(matches!(error, KeyError::Damaged { .. }), "{name}: {error}");
    }
}

#[test]
fn the_public_file_must_be_there_and_must_match() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one.pem", "two.pem"].map(|name| dir.path().join(name));
    for path in [&one, &two] {
        file::generate(path, Algorithm::Ed25519, None).unwrap();
    }
    let missing = file::public_path(&one);
    std::fs::remove_file(&missing).unwrap();
    assert!(
        matches!(file::open(&one, &mut with("")), Err(KeyError::PublicMissing { path }) if path == missing)
    );
    std::fs::copy(file::public_path(&two), &missing).unwrap();
    let error = file::open(&one, &mut with("")).unwrap_err();
    assert!(matches!(error, KeyError::PublicMismatch { .. }), "{error}");
    assert!(error.to_string().contains(file::public(&two).unwrap().id().as_str()), "{error}");
}

#[test]
fn a_public_file_without_a_usable_key_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.pem");
    for text in [
        "",
        "[]",
        r#"{"keytype":"ed25519","keyval":{"public":"00"},"scheme":"ed25519"}"#,
        r#"{"keytype":"new","keyval":{"public":"00"},"scheme":"new"}"#,
    ] {
        put(&file::public_path(&path), text.as_bytes());
        let error = file::public(&path).unwrap_err();
        assert!(matches!(error, KeyError::Damaged { .. }), "{text}: {error}");
        std::fs::remove_file(file::public_path(&path)).unwrap();
    }
}

#[test]
fn nothing_is_ever_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("root.pem");
    for (taken, free) in [(key.clone(), file::public_path(&key)), (file::public_path(&key), key.clone())] {
        put(&taken, b"precious");
        let error = file::generate(&key, Algorithm::Ed25519, None).unwrap_err();
        assert!(matches!(error, KeyError::AlreadyExists { ref path } if *path == taken), "{error}");
        assert_eq!(std::fs::read(&taken).unwrap(), b"precious");
        assert!(!free.exists());
        std::fs::remove_file(&taken).unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no temporary file is left behind");
}

#[cfg(unix)]
#[test]
fn tuf_cr_22_01_a_private_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.pem");
    file::generate(&path, Algorithm::EcdsaP256, None).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&file::public_path(&path)) & 0o133, 0);
    for (mode, accepted) in [(0o400, true), (0o600, true), (0o640, false), (0o604, false), (0o620, false)] {
        set_mode(&path, mode);
        match file::open(&path, &mut with("")) {
            Ok(_) => assert!(accepted, "{mode:o}"),
            Err(error) => {
                assert!(!accepted && matches!(error, KeyError::Permissions { .. }), "{mode:o}: {error}");
                assert!(error.hint().unwrap().contains("chmod 600"));
            }
        }
    }
}

#[test]
fn a_key_is_opened_by_its_uri() {
    let dir = tempfile::tempdir().unwrap();
    let uri: KeyUri = "file:root.pem".parse().unwrap();
    assert!(matches!(open(&uri, dir.path(), &mut with("")), Err(KeyError::Io { .. })));
    let key = file::generate(&uri.path(dir.path()).unwrap(), Algorithm::default(), None).unwrap();
    assert_eq!(public(&uri, dir.path()).unwrap(), key);
    assert_eq!(open(&uri, dir.path(), &mut with("")).unwrap().public(), &key);
    assert_eq!(uri.path(Path::new("/repo")), Some(PathBuf::from("/repo/root.pem")));
}
