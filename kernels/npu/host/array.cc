// The array for functional tests: cuts matrices into the tiles and blocks that the DMAs would, and calls the kernels for each.

#include <cstring>
#include <vector>

#include "../aie/attention.cc"
#include "../aie/gemm.cc"
#include "../aie/layer_norm.cc"

namespace {

// Copies blocks of 8 x 8 out of rows, filling up with zeros: [rows / 8, columns / 8, 8, 8].
template <typename T>
void to_blocks(const T *from, size_t stride, size_t rows_left, size_t rows, size_t columns, T *to) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            to[((r / 8) * (columns / 8) + c / 8) * 64 + r % 8 * 8 + c % 8] = r < rows_left ? from[r * stride + c] : T{};
}

template <typename T> void from_blocks(const T *from, size_t stride, size_t rows_left, size_t rows, size_t columns, T *to) {
    for (size_t r = 0; r < rows && r < rows_left; r++)
        for (size_t c = 0; c < columns; c++)
            to[r * stride + c] = from[((r / 8) * (columns / 8) + c / 8) * 64 + r % 8 * 8 + c % 8];
}

template <typename A> void product(size_t rows, size_t k, size_t n, const A *a, const uint8_t *weights, const float *scales,
                                   const float *bias, int gelu, int residual, bfloat16 *out) {
    std::vector<A> left(TILE_M * TILE_K);
    std::vector<float> sums(TILE_M * TILE_N);
    std::vector<bfloat16> result(TILE_M * TILE_N);
    const size_t tile_bytes = scales ? TILE_K * TILE_N : TILE_K * TILE_N / 8 * 9;
    for (size_t row = 0; row < rows; row += TILE_M) {
        for (size_t column = 0; column < n; column += TILE_N) {
            gemm_start(sums.data());
            for (size_t slice = 0; slice < k; slice += TILE_K) {
                to_blocks(a + row * k + slice, k, rows - row, TILE_M, TILE_K, left.data());
                const uint8_t *b = weights + (column / TILE_N * (k / TILE_K) + slice / TILE_K) * tile_bytes;
                if constexpr (std::is_same_v<A, float>) {
                    if (scales) gemm_int8_wide(left.data(), reinterpret_cast<const int8 *>(b), sums.data());
                    else gemm_bfp16_wide(left.data(), reinterpret_cast<const bfp16ebs8 *>(b), sums.data());
                } else {
                    if (scales) gemm_int8(left.data(), reinterpret_cast<const int8 *>(b), sums.data());
                    else gemm_bfp16(left.data(), reinterpret_cast<const bfp16ebs8 *>(b), sums.data());
                }
            }
            bfloat16 *place = out + row * n + column;
            if (residual) to_blocks(place, n, rows - row, TILE_M, TILE_N, result.data());
            gemm_finish(sums.data(), scales ? scales + column : nullptr, bias + column, result.data(), gelu, residual);
            from_blocks(result.data(), n, rows - row, TILE_M, TILE_N, place);
        }
    }
}

} // namespace

extern "C" {

// `out` is [rows, n] and holds the residual where there is one; k and n are whole tiles; `scales` is null in bfp16.
void array_gemm(size_t rows, size_t k, size_t n, const uint16_t *a, const uint8_t *weights, const float *scales,
                const float *bias, int gelu, int residual, uint16_t *out) {
    product(rows, k, n, reinterpret_cast<const bfloat16 *>(a), weights, scales, bias, gelu, residual,
            reinterpret_cast<bfloat16 *>(out));
}

void array_gemm_wide(size_t rows, size_t k, size_t n, const float *a, const uint8_t *weights, const float *scales,
                     const float *bias, int gelu, int residual, uint16_t *out) {
    product(rows, k, n, a, weights, scales, bias, gelu, residual, reinterpret_cast<bfloat16 *>(out));
}

// `qkv` is [rows, 3 * heads * HEAD], `out` [rows, heads * HEAD].
void array_attention(size_t rows, size_t heads, float factor, const uint16_t *qkv_bits, uint16_t *out_bits) {
    const bfloat16 *qkv = reinterpret_cast<const bfloat16 *>(qkv_bits);
    bfloat16 *out = reinterpret_cast<bfloat16 *>(out_bits);
    const size_t width = heads * HEAD, stride = 3 * width;
    std::vector<bfloat16> q(64 * HEAD), k(32 * HEAD), v(32 * HEAD);
    std::vector<float> weighted(64 * HEAD), largest(64), sums(64);
    for (size_t head = 0; head < heads; head++) {
        for (size_t query = 0; query < rows; query += 64) {
            to_blocks(qkv + query * stride + head * HEAD, stride, rows - query, 64, HEAD, q.data());
            attention_start(weighted.data(), largest.data(), sums.data());
            for (size_t key = 0; key < rows; key += 32) {
                const bfloat16 *at = qkv + key * stride + head * HEAD;
                to_blocks(at + width, stride, rows - key, 32, HEAD, k.data());
                to_blocks(at + 2 * width, stride, rows - key, 32, HEAD, v.data());
                const size_t left = rows - key < 32 ? rows - key : 32;
                attention_block(q.data(), k.data(), v.data(), weighted.data(), largest.data(), sums.data(),
                                static_cast<int32_t>(left), factor);
            }
            attention_finish(weighted.data(), sums.data(), q.data());
            from_blocks(q.data(), width, rows - query, 64, HEAD, out + query * width + head * HEAD);
        }
    }
}

void array_norm(size_t rows, const uint16_t *x, const float *scale, const float *shift, uint16_t *narrow_out, float *wide_out) {
    for (size_t row = 0; row < rows; row++) {
        const bfloat16 *from = reinterpret_cast<const bfloat16 *>(x) + row * WIDTH;
        if (wide_out) layer_norm_wide(from, scale, shift, wide_out + row * WIDTH);
        else layer_norm(from, scale, shift, reinterpret_cast<bfloat16 *>(narrow_out) + row * WIDTH);
    }
}

} // extern "C"
