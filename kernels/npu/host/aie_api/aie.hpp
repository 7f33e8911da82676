// Stand-in for AMD's aie_api on an ordinary compiler: as much of it as the kernels use, value by value.
//
// It is for functional tests. It says nothing about speed, and nothing about what the real header accepts. exp2 rounds its
// result to bfloat16 as the instruction does; the instruction's own error is not modelled.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

struct bfloat16 {
    std::uint16_t bits = 0;

    bfloat16() = default;
    bfloat16(float value) {
        std::uint32_t word;
        std::memcpy(&word, &value, 4);
        if (std::isnan(value)) {
            bits = static_cast<std::uint16_t>((word >> 16) | 0x40);
        } else {
            bits = static_cast<std::uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);
        }
    }
    operator float() const {
        std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &word, 4);
        return value;
    }
};

struct bfp16ebs8 {
    std::uint8_t byte;
};

using int8 = std::int8_t;
using int32 = std::int32_t;
struct accfloat {};
struct acc32 {};

namespace aie {

enum class rounding_mode { conv_even };
inline void set_rounding(rounding_mode) {}

// Eight blocks of eight values: nine bytes each, the shared exponent first.
template <typename T, unsigned N> struct block_vector {
    std::array<std::uint8_t, N / 8 * 9> bytes{};

    float get(unsigned index) const {
        const std::uint8_t *block = &bytes[index / 8 * 9];
        if (block[0] < 8) return 0.0f;
        if (block[0] == 255) return NAN;
        return std::ldexp(static_cast<float>(static_cast<std::int8_t>(block[1 + index % 8])), block[0] - 127 - 6);
    }
};

template <typename T, unsigned N> struct vector {
    std::array<T, N> data{};

    T operator[](unsigned index) const { return data[index]; }
    void set(T value, unsigned index) { data[index] = value; }
    template <unsigned M> vector<T, M> extract(unsigned part) const {
        vector<T, M> result;
        std::copy_n(data.begin() + part * M, M, result.data.begin());
        return result;
    }
    template <unsigned M> vector<T, M> grow_replicate() const {
        vector<T, M> result;
        for (unsigned i = 0; i < M; i++) result.data[i] = data[i % N];
        return result;
    }
};

template <unsigned N> struct mask {
    std::array<bool, N> data{};
};

namespace detail {
template <typename Tag> struct lane;
template <> struct lane<accfloat> { using type = float; };
template <> struct lane<acc32> { using type = std::int32_t; };

inline void to_block(const float *values, std::uint8_t *block) {
    std::memset(block, 0, 9);
    std::uint32_t largest = 0;
    for (int i = 0; i < 8; i++) {
        std::uint32_t word;
        std::memcpy(&word, &values[i], 4);
        largest = std::max(largest, word & 0x7fffffffu);
    }
    int exponent = static_cast<int>(largest >> 23);
    if (exponent < 8) return;
    if (exponent == 255) {
        block[0] = 255;
        return;
    }
    for (;;) {
        bool fits = true;
        for (int i = 0; i < 8; i++) {
            float mantissa = std::nearbyint(std::ldexp(values[i], 127 + 6 - exponent));
            fits &= std::abs(mantissa) <= 127.0f;
            block[1 + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::clamp(mantissa, -128.0f, 127.0f)));
        }
        block[0] = static_cast<std::uint8_t>(exponent);
        if (fits) return;
        exponent++;
    }
}
} // namespace detail

template <typename Tag, unsigned N> struct accum {
    using value = typename detail::lane<Tag>::type;
    std::array<value, N> data{};

    accum() = default;
    template <typename T> explicit accum(const vector<T, N> &from) { from_vector(from); }
    template <typename T> void from_vector(const vector<T, N> &from) {
        for (unsigned i = 0; i < N; i++) data[i] = static_cast<value>(from.data[i]);
    }
    template <typename T> auto to_vector() const {
        if constexpr (std::is_same_v<T, bfp16ebs8>) {
            block_vector<T, N> result;
            for (unsigned i = 0; i < N / 8; i++) detail::to_block(&data[i * 8], &result.bytes[i * 9]);
            return result;
        } else {
            vector<T, N> result;
            for (unsigned i = 0; i < N; i++) result.data[i] = static_cast<T>(data[i]);
            return result;
        }
    }
};

template <typename T, unsigned N> class block_vector_input_buffer_stream {
    const std::uint8_t *at;

  public:
    explicit block_vector_input_buffer_stream(const T *from) : at(reinterpret_cast<const std::uint8_t *>(from)) {}
    void seek(int vectors) { at += vectors * static_cast<int>(N / 8 * 9); }
    block_vector<T, N> pop() {
        block_vector<T, N> result;
        std::memcpy(result.bytes.data(), at, result.bytes.size());
        at += result.bytes.size();
        return result;
    }
};

template <unsigned N, typename T> vector<T, N> load_v(const T *from) {
    vector<T, N> result;
    std::copy_n(from, N, result.data.begin());
    return result;
}
template <typename T, unsigned N> void store_v(T *to, const vector<T, N> &from) { std::copy_n(from.data.begin(), N, to); }

template <typename T, unsigned N> vector<T, N> zeros() { return {}; }
template <typename T, unsigned N> vector<T, N> broadcast(T value) {
    vector<T, N> result;
    result.data.fill(value);
    return result;
}

template <unsigned N> vector<float, N> add(const vector<float, N> &a, const vector<float, N> &b) {
    vector<float, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = a.data[i] + b.data[i];
    return result;
}
template <unsigned N> vector<float, N> sub(const vector<float, N> &a, const vector<float, N> &b) {
    vector<float, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = a.data[i] - b.data[i];
    return result;
}
template <unsigned N> accum<accfloat, N> mul(const vector<float, N> &a, const vector<float, N> &b) {
    accum<accfloat, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = a.data[i] * b.data[i];
    return result;
}
template <typename T, unsigned N> vector<T, N> max(const vector<T, N> &a, const vector<T, N> &b) {
    vector<T, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = a.data[i] > b.data[i] ? a.data[i] : b.data[i];
    return result;
}
template <unsigned N> vector<float, N> abs(const vector<float, N> &a) {
    vector<float, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = std::fabs(a.data[i]);
    return result;
}
template <unsigned N> vector<float, N> inv(const vector<float, N> &a) {
    vector<float, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = 1.0f / a.data[i];
    return result;
}
inline float inv(float a) { return 1.0f / a; }
inline float invsqrt(float a) { return 1.0f / std::sqrt(a); }
template <typename T, unsigned N> vector<T, N> exp2(const vector<float, N> &a) {
    static_assert(std::is_same_v<T, bfloat16>, "the instruction makes bfloat16");
    vector<T, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = a.data[i] < -126.0f ? 0.0f : std::exp2(a.data[i]);
    return result;
}
template <typename T, unsigned N> T reduce_add(const vector<T, N> &a) {
    T sum = 0;
    for (unsigned i = 0; i < N; i++) sum += a.data[i];
    return sum;
}
template <typename T, unsigned N> T reduce_max(const vector<T, N> &a) {
    return *std::max_element(a.data.begin(), a.data.end());
}
template <unsigned N> mask<N> lt(const vector<float, N> &a, const vector<float, N> &b) {
    mask<N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = a.data[i] < b.data[i];
    return result;
}
// `b` where the mask is set, else `a`.
template <typename T, unsigned N> vector<T, N> select(const vector<T, N> &a, const vector<T, N> &b, const mask<N> &m) {
    vector<T, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = m.data[i] ? b.data[i] : a.data[i];
    return result;
}
template <typename T, unsigned N> vector<T, N> transpose(const vector<T, N> &a, unsigned rows, unsigned columns) {
    vector<T, N> result;
    for (unsigned r = 0; r < rows; r++)
        for (unsigned c = 0; c < columns; c++) result.data[c * rows + r] = a.data[r * columns + c];
    return result;
}
template <unsigned N> vector<float, N> to_float(const vector<std::int32_t, N> &a) {
    vector<float, N> result;
    for (unsigned i = 0; i < N; i++) result.data[i] = static_cast<float>(a.data[i]);
    return result;
}

// Products of 8 x 8 blocks of 8-bit integers, the right one `[k, n]`.
template <unsigned M, unsigned K, unsigned N, typename A, typename B> struct mmul {
    accum<acc32, M * N> sums;

    void mac(const vector<A, M * K> &a, const vector<B, K * N> &b) {
        for (unsigned m = 0; m < M; m++)
            for (unsigned n = 0; n < N; n++)
                for (unsigned k = 0; k < K; k++) sums.data[m * N + n] += a.data[m * K + k] * b.data[k * N + n];
    }
    template <typename T> vector<T, M * N> to_vector() const { return sums.template to_vector<T>(); }
};

} // namespace aie

// The product of 8 x 8 blocks with the right one transposed: both are summed along their shared exponents.
inline aie::accum<accfloat, 64> mac_8x8_8x8T(const aie::block_vector<bfp16ebs8, 64> &a,
                                             const aie::block_vector<bfp16ebs8, 64> &b, aie::accum<accfloat, 64> sums) {
    float left[64], right[64];
    for (unsigned i = 0; i < 64; i++) left[i] = a.get(i), right[i] = b.get(i);
    for (unsigned m = 0; m < 8; m++)
        for (unsigned n = 0; n < 8; n++)
            for (unsigned k = 0; k < 8; k++) sums.data[m * 8 + n] += left[m * 8 + k] * right[n * 8 + k];
    return sums;
}
