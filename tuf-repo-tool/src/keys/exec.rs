//! A program that signs: a cloud KMS, a Vault, or anything else that a script can reach.
//!
//! `PROGRAM ARGUMENTS public` prints the public half, `PROGRAM ARGUMENTS sign` gets the bytes to sign on standard input
//! and prints the signature; `docs/keys.md` has the contract. No shell reads the command line. What the program says is
//! believed only as far as its signature verifies.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tuf_client::env;
use tuf_core::Key;

use super::public::parse;
use super::{KeyError, Signer};
use crate::detached::{self, Format};

/// A person may have to approve in another window.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// Far above any key or signature.
const MAX_OUTPUT: u64 = 64 * 1024;

/// A key that a program signs with.
#[derive(Debug)]
pub(super) struct ExecSigner {
    program: Program,
    key: Key,
}

/// Asks the program for its public half.
pub(super) fn open(command: &str, repository: &Path) -> Result<ExecSigner, KeyError> {
    Ok(ExecSigner { program: Program::new(command, repository)?, key: public(command, repository)? })
}

/// The public half, as the program prints it.
pub(super) fn public(command: &str, repository: &Path) -> Result<Key, KeyError> {
    let program = Program::new(command, repository)?;
    let printed = program.run("public", &[], &[], TIME_LIMIT)?;
    let text = String::from_utf8_lossy(&printed);
    parse(&text).map_err(|reason| program.failed(format!("`public` printed no public key: {reason}")))
}

impl Signer for ExecSigner {
    fn public(&self) -> &Key {
        &self.key
    }

    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, KeyError> {
        let keyid = self.key.id();
        let variables = [("TUF_KEYID", keyid.as_str()), ("TUF_SCHEME", self.key.scheme())];
        let printed = self.program.run("sign", &variables, payload, TIME_LIMIT)?;
        detached::decode(&self.key, payload, &printed, Format::Auto).map_err(|error| {
            self.program.failed(format!("`sign` printed {} bytes, and {error}", printed.len()))
        })
    }
}

#[derive(Debug)]
struct Program {
    words: Vec<String>,
    command: String,
    directory: std::path::PathBuf,
}

impl Program {
    fn new(command: &str, repository: &Path) -> Result<Self, KeyError> {
        let words =
            words(command).map_err(|reason| KeyError::BadUri { uri: format!("exec:{command}"), reason })?;
        let directory = match repository.as_os_str().is_empty() {
            true => Path::new(".").to_owned(),
            false => repository.to_owned(),
        };
        Ok(Self { words, command: command.to_owned(), directory })
    }

    fn failed(&self, reason: String) -> KeyError {
        KeyError::Exec { command: self.command.clone(), reason }
    }

    fn run(
        &self,
        action: &str,
        variables: &[(&str, &str)],
        input: &[u8],
        limit: Duration,
    ) -> Result<Vec<u8>, KeyError> {
        let mut child = self.start(action, variables)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let input = input.to_vec();
        // A program need not read what it is given; whether it signed the right bytes, the signature tells.
        thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let (sender, printed) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.map_or(Ok(0), |mut stdout| {
                stdout.by_ref().take(MAX_OUTPUT + 1).read_to_end(&mut bytes)?;
                // The rest is let through: a broken pipe would hide the reason.
                io::copy(&mut stdout, &mut io::sink())
            });
            let _ = sender.send(read.map(|_| bytes));
        });
        let end = Instant::now() + limit;
        let status = wait(&mut child, end).map_err(|error| self.failed(error.to_string()))?;
        let Some(status) = status else {
            return Err(
                self.failed(format!("`{action}` did not end within {} s, and was stopped", limit.as_secs()))
            );
        };
        if !status.success() {
            return Err(self.failed(format!("`{action}` failed: {status}")));
        }
        // It ended, but what it started may hold its output open.
        let left = end.saturating_duration_since(Instant::now()).max(POLL);
        match printed.recv_timeout(left) {
            Ok(Ok(bytes)) if bytes.len() > usize::try_from(MAX_OUTPUT).unwrap_or(usize::MAX) => {
                Err(self.failed(format!("`{action}` printed more than {MAX_OUTPUT} bytes")))
            }
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(self.failed(format!("its output cannot be read: {error}"))),
            Err(_) => Err(self.failed("its output stays open after its end".to_owned())),
        }
    }

    fn start(&self, action: &str, variables: &[(&str, &str)]) -> Result<Child, KeyError> {
        let mut words = self.words.iter();
        let name = words.next().map_or("", String::as_str);
        // A bare name is looked for in PATH; a path starts at the repository, as those of key files do.
        let program = match name.contains('/') {
            true => self.directory.join(name),
            false => name.into(),
        };
        let mut command = Command::new(program);
        command.args(words).arg(action).envs(variables.iter().copied());
        // Other keys' passphrases are none of its business.
        for (name, _) in env::vars().iter().filter(|(name, _)| name.starts_with("TUF_PASSPHRASE")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().map_err(|error| self.failed(format!("cannot be started: {error}")))
    }
}

/// Its exit status; `None` if it had to be stopped.
fn wait(child: &mut Child, end: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// The words of a command line: split at spaces, but not within single or double quotes. Nothing else is special.
pub(super) fn words(command: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (_, '\0') => return Err("a command line has no NUL character"),
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed");
    }
    words.extend(word);
    match words.first().is_some_and(|program| !program.is_empty()) {
        true => Ok(words),
        false => Err("it names no program; write exec:PROGRAM ARGUMENTS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_as_it_looks() {
        for (command, expected) in [
            ("sign", Ok(&["sign"][..])),
            (" a  b\tc ", Ok(&["a", "b", "c"])),
            (
                r#""/opt/my tools/sign" --key 'it is "x"' ''"#,
                Ok(&["/opt/my tools/sign", "--key", "it is \"x\"", ""]),
            ),
            (r"a\ b $HOME;rm|x", Ok(&[r"a\", "b", "$HOME;rm|x"])),
            ("", Err("no program")),
            ("''", Err("no program")),
            ("a 'b", Err("quotation")),
            ("a\0b", Err("NUL")),
        ] {
            match (words(command), expected) {
                (Ok(words), Ok(expected)) => assert_eq!(words, expected, "{command:?}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{command:?}: {error}"),
                (found, _) => panic!("{command:?}: {found:?}"),
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_hangs_is_stopped_and_a_talkative_one_refused() {
        let here = Path::new("/");
        for (command, limit, part) in [
            ("sh -c 'exec sleep 60'", Duration::from_millis(50), "did not end within"),
            ("sh -c 'sleep 1 2>/dev/null & echo x'", Duration::from_millis(300), "stays open after its end"),
            ("sh -c 'head -c 70000 /dev/zero'", TIME_LIMIT, "more than 65536 bytes"),
            ("sh -c 'exit 3'", TIME_LIMIT, "exit status: 3"),
            ("/nonexistent/signer", TIME_LIMIT, "cannot be started"),
        ] {
            let error =
                Program::new(command, here).unwrap().run("sign", &[], &[b'x'; 1 << 20], limit).unwrap_err();
            assert!(error.to_string().contains(part), "{command}: {error}");
        }
    }
}
