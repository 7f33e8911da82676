//! The one place that knows every backend: from a model file to a loaded engine.
