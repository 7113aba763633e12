INLINE vf vzero(void) { return vset1(0.0f); }
INLINE vf vrelu(vf a) { return vmax(vzero(), a); }
INLINE vf vsqrt(vf a) { return vroot(vrelu(a)); }
INLINE vf vbias(const float *init, int o) { return init ? vload(init + o) : vzero(); }
