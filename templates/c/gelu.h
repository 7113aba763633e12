/* ---- gelu, tanh form: x * sigmoid(2 u), u = sqrt(2/pi) * (x + 0.044715 x^3) ---- */

INLINE vf vgelu(vf x)
{
    const vf cubic = vfma(vmul(vset1(0.044715f), vmul(x, x)), x, x);
    const vf e = vexp(vmul(vset1(-1.5957691f), cubic));
    return vdiv(x, vadd(e, vset1(1.0f)));
}
