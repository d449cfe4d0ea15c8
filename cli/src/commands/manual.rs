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
    let mut command = Cli::command();
    command.build();
    let written = match folder {
        None => page(&command).map(|page| drop(bytes(&page))),
        Some(folder) => write_all(&command, "upweave", folder),
    };
    match written {
        Ok(()) => 0,
        Err(error) => {
            terminal.error(&format!("cannot write the manual: {error}"), None);
            6
        }
    }
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

fn write_all(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{name}.1")), page(&command.clone().name(name.to_owned()))?)?;
    command.get_subcommands().try_for_each(|verb| write_all(verb, &format!("{name}-{}", verb.get_name()), folder))
}
