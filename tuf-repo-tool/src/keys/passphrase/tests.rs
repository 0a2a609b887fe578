//! Where passphrases and PINs come from, and how often they are tried.

use super::*;
use std::cell::Cell;

struct Person(Mutex<Vec<&'static str>>);

impl Prompt for Person {
    fn ask(&self, _: &str, _: bool) -> io::Result<Option<Passphrase>> {
        Ok(self.0.lock().unwrap().pop().and_then(|answer| Passphrase::new(answer.to_owned())))
    }
}

/// With these variables, and a person who gives these answers, the last one first.
fn passphrases(variables: &[(&str, &str)], answers: &[&'static str]) -> Passphrases {
    let variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let lookup = move |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, v)| v.clone());
    Passphrases::new(lookup, Person(Mutex::new(answers.to_vec())))
}

fn unlock(passphrases: &mut Passphrases, key: &str, right: &str) -> Result<usize, KeyError> {
    let tries = Cell::new(0);
    passphrases.unlock(key, |passphrase| {
        tries.set(tries.get() + 1);
        if passphrase.as_bytes() == right.as_bytes() {
            Ok(tries.get())
        } else {
            Err(KeyError::WrongPassphrase { key: key.to_owned() })
        }
    })
}

#[test]
fn the_variable_is_the_key_name_in_upper_case() {
    for (key, variable) in [
        ("root", "TUF_PASSPHRASE_ROOT"),
        ("root-2.old", "TUF_PASSPHRASE_ROOT_2_OLD"),
        ("schlüssel", "TUF_PASSPHRASE_SCHL_SSEL"),
    ] {
        assert_eq!(variable_for(key), variable);
    }
}

#[test]
fn a_passphrase_for_the_key_is_the_only_one_tried() {
    let variables = [("TUF_PASSPHRASE_ROOT", "a"), ("TUF_PASSPHRASE", "b")];
    assert_eq!(unlock(&mut passphrases(&variables, &[]), "root", "a").unwrap(), 1);
    let error = unlock(&mut passphrases(&variables, &["b"]), "root", "b").unwrap_err();
    assert_eq!(error.to_string(), "Wrong passphrase for key root");
    assert_eq!(unlock(&mut passphrases(&variables, &[]), "targets", "b").unwrap(), 1);
}

#[test]
fn what_worked_once_is_tried_first_for_the_next_key() {
    let mut typed = passphrases(&[], &["never asked", "right", "mistyped"]);
    assert_eq!(unlock(&mut typed, "root", "right").unwrap(), 2);
    assert_eq!(unlock(&mut typed, "targets", "right").unwrap(), 1);
    assert_eq!(typed.choose("snapshot").unwrap().as_bytes(), b"right");
    assert_eq!(format!("{typed:?}"), "Passphrases { known: 1, .. }");
    assert_eq!(format!("{:?}", typed.known), "[Passphrase(..)]");
}

#[test]
fn a_wrong_variable_is_followed_by_a_prompt_and_three_mistakes_end_it() {
    let variables = [("TUF_PASSPHRASE", "old")];
    assert_eq!(unlock(&mut passphrases(&variables, &["new"]), "root", "new").unwrap(), 2);
    let mut clumsy = passphrases(&variables, &["right", "c", "b", "a"]);
    assert!(matches!(unlock(&mut clumsy, "root", "right"), Err(KeyError::WrongPassphrase { .. })));
}

#[test]
fn a_pin_is_never_guessed() {
    let pin = |passphrases: &Passphrases, right: &str, last: bool| {
        let tried = Cell::new(0);
        let result = passphrases.pin("root", "tuf token", None, |pin| {
            tried.set(tried.get() + 1);
            match pin.as_str() == right {
                true => Ok(()),
                false => Err(KeyError::WrongPin { token: "tuf token".to_owned(), left: "", last }),
            }
        });
        (tried.get(), result)
    };
    for (variables, answers, right, last, tries, ok) in [
        // What is meant for all keys is not for a token.
        (&[("TUF_PASSPHRASE", "1234"), ("TUF_PASSPHRASE_FILE", "/x")][..], &[][..], "1234", false, 0, false),
        (&[("TUF_PASSPHRASE_ROOT", "1234")], &[], "1234", false, 1, true),
        (&[("TUF_PASSPHRASE_TUF_TOKEN", "1234")], &[], "1234", false, 1, true),
        (
            &[("TUF_PASSPHRASE_ROOT", "no"), ("TUF_PASSPHRASE_TUF_TOKEN", "1234")],
            &["1234"],
            "1234",
            false,
            1,
            false,
        ),
        (&[], &["1234", "no"], "1234", false, 2, true),
        (&[], &["1234", "no"], "1234", true, 1, false),
    ] {
        let mut given = passphrases(variables, answers);
        // What worked elsewhere is not for a token either.
        given.remember(&Passphrase::new("1234".to_owned()).unwrap());
        let (tried, result) = pin(&given, right, last);
        assert_eq!((tried, result.is_ok()), (tries, ok), "{variables:?} {answers:?}");
    }
    let error = pin(&passphrases(&[], &[]), "1234", false).1.unwrap_err();
    assert!(error.to_string().contains("TUF_PASSPHRASE_TUF_TOKEN, pin-source"), "{error}");
}

#[test]
fn a_token_is_asked_once_in_a_run_with_a_pin_that_it_refuses_and_a_person_never_again_for_one_that_it_takes()
{
    let attempt = |passphrases: &Passphrases, right: &str| {
        let tried = Cell::new(0);
        let result = passphrases.pin("root", "token", None, |pin| {
            tried.set(tried.get() + 1);
            match pin.as_str() == right {
                true => Ok(()),
                false => Err(KeyError::WrongPin { token: "token".to_owned(), left: "", last: false }),
            }
        });
        (tried.get(), result.is_ok())
    };
    let given = passphrases(&[("TUF_PASSPHRASE_TOKEN", "1234")], &[]);
    for tries in [1, 0, 0] {
        assert_eq!(attempt(&given, "5678"), (tries, false), "a daemon would lock the token");
    }
    let mut typed = passphrases(&[], &["never asked", "1234"]);
    assert_eq!(attempt(&typed, "1234"), (1, true));
    assert_eq!(attempt(&typed, "1234"), (1, true));
    typed.ask_nobody();
    assert_eq!(attempt(&typed, "1234"), (1, true), "known from the start");
    assert_eq!(attempt(&typed, "5678"), (1, false), "it was changed");
    assert_eq!(attempt(&typed, "5678"), (0, false), "nothing else is tried");
}

#[test]
fn without_any_the_error_says_where_it_looked() {
    for error in [
        unlock(&mut passphrases(&[("TUF_PASSPHRASE", "")], &[]), "root", "x").unwrap_err(),
        passphrases(&[], &[]).choose("root").unwrap_err(),
    ] {
        let text = error.to_string();
        for variable in ["TUF_PASSPHRASE_ROOT,", "TUF_PASSPHRASE,", "TUF_PASSPHRASE_FILE"] {
            assert!(text.contains(variable), "{text}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_passphrase_file_gives_its_first_line_unless_the_world_can_read_it() {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    let mut held = tempfile::NamedTempFile::new().unwrap();
    held.write_all(b"right\r\nsecond line\n").unwrap();
    let path = held.path().to_str().unwrap().to_owned();
    let named = [("TUF_PASSPHRASE_FILE", path.as_str())];
    assert_eq!(unlock(&mut passphrases(&named, &[]), "root", "right").unwrap(), 1);
    // Its variable would be the one that holds the path.
    assert_eq!(unlock(&mut passphrases(&named, &[]), "file", "right").unwrap(), 1);

    held.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = unlock(&mut passphrases(&named, &[]), "root", "right").unwrap_err();
    assert!(matches!(error, KeyError::PassphraseFile { .. }), "{error}");
    assert!(error.to_string().contains("0644"), "{error}");

    let gone = [("TUF_PASSPHRASE_FILE", "/nonexistent/passphrase")];
    assert!(matches!(passphrases(&gone, &[]).choose("root"), Err(KeyError::PassphraseFile { .. })));
}
