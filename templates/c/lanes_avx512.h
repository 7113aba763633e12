/* ---- lanes: AVX-512, sixteen floats ---- */

#if LANES == 16
typedef __m512 vf;
INLINE vf vload(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vstore(float *p, vf a) { _mm512_storeu_ps(p, a); }
INLINE vf vset1(float a) { return _mm512_set1_ps(a); }
INLINE vf vadd(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf vsub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf vmul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vdiv(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf vfma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); } /* b where either is NaN */
INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); } /* b where either is NaN */
INLINE vf vabs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
INLINE vf vroot(vf a) { return _mm512_sqrt_ps(a); }
INLINE vf vscale(vf a, vf n, vf shifted) { (void)shifted; return _mm512_scalef_ps(a, n); }
INLINE float vsum(vf a) { return _mm512_reduce_add_ps(a); }
#endif
