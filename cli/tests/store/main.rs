//! Models are fetched from servers that do what servers do: whatever they do, nothing wrong ever gets the name of a model, what is good
//! is kept for the next attempt, and one message says what is wrong.

mod hostile;
mod interrupted;
mod managed;
mod others;
mod place;
mod pulled;
mod secrets;
mod server;
