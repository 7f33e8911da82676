// A tile of `out = [gelu](a x b + bias) [+ residual]` on one compute tile.
//
// For each result tile the core calls `gemm_start`, then `gemm_bfp16`, `gemm_bfp16_wide` or `gemm_int8` for every slice of the inner
// dimension, then `gemm_finish`. Sizes come from the design's table (src/design.rs) as TILE_M, TILE_K and TILE_N.
//
// Layout, in blocks of 8 x 8 values: a `[M / 8, K / 8]` (the memory tile's DMA cuts rows into blocks), b `[N / 8, K / 8]` (packed on
// the host, see src/weights.rs), sums and out `[M / 8, N / 8]`.

#include "common.h"

constexpr unsigned M = TILE_M / 8, K = TILE_K / 8, N = TILE_N / 8;
static_assert(TILE_M % 16 == 0 && TILE_K % 8 == 0 && TILE_N % 16 == 0, "two by two blocks are computed at a time");

// Two rows of blocks by two columns at a time: each operand that is loaded is used twice.
template <typename A> static void multiply(const A *a, const bfp16ebs8 *b, float *sums) {
    aie::set_rounding(aie::rounding_mode::conv_even);
    for (unsigned m = 0; m < M; m += 2) {
        for (unsigned n = 0; n < N; n += 2) {
            const A *a0 = a + m * K * BLOCK, *a1 = a0 + K * BLOCK;
            float *c0 = sums + (m * N + n) * BLOCK, *c1 = c0 + N * BLOCK;
            aie::block_vector_input_buffer_stream<bfp16ebs8, BLOCK> b0(b), b1(b);
            b0.seek(n * K);
            b1.seek((n + 1) * K);
            Sums s00(aie::load_v<BLOCK>(c0)), s01(aie::load_v<BLOCK>(c0 + BLOCK));
            Sums s10(aie::load_v<BLOCK>(c1)), s11(aie::load_v<BLOCK>(c1 + BLOCK));
            for (unsigned k = 0; k < K; k++) {
                Sums wide0, wide1;
                wide0.from_vector(aie::load_v<BLOCK>(a0 + k * BLOCK));
                wide1.from_vector(aie::load_v<BLOCK>(a1 + k * BLOCK));
                const auto left0 = wide0.template to_vector<bfp16ebs8>();
                const auto left1 = wide1.template to_vector<bfp16ebs8>();
                const auto right0 = b0.pop(), right1 = b1.pop();
                s00 = mac_8x8_8x8T(left0, right0, s00);
                s01 = mac_8x8_8x8T(left0, right1, s01);
                s10 = mac_8x8_8x8T(left1, right0, s10);
                s11 = mac_8x8_8x8T(left1, right1, s11);
            }
            aie::store_v(c0, s00.template to_vector<float>());
            aie::store_v(c0 + BLOCK, s01.template to_vector<float>());
            aie::store_v(c1, s10.template to_vector<float>());
            aie::store_v(c1 + BLOCK, s11.template to_vector<float>());
        }
    }
}

extern "C" {

void gemm_start(float *sums) {
    for (unsigned i = 0; i < M * N; i++) aie::store_v(sums + i * BLOCK, aie::zeros<float, BLOCK>());
}

void gemm_bfp16(const bfloat16 *a, const bfp16ebs8 *b, float *sums) { multiply(a, b, sums); }

// The first convolution's input is the spectrogram, which stays in 32-bit floats until it is here.
void gemm_bfp16_wide(const float *a, const bfp16ebs8 *b, float *sums) { multiply(a, b, sums); }

} // extern "C"

// A row's slice becomes 8-bit integers with a scale of its own. Not the default: finding the scales is scalar code.
template <typename A> static void multiply_int8(const A *a, const int8 *b, float *sums) {
    alignas(64) int8 left[K * BLOCK];
    for (unsigned m = 0; m < M; m++) {
        const A *rows = a + m * K * BLOCK;
        float scales[8];
        for (unsigned row = 0; row < 8; row++) {
            float largest = 0.0f;
            for (unsigned k = 0; k < K; k++)
                for (unsigned i = 0; i < 8; i++) {
                    const float value = static_cast<float>(rows[k * BLOCK + row * 8 + i]);
                    const float magnitude = value < 0.0f ? -value : value;
                    largest = magnitude > largest ? magnitude : largest;
                }
            scales[row] = largest > 0.0f ? largest / 127.0f : 1.0f;
            const float inverse = 1.0f / scales[row];
            for (unsigned k = 0; k < K; k++)
                for (unsigned i = 0; i < 8; i++) {
                    // Adding and subtracting 1.5 * 2^23 rounds to a whole number, ties to even.
                    const volatile float shifted = static_cast<float>(rows[k * BLOCK + row * 8 + i]) * inverse + 12582912.0f;
                    const float whole = shifted - 12582912.0f;
                    left[k * BLOCK + row * 8 + i] = static_cast<int8>(whole > 127.0f ? 127.0f : whole < -127.0f ? -127.0f : whole);
                }
        }
        const Floats scale = by_row(scales);
        for (unsigned n = 0; n < N; n++) {
            aie::mmul<8, 8, 8, int8, int8> product;
            for (unsigned k = 0; k < K; k++)
                product.mac(aie::load_v<BLOCK>(left + k * BLOCK), aie::load_v<BLOCK>(b + (n * K + k) * BLOCK));
            float *c = sums + (m * N + n) * BLOCK;
            const Floats scaled = times(aie::to_float(product.template to_vector<int32>()), scale);
            aie::store_v(c, aie::add(aie::load_v<BLOCK>(c), scaled));
        }
    }
}

extern "C" {

void gemm_int8(const bfloat16 *a, const int8 *b, float *sums) { multiply_int8(a, b, sums); }
void gemm_int8_wide(const float *a, const int8 *b, float *sums) { multiply_int8(a, b, sums); }

// `scales` is null in bfp16. With `residual` set, `out` holds the residual, and the result takes its place.
void gemm_finish(const float *sums, const float *scales, const float *bias, bfloat16 *out, int32_t with_gelu, int32_t residual) {
    aie::set_rounding(aie::rounding_mode::conv_even);
    for (unsigned m = 0; m < M; m++) {
        for (unsigned n = 0; n < N; n++) {
            const unsigned at = (m * N + n) * BLOCK;
            Floats value = aie::load_v<BLOCK>(sums + at);
            if (scales) value = times(value, by_column(scales + n * 8));
            value = aie::add(value, by_column(bias + n * 8));
            if (with_gelu) value = gelu(value);
            if (residual) value = aie::add(value, widen(aie::load_v<BLOCK>(out + at)));
            aie::store_v(out + at, narrow(value));
        }
    }
}

} // extern "C"
