//! Prints what the timing model predicts for Whisper's encoders.

use std::time::Duration;

use amanuensis_npu_kernels::number::Format;
use amanuensis_npu_kernels::program::{Program, Shape};
use amanuensis_npu_kernels::timing::{Machine, PEAK_MACS, predict};

const SIZES: [(&str, usize, usize, usize, usize); 6] = [
    ("tiny", 80, 384, 6, 4),
    ("base", 80, 512, 8, 6),
    ("small", 80, 768, 12, 12),
    ("medium", 80, 1024, 16, 24),
    ("large-v2", 80, 1280, 20, 32),
    ("large-v3, turbo", 128, 1280, 20, 32),
];

fn main() {
    println!(
        "Predicted, not measured. One window of 30 s on XDNA2 (8 x 4 cores, {:.2} TOPS at peak).",
        2.0 * PEAK_MACS / 1e12
    );
    println!(
        "Model: arXiv 2512.13282 and 2511.16041, see kernels/npu/src/timing.rs. MACs: share of the multipliers at work.\n"
    );
    println!(
        "{:<16} {:<6} {:<9} {:>9} {:>10} {:>11} {:>7}",
        "encoder", "format", "attention", "GB/s", "dispatches", "ms", "MACs"
    );
    for (name, mels, width, heads, layers) in SIZES {
        let shape = Shape { mels, positions: 1500, width, heads, layers };
        for format in [Format::Bfp16, Format::Int8] {
            let program = Program::new(shape, format).expect("BUG: every published size fits");
            for fused_attention in [true, false] {
                for bandwidth in [33e9, 45e9, 57e9] {
                    let machine = Machine { bandwidth, dispatch: Duration::from_micros(50), fused_attention };
                    let prediction = predict(&program, 3000, &machine);
                    println!(
                        "{name:<16} {:<6} {:<9} {:>9.0} {:>10} {:>11.2} {:>6.1}%",
                        format.name(),
                        if fused_attention { "fused" } else { "apart" },
                        bandwidth / 1e9,
                        prediction.dispatches,
                        prediction.time.as_secs_f64() * 1e3,
                        100.0 * prediction.utilisation(),
                    );
                }
            }
        }
    }
}
