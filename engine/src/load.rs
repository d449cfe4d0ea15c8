//! x
/// The RON dialect of graph files. Extensions that a file enables are not seen where its parts are parsed on their
/// own, so the dialect is fixed here.
pub fn dialect() -> ron::Options {
    ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME)
}
