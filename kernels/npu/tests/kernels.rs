//! The kernels of `aie/`, compiled for this machine, against the definition in 32-bit floats and against the executor.

#![allow(unsafe_code, reason = "the kernels are C++: calling them is the subject")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use amanuensis_kernels::ThreadPool;
use amanuensis_npu_kernels::design::{Tile, tile_for};
use amanuensis_npu_kernels::execute::{Buffers, Executor};
use amanuensis_npu_kernels::number::{Format, from_bf16, to_bf16};
use amanuensis_npu_kernels::program::{Attention, Buffer, Dispatch, Gemm, Norm, Place, Source};
use amanuensis_npu_kernels::weights::Layout;
use libloading::Library;
use proptest::prelude::*;

const HEAD: usize = 64;

type GemmFn<A> =
    unsafe extern "C" fn(usize, usize, usize, *const A, *const u8, *const f32, *const f32, i32, i32, *mut u16);
type AttentionFn = unsafe extern "C" fn(usize, usize, f32, *const u16, *mut u16);
type NormFn = unsafe extern "C" fn(usize, *const u16, *const f32, *const f32, *mut u16, *mut f32);

/// The kernels for models of this width, or `None` where there is no compiler.
fn kernels(width: usize) -> Option<&'static Library> {
    static LIBRARIES: [OnceLock<Option<Library>>; 2] = [OnceLock::new(), OnceLock::new()];
    let library = LIBRARIES[usize::from(width == 384)].get_or_init(|| {
        let Some(path) = compile(width) else {
            println!("skipped: there is no g++ to compile the kernels with");
            return None;
        };
        // SAFETY: the library was just built from `host/array.cc`, which has no initialisers.
        Some(unsafe { Library::new(path) }.expect("what the compiler made can be loaded"))
    });
    library.as_ref()
}

fn compile(width: usize) -> Option<PathBuf> {
    let Tile { m, k, n } = tile_for(width);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kernels-{width}-{}.so", std::process::id()));
    let output = Command::new("g++")
        .args(["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"])
        .args([format!("-DTILE_M={m}"), format!("-DTILE_K={k}"), format!("-DTILE_N={n}")])
        .args([format!("-DWIDTH={width}"), format!("-DHEAD={HEAD}")])
        .arg(format!("-I{}", folder.join("host").display()))
        .arg(folder.join("host/array.cc"))
        .arg("-o")
        .arg(&out)
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(out)
}

/// Numbers between -1 and 1, a few of them large, the same for the same seed.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..count)
        .map(|index| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            if index % 61 == 7 { value * 6.0 } else { value }
        })
        .collect()
}

fn halves(values: &[f32]) -> Vec<u16> {
    values.iter().map(|value| to_bf16(*value)).collect()
}

fn bytes_of(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats_of(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|bytes| from_bf16(u16::from_le_bytes(*bytes))).collect()
}

fn executor() -> Executor {
    Executor::new(ThreadPool::new(std::num::NonZeroUsize::MIN))
}

/// Root of the mean squared difference, relative to that of `scale`.
fn relative_error(found: &[f32], expected: &[f32], scale: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    let size: f64 = scale.iter().map(|value| square(*value)).sum();
    (difference / size.max(1e-30)).sqrt()
}

/// The largest difference in units of a bfloat16's last place, with the results' usual size as the least scale: sums in another
/// order differ most where they cancel.
fn steps_apart(found: &[f32], other: &[f32]) -> f32 {
    let usual = (other.iter().map(|value| value * value).sum::<f32>() / other.len() as f32).sqrt();
    let step = |a: f32, b: f32| (a - b).abs() / (a.abs().max(b.abs()).max(usual) / 256.0);
    found.iter().zip(other).map(|(a, b)| step(*a, *b)).fold(0.0, f32::max)
}

fn gelu(x: f64) -> f64 {
    // The normal distribution by Simpson's rule: slow and obvious.
    let steps = 2_000;
    let width = x.clamp(-9.0, 9.0) / f64::from(steps);
    let density = |at: f64| (-at * at / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let sum: f64 = (0..=steps)
        .map(|index| {
            let weight = if index == 0 || index == steps { 1.0 } else { f64::from(2 + 2 * (index % 2)) };
            weight * density(f64::from(index) * width)
        })
        .sum();
    x * (0.5 + sum * width / 3.0)
}

struct Case {
    width: usize,
    format: Format,
    rows: usize,
    k: usize,
    n: usize,
    wide: bool,
    gelu: bool,
    residual: bool,
}

fn check_gemm(case: &Case) {
    let Some(library) = kernels(case.width) else { return };
    let Case { rows, format, .. } = *case;
    let layout = Layout { format, tile: tile_for(case.width), n: case.n, k: case.k };
    let (k, n) = (layout.padded_k(), layout.padded_n());
    let weights = values(case.n * case.k, 1);
    let mut packed = vec![0; layout.bytes()];
    layout.pack(|row, out| out.copy_from_slice(&weights[row * case.k..][..case.k]), &mut packed);
    let mut bias = values(case.n, 2);
    bias.resize(n, 0.0);
    let mut left = vec![0.0; rows * k];
    for (row, values) in left.chunks_exact_mut(k).zip(values(rows * case.k, 3).chunks_exact(case.k)) {
        row[..case.k].copy_from_slice(values);
    }
    let narrow = halves(&left);
    let residual = halves(&values(rows * n, 4));

    let mut out = if case.residual { residual.clone() } else { vec![0xffff; rows * n] };
    let scales: Vec<f32> =
        packed[layout.scales_at()..].as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let scales = if format == Format::Int8 { scales.as_ptr() } else { std::ptr::null() };
    let (flag_gelu, flag_residual) = (i32::from(case.gelu), i32::from(case.residual));
    // SAFETY: the functions have these signatures, and every pointer is to as many values as the sizes say.
    unsafe {
        if case.wide {
            let run = library.get::<GemmFn<f32>>(b"array_gemm_wide").expect("it is exported");
            let (left, packed, bias) = (left.as_ptr(), packed.as_ptr(), bias.as_ptr());
            run(rows, k, n, left, packed, scales, bias, flag_gelu, flag_residual, out.as_mut_ptr());
        } else {
            let run = library.get::<GemmFn<u16>>(b"array_gemm").expect("it is exported");
            let (left, packed, bias) = (narrow.as_ptr(), packed.as_ptr(), bias.as_ptr());
            run(rows, k, n, left, packed, scales, bias, flag_gelu, flag_residual, out.as_mut_ptr());
        }
    }
    let crop = |values: &[u16]| -> Vec<f32> {
        values.chunks_exact(n).flat_map(|row| row[..case.n].iter().map(|bits| from_bf16(*bits))).collect()
    };
    let found = crop(&out);

    // The executor has the bias behind the weights, the residual behind the left operand, and the result behind both.
    let place = |offset| Place { buffer: Buffer::Workspace, offset };
    let mut weight_buffer = packed.clone();
    let bias_at = weight_buffer.len();
    weight_buffer.extend(bias.iter().flat_map(|value| value.to_le_bytes()));
    let a_bytes: Vec<u8> =
        if case.wide { left.iter().flat_map(|value| value.to_le_bytes()).collect() } else { bytes_of(&narrow) };
    let residual_at = a_bytes.len();
    let cropped = halves(&crop(&residual));
    let mut workspace = [a_bytes, bytes_of(&cropped), vec![0; rows * case.n * 2]].concat();
    let out_at = workspace.len() - rows * case.n * 2;
    let source = Source { place: place(0), wide: case.wide, rows, width: k, step: 1, lead: 0 };
    let gemm = Gemm {
        rows,
        source,
        layout,
        weights: 0,
        bias: bias_at,
        gelu: case.gelu,
        residual: case.residual.then_some(place(residual_at)),
        out: place(out_at),
    };
    let mut buffers = Buffers { weights: &weight_buffer, workspace: &mut workspace, spectrogram: &[], result: &mut [] };
    executor().run(&Dispatch::Gemm(gemm).encode(), &mut buffers).expect("all buffers are long enough");
    let emulated = floats_of(&workspace[out_at..]);

    let label = format!("{format:?} {rows} x {} x {}, tile {:?}", case.k, case.n, layout.tile);
    let apart = steps_apart(&found, &emulated);
    assert!(apart <= 2.5, "{label}: kernel and executor are {apart} steps apart");

    let mut expected = Vec::with_capacity(rows * case.n);
    let mut scale = Vec::with_capacity(rows * case.n);
    for row in 0..rows {
        for column in 0..case.n {
            let a = &left[row * k..][..case.k];
            let b = &weights[column * case.k..][..case.k];
            let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            // What rounding acts upon: where sums cancel or GELU flattens, the result may be far smaller.
            let products: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a * b).powi(2)).sum();
            let mut value = sum + f64::from(bias[column]);
            if case.gelu {
                value = gelu(value);
            }
            if case.residual {
                value += f64::from(from_bf16(residual[row * n + column]));
            }
            expected.push(value as f32);
            scale.push(value.abs().max(products.sqrt()) as f32);
        }
    }
    // 8-bit mantissas that share an exponent: 0.011 was measured for 64 x 64 x 64 with public kernels.
    let error = relative_error(&found, &expected, &scale);
    assert!(error <= 0.02, "{label}: relative error {error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn products_are_near_their_definition(
        wide_tile in any::<bool>(),
        int8 in any::<bool>(),
        rows in 1_usize..200,
        k in 1_usize..110,
        n in 1_usize..150,
        flags in any::<[bool; 3]>(),
    ) {
        let [wide, gelu, residual] = flags;
        let format = if int8 { Format::Int8 } else { Format::Bfp16 };
        let width = if wide_tile { 512 } else { 384 };
        check_gemm(&Case { width, format, rows, k, n, wide, gelu, residual });
    }
}

#[test]
fn products_at_the_edges_of_tiles() {
    for (rows, k, n) in [(1, 1, 1), (8, 8, 8), (95, 31, 63), (96, 32, 64), (97, 33, 65), (96, 240, 48)] {
        for width in [384, 512] {
            let case = Case { width, format: Format::Bfp16, rows, k, n, wide: false, gelu: true, residual: true };
            check_gemm(&case);
        }
    }
}

fn check_attention(rows: usize, heads: usize, seed: u32) {
    let Some(library) = kernels(512) else { return };
    let width = heads * HEAD;
    let qkv = halves(&values(rows * 3 * width, seed).iter().map(|value| value * 2.0).collect::<Vec<_>>());
    let factor = std::f32::consts::LOG2_E / (HEAD as f32).sqrt();
    let mut out = vec![0xffff; rows * width];
    // SAFETY: the function has this signature, and both pointers are to as many values as the sizes say.
    unsafe {
        let run = library.get::<AttentionFn>(b"array_attention").expect("it is exported");
        run(rows, heads, factor, qkv.as_ptr(), out.as_mut_ptr());
    }
    let found: Vec<f32> = out.iter().map(|bits| from_bf16(*bits)).collect();

    let place = |offset| Place { buffer: Buffer::Workspace, offset };
    let mut workspace = [bytes_of(&qkv), vec![0; rows * width * 2]].concat();
    let out_at = qkv.len() * 2;
    let attention = Attention { rows, heads, head: HEAD, qkv: place(0), out: place(out_at) };
    let mut buffers = Buffers { weights: &[], workspace: &mut workspace, spectrogram: &[], result: &mut [] };
    executor().run(&Dispatch::Attention(attention).encode(), &mut buffers).expect("all buffers are long enough");
    let apart = steps_apart(&found, &floats_of(&workspace[out_at..]));
    assert!(apart <= 2.5, "{rows} positions: kernel and executor are {apart} steps apart");

    let at = |which: usize, position: usize, head: usize, column: usize| {
        f64::from(from_bf16(qkv[position * 3 * width + which * width + head * HEAD + column]))
    };
    let mut expected = vec![0.0; rows * width];
    for head in 0..heads {
        for query in 0..rows {
            let dot = |key: usize| -> f64 { (0..HEAD).map(|c| at(0, query, head, c) * at(1, key, head, c)).sum() };
            let powers: Vec<f64> = (0..rows).map(|key| (dot(key) / (HEAD as f64).sqrt()).exp()).collect();
            let total: f64 = powers.iter().sum();
            for column in 0..HEAD {
                let sum: f64 = powers.iter().enumerate().map(|(key, power)| power * at(2, key, head, column)).sum();
                expected[query * width + head * HEAD + column] = (sum / total) as f32;
            }
        }
    }
    let error = relative_error(&found, &expected, &expected);
    assert!(error <= 0.03, "{rows} positions: relative error {error}");
}

#[test]
fn attention_is_near_its_definition() {
    for (rows, heads) in [(1, 1), (7, 2), (32, 1), (33, 1), (64, 1), (65, 2), (150, 1)] {
        check_attention(rows, heads, rows as u32);
    }
}

#[test]
fn normalisation_is_near_its_definition() {
    for width in [384, 512] {
        let Some(library) = kernels(width) else { return };
        let rows = 5;
        let x = halves(&values(rows * width, 9));
        let (scale, shift) = (values(width, 10), values(width, 11));
        let mut narrow = vec![0xffff_u16; rows * width];
        let mut wide = vec![f32::NAN; rows * width];
        // SAFETY: the function has this signature, the pointers are to as many values as the sizes say, and one may be null.
        unsafe {
            let run = library.get::<NormFn>(b"array_norm").expect("it is exported");
            run(rows, x.as_ptr(), scale.as_ptr(), shift.as_ptr(), narrow.as_mut_ptr(), std::ptr::null_mut());
            run(rows, x.as_ptr(), scale.as_ptr(), shift.as_ptr(), std::ptr::null_mut(), wide.as_mut_ptr());
        }
        let place = |buffer, offset| Place { buffer, offset };
        let weights: Vec<u8> = scale.iter().chain(&shift).flat_map(|value| value.to_le_bytes()).collect();
        let (mut workspace, mut result) = (bytes_of(&x), vec![0; rows * width * 4]);
        let norm = Norm {
            rows,
            width,
            source: place(Buffer::Workspace, 0),
            weights: 0,
            out: place(Buffer::Result, 0),
            wide: true,
        };
        let mut buffers =
            Buffers { weights: &weights, workspace: &mut workspace, spectrogram: &[], result: &mut result };
        executor().run(&Dispatch::Norm(norm).encode(), &mut buffers).expect("all buffers are long enough");
        let emulated: Vec<f32> = result.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let largest = wide.iter().zip(&emulated).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-5, "{largest}");
        let narrow: Vec<f32> = narrow.iter().map(|bits| from_bf16(*bits)).collect();
        assert!(steps_apart(&narrow, &emulated) <= 1.0);
        for (row, out) in x.chunks_exact(width).zip(wide.chunks_exact(width)) {
            let row: Vec<f64> = row.iter().map(|bits| f64::from(from_bf16(*bits))).collect();
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / width as f64;
            for (index, (value, out)) in row.iter().zip(out).enumerate() {
                let unit = (value - mean) / (variance + 1e-5).sqrt();
                let expected = unit * f64::from(scale[index]) + f64::from(shift[index]);
                assert!((f64::from(*out) - expected).abs() < 1e-4, "{out} {expected}");
            }
        }
    }
}

#[test]
fn the_build_script_names_what_is_missing_and_has_the_designs_table() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.sh");
    for width in [384, 512, 768, 1024, 1280] {
        let Tile { m, k, n } = tile_for(width);
        let text = std::fs::read_to_string(&script).expect("the script is there");
        assert!(text.contains(&format!("\"{width} {m} {k} {n}\"")), "build.sh lacks the tile of width {width}");
    }
    let output = Command::new("sh")
        .arg(script)
        .env_remove("PEANO_INSTALL_DIR")
        .env_remove("MLIR_AIE_INSTALL_DIR")
        .output()
        .expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("llvm-aie wheel") && said.contains("mlir_aie wheel"), "{said}");
}
