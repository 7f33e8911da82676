// What the kernels share: arithmetic on vectors of 32-bit floats, and the Gaussian error linear unit.

#pragma once

#include <aie_api/aie.hpp>

#include <stdint.h>

// Values of a block of 8 x 8.
constexpr unsigned BLOCK = 64;

using Floats = aie::vector<float, BLOCK>;
using Sums = aie::accum<accfloat, BLOCK>;

inline Floats times(const Floats &a, const Floats &b) { return aie::mul(a, b).template to_vector<float>(); }
inline Floats all(float value) { return aie::broadcast<float, BLOCK>(value); }

// Eight values, one for each row of a block.
inline Floats by_row(const float *values) {
    Floats result = aie::zeros<float, BLOCK>();
    for (unsigned i = 0; i < BLOCK; i++) result.set(values[i / 8], i);
    return result;
}

// Eight values, one for each column of a block.
inline Floats by_column(const float *values) { return aie::load_v<8>(values).template grow_replicate<BLOCK>(); }

inline Floats widen(const aie::vector<bfloat16, BLOCK> &values) {
    Sums sums;
    sums.from_vector(values);
    return sums.template to_vector<float>();
}

inline aie::vector<bfloat16, BLOCK> narrow(const Floats &values) {
    return Sums(values).template to_vector<bfloat16>();
}

// x P(X <= x) for a normal X. The complementary error function (Abramowitz and Stegun 7.1.26) is used as it is on the left of
// zero, so that the small results there keep their relative precision although exp2 has only that of a bfloat16.
inline Floats gelu(const Floats &x) {
    const Floats z = times(aie::abs(x), all(0.70710678f));
    const Floats t = aie::inv(aie::add(all(1.0f), times(z, all(0.3275911f))));
    Floats poly = times(t, all(1.061405429f));
    poly = times(t, aie::add(all(-1.453152027f), poly));
    poly = times(t, aie::add(all(1.421413741f), poly));
    poly = times(t, aie::add(all(-0.284496736f), poly));
    poly = times(t, aie::add(all(0.254829592f), poly));
    const Floats power = widen(aie::exp2<bfloat16>(times(times(z, z), all(-1.44269504f))));
    const Floats tail = times(times(poly, power), all(0.5f));
    const Floats share = aie::select(aie::sub(all(1.0f), tail), tail, aie::lt(x, all(0.0f)));
    return times(x, share);
}
