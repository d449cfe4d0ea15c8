/// The bytes of a file that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// All of them.
    pub bytes: Vec<u8>,
}
