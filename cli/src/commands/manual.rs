//! `upweave completions` and `upweave man`: made from the declaration of the arguments.

use crate::{
    args::Cli,
    terminal::{Terminal, bytes},
};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::{fs, io, path::Path};

pub(crate) fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "upweave", &mut script);
    // A reader that stops early has read enough.
    drop(bytes(&script));
    0
}

pub(crate) fn man(terminal: &Terminal, folder: Option<&Path>) -> u8 {
    let written = match folder {
        None => page(Cli::command()).map(|page| drop(bytes(&page))),
        Some(folder) => fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder)),
    };
    match written {
        Ok(()) => 0,
        Err(error) => {
            terminal.error(&format!("cannot write the manual: {error}"), None);
            6
        }
    }
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
