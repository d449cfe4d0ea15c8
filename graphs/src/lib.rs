//! The shipped graphs and the parts that they are made of, as the RON text that stands in this folder.

/// A graph file that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// What a person types: `dynamic-upscale`, `parts/weave-pass`.
    pub name: &'static str,
    /// The path in this folder, as graphs name it: `parts/weave-pass.ron`.
    pub path: &'static str,
    /// The text.
    pub text: &'static str,
}

impl Shipped {
    /// Whether it is a part of graphs, not a graph that a person runs.
    pub fn is_part(&self) -> bool {
        self.name.starts_with("parts/")
    }
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// All of them, in the order of the table in `README.md`; parts last.
        pub const GRAPHS: &[Shipped] = &[ $( Shipped {
            name: $name,
            path: concat!($name, ".ron"),
            text: include_str!(concat!("../", $name, ".ron")),
        }, )* ];
    };
}

shipped!(
    "dynamic-upscale",
    "redraw",
    "quick",
    "faithful",
    "restore",
    "faces-only",
    "tiles-debug",
    "parts/weave-pass",
    "parts/redraw-pass",
    "parts/faithful-pass",
);

/// The shipped graph of that name or path; `graphs/` may stand before it.
pub fn find(name: &str) -> Option<&'static Shipped> {
    let name = name.strip_prefix("graphs/").unwrap_or(name);
    GRAPHS.iter().find(|graph| graph.name == name || graph.path == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_file_is_shipped() {
        let mut files = BTreeSet::new();
        for folder in ["", "parts/"] {
            for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name.ends_with(".ron") {
                    files.insert(format!("{folder}{name}"));
                }
            }
        }
        assert_eq!(files, GRAPHS.iter().map(|graph| graph.path.to_owned()).collect());
    }

    #[test]
    fn names_and_paths_lead_to_the_same() {
        for graph in GRAPHS {
            assert_eq!(find(graph.name), Some(graph));
            assert_eq!(find(&format!("graphs/{}", graph.path)), Some(graph));
        }
        assert_eq!(find("none"), None);
    }

    #[test]
    fn the_table_names_every_graph() {
        let table = include_str!("../README.md");
        for graph in GRAPHS {
            assert!(table.contains(&format!("| `{}` |", graph.name)), "{} is not in graphs/README.md", graph.name);
        }
    }
}
