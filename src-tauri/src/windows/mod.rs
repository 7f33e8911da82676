//! Windows beside the main one, and what else it can be.

mod layer_shell;
pub mod overlay;
pub mod panel;
