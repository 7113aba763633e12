/* ---- Manhattan distance, float positions ---- */

#define KERNEL(part) l1_f32_##part
#define WEIGHT float
#define LOAD(p) vload(p)
#define STEP(acc, x, w) vadd(vabs(vsub(x, w)), acc)
