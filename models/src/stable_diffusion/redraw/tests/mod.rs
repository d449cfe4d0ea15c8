mod laws;
mod one_step;
mod pipeline;
