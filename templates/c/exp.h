/* ---- exp: 2^n * e^r with |r| <= ln(2)/2; subnormal, zero and infinite results included ---- */

INLINE vf vexp(vf x)
{
    const vf shift = vset1(12582912.0f); /* 1.5 * 2^23: the low bits of x + shift are round(x) */
    const vf a = vmin(vset1(89.0f), vmax(vset1(-104.0f), x));
    const vf shifted = vfma(a, vset1(1.44269504f), shift);
    const vf n = vsub(shifted, shift);
    const vf r = vfma(n, vset1(2.12194440e-4f), vfma(n, vset1(-0.693359375f), a));
    vf p = vset1(1.3814315e-3f);
    p = vfma(p, r, vset1(8.368852e-3f));
    p = vfma(p, r, vset1(4.166840e-2f));
    p = vfma(p, r, vset1(0.16666520f));
    p = vfma(p, r, vset1(0.49999994f));
    p = vadd(vfma(vmul(p, r), r, r), vset1(1.0f));
    return vscale(p, n, shifted);
}
