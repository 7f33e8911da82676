//! One engine for every request: queue, mel, encoder, decoder, results in order.
