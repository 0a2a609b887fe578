//! A delegation graph by the bytes, searched by the machine and by a naive recursion.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use tuf_core::trust::{Floor, RootChain, Search, SearchStep, TrustedSet};
use tuf_core::{Error, ErrorKind, Limits, TargetPath};

use crate::input::Input;
use crate::repo::{Signer, meta, now, signed};

const DELEGATED: usize = 8;
const DELEGATIONS: usize = 5;
const VISITS: usize = 12;
const PATH: &str = "d/x.txt";

/// Patterns and prefixes, and whether they cover [`PATH`].
const SCOPES: [(&str, bool); 8] = [
    (r#""paths":["*/*"]"#, true),
    (r#""paths":["d/?.txt","a"]"#, true),
    (r#""paths":["*"]"#, false),
    (r#""paths":["d/[!x]*"]"#, false),
    (r#""paths":[]"#, false),
    // The path's SHA-256 starts with 16d26105.
    (r#""path_hash_prefixes":["00","16d2"]"#, true),
    (r#""path_hash_prefixes":["1"]"#, true),
    (r#""path_hash_prefixes":["16e",""]"#, true),
];

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(9));

struct Role {
    holds_target: bool,
    /// Published and listed in the snapshot as it should be.
    sound: bool,
    listed: bool,
    /// Role, whether it covers the path, whether it is terminating.
    delegations: Vec<(usize, bool, bool)>,
    payload: String,
    /// Without a signature.
    unsigned: bool,
    file: OnceCell<Arc<[u8]>>,
}

impl Role {
    /// Most roles are never asked for, so they are signed when they are.
    fn file(&self) -> &Arc<[u8]> {
        self.file.get_or_init(|| match self.unsigned {
            true => self.payload.as_bytes().into(),
            false => SIGNER.sign(&self.payload),
        })
    }
}

/// For each role, the top-level targets first: flags, the number of delegations, two bytes for each.
pub fn search_script(data: &[u8]) {
    let mut input = Input(data);
    let roles: Vec<Role> = (0..=DELEGATED).map(|number| role(number, &mut input)).collect();
    let set = trusted(&roles).unwrap();
    let mut oracle = Oracle { roles: &roles, visited: BTreeSet::new() };
    let expected = match oracle.look_into(0) {
        Next::Found(role) => Ok(Some(role)),
        Next::Refused => Err(()),
        Next::GoOn | Next::Over => Ok(None),
    };
    let (found, asked) = run(set, &roles);
    let found = found.map_err(|error| assert!(error.role().is_some(), "{error}"));
    assert_eq!((found, asked), (expected, oracle.visited.len()), "{data:?}");
}

fn name(number: usize) -> String {
    if number == 0 { "targets".to_owned() } else { format!("r{number}") }
}

fn role(number: usize, input: &mut Input<'_>) -> Role {
    let flags = input.byte();
    // Most roles are sound, and few hold the target: the graph is what matters.
    let flaw = if number == 0 { 0 } else { flags >> 4 };
    let mut delegations: Vec<(usize, usize, bool)> = Vec::new();
    for _ in 0..input.below(DELEGATIONS + 1) {
        let to = 1 + input.below(DELEGATED);
        let how = input.byte();
        if delegations.iter().all(|(other, _, _)| *other != to) {
            delegations.push((to, usize::from(how) % SCOPES.len(), how >= 0xc0));
        }
    }
    let holds_target = flags & 7 == 7;
    let target = if holds_target {
        format!(r#""{PATH}":{{"hashes":{{"sha256":"{:064}"}},"length":1}}"#, 0)
    } else {
        String::new()
    };
    let id = &SIGNER.id;
    let listed: Vec<String> = delegations
        .iter()
        .map(|(to, scope, terminating)| {
            let scope = SCOPES[*scope].0;
            format!(
                r#"{{"keyids":["{id}"],"name":"r{to}",{scope},"terminating":{terminating},"threshold":1}}"#
            )
        })
        .collect();
    let fields = format!(
        r#""delegations":{{"keys":{{"{id}":{}}},"roles":[{}]}},"targets":{{{target}}}"#,
        SIGNER.key,
        listed.join(",")
    );
    let version = if flaw == 0xd { 2 } else { 1 };
    let payload = tuf_core::canonical::canonicalize(signed("targets", version, &fields).as_bytes(), 64)
        .unwrap()
        .into_owned();
    Role {
        holds_target,
        sound: flaw < 0xd,
        listed: flaw != 0xf,
        delegations: delegations.iter().map(|(to, scope, end)| (*to, SCOPES[*scope].1, *end)).collect(),
        payload,
        unsigned: flaw == 0xe,
        file: OnceCell::new(),
    }
}

fn trusted(roles: &[Role]) -> Result<TrustedSet, Error> {
    let mut limits = Limits::default();
    limits.visited_roles = u32::try_from(VISITS).unwrap();
    let id = &SIGNER.id;
    let top = ["root", "snapshot", "targets", "timestamp"]
        .map(|role| format!(r#""{role}":{{"keyids":["{id}"],"threshold":1}}"#))
        .join(",");
    let root = format!(r#""consistent_snapshot":true,"keys":{{"{id}":{}}},"roles":{{{top}}}"#, SIGNER.key);
    let listed: Vec<String> = (0..roles.len())
        .filter(|number| roles[*number].listed)
        .map(|number| format!(r#""{}.json":{}"#, name(number), meta(1, None)))
        .collect();
    let file = |kind: &str, fields: &str| {
        let text = signed(kind, 1, fields);
        SIGNER.sign(&tuf_core::canonical::canonicalize(text.as_bytes(), 64).unwrap())
    };
    let floor = Floor::default();
    RootChain::pinned(&file("root", &root), Arc::new(limits))?
        .finish(now())?
        .timestamp(&file("timestamp", &format!(r#""meta":{{"snapshot.json":{}}}"#, meta(1, None))), &floor)?
        .snapshot(&file("snapshot", &format!(r#""meta":{{{}}}"#, listed.join(","))), &floor)?
        .targets(roles[0].file())
}

/// The machine's answer, and how many roles it was given.
fn run(set: TrustedSet, roles: &[Role]) -> (Result<Option<usize>, Error>, usize) {
    let number = |name: &str| (0..roles.len()).find(|number| self::name(*number) == name).unwrap();
    let mut search = Search::new(set, TargetPath::new(PATH).unwrap());
    let mut given = 0;
    loop {
        let asked = match search.step() {
            SearchStep::Role { role, .. } => number(role.as_str()),
            SearchStep::Done(found) => return (Ok(found.map(|found| number(found.role.as_str()))), given),
            other => panic!("a step that is not known here: {other:?}"),
        };
        match search.give(roles[asked].file()) {
            Ok(role) => given += usize::from(role.is_some()),
            Err(error) => {
                // Too many roles: the last one was taken.
                let taken = matches!(error.kind(), ErrorKind::Limit { .. });
                return (Err(error), given + usize::from(taken));
            }
        }
    }
}

enum Next {
    Found(usize),
    GoOn,
    /// A terminating delegation did not have it.
    Over,
    Refused,
}

/// Pre-order, depth first; each pair of delegator and role once.
struct Oracle<'a> {
    roles: &'a [Role],
    visited: BTreeSet<(usize, usize)>,
}

impl Oracle<'_> {
    fn look_into(&mut self, number: usize) -> Next {
        let role = &self.roles[number];
        if role.holds_target {
            return Next::Found(number);
        }
        for (to, covers, terminating) in &role.delegations {
            if !covers {
                continue;
            }
            if !self.visited.contains(&(number, *to)) {
                if self.visited.len() >= VISITS || !self.roles[*to].sound {
                    return Next::Refused;
                }
                self.visited.insert((number, *to));
                match self.look_into(*to) {
                    Next::GoOn => {}
                    end => return end,
                }
            }
            if *terminating {
                return Next::Over;
            }
        }
        Next::GoOn
    }
}
