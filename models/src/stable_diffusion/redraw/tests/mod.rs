mod laws;
mod pipeline;
