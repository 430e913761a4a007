#include "peer.h"

#include <immintrin.h>
#include <stdint.h>

// Sixteen elements at a time pass through two vectors of eight float32.
typedef struct { __m256 lo, hi; } pair;

static inline pair load_f32(const uint8_t *p) {
	return (pair){_mm256_loadu_ps((const float *)p), _mm256_loadu_ps((const float *)(p + 32))};
}

static inline pair load_f16(const uint8_t *p) {
	return (pair){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 16)))};
}

static inline __m256 bf16_8(const uint8_t *p) {
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}

static inline pair load_bf16(const uint8_t *p) { return (pair){bf16_8(p), bf16_8(p + 16)}; }

static inline __m256 nearest_8(const uint8_t *p) {
	const double *x = (const double *)p;
	return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(x + 4)), _mm256_cvtpd_ps(_mm256_loadu_pd(x)));
}

static inline pair load_f64_nearest(const uint8_t *p) { return (pair){nearest_8(p), nearest_8(p + 64)}; }

// 24 bits of significand, the last of them sticky: enough for float16, whose subnormals are normal in float32.
static inline __m128 sticky_4(const uint8_t *p) {
	const __m256i below = _mm256_set1_epi64x((1 << 29) - 1);
	__m256i x = _mm256_loadu_si256((const __m256i *)p);
	__m256i carry = _mm256_add_epi64(_mm256_and_si256(x, below), below);
	return _mm256_cvtpd_ps(_mm256_castsi256_pd(_mm256_andnot_si256(below, _mm256_or_si256(x, carry))));
}

static inline pair load_f64_sticky(const uint8_t *p) {
	return (pair){_mm256_set_m128(sticky_4(p + 32), sticky_4(p)), _mm256_set_m128(sticky_4(p + 96), sticky_4(p + 64))};
}

// To nearest first, then to odd by what the way back shows.
static inline __m256 odd_8(const uint8_t *p) {
	__m256d x0 = _mm256_loadu_pd((const double *)p), x1 = _mm256_loadu_pd((const double *)(p + 32));
	__m128 n0 = _mm256_cvtpd_ps(x0), n1 = _mm256_cvtpd_ps(x1);
	__m256d b0 = _mm256_cvtps_pd(n0), b1 = _mm256_cvtps_pd(n1);
	__m256 inexact = _mm256_shuffle_ps(_mm256_castpd_ps(_mm256_cmp_pd(b0, x0, _CMP_NEQ_OQ)), _mm256_castpd_ps(_mm256_cmp_pd(b1, x1, _CMP_NEQ_OQ)), 0x88);
	__m256i away = _mm256_castps_si256(_mm256_shuffle_ps(
		_mm256_castsi256_ps(_mm256_cmpgt_epi64(_mm256_castpd_si256(b0), _mm256_castpd_si256(x0))),
		_mm256_castsi256_ps(_mm256_cmpgt_epi64(_mm256_castpd_si256(b1), _mm256_castpd_si256(x1))), 0x88));
	__m256i in = _mm256_permute4x64_epi64(_mm256_castps_si256(inexact), 0xd8);
	away = _mm256_and_si256(_mm256_permute4x64_epi64(away, 0xd8), in);
	__m256i n = _mm256_add_epi32(_mm256_castps_si256(_mm256_set_m128(n1, n0)), away);
	return _mm256_castsi256_ps(_mm256_or_si256(n, _mm256_srli_epi32(in, 31)));
}

static inline pair load_f64_odd(const uint8_t *p) { return (pair){odd_8(p), odd_8(p + 64)}; }

static inline pair widen(__m256i h) {
	return (pair){_mm256_cvtph_ps(_mm256_castsi256_si128(h)), _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1))};
}

static inline pair load_e4m3(const uint8_t *p) {
	const __m256i largest = _mm256_set1_epi16(0x3f80);
	__m256i h = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)), 7);
	h = _mm256_and_si256(h, _mm256_set1_epi16((short)0xbf80));
	__m256i nan = _mm256_cmpeq_epi16(_mm256_and_si256(h, largest), largest);
	pair x = widen(_mm256_or_si256(h, _mm256_and_si256(nan, _mm256_set1_epi16(0x7c00))));
	return (pair){_mm256_mul_ps(x.lo, _mm256_set1_ps(256)), _mm256_mul_ps(x.hi, _mm256_set1_ps(256))};
}

static inline pair load_e5m2(const uint8_t *p) {
	return widen(_mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p)), 8));
}

static inline void store_f32(uint8_t *p, pair x) {
	_mm256_storeu_ps((float *)p, x.lo);
	_mm256_storeu_ps((float *)(p + 32), x.hi);
}

static inline void store_f16(uint8_t *p, pair x) {
	_mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.lo, 0));
	_mm_storeu_si128((__m128i *)(p + 16), _mm256_cvtps_ph(x.hi, 0));
}

static inline void store_upper(uint8_t *p, pair x) {
	__m256i lo = _mm256_srli_epi32(_mm256_castps_si256(x.lo), 16), hi = _mm256_srli_epi32(_mm256_castps_si256(x.hi), 16);
	_mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8));
}

static inline __m256 round_bf16(__m256 x) {
	__m256i b = _mm256_castps_si256(x);
	__m256i last = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
	__m256i r = _mm256_add_epi32(b, _mm256_add_epi32(last, _mm256_set1_epi32(0x7fff)));
	__m256i quiet = _mm256_or_si256(b, _mm256_set1_epi32(0x400000));
	return _mm256_blendv_ps(_mm256_castsi256_ps(r), _mm256_castsi256_ps(quiet), _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

static inline void store_bf16(uint8_t *p, pair x) { store_upper(p, (pair){round_bf16(x.lo), round_bf16(x.hi)}); }

#define CAST(name, from, load, to, store) \
	void peer_##name(void *dst, const void *src, size_t n) { \
		uint8_t *d = dst; \
		const uint8_t *s = src; \
		for (; n >= 16; n -= 16, d += 16 * to, s += 16 * from) store(d, load(s)); \
	}

CAST(f64_f32, 8, load_f64_nearest, 4, store_f32)
CAST(f64_f16, 8, load_f64_sticky, 2, store_f16)
CAST(f64_bf16, 8, load_f64_odd, 2, store_bf16)
CAST(f32_f16, 4, load_f32, 2, store_f16)
CAST(f32_bf16, 4, load_f32, 2, store_bf16)
CAST(f16_f32, 2, load_f16, 4, store_f32)
CAST(f16_bf16, 2, load_f16, 2, store_bf16)
CAST(bf16_f32, 2, load_bf16, 4, store_f32)
CAST(bf16_f16, 2, load_bf16, 2, store_f16)
CAST(e4m3_f32, 1, load_e4m3, 4, store_f32)
CAST(e4m3_f16, 1, load_e4m3, 2, store_f16)
CAST(e4m3_bf16, 1, load_e4m3, 2, store_upper)
CAST(e5m2_f32, 1, load_e5m2, 4, store_f32)
CAST(e5m2_f16, 1, load_e5m2, 2, store_f16)
CAST(e5m2_bf16, 1, load_e5m2, 2, store_upper)
