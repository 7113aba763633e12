/* ---- squared Euclidean distance, float positions ---- */

INLINE vf square_step(vf acc, vf x, vf p) { return vfma(vsub(x, p), vsub(x, p), acc); }

#define KERNEL(part) l2_f32_##part
#define WEIGHT float
#define LOAD(p) vload(p)
#define STEP(acc, x, w) square_step(acc, x, w)
