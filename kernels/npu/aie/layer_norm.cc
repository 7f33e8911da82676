// Layer normalisation of one row, epsilon 1e-5, on one compute tile. `WIDTH` values, 64 at a time.
//
// `layer_norm_wide` leaves 32-bit floats: it is the encoder's last step, and its result is the caller's.

#include "common.h"

static_assert(WIDTH % 64 == 0, "rows are whole vectors");

template <typename Store> static void normalise(const bfloat16 *x, const float *scale, const float *shift, Store store) {
    aie::set_rounding(aie::rounding_mode::conv_even);
    Floats sum = aie::zeros<float, BLOCK>();
    for (unsigned i = 0; i < WIDTH; i += BLOCK) sum = aie::add(sum, widen(aie::load_v<BLOCK>(x + i)));
    const Floats mean = all(aie::reduce_add(sum) * (1.0f / WIDTH));
    Floats squares = aie::zeros<float, BLOCK>();
    for (unsigned i = 0; i < WIDTH; i += BLOCK) {
        const Floats centred = aie::sub(widen(aie::load_v<BLOCK>(x + i)), mean);
        squares = aie::add(squares, times(centred, centred));
    }
    const Floats factor = all(aie::invsqrt(aie::reduce_add(squares) * (1.0f / WIDTH) + 1e-5f));
    for (unsigned i = 0; i < WIDTH; i += BLOCK) {
        const Floats unit = times(aie::sub(widen(aie::load_v<BLOCK>(x + i)), mean), factor);
        store(i, aie::add(times(unit, aie::load_v<BLOCK>(scale + i)), aie::load_v<BLOCK>(shift + i)));
    }
}

extern "C" {

void layer_norm(const bfloat16 *x, const float *scale, const float *shift, bfloat16 *out) {
    normalise(x, scale, shift, [out](unsigned at, const Floats &value) { aie::store_v(out + at, narrow(value)); });
}

void layer_norm_wide(const bfloat16 *x, const float *scale, const float *shift, float *out) {
    normalise(x, scale, shift, [out](unsigned at, const Floats &value) { aie::store_v(out + at, value); });
}

} // extern "C"
