//! How many cells each attack of the specification must have: shared with the client's tests, which do those that need
//! a connection.

/// An attack, its cells here, and those of the client.
pub(crate) struct Row {
    pub(crate) attack: &'static str,
    pub(crate) core: usize,
    pub(crate) client: usize,
}

const fn row(attack: &'static str, core: usize, client: usize) -> Row {
    Row { attack, core, client }
}

/// 176 in all: root, timestamp, snapshot, targets, a delegated role and the artifact itself, each under the variants of
/// the attack.
pub(crate) const ROWS: [Row; 10] = [
    // Five roles under eight forgeries; the artifact under four.
    row("arbitrary installation", 40, 4),
    // Six files under five ways to send without end.
    row("endless data", 0, 30),
    // Out of TUF's reach: what a package asks for is the publisher's word. `custom`, where it stands, decides nothing.
    row("extraneous dependencies", 1, 0),
    // Four roles: root goes one by one.
    row("fast-forward", 12, 0),
    row("indefinite freeze", 20, 0),
    // The first, the one in the middle, all of them; metadata and targets.
    row("malicious mirrors", 0, 6),
    row("mix-and-match", 12, 0),
    // Five roles and the removal of one, in four states of the client.
    row("rollback", 24, 0),
    row("key compromise", 15, 0),
    row("wrong software", 9, 3),
];

/// The counts as a table; panics where a row is short of cells. A cell is its attack, role and variant.
pub(crate) fn count(cells: &[(&'static str, String, bool)], demanded: fn(&Row) -> usize) -> String {
    let mut names: Vec<_> = cells.iter().map(|(attack, name, _)| (attack, name)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cells.len(), "two cells have one name");
    let mut text = String::new();
    let (mut sum, mut more) = (0, 0);
    for row in &ROWS {
        let of = |wanted: bool| {
            cells.iter().filter(move |(attack, _, listed)| *attack == row.attack && *listed == wanted)
        };
        let (listed, further) = (of(true).count(), of(false).count());
        assert_eq!(listed, demanded(row), "{}: so many cells, instead of those demanded", row.attack);
        text += &format!("{:24}{listed:4} and {further} more\n", row.attack);
        (sum, more) = (sum + listed, more + further);
    }
    assert_eq!(sum + more, cells.len(), "a cell of no row");
    assert_eq!(ROWS.iter().map(|row| row.core + row.client).sum::<usize>(), 176);
    text + &format!("{:24}{sum:4} and {more} more", "all")
}
