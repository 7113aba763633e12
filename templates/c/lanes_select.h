/* ---- lanes: how many numbers one instruction takes; CRYSTAL_SCALAR asks for the reference ---- */

#if defined(CRYSTAL_SCALAR) || !defined(__GNUC__)
#define LANES 1
#elif defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#else
#define LANES 1
#endif
#if LANES > 1
#include <immintrin.h>
#endif
#if LANES == 16 && defined(__AVX512VNNI__)
#define VNNI 1
#else
#define VNNI 0
#endif
