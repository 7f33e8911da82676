// Attention of 64 queries of one head on keys and values that pass by, 32 at a time, on one compute tile.
//
// The core calls `attention_start`, then `attention_block` for every 32 keys, then `attention_finish`. No score leaves the tile.
//
// Exponentials are powers of two relative to the largest exponent so far, rounded up to a whole number. When it grows, what was
// summed is scaled by a power of two: without error, and cheaply.
//
// Layout, in blocks of 8 x 8: q and out `[QUERIES / 8, HEAD / 8]`, k and v `[KEYS / 8, HEAD / 8]`, weighted `[QUERIES / 8, HEAD / 8]`.

#include "common.h"

constexpr unsigned Q = 64 / 8, KEYS = 32 / 8, D = HEAD / 8;
// Below every exponent that a score can have.
constexpr float LOWEST = -1.0e30f;

static float next_whole(float value) {
    const int32_t whole = static_cast<int32_t>(value);
    return static_cast<float>(whole + (static_cast<float>(whole) < value ? 1 : 0));
}

// 2^exponent for whole exponents that are not positive.
static float power_of_two(float exponent) {
    if (exponent < -126.0f) return 0.0f;
    union {
        uint32_t bits;
        float value;
    } power;
    power.bits = static_cast<uint32_t>(127 + static_cast<int32_t>(exponent)) << 23;
    return power.value;
}

extern "C" {

void attention_start(float *weighted, float *largest, float *sums) {
    for (unsigned i = 0; i < Q * D; i++) aie::store_v(weighted + i * BLOCK, aie::zeros<float, BLOCK>());
    for (unsigned i = 0; i < Q * 8; i++) largest[i] = LOWEST, sums[i] = 0.0f;
}

// `keys` of the 32 are there, the others are filling. `factor` is log2(e) / sqrt(HEAD).
void attention_block(const bfloat16 *q, const bfloat16 *k, const bfloat16 *v, float *weighted, float *largest, float *sums,
                     int32_t keys, float factor) {
    aie::set_rounding(aie::rounding_mode::conv_even);
    for (unsigned query = 0; query < Q; query++) {
        Floats scores[KEYS];
        Floats highest = all(LOWEST);
        for (unsigned key = 0; key < KEYS; key++) {
            Sums product(aie::zeros<float, BLOCK>());
            for (unsigned d = 0; d < D; d++) {
                Sums left, right;
                left.from_vector(aie::load_v<BLOCK>(q + (query * D + d) * BLOCK));
                right.from_vector(aie::load_v<BLOCK>(k + (key * D + d) * BLOCK));
                product = mac_8x8_8x8T(left.template to_vector<bfp16ebs8>(), right.template to_vector<bfp16ebs8>(), product);
            }
            Floats score = times(product.template to_vector<float>(), all(factor));
            for (unsigned i = 0; i < BLOCK; i++)
                if (static_cast<int32_t>(key * 8 + i % 8) >= keys) score.set(LOWEST, i);
            scores[key] = score;
            highest = aie::max(highest, score);
        }
        float rescale[8];
        for (unsigned row = 0; row < 8; row++) {
            float &before = largest[query * 8 + row];
            const float now = next_whole(aie::reduce_max(highest.template extract<8>(row)));
            const float after = now > before ? now : before;
            rescale[row] = before == LOWEST ? 0.0f : power_of_two(before - after);
            sums[query * 8 + row] *= rescale[row];
            before = after;
        }
        const Floats top = by_row(largest + query * 8), scale = by_row(rescale);
        Sums rows[D];
        for (unsigned d = 0; d < D; d++)
            rows[d] = Sums(times(aie::load_v<BLOCK>(weighted + (query * D + d) * BLOCK), scale));
        for (unsigned key = 0; key < KEYS; key++) {
            const auto powers = aie::exp2<bfloat16>(aie::sub(scores[key], top));
            const Floats wide = widen(powers);
            for (unsigned row = 0; row < 8; row++) sums[query * 8 + row] += aie::reduce_add(wide.template extract<8>(row));
            const auto left = Sums(wide).template to_vector<bfp16ebs8>();
            for (unsigned d = 0; d < D; d++) {
                // Values are summed over keys, so keys have to share the exponents.
                Sums right;
                right.from_vector(aie::transpose(aie::load_v<BLOCK>(v + (key * D + d) * BLOCK), 8, 8));
                rows[d] = mac_8x8_8x8T(left, right.template to_vector<bfp16ebs8>(), rows[d]);
            }
        }
        for (unsigned d = 0; d < D; d++)
            aie::store_v(weighted + (query * D + d) * BLOCK, rows[d].template to_vector<float>());
    }
}

// `out` may be where the queries were.
void attention_finish(const float *weighted, const float *sums, bfloat16 *out) {
    aie::set_rounding(aie::rounding_mode::conv_even);
    for (unsigned query = 0; query < Q; query++) {
        float inverse[8];
        for (unsigned row = 0; row < 8; row++) inverse[row] = aie::inv(sums[query * 8 + row]);
        const Floats scale = by_row(inverse);
        for (unsigned d = 0; d < D; d++) {
            const unsigned at = (query * D + d) * BLOCK;
            aie::store_v(out + at, narrow(times(aie::load_v<BLOCK>(weighted + at), scale)));
        }
    }
}

} // extern "C"
