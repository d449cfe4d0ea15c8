//! `upweave limits`: what is refused, in one table.

use crate::terminal::print;
use nodes::limits::{Limits, Profile};

pub(crate) fn run() -> u8 {
    let mut rows = vec![["limit", "local", "server", "unlimited", "flag that sets it"].map(str::to_owned)];
    for row in Limits::table() {
        let [local, server, unlimited] = row.values;
        rows.push([row.about.to_owned(), local, server, unlimited, row.flag.unwrap_or("-").to_owned()]);
    }
    debug_assert_eq!(rows[0][1..4], Profile::ALL.map(|profile| profile.name().to_owned()));
    let widths: Vec<usize> =
        (0..5).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        print(cells.join("  ").trim_end());
    }
    print("\nChoose a profile with `--limits local|server|unlimited`; local is the default.");
    0
}
