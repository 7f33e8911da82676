//! Fixed-capacity pools of page-aligned buffers: a lease returns its buffer when it is dropped.
