/* ---- which of k inputs are not zero, in order; index has room for k + 16 ---- */

INLINE int find_f32(const float *x, int k, int32_t *index)
{
    int count = 0, i = 0;
#if LANES == 16
    __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (; i < k - k % 16; i += 16) {
        const __mmask16 m = _mm512_cmp_ps_mask(vload(x + i), vzero(), _CMP_NEQ_UQ);
        _mm512_storeu_si512(index + count, _mm512_maskz_compress_epi32(m, at));
        count += _mm_popcnt_u32(m);
        at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
    }
#endif
    for (; i < k; i++) {
        index[count] = i;
        count += !(x[i] <= 0.0f && x[i] >= 0.0f);
    }
    return count;
}
