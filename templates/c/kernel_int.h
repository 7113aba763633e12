#define INPUT quad
#define WEIGHT quad
#define OUTPUT int32_t
#define ACC vq
#define SPLAT vx
#define PACKED vw
#define ZERO qzero()
#define LOAD(p) qweight(p)
#define STEP(acc, x, w) qstep(acc, x, w)
#define FIND find_quads
#define PLUS(a, b) qadd(a, b)
#define STORE(y, init, o, a) qstore((y) + (o), qadd(qbias(init, o), a))
