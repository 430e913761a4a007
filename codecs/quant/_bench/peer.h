// The casts of package quant as a C programmer writes them with AVX2 and F16C intrinsics: what the kernels are
// measured against. n is a number of elements, a multiple of 16. Each gives the bytes that package quant gives.

#include <stddef.h>

void peer_f64_f32(void *dst, const void *src, size_t n);
void peer_f64_f16(void *dst, const void *src, size_t n);
void peer_f64_bf16(void *dst, const void *src, size_t n);
void peer_f32_f16(void *dst, const void *src, size_t n);
void peer_f32_bf16(void *dst, const void *src, size_t n);
void peer_f16_f32(void *dst, const void *src, size_t n);
void peer_f16_bf16(void *dst, const void *src, size_t n);
void peer_bf16_f32(void *dst, const void *src, size_t n);
void peer_bf16_f16(void *dst, const void *src, size_t n);
void peer_e4m3_f32(void *dst, const void *src, size_t n);
void peer_e4m3_f16(void *dst, const void *src, size_t n);
void peer_e4m3_bf16(void *dst, const void *src, size_t n);
void peer_e5m2_f32(void *dst, const void *src, size_t n);
void peer_e5m2_f16(void *dst, const void *src, size_t n);
void peer_e5m2_bf16(void *dst, const void *src, size_t n);
