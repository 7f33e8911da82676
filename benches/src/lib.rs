//! What the measuring program and the tests of memory share.

pub mod model;
