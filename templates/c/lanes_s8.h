/* ---- int8 weights of a float network ---- */

#if LANES == 16
INLINE vf vload_s8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
#elif LANES == 8
INLINE vf vload_s8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
#else
INLINE vf vload_s8(const int8_t *p) { return (float)*p; }
#endif
